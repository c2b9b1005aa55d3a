"""One photo to a drawing by a painter, in one pass: no code, no inversion.

painter = PhotoPainter.load("runs/painter")
drawing = painter.stylize("me.jpg").faces[0].picture()
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch

from ..data.images import Opacity, Pixels, resize, to_array, to_tensor
from ..data.sheet import beside
from ..errors import UsageError
from ..faces import AlignedFace, FaceFinder, finder_named
from ..faces.background import person_mask, portrait_mask
from ..faces.paste import paste_all
from ..io.painter_files import StoredPainter, load_painter
from ..networks.painter import MULTIPLE
from .choices import Which
from .crops import Photo, check_size, faces_of, one_thread, opened
from .portraits import SMALLEST_PICTURE
from .shown import Shown, with_faces


@dataclass(frozen=True)
class PaintedFace(Shown):
    """One face of a photo, painted."""

    aligned: AlignedFace
    """The crop that was painted, and where it lies in the photo."""
    drawing: Pixels
    """``uint8 [S, S, 3]``."""

    def named(self) -> dict[str, Pixels]:
        """Return the drawing, as ``drawing``."""
        return {"drawing": self.drawing}

    def picture(self, style: str = "", rendering: str = "") -> Pixels:
        """Return the drawing; a painter has one style and one rendering."""
        return self.drawing


@dataclass(frozen=True)
class PaintedFaces(Shown):
    """All faces of a photo, painted."""

    photo: Pixels
    faces: tuple[PaintedFace, ...]
    """The largest face first."""
    opacity: Opacity | None = None
    """Of the photo, ``uint8 [H, W]``; None where all of it is opaque."""

    def named(self) -> dict[str, Pixels]:
        """Return all drawings, those of further faces as ``face2.drawing``."""
        return with_faces([face.named() for face in self.faces])

    def pasted(self, style: str = "", rendering: str = "") -> Pixels:
        """Return the photo with every person painted in their place, before the photo's own background."""
        drawn = [(face.drawing, face.aligned, portrait_mask(face.aligned.image)) for face in self.faces]
        return paste_all(self.photo, drawn, within=person_mask(self.photo))

    def sheet(self, height: int = SMALLEST_PICTURE) -> Pixels:
        """Return a row per face: photo and drawing."""
        return np.concatenate([beside([face.aligned.image, face.drawing], height) for face in self.faces], axis=0)


class PhotoPainter:
    """Photos in, drawings out, by a painter.

    Args:
        stored: The painter.
        name: What pictures are called by; the painter's own name, or that of its style, when empty.
        side: Side in pixels at which it paints, a multiple of 8; that of its training when None.
        finder: Finds faces; the first of ``faces.FINDERS`` when None.
        device: ``cpu`` or ``cuda``.

    Raises:
        UsageError: There can be no painting at this side.
    """

    def __init__(
        self,
        stored: StoredPainter,
        *,
        name: str = "",
        side: int | None = None,
        finder: FaceFinder | None = None,
        device: str = "cpu",
    ) -> None:
        self.side = stored.header.side if side is None else side
        if self.side < MULTIPLE or self.side % MULTIPLE:
            raise UsageError(f"A painter cannot paint at {self.side} pixels.", f"Use a multiple of {MULTIPLE}.")
        self.painter = stored.painter.to(device).eval().requires_grad_(False)
        self.digest, self.device = stored.digest, device
        self.name = name or stored.header.name or stored.header.style_name or "painted"
        self._finder = finder

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        name: str = "",
        side: int | None = None,
        finder: FaceFinder | None = None,
        device: str = "cpu",
    ) -> Self:
        """Load a painter file or a run folder.

        Args:
            path: What to load.
            name: As the constructor.
            side: As the constructor.
            finder: As the constructor.
            device: As the constructor.

        Raises:
            BadModel: The file is damaged, incomplete or of another kind.
            UsageError: As the constructor.
        """
        return cls(load_painter(path), name=name, side=side, finder=finder, device=device)

    @property
    def styles(self) -> tuple[str, ...]:
        """The one name that its pictures bear."""
        return (self.name,)

    @property
    def further(self) -> tuple[str, ...]:
        """The names of further renderings; a painter has none."""
        return ()

    @property
    def settings(self) -> dict[str, object]:
        """What determines the pictures, beside the photo."""
        return {"painter": self.digest, "side": self.side, "finder": repr(self.finder), "device": self.device}

    @cached_property
    def finder(self) -> FaceFinder:
        """What finds faces."""
        return self._finder or finder_named()

    def stylize(
        self, photo: Photo, *, which: Which | int = "all", aligned: bool = False, size: int | None = None
    ) -> PaintedFaces:
        """Paint the faces of one photo.

        Args:
            photo: A file, its bytes, or pixels ``uint8 [H, W, 3]``.
            which: All faces, the largest, or one by its number (1 is the largest).
            aligned: The photo is an aligned square face already; no face is searched.
            size: Side of the pictures; the side of painting, but at least 256, when None.

        Raises:
            NoFaceFound: There is no face, or none of that number.
            BadImage: The photo cannot be read.
            UsageError: The pixels have another layout, or ``which`` does not select faces.
        """
        check_size(size)
        photo, opacity = opened(photo)
        pixels, crops = faces_of(photo, None if aligned else self.finder, which, self.side)
        return PaintedFaces(pixels, tuple(self.paint(crop, size) for crop in crops), opacity)

    def paint(self, crop: AlignedFace, size: int | None = None) -> PaintedFace:
        """Paint one aligned face, alone and by one thread, so that it depends on nothing but itself."""
        photo = to_tensor(resize(crop.image, self.side))[None].to(self.device)
        with one_thread(), torch.no_grad():
            drawn = to_array(self.painter(photo).image[0])
        return PaintedFace(crop, resize(drawn, size or max(self.side, SMALLEST_PICTURE)))
