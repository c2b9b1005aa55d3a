"""The luminance of colours, and whether there are any.

grey = greyed(pictures)
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""
GREY = 4.0
"""Mean difference of channels, in levels of 0 to 255, below which pictures count as grey."""
WHITE = 0.9
"""Least channel, in [-1, 1], from which a pixel counts as white ground."""


def luminance(x: Tensor) -> Tensor:
    """Return the luminance [N, 1, H, W] of colour pictures [N, 3, H, W]."""
    return (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def greyed(x: Tensor) -> Tensor:
    """Return pictures [N, 3, H, W] in grey: each channel is the luminance."""
    return luminance(x).expand_as(x)


def colours_of_areas(x: Tensor, area: int) -> Tensor:
    """Return the mean colours, less their luminance, of squares of ``area`` pixels of pictures [N, 3, H, W]."""
    return F.avg_pool2d(x - luminance(x), area, ceil_mode=True)


def are_grey(x: Tensor, *, on_white: bool = False) -> bool:
    """Whether pictures [N, 3, H, W] in [-1, 1] have next to no colour; ``on_white``: where they are darker."""
    spread = x.amax(1) - x.amin(1)
    return float((spread[x.amin(1) < WHITE] if on_white else spread).mean()) * 127.5 < GREY
