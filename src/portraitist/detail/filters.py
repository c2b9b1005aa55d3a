"""Simplify a picture as painters do, and what a medium leaves on it.

Pictures are [N, C, H, W] in grey levels (0 to 255); ``N`` is 1 where a filter follows the lines of one picture. Lengths
are in pixels of the picture.

Sources: bilateral filter (Tomasi and Manduchi 1998), repeated for abstraction (Winnemöller, Olsen and Gooch 2006);
difference of Gaussians with a weight (XDoG: Winnemöller, Kyprianidis and Olsen 2012, Eq. 7); structure tensor (Brox et
al. 2006; Kyprianidis and Döllner 2008); line integral convolution (Cabral and Leedom 1993).
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.colour import luminance


def blur(x: Tensor, sigma: float) -> Tensor:
    """Blur by a Gaussian of this deviation; the picture is mirrored at its border."""
    if sigma <= 0:
        return x
    down, across = (_blurring(side, sigma).to(x) for side in x.shape[-2:])
    return down @ x @ across.T


@functools.lru_cache(maxsize=64)
def _blurring(side: int, sigma: float) -> Tensor:
    """Return the matrix that blurs lines of so many pixels: products of matrices are faster than wide convolutions."""
    reach = min(math.ceil(3 * sigma), side - 1)
    steps = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-(steps.double() ** 2) / (2 * sigma**2))
    seen = (torch.arange(side)[:, None] + steps).abs()
    seen = torch.where(seen >= side, 2 * (side - 1) - seen, seen)
    return torch.zeros(side, side).scatter_add_(1, seen, (kernel / kernel.sum()).float().expand(side, -1))


def smooth(
    x: Tensor, times: int = 1, *, colour: float = 38.0, space: float = 3.0, reach: int = 3, stride: int = 1
) -> Tensor:
    """Flatten areas and keep edges: a bilateral filter on a disc, ``times`` over.

    Args:
        x: Picture.
        times: How often.
        colour: Difference of colours, summed over the channels, at which a neighbour counts exp(-1/2) as much.
        space: The same of distances, in strides.
        reach: Radius of the disc, in strides.
        stride: Pixels from one neighbour to the next.
    """
    height, width = x.shape[-2:]
    reaches = range(-reach, reach + 1)
    # A pair of pixels has one weight, whichever of the two is the neighbour: half of the disc says it all.
    half = [(dy, dx) for dy in reaches for dx in reaches if dy * dy + dx * dx <= reach * reach and (dy, dx) > (0, 0)]
    margin = reach * stride
    for _ in range(times):
        padded = F.pad(x, (margin,) * 4, mode="reflect")
        total, weights = x.clone(), torch.ones_like(x[:, :1])
        for dy, dx in half:
            down, across = dy * stride, dx * stride
            # The first of each pair lies in the picture or just outside, where its partner is in the picture.
            top, left = margin - down, margin - max(across, 0)
            rows, columns = height + down, width + abs(across)
            first = padded[:, :, top : top + rows, left : left + columns]
            second = padded[:, :, margin : margin + rows, left + across : left + across + columns]
            apart = (second - first).abs_()
            one = apart[:, 0:1]
            for channel in range(1, x.shape[1]):
                one = one + apart[:, channel : channel + 1]
            weight = one.square().div_(-2 * colour**2).sub_((dy * dy + dx * dx) / (2 * space**2)).exp_()
            begin = max(across, 0)
            ahead = weight[:, :, down:, begin : begin + width]
            behind = weight[:, :, :height, begin - across : begin - across + width]
            near = padded[:, :, margin + down : margin + down + height, margin + across : margin + across + width]
            total.addcmul_(near, ahead)
            near = padded[:, :, margin - down : margin - down + height, margin - across : margin - across + width]
            total.addcmul_(near, behind)
            weights += ahead
            weights += behind
        x = total / weights
    return x


def sharpen_edges(x: Tensor, strength: float, sigma: float = 1.2) -> Tensor:
    """Draw edges stronger on both sides: (1 + p) G_sigma - p G_1.6sigma (XDoG, Eq. 7)."""
    if strength <= 0:
        return x
    return (1 + strength) * blur(x, sigma) - strength * blur(x, 1.6 * sigma)


def tangents(x: Tensor, sigma: float = 4.0) -> Tensor:
    """Return the direction of least change at each pixel of a colour picture: unit vectors (x, y), [1, 2, H, W]."""
    grey = blur(luminance(x), sigma / 4)
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    gx = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / 2
    gy = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) / 2
    xx, xy, yy = blur(torch.cat([gx * gx, gx * gy, gy * gy], dim=1), sigma).unbind(dim=1)
    # The major axis of the structure tensor [[xx, xy], [xy, yy]], and a quarter turn from it.
    angle = torch.atan2(2 * xy, xx - yy) / 2 + math.pi / 2
    return torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)


def along(x: Tensor, directions: Tensor, steps: int, step: float = 1.0) -> Tensor:
    """Average a picture along the lines that its directions draw: line integral convolution.

    Args:
        x: Picture [1, C, H, W].
        directions: Unit vectors [1, 2, H, W]; a vector and its opposite mean the same.
        steps: On each side.
        step: Length of one.
    """
    sigma = max(steps * step / 1.6, 1e-3)
    start, total, weights = positions(x), x, 1.0
    for sign in (1, -1):
        place, heading = start, sign * directions
        for k in range(1, steps + 1):
            place = place + step * heading
            found = sample(torch.cat([x, directions], dim=1), place)
            turned = found[:, -2:]
            turned = turned * torch.where((turned * heading).sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
            heading = turned / torch.hypot(turned[:, :1], turned[:, 1:]).clamp_min(1e-6)
            weight = math.exp(-((k * step) ** 2) / (2 * sigma**2))
            total = total + weight * found[:, :-2]
            weights += weight
    return total / weights


def strokes(directions: Tensor, steps: int, step: float = 1.0) -> Tensor:
    """Return the marks of a brush or a piece of charcoal that follows the directions: [1, 1, H, W], mean 0, variance 1.

    They are noise of a fixed seed, averaged along the lines.
    """
    height, width = directions.shape[-2:]
    marks = along(_noise(height, width).to(directions.device), directions, steps, step)
    return (marks - marks.mean()) / marks.std()


def bands(x: Tensor, count: int, scale: float = 1.0) -> tuple[list[Tensor], Tensor]:
    """Split a picture by fineness: ``count`` bands from the finest on, an octave each, and what is left; they add up.

    Args:
        x: Picture.
        count: How many.
        scale: Side of the picture over 256.
    """
    found = []
    for k in range(count):
        # The blurs add up to deviations of 1.2, 2.4, 4.8, ...: the squares do.
        sigma = 1.2 * 2**k * (1.0 if k == 0 else math.sqrt(0.75))
        coarser = blur(x, sigma * scale)
        found.append(x - coarser)
        x = coarser
    return found, x


def positions(x: Tensor) -> Tensor:
    """Return the centres (x, y) of the pixels of a picture, [1, 2, H, W], in pixels."""
    height, width = x.shape[-2:]
    rows, columns = torch.meshgrid(
        torch.arange(height, dtype=x.dtype, device=x.device) + 0.5,
        torch.arange(width, dtype=x.dtype, device=x.device) + 0.5,
        indexing="ij",
    )
    return torch.stack([columns, rows])[None]


def sample(x: Tensor, places: Tensor, mode: Literal["bilinear", "bicubic"] = "bilinear") -> Tensor:
    """Look pictures [N, C, H, W] up at places [1, 2, H, W] in pixels; they are mirrored at the border."""
    size = places.new_tensor([x.shape[-1], x.shape[-2]]).view(1, 2, 1, 1)
    grid = (2 * places / size - 1).permute(0, 2, 3, 1).expand(len(x), -1, -1, -1)
    return F.grid_sample(x, grid, mode=mode, padding_mode="reflection", align_corners=False)


@functools.lru_cache(maxsize=4)
def _noise(height: int, width: int) -> Tensor:
    """Return grains of about two pixels at a side of 256, and of the same part of larger pictures: [1, 1, H, W]."""
    grains = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    if (height, width) != (256, 256):
        grains = F.interpolate(grains, (height, width), mode="bicubic", align_corners=False)
    return blur(grains, 0.7 * height / 256)
