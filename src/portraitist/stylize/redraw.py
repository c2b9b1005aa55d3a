"""What redraws photos: the protocol that folders of photos are worked through with.

``Stylizer`` (a style of a base), ``PictureTranslator`` and ``PhotoPainter`` (feed-forward networks) implement it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..data.images import Opacity, Pixels
from ..faces import AlignedFace
from .choices import Which
from .crops import Photo


class RedrawnFace(Protocol):
    """One face of a photo, redrawn."""

    @property
    def aligned(self) -> AlignedFace:
        """The crop, and where it lies in the photo."""
        ...

    def picture(self, style: str, rendering: str = "") -> Pixels:
        """Return its picture ``uint8 [S, S, 3]`` in a style; ``rendering`` names a further one."""
        ...


class Redrawn(Protocol):
    """All faces of a photo, redrawn."""

    @property
    def photo(self) -> Pixels:
        """The photo ``uint8 [H, W, 3]``."""
        ...

    @property
    def opacity(self) -> Opacity | None:
        """Of the photo, ``uint8 [H, W]``; None where all of it is opaque."""
        ...

    @property
    def faces(self) -> Sequence[RedrawnFace]:
        """The largest face first."""
        ...

    def pasted(self, style: str, rendering: str = "") -> Pixels:
        """Return the photo ``uint8 [H, W, 3]`` with every face redrawn in its place."""
        ...

    def sheet(self) -> Pixels:
        """Return a picture that shows a row per face: how it came about, and what became of it."""
        ...


class Redrawer(Protocol):
    """Something that redraws the faces of photos in one or several styles."""

    @property
    def styles(self) -> Sequence[str]:
        """The names of its styles, as file names bear them."""
        ...

    @property
    def further(self) -> Sequence[str]:
        """The names of the further renderings of each face in each style, beside the face's own."""
        ...

    @property
    def settings(self) -> dict[str, object]:
        """What determines the pictures, beside the photo; plain JSON."""
        ...

    def stylize(
        self, photo: Photo, *, which: Which | int = "all", aligned: bool = False, size: int | None = None
    ) -> Redrawn:
        """Redraw the faces of one photo.

        Args:
            photo: A file, its bytes, or pixels ``uint8 [H, W, 3]``.
            which: All faces, the largest, or one by its number (1 is the largest).
            aligned: The photo is an aligned square face already; no face is searched.
            size: Side of the pictures in pixels; the model's resolution, but at least 256, when None.

        Raises:
            NoFaceFound: There is no face, or none of that number.
            BadImage: The photo cannot be read.
            UsageError: The pixels have another layout, or ``which`` does not select faces.
        """
        ...
