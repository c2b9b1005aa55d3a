"""Cut a face out of a photo the way the FFHQ faces were cut, so that a face generator recognises it.

Source: Karras, Laine, Aila, "A Style-Based Generator Architecture for Generative Adversarial Networks" (2019), app. A.
The square is turned as the eyes and the mouth are, as wide as the larger of 4 eye distances and 3.6 eye-to-mouth
distances, and centred a little below the eyes. Where it leaves the photo, a blurred reflection continues the photo.

photo2cartoon, whose weights are used here too, cuts faces its own way: turned by the outer corners of the
eyes alone, the extent of the face's 68 points and .8 of its height above, .3 below and at the sides, white outside.

    aligned = align(photo, face.landmarks, 256)
    aligned.image       # uint8 256 x 256 x 3
    aligned.quad        # where its corners lie in the photo
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from portraitist.errors import BadImage, UsageError
from portraitist.faces.landmarks import Landmarks, Points, transform

Pixels = npt.NDArray[np.uint8]
Framing = Literal["ffhq", "photo2cartoon"]
"""How a face is cut out of a photo."""


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A square crop with an upright face, and where it came from.

    Attributes:
        image: uint8 S x S x 3.
        quad: The crop's corners in the photo, 4 x 2: top left, bottom left, bottom right, top right.
        matrix: 3 x 3, maps pixel coordinates of the crop to those of the photo (convention: ``landmarks``).
        landmarks: Of the face, in pixels of the crop; None where they are not known.
        closeup: The same square with more pixels, from which pictures take what the crop is too small for, or None.
    """

    image: Pixels
    quad: Points
    matrix: Points
    landmarks: Landmarks | None = None
    closeup: AlignedFace | None = None


def align(image: Pixels, landmarks: Landmarks, size: int, framing: Framing = "ffhq") -> AlignedFace:
    """Cut out the face as ``size`` x ``size`` pixels.

    Args:
        image: Photo, uint8 H x W x 3.
        landmarks: Of the face, in pixels of the photo.
        size: Side of the crop, at least 1.
        framing: The way of FFHQ, or photo2cartoon's, which needs all points of a finder.

    Raises:
        BadImage: The landmarks coincide, are not finite, lie so far outside that the crop misses the photo, or are too
            few for the framing.
    """
    check_photo(image)
    if size < 1:
        raise UsageError(f"A face cannot be cut out at {size} pixels.", "Give a size of at least 1.")
    quad = ffhq_quad(landmarks) if framing == "ffhq" else photo2cartoon_quad(landmarks)
    matrix = square_to_quad(quad, size)
    if not _meets(quad, image):
        raise BadImage(
            "The landmarks lie outside the picture.", "Check that they belong to this picture.", kind="landmarks"
        )
    samples = _SUPERSAMPLE if _step(matrix) > 1 else 1
    patch, to_patch = _shrunk(Image.fromarray(image), matrix, size, samples)
    if framing == "ffhq":  # else white stays beyond the photo
        patch, to_patch = _padded(patch, to_patch, size)
    if _step(matrix) < 2:
        patch, to_patch = doubled(patch), np.diag([2.0, 2.0, 1.0]) @ to_patch
    fill = (0, 0, 0) if framing == "ffhq" else (255, 255, 255)
    return AlignedFace(
        _warped(patch, to_patch, size, samples, fill), quad, matrix, landmarks.transformed(np.linalg.inv(matrix))
    )


def ffhq_quad(landmarks: Landmarks) -> Points:
    """Corners of the FFHQ crop in the photo, 4 x 2: top left, bottom left, bottom right, top right.

    Raises:
        BadImage: The landmarks span no square: they coincide or are not finite.
    """
    left_eye, right_eye, mouth_left, mouth_right = landmarks.four
    eyes, mouth = (left_eye + right_eye) / 2, (mouth_left + mouth_right) / 2
    across, down = right_eye - left_eye, mouth - eyes
    # Both vectors point the way of the crop's x axis once the eye-to-mouth vector is turned by a quarter.
    axis = across - _quarter_turn(down)
    length = float(np.linalg.norm(axis))
    half = max(2.0 * float(np.linalg.norm(across)), 1.8 * float(np.linalg.norm(down)))
    if not (np.isfinite(length) and length > 1e-6 * half and half > 0):
        raise BadImage(
            "The landmarks of the face span no area.", "Give points of distinct eyes and mouth.", kind="landmarks"
        )
    x = axis * (half / length)
    y = _quarter_turn(x)
    centre = eyes + 0.1 * down
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def photo2cartoon_quad(landmarks: Landmarks) -> Points:
    """Corners of photo2cartoon's crop in the photo, in the order of :func:`ffhq_quad`.

    Its program (``utils/face_detect.py``, ``utils/preprocess.py``) turns the photo until the outer corners of the eyes
    are level, takes the extent of the 68 points, adds to it, and makes it square about its centre.

    Raises:
        BadImage: The points are too few, coincide or are not finite.
    """
    full = landmarks.full
    rows = None if full is None else _OUTLINES.get(len(full))
    if full is None or rows is None:
        raise BadImage(
            "photo2cartoon's framing needs the outline of the face, and these points have none.",
            "Give 68 or 478 points, or let the finder find them.",
            kind="landmarks",
        )
    (left, right), outline = (full[list(r)] for r in rows)
    length = float(np.linalg.norm(right - left))
    if not (np.isfinite(full).all() and length > 0):
        raise BadImage("The landmarks of the face span no area.", "Give points of distinct eyes.", kind="landmarks")
    x = (right - left) / length
    axes = np.stack([x, _quarter_turn(x)])  # unit vectors of the crop
    level = outline @ axes.T
    (first, top), (last, bottom) = level.min(axis=0), level.max(axis=0)
    wide, high = last - first, bottom - top
    half = max(1.6 * wide, 2.1 * high) / 2
    centre = np.array([(first + last) / 2, (top - 0.8 * high + bottom + 0.3 * high) / 2])
    corners = centre + half * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    return np.asarray(corners @ axes)


# Number of points -> the rows of the outer corners of the eyes, and of the jaw, the chin and the brows.
_MESH_OUTLINE = (
    (33, 263),
    (
        *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
        *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    ),
)
_OUTLINES: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {
    68: ((36, 45), tuple(range(68))),
    468: _MESH_OUTLINE,
    478: _MESH_OUTLINE,
}


def square_to_quad(quad: Points, size: int) -> Points:
    """The 3 x 3 matrix that maps a square of ``size`` pixels to a quad that is a turned square."""
    top_left, bottom_left, _, top_right = quad
    matrix = np.eye(3)
    matrix[:2, 0] = (top_right - top_left) / size
    matrix[:2, 1] = (bottom_left - top_left) / size
    matrix[:2, 2] = top_left
    return matrix


def resample_square(image: Image.Image, matrix: Points, size: int) -> Pixels:
    """Cut a turned square out of a picture, antialiased; what lies outside the picture is black.

    Args:
        image: An RGB picture.
        matrix: Maps pixel coordinates of the square to those of the picture; a similarity.
        size: Side of the square in pixels.
    """
    patch, to_patch = _shrunk(image, matrix, size, samples=1)
    return _warped(patch, to_patch, size, samples=1)


def doubled(image: Image.Image) -> Image.Image:
    """Twice the size, smoothly.

    Pillow warps with a cubic that exaggerates detail as fine as the pixels; a doubled picture has none so fine.
    """
    return image.resize((2 * image.width, 2 * image.height), Image.Resampling.LANCZOS)


def share_outside(quad: Points, image: Pixels) -> float:
    """Return the share of a quad, 4 x 2, that lies outside of a picture ``uint8 [H, W, 3]``, to a sixteenth of a side.

    Nothing of it is in the picture: it is a crop's reflection and blur.
    """
    steps = np.stack(np.meshgrid(*[(np.arange(_STEPS) + 0.5) / _STEPS] * 2), axis=-1).reshape(-1, 2)
    places = np.asarray(transform(square_to_quad(quad, 1), steps))
    inside = (places >= 0).all(axis=1) & (places < (image.shape[1], image.shape[0])).all(axis=1)
    return 1 - float(inside.mean())


_STEPS = 16


def check_photo(image: Pixels) -> None:
    """Refuse anything but uint8 H x W x 3 with at least one pixel.

    Raises:
        UsageError: It is something else.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UsageError(
            f"A picture of {image.dtype} {image.shape} came where uint8 H x W x 3 is due.", "Decode it to RGB first."
        )


# How many samples are taken per output pixel and axis where the photo is finer than the crop.
_SUPERSAMPLE = 4
# Pixels kept around a crop, so that interpolation and the shrinking filter see what lies beyond it.
_BORDER = 4


def _quarter_turn(vector: Points) -> Points:
    """Turn a vector by 90 degrees clockwise as seen (y points down)."""
    return np.array([-vector[1], vector[0]])


def _meets(quad: Points, image: Pixels) -> bool:
    height, width = image.shape[:2]
    return bool((quad.max(axis=0) > 0).all() and (quad.min(axis=0) < (width, height)).all())


def _step(matrix: Points) -> float:
    """Pixels of the picture per pixel of the square."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def _corners(matrix: Points, size: int) -> Points:
    return transform(matrix, [(0, 0), (0, size), (size, size), (size, 0)])


def _shrunk(image: Image.Image, matrix: Points, size: int, samples: int) -> tuple[Image.Image, Points]:
    """The part of the picture under the square, shrunk until one sample of the square steps at most one pixel.

    Returns the patch and the matrix from the square to the patch.
    """
    shrink = max(1.0, _step(matrix) / samples)
    corners, border = _corners(matrix, size), _BORDER * shrink
    limit = np.array(image.size)
    low = np.clip(np.floor(corners.min(axis=0) - border), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0) + border), low + 1, limit).astype(int)
    box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    width, height = (max(1, round(float(extent) / shrink)) for extent in high - low)
    if shrink == 1:
        patch = image.crop(box)
    else:
        patch = image.resize((width, height), Image.Resampling.LANCZOS, box, reducing_gap=3.0)
    scale = np.array([width, height]) / (high - low)
    to_patch = np.diag([*scale, 1.0]) @ np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]]) @ matrix
    return patch, to_patch


def _warped(
    patch: Image.Image, matrix: Points, size: int, samples: int, fill: tuple[int, int, int] = (0, 0, 0)
) -> Pixels:
    """Sample the square, ``samples`` times per pixel and axis, and average; beyond the patch is ``fill``."""
    fine = matrix @ np.diag([1 / samples, 1 / samples, 1.0])
    square = patch.transform(
        (size * samples, size * samples),
        Image.Transform.AFFINE,
        tuple(fine[:2].ravel()),
        Image.Resampling.BICUBIC,
        fillcolor=fill,
    )
    return np.asarray(square.reduce(samples))


def _padded(patch: Image.Image, matrix: Points, size: int) -> tuple[Image.Image, Points]:
    """Continue the patch by reflection wherever the square leaves it, and hide the mirror line.

    From a tenth of the square inside the photo's edge inwards nothing changes. Towards the edge the picture passes
    into a blur (a fiftieth of the square wide), and beyond it into its median colour.
    """
    corners, side = _corners(matrix, size), size * _step(matrix)
    over = np.stack([-corners.min(axis=0), corners.max(axis=0) - np.array(patch.size)])
    # Rows: before, after; columns: x, y. A side that the square does not leave is not padded.
    pad = np.where(over > 0, np.maximum(np.ceil(over) + _BORDER, round(0.3 * side)), 0).astype(int)
    if not pad.any():
        return patch, matrix
    image = np.pad(np.asarray(patch), (*map(tuple, pad.T[::-1].tolist()), (0, 0)), mode="reflect")
    depth = _depth_beyond_edge(image.shape[0], *pad[:, 1])[:, None]
    depth = np.maximum(depth, _depth_beyond_edge(image.shape[1], *pad[:, 0])[None, :])[..., None]
    blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.02 * side)), dtype=np.float32)
    mixed = image + (blurred - image) * np.clip(3 * depth + 1, 0, 1)
    mixed += (np.median(image, axis=(0, 1)) - mixed) * np.clip(depth, 0, 1)
    shifted = np.array([[1, 0, pad[0, 0]], [0, 1, pad[0, 1]], [0, 0, 1]]) @ matrix
    return Image.fromarray(np.rint(mixed).clip(0, 255).astype(np.uint8)), shifted


def _depth_beyond_edge(length: int, before: int, after: int) -> npt.NDArray[np.float32]:
    """How far beyond the photo's edge each row of a padded axis lies: 0 at the edge, 1 at the padding's end."""
    position = np.arange(length, dtype=np.float32)
    depth = np.full(length, -np.inf, dtype=np.float32)
    if before:
        depth = np.maximum(depth, 1 - position / before)
    if after:
        depth = np.maximum(depth, 1 - (length - 1 - position) / after)
    return depth
