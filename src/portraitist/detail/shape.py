"""Move the parts of a face: a smooth map of the square that takes landmarks where they should lie.

The map is a thin-plate spline (Bookstein 1989) with a small slack, held at the border of the square. Points are (x, y)
in parts of the square's side, from 0 to 1.

    moved = warp(picture, displacement(points, points + shift, side=256))
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from .filters import positions, sample

_CELLS = 64
"""The spline is evaluated at the corners of so many cells a side, and interpolated between."""
SLACK = 1e-3
"""Of a look's spline: single points count little."""
_LEAST_STRETCH = 0.35
"""A map that shrinks an area to less in one direction is weakened until it does not: it would fold soon after."""
_FADE = 0.25
"""How far from the border, in parts of the side, a turn is whole."""


def displacement(source: Tensor, target: Tensor, side: int, slack: float = SLACK) -> Tensor:
    """Return where each pixel of the moved picture comes from, relative to itself.

    Args:
        source: Points of the picture [N, 2].
        target: Where they shall lie [N, 2].
        side: Of the picture.
        slack: How far the spline may miss its points for being smoother.

    Returns:
        Displacements (x, y) in pixels, [1, 2, side, side]. Where the points would fold the picture, all are weakened.
    """
    edge = torch.linspace(0, 1, 9, dtype=torch.float64)
    frame = torch.cartesian_prod(edge, edge)
    frame = frame[((frame == 0) | (frame == 1)).any(dim=1)]
    source, target = (torch.cat([points.double(), frame]) for points in (source, target))
    corners = torch.linspace(0, 1, _CELLS + 1, dtype=torch.float64)
    rows, columns = torch.meshgrid(corners, corners, indexing="ij")
    moved = _spline(target, source - target, torch.stack([columns, rows], dim=-1).view(-1, 2), slack)
    grid = moved.view(_CELLS + 1, _CELLS + 1, 2)
    grid = grid * _unfolded(grid)
    planes = F.interpolate(grid.permute(2, 0, 1)[None].float(), size=side + 1, mode="bicubic", align_corners=True)
    # From the corners of pixels to their centres.
    return F.avg_pool2d(planes, 2, stride=1) * side


def carried(moved: Tensor, back: Tensor) -> Tensor:
    """Return the displacements of a picture whose parts are moved, and whose middle is then turned and shifted.

    Towards the border the turn fades out, over a quarter of the side; where it would fold the picture, it is weakened.

    Args:
        moved: Displacements of the parts, as :func:`displacement` gives them, [1, 2, S, S].
        back: Takes places of the turned picture to those before the turn, [2, 3], in parts of the side.
    """
    side = moved.shape[-1]
    corners = torch.linspace(0, 1, _CELLS + 1, dtype=torch.float64)
    rows, columns = torch.meshgrid(corners, corners, indexing="ij")
    places = torch.stack([columns, rows], dim=-1)
    turn = places @ back[:, :2].double().T + back[:, 2].double() - places
    near = (torch.minimum(places, 1 - places) / _FADE).clamp(0, 1)
    turn = turn * (near * near * (3 - 2 * near)).prod(dim=-1, keepdim=True)
    turn = turn * _unfolded(turn)
    planes = F.interpolate(turn.permute(2, 0, 1)[None].float(), size=side + 1, mode="bicubic", align_corners=True)
    turned = F.avg_pool2d(planes, 2, stride=1) * side
    return turned + sample(moved, positions(moved) + turned)


def warp(x: Tensor, moved: Tensor) -> Tensor:
    """Look each pixel of a picture [N, C, S, S] up where :func:`displacement` says; mirrored at the border."""
    return sample(x, positions(x) + moved, "bicubic")


def _spline(points: Tensor, values: Tensor, where: Tensor, slack: float) -> Tensor:
    """Fit a thin-plate spline to values [N, 2] at points [N, 2], and evaluate it at places [M, 2]."""
    count = len(points)
    flat = torch.cat([torch.ones(count, 1, dtype=points.dtype), points], dim=1)
    system = points.new_zeros(count + 3, count + 3)
    system[:count, :count] = _bending(points, points) + slack * torch.eye(count, dtype=points.dtype)
    system[:count, count:], system[count:, :count] = flat, flat.T
    # [[K + s I, P], [P^T, 0]] [a; b] = [v; 0], with K_ij = U(|p_i - p_j|) and rows (1, x, y) of P (Bookstein 1989)
    weights = torch.linalg.solve(system, torch.cat([values, values.new_zeros(3, 2)]))  # [N + 3, 2]
    flat = torch.cat([torch.ones(len(where), 1, dtype=where.dtype), where], dim=1)
    # f(q) = sum_i a_i U(|q - p_i|) + b_0 + b_1 x + b_2 y, [M, 2]
    found: Tensor = _bending(where, points) @ weights[:count] + flat @ weights[count:]
    return found


def _bending(a: Tensor, b: Tensor) -> Tensor:
    """The radial function r^2 log r of the distances between two sets of points."""
    squares = torch.addmm((a * a).sum(dim=1, keepdim=True) + (b * b).sum(dim=1), a, b.T, alpha=-2).clamp_min_(0)
    return torch.xlogy(squares, squares).div_(2)


def _unfolded(grid: Tensor) -> float:
    """Return the part in [0, 1] of a grid of displacements that keeps ``_LEAST_STRETCH`` everywhere, in any direction.

    Directions shrink by no more than the least eigenvalue of the symmetric part of the Jacobian says; where it is
    positive all over a convex area, no two places meet.
    """
    across, down = (torch.diff(grid, dim=axis) * _CELLS for axis in (1, 0))
    steepest = 1e-9
    for a, d in itertools.product((across[:-1], across[1:]), (down[:, :-1], down[:, 1:])):
        mean = (a[..., 0] + d[..., 1]) / 2
        apart = torch.hypot((a[..., 0] - d[..., 1]) / 2, (a[..., 1] + d[..., 0]) / 2)
        steepest = max(steepest, float((apart - mean).max()))
    return min(1.0, (1 - _LEAST_STRETCH) / steepest)
