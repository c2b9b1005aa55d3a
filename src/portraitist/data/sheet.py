"""Sheets: many images in one picture, to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from .images import Pixels, resize, to_array


def grid(images: torch.Tensor, columns: int | None = None, gap: int = 2) -> Pixels:
    """Arrange images [N, 3, H, W] in [-1, 1] in rows on white.

    Args:
        images: The images, row by row.
        columns: Images in a row; as many as make the sheet about square when None.
        gap: Pixels between neighbours.
    """
    return tile(list(to_array(images)), columns, gap)


def tile(pictures: Sequence[Pixels], columns: int | None = None, gap: int = 2) -> Pixels:
    """Arrange pictures ``uint8 [H, W, 3]`` of one size in rows on white."""
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape[:2]
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = picture
    return sheet


def ungrid(sheet: Pixels, side: int, gap: int = 2) -> list[Pixels]:
    """Return the square pictures of a sheet that :func:`tile` made, row by row; an empty place is a white one."""
    height, width = sheet.shape[:2]
    places = [(y, x) for y in range(0, height, side + gap) for x in range(0, width, side + gap)]
    return [sheet[y : y + side, x : x + side] for y, x in places]


def beside(pictures: Sequence[npt.NDArray[np.uint8]], height: int, gap: int = 8) -> Pixels:
    """Put pictures of any size side by side at one height, on white."""
    scaled = [resize(p, (height, max(round(p.shape[1] * height / p.shape[0]), 1))) for p in pictures]
    strips = [s for p in scaled for s in (p, np.full((height, gap, 3), 255, np.uint8))][:-1]
    return np.concatenate(strips, axis=1)
