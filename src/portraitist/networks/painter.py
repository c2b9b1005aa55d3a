"""Painters: one style in one pass, photo in and drawing out, without a latent code.

A style of a StyleGAN is distilled into a small network (Viazovetskyi et al. 2020, arXiv:2003.03581) that lets the
photo's own pixels through by skips, as VToonify does (Yang et al. 2022, arXiv:2209.11224). What it gives is not a
picture but a change of one: a displacement field, which moves the shapes as WarpGAN does (Shi et al. 2019,
arXiv:1811.10100), a residual picture and a mask,

    drawing = warp(photo, field) + mask * residual

    part           shape after it, at side S and widths (a, b, c)
    stem           [N, a, S/2, S/2]
    down1, down2   [N, b, S/4, S/4], [N, c, S/8, S/8]
    blocks         the same; residual blocks, dilated in turn so that they see the whole face
    up1            [N, b, S/4, S/4], with the skip of down1
    field          [N, 2, S/4, S/4], enlarged to S: shapes move smoothly
    up2            [N, a, S/2, S/2], with the skip of stem
    look, detail   the same; with a skip of the *warped* photo, so that strokes are put where the shapes have gone
    paint          [N, 3 + 1, S, S]: residual and mask

The photo enters ``look``, and the picture leaves ``paint``, with the four pixels of each square in channels of their
own (Shi et al. 2016, arXiv:1609.05158): no layer works at the full side, which would take half of the time. Each of
the four has its own weights, so that a grid of every second pixel may lie over what is painted; a binomial filter takes
that frequency out (as Sugawara, Shiota and Kiya, ICIP 2018), but not out of the photo.

A grey painter gives the luminance of this sum, so that no colour of the photo can remain in a charcoal drawing.

There is no normalisation: a picture does not change with what else is in it, and a larger photo is drawn as a smaller.

    painter = new_painter(PainterAnatomy())
    drawing = painter(photos).image
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..ops.colour import greyed
from ..ops.warp import sample_bilinear
from .layers import channels_last
from .painter_anatomy import PainterAnatomy as PainterAnatomy

MULTIPLE = 8
"""Sides of pictures are multiples of it, because the maps are halved three times."""
SLOPE = 0.2
DILATIONS = (1, 2, 4)
"""Of the residual blocks in turn, in pixels of an eighth of the side."""
QUIET = 0.01
"""A new painter's last layers are smaller by this factor, so that it begins as nearly the identity."""


class Painted(NamedTuple):
    """A drawing, and how it came about."""

    image: Tensor
    """[N, 3, H, W] in about [-1, 1]; not clamped."""
    field: Tensor
    """Where each pixel is taken from, relative to itself, in pixels: planes x and y [N, 2, H, W]."""
    warped: Tensor
    """The photo, displaced: [N, 3, H, W]."""
    paint: Tensor
    """What is added to it, the colour that is taken away included: [N, 3, H, W]."""
    mask: Tensor
    """How much of the residual picture is used, from 0 to 1: [N, 1, H, W]."""

    def at(self, photos: Tensor, strength: float | Tensor) -> Tensor:
        """Return the drawing with shapes and paint taken in part, or exaggerated: [N, 3, H, W], not clamped.

        The paint goes with the shapes: where these have moved half the way, it lies half the way back.

        Args:
            photos: What was painted, [N, 3, H, W].
            strength: 0 gives the photos, 1 the drawing.
        """
        paint = displaced(self.paint, (strength - 1) * self.field)
        return displaced(photos, strength * self.field) + strength * paint


class Residual(nn.Module):
    """Two dilated convolutions beside a shortcut."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, C, h, w] of the same shape."""
        y: Tensor = self.conv2(_rectified(self.conv1(_rectified(x))))
        return x + y


class Up(nn.Module):
    """Narrow, enlarge twofold, add a skip, convolve."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(inputs, outputs, 1)
        self.conv = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Turn [N, inputs, h, w] and a skip [N, outputs, 2h, 2w] into [N, outputs, 2h, 2w]."""
        # Narrowing before enlarging costs a quarter and is the same.
        y = F.interpolate(self.narrow(_rectified(x)), scale_factor=2.0, mode="nearest")
        found: Tensor = self.conv(_rectified(y + skip))
        return found


class Painter(nn.Module):
    """From photos to drawings in one style."""

    def __init__(self, anatomy: PainterAnatomy) -> None:
        """Make layers with PyTorch's own weights; :func:`new_painter` makes a painter that can be trained."""
        super().__init__()
        self.anatomy = anatomy
        a, b, c = anatomy.widths
        self.stem = nn.Conv2d(3, a, 4, 2, 1)
        self.down1 = nn.Conv2d(a, b, 3, 2, 1)
        self.down2 = nn.Conv2d(b, c, 3, 2, 1)
        self.blocks = nn.ModuleList([Residual(c, DILATIONS[k % len(DILATIONS)]) for k in range(anatomy.blocks)])
        self.up1, self.up2 = Up(c, b), Up(b, a)
        self.field = nn.Conv2d(b, 2, 3, padding=1)
        self.look = nn.Conv2d(12, a, 3, padding=1)
        self.detail = nn.Conv2d(a, a, 3, padding=1)
        self.paint = nn.Conv2d(a, 16, 3, padding=1)

    def forward(self, photos: Tensor) -> Painted:
        """Draw photos [N, 3, H, W] in [-1, 1], whose sides are multiples of 8.

        Raises:
            UsageError: A side is not a multiple of 8.
        """
        if photos.shape[2] % MULTIPLE or photos.shape[3] % MULTIPLE:
            raise UsageError(
                f"A painter cannot draw pictures of {photos.shape[3]}x{photos.shape[2]} pixels.",
                f"Resize them to multiples of {MULTIPLE}.",
            )
        half = self.stem(channels_last(photos))  # [N, a, H/2, W/2]
        quarter = self.down1(_rectified(half))  # [N, b, H/4, W/4]
        x = self.down2(_rectified(quarter))  # [N, c, H/8, W/8]
        for block in self.blocks:
            x = block(x)
        x = self.up1(x, quarter)
        field = self._field(x)
        warped = displaced(photos, field)
        x = self.up2(x, half) + self.look(channels_last(F.pixel_unshuffle(warped, 2)))  # [N, a, H/2, W/2]
        x = self.paint(_rectified(self.detail(_rectified(x))))  # [N, 16, H/2, W/2]
        residual, mask = _without_grid(F.pixel_shuffle(x.float(), 2)).split((3, 1), 1)
        mask = mask.sigmoid()
        paint = mask * residual
        if self.anatomy.grey:
            image = greyed(warped + paint)
            return Painted(image, field, warped, image - warped, mask)
        return Painted(warped + paint, field, warped, paint, mask)

    def _field(self, x: Tensor) -> Tensor:
        """Return the displacements [N, 2, H, W] that features [N, b, H/4, W/4] ask for."""
        # Full precision always: far from the corner the places of bfloat16 are a pixel apart.
        coarse = self.anatomy.reach * torch.tanh(self.field(_rectified(x)).float() / self.anatomy.reach)
        return F.interpolate(coarse, scale_factor=4.0, mode="bilinear", align_corners=False)


@torch.no_grad()
def new_painter(anatomy: PainterAnatomy) -> Painter:
    """Make a painter that draws nearly the photo itself: weights after He et al. 2015, quiet last layers.

    Biases are 0, so the mask begins at a half. The numbers come from PyTorch's global generator.
    """
    painter = Painter(anatomy)
    for layer in painter.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    for block in painter.modules():
        if isinstance(block, Residual):
            block.conv2.weight.mul_(0.5)  # so that sums over many blocks do not grow
    for head in (painter.field, painter.paint):
        head.weight.mul_(QUIET)
    return painter


def displaced(images: Tensor, field: Tensor) -> Tensor:
    """Look up each pixel of images [N, C, H, W] at its own place plus ``field`` [N, 2, H, W], x and y in pixels.

    Beyond the rim lies the nearest pixel of the rim.
    """
    height, width = images.shape[2:]
    xs = torch.arange(width, dtype=field.dtype, device=field.device) + field[:, 0]
    ys = torch.arange(height, dtype=field.dtype, device=field.device)[:, None] + field[:, 1]
    points = torch.stack((xs.clamp(0, width - 1), ys.clamp(0, height - 1)), 1)  # [N, 2, H, W]
    return sample_bilinear(images.float(), points)


def _without_grid(x: Tensor) -> Tensor:
    """Filter [N, C, H, W] by (1, 2, 1) / 4 along both axes: nothing alternates from pixel to pixel any more."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    x = (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4
    return (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4


def _rectified(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)
