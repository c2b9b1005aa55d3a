"""Colour transforms of a batch, merged into one matrix per image (Karras et al. 2020, arXiv:2006.06676, B.1).

Brightness, contrast, luma flip, hue and saturation all act either along the grey axis or on the plane across
it, so their product has a closed form: the grey part is scaled, the rest is turned and scaled.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .draws import Draws


def recolour(images: Tensor, draws: Draws) -> Tensor:
    """Apply the colour transforms; images that drew none are returned bit for bit.

    Args:
        images: RGB or grey images [N, 3 or 1, H, W] in [-1, 1]; the result is not clamped.
        draws: What each image drew.

    Raises:
        ValueError: The images have neither 3 nor 1 channels.
    """
    if images.shape[1] not in (1, 3):
        raise ValueError(f"colour transforms need 1 or 3 channels, not {images.shape[1]}")
    matrices = colour_matrices(draws)
    rows = (matrices != torch.eye(4, dtype=matrices.dtype, device=matrices.device)).flatten(1).any(1)
    if not rows.any():
        return images
    if rows.all():
        return _mixed(images, matrices.to(images))
    index = rows.nonzero().squeeze(1)
    chosen, index = matrices[index].to(images), index.to(images.device)
    return images.index_copy(0, index, _mixed(images[index], chosen))


def colour_matrices(draws: Draws) -> Tensor:
    """Merge all colour transforms of an image into one map of homogeneous RGB: [N, 4, 4], float64."""
    unit = torch.eye(3, dtype=torch.float64, device=draws.hue.device)
    grey = torch.full_like(unit, 1 / 3)
    # Cross product with the unit vector of the grey axis.
    turn = (unit.roll(1, 0) - unit.roll(-1, 0)) / 3**0.5
    on_grey = draws.contrast * (1 - 2.0 * draws.luma_flip)
    across, along = draws.contrast * draws.saturation, on_grey * draws.brightness
    # The unit matrix is kept apart, so that what was not drawn leaves it exact.
    linear = (
        across[:, None, None] * (draws.hue.cos()[:, None, None] * unit + draws.hue.sin()[:, None, None] * turn)
        + (on_grey - across * draws.hue.cos())[:, None, None] * grey
    )
    matrices = torch.eye(4, dtype=torch.float64, device=unit.device).repeat(len(along), 1, 1)
    matrices[:, :3, :3] = linear
    matrices[:, :3, 3] = along[:, None]
    return matrices


def _mixed(images: Tensor, matrices: Tensor) -> Tensor:
    linear, offset = matrices[:, :3, :3], matrices[:, :3, 3:]
    if images.shape[1] == 1:
        # A grey pixel stays on the grey axis, whose factor is the sum of any row.
        linear, offset = linear[:, :1].sum(2, keepdim=True), offset[:, :1]
    return torch.baddbmm(offset, linear, images.flatten(2)).reshape(images.shape)
