"""Who draws the faces of a video: a painter, or a style with its detail stage.

artist = StyleArtist(Stylizer.load(["toon3d"]))
face = artist.draw(frame, track.landmarks, track.memory)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ..data.images import Pixels, to_tensor
from ..detail.look import SIDE
from ..errors import UsageError
from ..faces import AlignedFace, FixedPoints, Landmarks, align
from ..faces.background import Mask, portrait_mask
from ..spaces import WPlus
from ..stylize import PhotoPainter, Stylizer
from ..stylize.crops import faces_of, one_thread
from ..stylize.paths import SeveralPaths
from .tracks import Arrays

GOOD_FRAMES = 8
"""A person's code is the mean of those of their first frames, so many with an encoder."""
_FOLLOWING = 0.3
"""Weight of a frame's own code where codes follow the face."""


@dataclass(frozen=True, eq=False)
class DrawnFace:
    """One face of a frame, drawn."""

    picture: Pixels
    """uint8 [S, S, 3]."""
    aligned: AlignedFace
    """Where it lies in the frame."""
    mask: Mask | None
    """How much of the picture is the person; None for the whole square."""


class Artist(Protocol):
    """Draws the faces of a video, frame by frame."""

    @property
    def name(self) -> str:
        """What files are called by."""
        ...

    @property
    def settings(self) -> dict[str, object]:
        """What determines the pictures, beside the frames; plain JSON."""
        ...

    def draw(self, frame: Pixels, landmarks: Landmarks, memory: Arrays) -> DrawnFace:
        """Draw one face.

        Args:
            frame: uint8 [H, W, 3].
            landmarks: Of the face, filtered.
            memory: What was kept of this person; the artist may change it.

        Raises:
            BadImage: The face lies outside the frame.
        """
        ...


class PainterArtist:
    """Draws by a painter, which needs no memory: it paints the same face in the same way."""

    def __init__(self, painter: PhotoPainter) -> None:
        self.painter = painter

    @property
    def name(self) -> str:
        """The painter's name."""
        return self.painter.name

    @property
    def settings(self) -> dict[str, object]:
        """As of the painter."""
        return self.painter.settings

    def draw(self, frame: Pixels, landmarks: Landmarks, memory: Arrays) -> DrawnFace:
        """Paint one face."""
        crop = align(frame, landmarks, self.painter.side)
        return DrawnFace(self.painter.paint(crop).drawing, crop, portrait_mask(crop.image))


class StyleArtist:
    """Draws by the code of a person and, where the style has a look, by what the frame shows beyond it.

    With a look, the code is found from the person's first frames and held: the frame itself brings motion and
    expression. Without, the code follows the face, smoothed. A style that its painter draws needs no code.

    Args:
        stylizer: Holds one style.

    Raises:
        UsageError: It holds several, or further renderings are asked for.
    """

    def __init__(self, stylizer: Stylizer) -> None:
        if len(stylizer.styles) != 1:
            raise UsageError(
                f"A video is drawn in one style, not in {', '.join(stylizer.styles) or 'none'}.",
                "Name one with --style.",
            )
        if isinstance(stylizer.generators[stylizer.styles[0]], SeveralPaths):
            raise UsageError("A video keeps to one path of its style.", "Name it with --attribute.")
        if stylizer.further:
            raise UsageError("A video has no samples, appearances or references.", "Leave these options out.")
        self.stylizer, (self.name,) = stylizer, stylizer.styles
        self.settings = stylizer.settings
        self._holds = "detail" in self.settings
        self._good = GOOD_FRAMES if stylizer.encoder is not None else 1

    def draw(self, frame: Pixels, landmarks: Landmarks, memory: Arrays) -> DrawnFace:
        """Draw one face."""
        resolution = self.stylizer.base.generator.anatomy.resolution
        _, (crop,) = faces_of(frame, FixedPoints((landmarks,)), "all", resolution, closeup=SIDE)
        if (painter := self.stylizer.painter(self.name)) is not None and crop.closeup is not None:
            close = crop.closeup.image
            return DrawnFace(painter.paint(close), crop, portrait_mask(close))
        portrait = self.stylizer.redraw(crop, code=self._code(crop, memory))
        return DrawnFace(portrait.pictures[self.name], crop, portrait.covered.get(self.name))

    def _code(self, crop: AlignedFace, memory: Arrays) -> WPlus:
        """Return the person's code, [1, rows, w_dim], and take this frame up into it where it counts."""
        count = int(memory["codes"][0]) if "codes" in memory else 0
        if self._holds and count >= self._good:
            return WPlus(torch.from_numpy(np.array(memory["code"])))
        with one_thread():
            image = to_tensor(crop.image)[None].to(self.stylizer.device)
            own = self.stylizer.inverter.invert(image, progress=self.stylizer.progress).code.data.cpu()
        if count:
            weight = 1 / (count + 1) if self._holds else max(_FOLLOWING, 1 / (count + 1))
            before = torch.from_numpy(np.array(memory["code"]))
            own = before + weight * (own - before)
        memory["code"], memory["codes"] = own.numpy().copy(), np.array([count + 1])
        return WPlus(own)
