"""What a painter is asked for beside being like its teacher: shapes that move smoothly, and drawings that stay still.

A video is drawn picture by picture, so the drawing of a photo that is moved a little must be the drawing, moved as much
(Eilertsen, Mantiuk and Unger 2019, arXiv:1902.10424, Sec. 3.2): with a small view V, which shifts, turns, enlarges
and lightens,

    consistency = | P(V x) - V P(x) |

    views = small_views(len(photos), 256, random, ViewSettings())
    loss = inconsistency(painter(views.seen(photos)).image, painter(photos).image, views)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.warp import affine_warp, warp_points


@dataclass(frozen=True)
class ViewSettings:
    """The largest change along each axis, between which and its opposite a change is uniform."""

    shift: float = 3.0
    """Pixels along x and y."""
    rotation: float = 3.0
    """Degrees about the centre."""
    zoom: float = 0.03
    """Share of the size."""
    light: float = 0.08
    """Change of all values in [-1, 1]."""
    mirror: float = 0.5
    """Share of the views that are mirrored: no side of a face may be drawn otherwise than the other."""


@dataclass(frozen=True)
class Views:
    """A small change of view for each picture of a batch."""

    matrices: Tensor
    """From pixels of the result to points of the picture: [N, 2, 3]."""
    light: Tensor
    """What is added to all values: [N]."""

    def seen(self, images: Tensor) -> Tensor:
        """Return pictures [N, C, H, W] as they look after the change; what lies outside is their mirror image."""
        moved = affine_warp(images, self.matrices.to(images), padding="reflect")
        return moved + self.light.to(images)[:, None, None, None]

    def inside(self, height: int, width: int) -> Tensor:
        """Return 1 where a pixel of the result shows the picture and 0 where it shows a mirror image: [N, 1, H, W]."""
        x, y = warp_points(self.matrices, (height, width)).split(1, 1)
        return torch.logical_and((x >= 0) & (x <= width - 1), (y >= 0) & (y <= height - 1)).float()


def small_views(count: int, side: int, random: torch.Generator, settings: ViewSettings) -> Views:
    """Draw a small view for each of ``count`` square pictures of ``side`` pixels."""
    uniform = torch.rand(count, 5, generator=random) * 2 - 1
    turn = uniform[:, 0] * math.radians(settings.rotation)
    scale = 1 + uniform[:, 1] * settings.zoom
    cos, sin, centre = scale * turn.cos(), scale * turn.sin(), (side - 1) / 2
    # The centre of the result shows the point that lies a shift away from the centre of the picture.
    x = centre + uniform[:, 2] * settings.shift - cos * centre + sin * centre
    y = centre + uniform[:, 3] * settings.shift - sin * centre - cos * centre
    matrices = torch.stack([torch.stack([cos, -sin, x], 1), torch.stack([sin, cos, y], 1)], 1)  # [N, 2, 3]
    # Mirrored first: the pixel u of the result shows what side - 1 - u would.
    mirror = torch.tensor(((-1.0, 0.0, side - 1.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    mirrored = torch.rand(count, generator=random) < settings.mirror
    matrices = torch.where(mirrored[:, None, None], matrices @ mirror, matrices)
    return Views(matrices, uniform[:, 4] * settings.light)


def inconsistency(drawn: Tensor, still: Tensor, views: Views) -> Tensor:
    """Return the mean absolute difference of drawings of views and views of drawings, a scalar.

    Means of 2x2 pixels are compared: looking up between pixels blurs a drawing, and strokes must not fade for that.

    Args:
        drawn: P(V x), [N, 3, H, W] with even sides.
        still: P(x), of the same shape.
        views: V.
    """
    inside = views.inside(*drawn.shape[2:]).to(drawn)
    apart = F.avg_pool2d((drawn - views.seen(still)) * inside, 2).abs().mean(1, keepdim=True)
    places = F.avg_pool2d(inside, 2).sum((1, 2, 3)).clamp(min=1)
    return (apart.sum((1, 2, 3)) / places).mean()  # of each picture alone, so that a batch can be shared


def roughness(field: Tensor) -> Tensor:
    """Return the mean squared difference of neighbours of a field [N, 2, H, W], along x and along y: a scalar.

    In pixels squared; a field that moves everything alike has none, one that enlarges by 10 % has 0.01.
    """
    across = (field[..., 1:] - field[..., :-1]).square().sum(1).mean()
    down = (field[..., 1:, :] - field[..., :-1, :]).square().sum(1).mean()
    return (across + down) / 2
