"""Affine warping of images with bilinear interpolation, differentiable twice in images and matrices.

Convention everywhere: pixel centres lie at integer coordinates, ``(0, 0)`` is the centre of the top left pixel,
a point is ``(x, y)`` with x to the right and y downwards, and a matrix maps a pixel of the *output* to a point
of the *input*.

    half = affine_warp(images, torch.tensor([[[2.0, 0.0, 0.5], [0.0, 2.0, 0.5]]]), size=(32, 32))
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = Literal["zeros", "reflect"]


def affine_warp(
    images: Tensor, matrices: Tensor, size: tuple[int, int] | None = None, *, padding: Padding = "zeros"
) -> Tensor:
    """Look up each output pixel at the point of the input that its matrix names.

    Args:
        images: Images [N, C, H, W].
        matrices: One map from output to input pixel coordinates per image, or one for all: [N or 1, 2 or 3, 3].
        size: Height and width of the result; that of the images by default.
        padding: What lies outside: black (``zeros``), or the image mirrored about the centres of its border
            pixels, as often as it takes (``reflect``).

    Returns:
        Images [N, C, *size].
    """
    points = warp_points(matrices, size or (images.shape[2], images.shape[3]))
    if padding == "reflect":
        points = reflect_points(points, images.shape[2], images.shape[3])
    return sample_bilinear(images, points.expand(images.shape[0], -1, -1, -1))


def warp_points(matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the planes x and y of the input point of every output pixel: [N, 2, *size]."""
    height, width = size
    xs = torch.arange(width, dtype=matrices.dtype, device=matrices.device)
    ys = torch.arange(height, dtype=matrices.dtype, device=matrices.device)[:, None]
    x_axis, y_axis, origin = (matrices[:, :2, i, None, None] for i in range(3))
    return (y_axis * ys + origin) + x_axis * xs


def reflect_points(points: Tensor, height: int, width: int, *, keep: float = 0.0) -> Tensor:
    """Fold points into an image by mirroring about the centres of its border pixels, as often as it takes.

    Args:
        points: Planes x and y [N, 2, H', W'] in pixels.
        height: Height of the image.
        width: Width of the image.
        keep: Points up to this many pixels beyond the border are left where they are.
    """
    return torch.stack((_fold(points[:, 0], width - 1, keep), _fold(points[:, 1], height - 1, keep)), dim=1)


def sample_bilinear(images: Tensor, points: Tensor) -> Tensor:
    """Interpolate images [N, C, H, W] at points, planes x and y [N, 2, H', W'] in pixels; outside is black."""
    sides = torch.tensor((images.shape[3], images.shape[2]), dtype=points.dtype, device=points.device)
    grid = (points + 0.5) * (2 / sides)[:, None, None] - 1
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), "bilinear", "zeros", align_corners=False)


def reflect_pad(images: Tensor, margin: int) -> Tensor:
    """Mirror images [N, C, H, W] beyond their borders by any margin, also one wider than the image."""
    height, width = images.shape[2:]
    rows, columns = (reflected_indices(side, margin).to(images.device) for side in (height, width))
    return images.index_select(2, rows).index_select(3, columns)


def reflected_indices(side: int, margin: int) -> Tensor:
    """Return which pixel each pixel of a mirrored axis shows: [side + 2 * margin]."""
    return _fold(torch.arange(-margin, side + margin, dtype=torch.float64), side - 1).long()


def affine_warp_reference(
    images: Tensor, matrices: Tensor, size: tuple[int, int] | None = None, *, padding: Padding = "zeros"
) -> Tensor:
    """Compute :func:`affine_warp` literally: gather the four neighbours of each point and blend them."""
    n, c, height, width = images.shape
    out = size or (height, width)
    pixels = torch.stack(
        [torch.tensor((x, y, 1), dtype=matrices.dtype) for y in range(out[0]) for x in range(out[1])], dim=1
    )
    x, y = (matrices.expand(n, -1, -1)[:, :2] @ pixels).unbind(1)  # [N, H' * W'] each
    left, top = x.floor(), y.floor()
    flat = images.reshape(n, c, height * width)
    result = images.new_zeros(n, c, out[0] * out[1])
    for column, across in ((left, 1 - (x - left)), (left + 1, x - left)):
        for row, down in ((top, 1 - (y - top)), (top + 1, y - top)):
            i, j = (row, column) if padding == "zeros" else (_fold(row, height - 1), _fold(column, width - 1))
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            index = (i.clamp(0, height - 1) * width + j.clamp(0, width - 1)).long()
            result = result + flat.gather(2, index[:, None].expand(n, c, -1)) * (inside * across * down)[:, None]
    return result.reshape(n, c, *out)


def _fold(values: Tensor, last: int, keep: float = 0.0) -> Tensor:
    """Mirror values at 0 and at ``last`` until they lie between; values that do are returned exactly."""
    if last == 0:
        return torch.zeros_like(values)
    folded = (values - 2 * last * (values / (2 * last)).round()).abs()
    return folded if keep == 0 else torch.where((values - last / 2).abs() <= last / 2 + keep, values, folded)
