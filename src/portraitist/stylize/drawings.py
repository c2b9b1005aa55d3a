"""One style as a Stylizer holds it, and the drawings of one face in all styles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from ..data.images import Pixels, resize, to_array
from ..detail import Look
from ..faces import AlignedFace
from ..faces.background import Mask
from ..networks import Generator
from ..spaces import WPlus
from ..surgery import By, FeatureSwap, swap
from .detailed import CloseFace, PreparedFace
from .packed import PackedPainter
from .paths import SeveralPaths
from .portraits import SMALLEST_PICTURE

if TYPE_CHECKING:
    from .pipeline import Stylizer

Synthesizer = Generator | FeatureSwap | SeveralPaths
"""What draws codes of the base."""
Drawn = Mapping[tuple[str, str], Tensor]
"""(Style, rendering) -> image [3, R, R] that a generator has drawn; the base is the style of no name."""

Further = Mapping[str, Mapping[str, WPlus]]
"""Rendering -> style -> code."""


@dataclass
class Style:
    """One style that a stylizer holds."""

    plain: Generator
    """The style itself, which maps samples and inverts references."""
    upto: int
    by: By
    look: Look | None = None
    painter: PackedPainter | None = None
    """What draws photos in place of their codes; None where codes do."""
    appearance_codes: list[WPlus] | None = None
    """The codes of the appearances, once they are known."""

    def synthesizer(self, base: Generator) -> Generator | FeatureSwap:
        """Return what draws it, with the base's low resolutions where that is asked for."""
        return swap(base, self.plain, self.upto, self.by, "high") if self.upto else self.plain


class Drawings:
    """Draws codes of one face; what all pictures of the face share is made once.

    Args:
        stylizer: Whose styles.
        crop: The face.
        code: Its code; None where painters draw all that is drawn.
        size: Side of the pictures in pixels; the model's when None.
        drawn: What was drawn before, together with other faces.
        by_painter: Whether the styles that have a painter are drawn by it; else by the code.
    """

    def __init__(
        self,
        stylizer: Stylizer,
        crop: AlignedFace,
        code: WPlus | None,
        size: int | None,
        drawn: Drawn,
        *,
        by_painter: bool = True,
    ) -> None:
        self.stylizer, self.crop, self.code, self.size, self.drawn = stylizer, crop, code, size, drawn
        self.by_painter = by_painter
        self.covered: dict[str, Mask] = {}
        """Style -> how much of each pixel is the person, where the picture takes something from the photo."""
        self._prepared: dict[str, PreparedFace] = {}

    def painted(self) -> dict[str, Pixels] | None:
        """Draw the face in each style by its painter; None where a style has none that draws this face."""
        styles = self.stylizer._styles
        if self.face is None or not styles or any(style.painter is None for style in styles.values()):
            return None
        pictures = {}
        for count, name in enumerate(styles, 1):
            pictures[name] = self._painted(name, self.face)
            self.stylizer.tell("drawing", count, len(styles))
        return pictures

    def of(self, codes: Mapping[str, WPlus], rendering: str = "") -> dict[str, Pixels]:
        """Draw a code in each style."""
        pictures = {}
        for count, (name, code) in enumerate(codes.items(), 1):
            pictures[name] = self._picture(name, rendering, code)
            self.stylizer.tell("drawing", count, len(codes))
        return pictures

    def _picture(self, name: str, rendering: str, code: WPlus) -> Pixels:
        held, generator = self.stylizer._styles[name], self.stylizer.generators[name]
        if self.face is not None and held.painter is not None and self.by_painter:
            return self._painted(name, self.face)
        if self.face is None or held.look is None:
            return self._drawing(generator, (name, rendering), code, self.size)
        side = len(self.face.image)
        if name not in self._prepared:
            self._prepared[name] = self.stylizer._detail.prepare(self.face, self.base, held.look)
            self.covered[name] = self._prepared[name].covered
        picture = self._prepared[name].picture(self._drawing(generator, (name, rendering), code, side))
        return resize(picture, self.size or max(generator.anatomy.resolution, side))

    def _painted(self, name: str, face: CloseFace) -> Pixels:
        painter, resolution = self.stylizer._styles[name].painter, self.stylizer.generators[name].anatomy.resolution
        assert painter is not None
        self.covered[name] = face.person
        return resize(painter.paint(face.image), self.size or max(resolution, len(face.image)))

    def _drawing(self, generator: Synthesizer, key: tuple[str, str], code: WPlus, size: int | None) -> Pixels:
        """Return what a generator draws, from what was drawn before where it is among that."""
        if key not in self.drawn:
            return self.stylizer.draw(generator, code, size)
        return resize(to_array(self.drawn[key]), size or max(generator.anatomy.resolution, SMALLEST_PICTURE))

    @cached_property
    def face(self) -> CloseFace | None:
        """The close-up; None where nothing is taken from it."""
        stage, closeup = self.stylizer._detail, self.crop.closeup
        return stage.face(closeup) if closeup is not None and stage.amount else None

    @cached_property
    def base(self) -> Pixels:
        """What the base draws from the face's code, of the close-up's size as the drawings of the styles are."""
        assert self.code is not None
        side = None if self.face is None else len(self.face.image)
        return self._drawing(self.stylizer.base.generator, ("", ""), self.code, side)
