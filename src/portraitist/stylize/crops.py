"""From a photo to aligned faces: read it, find the faces, cut them out.

pixels, crops = faces_of("group.jpg", BlazeFinder(), "all", 256)     # the largest face first
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, get_args

import numpy as np
import torch
from PIL import Image, ImageOps

from ..data.images import Opacity, Pixels, crop_square, from_pillow, read_translucent, resize
from ..errors import NoFaceFound, UsageError
from ..faces import AlignedFace, FaceFinder, align
from ..faces.align import Framing, check_photo, square_to_quad
from .choices import Which

Photo = Path | str | bytes | BinaryIO | Pixels | Image.Image
"""A picture file, its bytes, an open stream of them, pixels ``uint8 [H, W, 3]``, or a picture of Pillow."""


def faces_of(
    photo: Photo,
    finder: FaceFinder | None,
    which: Which | int,
    size: int,
    *,
    closeup: int = 0,
    framing: Framing = "ffhq",
) -> tuple[Pixels, list[AlignedFace]]:
    """Read a photo, and find and align its faces.

    Args:
        photo: A file, its bytes, pixels ``uint8 [H, W, 3]``, or a picture of Pillow.
        finder: Finds faces; None takes the photo as an aligned face.
        which: All faces, the largest, or one by its number (1 is the largest).
        size: Side of the faces in pixels.
        closeup: Side of the close-up that each comes with; none where 0.
        framing: How they are cut out.

    Returns:
        The pixels of the photo, and its faces.

    Raises:
        NoFaceFound: There is no face, or none of that number.
        BadImage: The photo cannot be read.
        UsageError: The pixels have another layout, or ``which`` does not select faces.
    """
    if not isinstance(which, int) and which not in get_args(Which):
        raise UsageError(f"'{which}' does not select faces.", "Use 'all', 'largest' or a number.")
    pixels = opened(photo)[0]
    check_photo(pixels)
    if finder is None:
        return pixels, [as_aligned_face(pixels, size, closeup=closeup)]
    found = finder.find(pixels)
    if not found:
        raise NoFaceFound(
            "No face was found.", "If the picture is an aligned face already, add --aligned; else use another photo."
        )
    if isinstance(which, int):
        if not 1 <= which <= len(found):
            raise NoFaceFound(f"There is no face {which}; {len(found)} were found.", "1 is the largest.")
        found = [found[which - 1]]
    crops = []
    for face in found[:1] if which == "largest" else found:
        crop = align(pixels, face.landmarks, size, framing)
        nearer = align(pixels, face.landmarks, closeup, framing) if closeup else None
        crops.append(replace(crop, closeup=nearer))
    return pixels, crops


def opened(photo: Photo) -> tuple[Pixels, Opacity | None]:
    """Read a photo: its pixels ``uint8 [H, W, 3]``, and their opacity; None where all are opaque.

    Raises:
        BadImage: It cannot be read.
        UsageError: It is no photo.
    """
    if isinstance(photo, np.ndarray):
        return photo, None
    if isinstance(photo, Image.Image):
        return from_pillow(photo), _opacity_of(photo)
    if not isinstance(photo, Path | str | bytes) and not hasattr(photo, "read"):
        raise UsageError(f"A {type(photo).__name__} is not a photo.", "Give a path, bytes, or a uint8 H x W x 3 array.")
    return read_translucent(photo)


def _opacity_of(photo: Image.Image) -> Opacity | None:
    """Return the opacity of a picture of Pillow, upright; None where all of it is opaque."""
    if "A" not in photo.getbands() and "transparency" not in photo.info:
        return None
    opacity = np.asarray(ImageOps.exif_transpose(photo).convert("RGBA").getchannel("A"))
    return None if opacity.min() == 255 else opacity


def check_size(size: int | None) -> None:
    """Refuse a side that no picture has.

    Raises:
        UsageError: It is not a positive whole number.
    """
    if size is not None and (not isinstance(size, int) or size < 1):
        raise UsageError(f"Pictures cannot have the size {size!r}.", "Give their side in pixels, or None.")


def as_aligned_face(photo: Pixels, size: int, *, closeup: int = 0) -> AlignedFace:
    """Take a whole photo ``uint8 [H, W, 3]`` as an aligned face; one that is not square is cropped at its centre.

    Args:
        photo: The photo.
        size: Side of the face in pixels.
        closeup: Side of the close-up that it comes with; none where 0.
    """
    crop = crop_square(photo)
    side = len(crop)
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    corners = [(left, top), (left, top + side), (left + side, top + side), (left + side, top)]
    quad = np.array(corners, dtype=np.float64)
    nearer = as_aligned_face(photo, closeup) if closeup else None
    return AlignedFace(resize(crop, size), quad, square_to_quad(quad, size), closeup=nearer)


@contextmanager
def one_thread() -> Iterator[None]:
    """Restrict PyTorch to one thread inside the block, so that sums are rounded the same on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
