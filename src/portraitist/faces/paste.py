"""Put a redrawn face back into the photo it was cut from.

The square is warped back through the crop's matrix and laid over the photo under a soft mask that falls to nothing at
the square's edges. What of the square lies outside the photo is dropped; pixels outside the square keep their bytes.

    portrait = paste(photo, redrawn, aligned)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from portraitist.errors import UsageError
from portraitist.faces.align import AlignedFace, Pixels, check_photo, doubled, square_to_quad
from portraitist.faces.landmarks import Points

KNOWN = 0.7
"""Least part of a face that the segmentation of a whole photo must find for its word to count."""


def paste(
    photo: Pixels,
    face_image: Pixels,
    aligned: AlignedFace,
    *,
    feather: float = 0.1,
    mask: npt.NDArray[np.floating] | None = None,
    within: npt.NDArray[np.floating] | None = None,
) -> Pixels:
    """Lay a square over the place its face was cut from.

    Args:
        photo: uint8 H x W x 3; it is not changed.
        face_image: uint8 S x S x 3 of any S, not only the aligned crop's.
        aligned: The crop, of this photo.
        feather: Width of the seam as a part of the square's side, in [0, 0.5]; 0 is a hard edge.
        mask: How much of the square to show, M x M in [0, 1], multiplied with the seam; all of it by default.
        within: How much of each pixel of the photo is a person, H x W in [0, 1], as the whole photo shows it: nothing
            else changes, unless less than ``KNOWN`` of what would be covered is found in it.

    Returns:
        A new photo of the same shape.
    """
    check_photo(photo)
    check_photo(face_image)
    _check(face_image, feather, mask)
    box = _extent(photo, aligned)
    if box is None:
        return photo.copy()
    left, top, right, bottom = box
    cover = _seam(box, aligned, feather)
    if mask is not None:
        levels = Image.fromarray(np.asarray(mask, dtype=np.float32))
        cover = cover * np.clip(_warped(levels, box, aligned), 0, 1)
    if within is not None:
        there = np.clip(2 * within[top:bottom, left:right], 0, 1)
        if (cover * there).sum() >= KNOWN * cover.sum():
            cover = cover * there
    square = _warped(Image.fromarray(face_image), box, aligned)
    under = photo[top:bottom, left:right].astype(np.float32)
    mixed = np.rint(under + (square - under) * cover[..., None]).astype(np.uint8)
    result = photo.copy()
    result[top:bottom, left:right] = mixed
    return result


def paste_all(
    photo: Pixels,
    faces: Sequence[tuple[Pixels, AlignedFace, npt.NDArray[np.floating] | None]],
    *,
    within: npt.NDArray[np.floating] | None = None,
) -> Pixels:
    """Lay squares over the places that their faces were cut from, the first on top.

    Args:
        photo: uint8 H x W x 3; it is not changed.
        faces: Square, crop and mask of each, as :func:`paste` takes them; the largest face first.
        within: As :func:`paste`.
    """
    for square, aligned, mask in reversed(faces):
        photo = paste(photo, square, aligned, mask=mask, within=within)
    return photo


Box = tuple[int, int, int, int]
Plane = npt.NDArray[np.float32]


def _check(face_image: Pixels, feather: float, mask: npt.NDArray[np.floating] | None) -> None:
    if face_image.shape[0] != face_image.shape[1]:
        raise UsageError(f"A face of {face_image.shape[:2]} pixels is not square.", "Give the square that was aligned.")
    if not 0 <= feather <= 0.5:
        raise UsageError(f"The feather {feather} is not in [0, 0.5].", "Give it as a part of the square's side.")
    if mask is not None and (mask.ndim != 2 or mask.shape[0] != mask.shape[1]):
        raise UsageError(f"A mask of shape {mask.shape} is not square.", "Give an M x M mask over the aligned face.")


def _extent(photo: Pixels, aligned: AlignedFace) -> Box | None:
    """Left, top, right, bottom of the photo's pixels that the square may touch; None where it misses the photo."""
    height, width = photo.shape[:2]
    left, top = np.clip(np.floor(aligned.quad.min(axis=0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(aligned.quad.max(axis=0)), 0, (width, height)).astype(int)
    return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None


def _seam(box: Box, aligned: AlignedFace, feather: float) -> Plane:
    """Cover of the square over the pixels of a box: 0 outside and on its edge, 1 from ``feather`` inwards."""
    left, top, right, bottom = box
    x = np.arange(left, right, dtype=np.float64)[None, :] + 0.5
    y = np.arange(top, bottom, dtype=np.float64)[:, None] + 0.5
    to_unit = np.linalg.inv(square_to_quad(aligned.quad, 1))
    across, down = (row[0] * x + row[1] * y + row[2] for row in to_unit[:2])
    inside = np.minimum(np.minimum(across, 1 - across), np.minimum(down, 1 - down))
    if feather == 0:
        return np.asarray(inside > 0, dtype=np.float32)
    ramp = np.clip(inside / feather, 0, 1)
    # Smoothstep: no crease in brightness where the seam begins and ends.
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


def _warped(square: Image.Image, box: Box, aligned: AlignedFace) -> Plane:
    """The square as it looks over the pixels of a box; a square finer than the photo is averaged down first."""
    left, top, right, bottom = box
    # A quarter more than the photo's own pixels: a turned square holds finer detail along its diagonals.
    side = max(1, round(1.25 * float(np.linalg.norm(aligned.quad[3] - aligned.quad[0]))))
    if square.width > side:
        square = square.resize((side, side), Image.Resampling.LANCZOS)
    square = doubled(square)
    to_square = np.linalg.inv(square_to_quad(aligned.quad, square.width)) @ _shift(left, top)
    # A margin that repeats the rim: interpolation next to the edge would else mix in the fill.
    framed = np.asarray(square)
    framed = np.pad(framed, ((2, 2), (2, 2), *((0, 0),) * (framed.ndim - 2)), mode="edge")
    warped = Image.fromarray(framed).transform(
        (right - left, bottom - top),
        Image.Transform.AFFINE,
        tuple((_shift(2, 2) @ to_square)[:2].ravel()),
        Image.Resampling.BICUBIC,
    )
    return np.asarray(warped, dtype=np.float32)


def _shift(x: float, y: float) -> Points:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
