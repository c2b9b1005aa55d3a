"""Augmentation that does not leak into what a GAN draws (Karras et al. 2020, arXiv:2006.06676).

Each image draws each transform with probability p; below about 0.8 the generator learns the clean images
although the discriminator sees only augmented ones. Chance and arithmetic are apart: :func:`draw` makes a
value, :func:`apply` is a differentiable function of the images, linear but for an offset.

    seen = augment(images, p=0.4, generator=torch.Generator().manual_seed(0), groups="bgc")
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from .colour import recolour
from .corruptions import corrupt
from .diff import diff_augment
from .draws import GROUPS, PRESETS, AugmentSettings, Draws, chosen_groups, draw
from .geometry import transform

__all__ = [
    "GROUPS",
    "PRESETS",
    "AugmentSettings",
    "Draws",
    "apply",
    "augment",
    "chosen_groups",
    "diff_augment",
    "draw",
]


def augment(
    images: Tensor,
    p: float,
    generator: torch.Generator,
    groups: str | Collection[str] = "bgc",
    settings: AugmentSettings | None = None,
    share: tuple[int, int] = (0, 1),
) -> Tensor:
    """Draw and apply transforms; an image that draws none of them is returned bit for bit.

    Args:
        images: Images [N, C, H, W] in [-1, 1], C is 1 or 3 for the group ``color``.
        p: Probability of each transform. 0 does nothing and takes nothing from the generator; above 1 counts
            as 1.
        generator: The only source of chance, on any device.
        groups: A preset (``b``, ``bg``, ``bgc``, ``bgcf``, ``bgcfn``, ``bgcfnc``), or names of :data:`GROUPS`.
        settings: Strengths; the paper's by default.
        share: (i, k): the images are every k-th of a batch from the i-th on, and draw what they would draw in it.

    Returns:
        Images of the same shape, not clamped.
    """
    if p == 0:
        return images
    index, of = share
    draws = draw(len(images) * of, p, generator, groups, settings)
    return apply(images, draws[torch.arange(index, len(images) * of, of, device=generator.device)])


def apply(images: Tensor, draws: Draws) -> Tensor:
    """Apply to each image what it drew: geometry, colour, band filter, noise, cutout.

    Args:
        images: Images [N, C, H, W] in [-1, 1].
        draws: The draws of N images, on any device.

    Returns:
        Images of the same shape, not clamped.
    """
    return corrupt(recolour(transform(images, draws), draws), draws)
