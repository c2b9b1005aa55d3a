"""What became of a photo: a portrait per face, with a picture per style and per rendering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..data.images import Opacity, Pixels
from ..data.sheet import beside
from ..errors import UsageError
from ..faces import AlignedFace
from ..faces.background import Mask, person_mask
from ..faces.paste import paste_all
from ..spaces import WPlus
from .shown import Shown, with_faces

# Below this a picture is enlarged, so that a small model gives something to look at.
SMALLEST_PICTURE = 256


@dataclass(frozen=True)
class Sample:
    """One more rendering of a face."""

    name: str
    """What stands for it in names of files: ``sample1``, ``random1`` or the name of a reference."""
    codes: Mapping[str, WPlus]
    """Style -> the code drawn, [1, rows, w_dim]; appearances belong to a style, so that each has its own."""
    pictures: Mapping[str, Pixels]
    """Style -> picture, ``uint8 [S, S, 3]``."""


@dataclass(frozen=True)
class Portrait(Shown):
    """One face of a photo, redrawn."""

    aligned: AlignedFace
    """The crop that was inverted, and where it lies in the photo."""
    find_code: Callable[[], WPlus] = field(repr=False, compare=False)
    """Returns its code, and finds it first where painters drew all pictures."""
    pictures: Mapping[str, Pixels]
    """Style -> picture, ``uint8 [S, S, 3]``."""
    samples: tuple[Sample, ...]
    """Further renderings, where they were asked for."""
    reconstruct: Callable[[WPlus], Pixels] = field(repr=False, compare=False)
    """Draws the reconstruction of a code."""
    covered: Mapping[str, Mask] = field(default_factory=dict, repr=False)
    """Style -> how much of each pixel of its pictures is the person, [S, S], where the detail stage took part."""

    @cached_property
    def code(self) -> WPlus:
        """Its code, [1, rows, w_dim].

        What a painter draws needs none: it is then found when it is first asked for.
        """
        return self.find_code()

    @cached_property
    def reconstruction(self) -> Pixels:
        """What the base, or the style of the picture, draws from the code: how well the face was understood.

        Drawn when it is first asked for.
        """
        return self.reconstruct(self.code)

    def named(self) -> dict[str, Pixels]:
        """Return all pictures by ``style`` or ``style.rendering``."""
        drawn = dict(self.pictures)
        for sample in self.samples:
            drawn |= {f"{style}.{sample.name}": picture for style, picture in sample.pictures.items()}
        return drawn

    def picture(self, style: str, rendering: str = "") -> Pixels:
        """Return the picture ``uint8 [S, S, 3]`` in a style; ``rendering`` is the name of a sample.

        Raises:
            UsageError: There is no such style or rendering.
        """
        drawn = {"": self.pictures} | {sample.name: sample.pictures for sample in self.samples}
        if rendering not in drawn or style not in self.pictures:
            wanted = f"'{style}'" + (f", rendering '{rendering}'" if rendering else "")
            raise UsageError(
                f"There is no picture of {wanted}.",
                f"Styles: {', '.join(self.pictures)}. Renderings: {', '.join(filter(None, drawn)) or 'none'}.",
            )
        return drawn[rendering][style]


@dataclass(frozen=True)
class Portraits(Shown):
    """All faces of a photo, redrawn."""

    photo: Pixels
    faces: tuple[Portrait, ...]
    """The largest face first."""
    opacity: Opacity | None = None
    """Of the photo, ``uint8 [H, W]``; None where all of it is opaque."""

    def named(self) -> dict[str, Pixels]:
        """Return all pictures, those of further faces as ``face2.style``."""
        return with_faces([face.named() for face in self.faces])

    def pasted(self, style: str, rendering: str = "") -> Pixels:
        """Return the photo with every face redrawn in its place; ``rendering`` is the name of a sample.

        Only the person is laid over the photo, where it is known which pixels that is; else the whole square is.

        Raises:
            UsageError: There is no such style or rendering.
        """
        drawn = [(face.picture(style, rendering), face.aligned, face.covered.get(style)) for face in self.faces]
        return paste_all(
            self.photo, drawn, within=self._persons if any(mask is not None for *_, mask in drawn) else None
        )

    @cached_property
    def _persons(self) -> Mask:
        """How much of each pixel of the photo is a person: a square around a face shows less of who is who."""
        return person_mask(self.photo)

    def sheet(self, height: int = SMALLEST_PICTURE) -> Pixels:
        """Return a sheet: per face the crop, the reconstruction, the picture in every style, and those of samples."""
        rows = []
        for face in self.faces:
            each = [face.pictures, *(sample.pictures for sample in face.samples)]
            drawn = [picture for pictures in each for picture in pictures.values()]
            seen = face.aligned.closeup or face.aligned
            rows.append(beside([seen.image, face.reconstruction, *drawn], height))
        return np.concatenate(rows, axis=0)
