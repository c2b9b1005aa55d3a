"""Blits and affine transforms of a batch, one lookup per image (Karras et al. 2020, arXiv:2006.06676, B).

A blit moves whole pixels and is exact. Everything else is resampled at twice the resolution, between the
synthesis and the analysis low-pass of the wavelet sym6, with the image mirrored beyond its borders.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..warp import reflect_points, reflected_indices, sample_bilinear, warp_points
from .draws import Draws

SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
"""Low-pass of the least asymmetric orthogonal wavelet with six vanishing moments (Daubechies)."""

DELAY = sum(i * tap for i, tap in enumerate(SYM6)) / sum(SYM6)
"""Where a pixel lands in its filter's response: its centre of gravity."""

REACH = 3
"""Pixels beyond each border that a filter reaches."""


def transform(images: Tensor, draws: Draws) -> Tensor:
    """Apply the blits and geometric transforms; images that drew none are returned bit for bit.

    Args:
        images: Images [N, C, H, W].
        draws: What each image drew.
    """
    matrices = affine_matrices(draws, images.shape[2], images.shape[3])
    moved = (matrices != torch.eye(2, 3, dtype=matrices.dtype, device=matrices.device)).flatten(1).any(1)
    whole = (matrices == matrices.round()).flatten(1).all(1)
    for rows, method in ((moved & whole, _blit), (moved & ~whole, resample)):
        if rows.all():
            images = method(images, matrices.to(images))
        elif rows.any():
            index = rows.nonzero().squeeze(1)
            chosen, index = matrices[index].to(images), index.to(images.device)
            images = images.index_copy(0, index, method(images[index], chosen))
    return images


def affine_matrices(draws: Draws, height: int, width: int) -> Tensor:
    """Merge all transforms of an image into one map from output to input pixels: [N, 2, 3], float64."""
    sides = torch.tensor((width, height), dtype=torch.float64, device=draws.scale.device)
    centre = (sides - 1) / 2
    blit = _diagonal(1 - 2.0 * draws.mirror, torch.ones_like(draws.scale)) @ _quarter_turn(draws.turns)
    resize = _diagonal(1 / draws.scale, 1 / draws.scale)
    stretch = _diagonal(1 / draws.stretch, draws.stretch)
    linear = blit @ resize @ _rotation(draws.turn_before) @ stretch @ _rotation(draws.turn_after)
    shift, slide = (draws.shift * sides).round(), draws.slide * sides
    origin = centre - _mapped(blit, shift) - _mapped(linear, slide + centre)
    return torch.cat((linear, origin[:, :, None]), dim=2)


def resample(images: Tensor, matrices: Tensor) -> Tensor:
    """Warp images with little aliasing and blur; the identity and linear ramps are reproduced exactly.

    The images are padded only as far as the filters reach and coordinates further out are folded back, so that
    no border shows, however far a transform looks, and no time is lost on padding.

    Args:
        images: Images [N, C, H, W].
        matrices: Maps from output to input pixels [N, 2, 3].
    """
    height, width = images.shape[2:]
    # Dense matrices hold the filters: at these sizes their products are several times faster than convolutions.
    rise, widen = (_synthesis(side).to(images) for side in (height, width))
    fine = rise @ images @ widen.t()
    # Element i of what the analysis reads lies at pixel (i - DELAY) / 2 of the output.
    reading = torch.tensor(
        ((0.5, 0, -DELAY / 2), (0, 0.5, -DELAY / 2), (0, 0, 1)), dtype=matrices.dtype, device=matrices.device
    )
    fall, narrow = (_analysis(side).to(images) for side in (height, width))
    points = warp_points(matrices @ reading, (fall.shape[1], narrow.shape[1]))
    points = reflect_points(points, height, width, keep=REACH)
    # Pixel x of the input lies at element 2 x + DELAY of the synthesis, which starts 2 * REACH pixels earlier and
    # leaves out its first elements.
    elements = 2 * points + (DELAY + 4 * REACH - (len(SYM6) - 1))
    return fall @ sample_bilinear(fine, elements) @ narrow.t()


def _synthesis(side: int) -> Tensor:
    """Return the map from an axis to two elements per pixel, mirrored at both ends: [2 * side + 12, side], float64.

    Only elements are kept whose inputs all exist: filter size - 1 are left out at each end.
    """
    cut = len(SYM6) - 1
    rows = _analysis(side + 4 * REACH)[:, cut:-cut]
    return rows.new_zeros(side, rows.shape[1]).index_add(0, reflected_indices(side, 2 * REACH), rows).t()


def _analysis(side: int) -> Tensor:
    """Return the map from two elements per pixel to an axis: [side, 2 * side + 10], float64; row m starts at 2 m."""
    k = len(SYM6)
    offsets = torch.arange(2 * side + k - 2) - 2 * torch.arange(side)[:, None]
    return torch.tensor((0.0, *SYM6, 0.0), dtype=torch.float64)[offsets.clamp(-1, k) + 1]


def _blit(images: Tensor, matrices: Tensor) -> Tensor:
    """Copy whole pixels; the matrices hold whole numbers."""
    n, c, height, width = images.shape
    points = reflect_points(warp_points(matrices, (height, width)), height, width)
    index = (points[:, 1] * width + points[:, 0]).long().reshape(n, 1, -1)
    return images.reshape(n, c, -1).gather(2, index.expand(n, c, -1)).reshape(images.shape)


def _diagonal(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack((x, y), dim=-1))


def _rotation(angle: Tensor) -> Tensor:
    """Return the map from output to input of a counterclockwise turn, y pointing down: [N, 2, 2]."""
    return _turning(angle.cos(), angle.sin())


def _quarter_turn(turns: Tensor) -> Tensor:
    # From a table, as the sine of pi is not exactly 0.
    cosine = torch.tensor((1.0, 0.0, -1.0, 0.0), dtype=torch.float64, device=turns.device)
    return _turning(cosine[turns], cosine[(turns + 3) % 4])


def _turning(cosine: Tensor, sine: Tensor) -> Tensor:
    return torch.stack((cosine, -sine, sine, cosine), dim=-1).reshape(-1, 2, 2)


def _mapped(linear: Tensor, vector: Tensor) -> Tensor:
    return (linear @ vector[:, :, None])[:, :, 0]
