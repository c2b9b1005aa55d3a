"""Band filtering, noise and cutout (Karras et al. 2020, arXiv:2006.06676): the rest of the full set."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..warp import reflect_pad
from .draws import BANDS, Draws

SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
"""Low-pass of the orthogonal wavelet with two vanishing moments (Daubechies)."""


def corrupt(images: Tensor, draws: Draws) -> Tensor:
    """Filter frequency bands, add noise, erase boxes; images that drew none are returned bit for bit.

    Args:
        images: Images [N, C, H, W].
        draws: What each image drew.
    """
    for rows, method in (
        ((draws.band_gains != 1).any(1), _amplify),
        (draws.noise > 0, _add_noise),
        (draws.cutout_side > 0, _erase),
    ):
        if rows.any():
            index = rows.nonzero().squeeze(1)
            at = index.to(images.device)
            images = images.index_copy(0, at, method(images[at], draws[index]))
    return images


def band_filters() -> Tensor:
    """Return zero-phase filters of the four octaves, low to high, that sum to an impulse: [4, 43], float64."""
    low = torch.tensor(SYM2, dtype=torch.float64)
    half_low = _convolved(low, low.flip(0)) / 2
    half_high = half_low * torch.tensor([(-1.0) ** (i - 3) for i in range(7)], dtype=torch.float64)
    bands, passed = [], torch.ones(1, dtype=torch.float64)
    for octave in range(BANDS - 1):
        bands.append(_convolved(passed, _dilated(half_high, 2**octave)))
        passed = _convolved(passed, _dilated(half_low, 2**octave))
    bands.append(passed)
    return torch.stack([F.pad(band, [(len(passed) - len(band)) // 2] * 2) for band in reversed(bands)])


def _amplify(images: Tensor, draws: Draws) -> Tensor:
    n, c, height, width = images.shape
    filters = (draws.band_gains @ band_filters().to(draws.band_gains)).to(images)
    filters = filters[:, None, None, :].expand(n, c, 1, -1).reshape(n * c, 1, 1, -1)
    margin = filters.shape[-1] // 2
    wide = reflect_pad(images, margin).reshape(1, n * c, height + 2 * margin, width + 2 * margin)
    wide = F.conv2d(wide, filters, groups=n * c)
    return F.conv2d(wide, filters.transpose(2, 3), groups=n * c).reshape(images.shape)


def _add_noise(images: Tensor, draws: Draws) -> Tensor:
    fields = []
    for seed in draws.noise_seed.tolist():
        generator = torch.Generator().manual_seed(seed)
        fields.append(torch.randn(images.shape[1:], generator=generator))
    return images + draws.noise.to(images)[:, None, None, None] * torch.stack(fields).to(images)


def _erase(images: Tensor, draws: Draws) -> Tensor:
    inside = []
    for axis, size in ((1, images.shape[2]), (0, images.shape[3])):
        middle, half = draws.cutout_centre[:, axis : axis + 1], draws.cutout_side[:, None] / 2
        at = torch.arange(size, device=middle.device)
        inside.append((at >= ((middle - half) * size).round()) & (at < ((middle + half) * size).round()))
    box = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(box.to(images.device), 0.0)


def _convolved(a: Tensor, b: Tensor) -> Tensor:
    return F.conv1d(a[None, None], b.flip(0)[None, None], padding=len(b) - 1)[0, 0]


def _dilated(filter_: Tensor, step: int) -> Tensor:
    spread = filter_.new_zeros((len(filter_) - 1) * step + 1)
    spread[::step] = filter_
    return spread
