"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738): cheap augmentation of fixed strength, for every image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SHIFT = 1 / 8
"""Largest translation, as a part of the image's side."""

CUTOUT = 1 / 2
"""Side of the erased box, as a part of the image's side."""


def diff_augment(
    images: Tensor,
    generator: torch.Generator,
    policy: str = "color,translation,cutout",
    share: tuple[int, int] = (0, 1),
) -> Tensor:
    """Augment every image, differentiably, each with draws of its own.

    Args:
        images: Images [N, C, H, W] in [-1, 1]; the result is not clamped, and what is moved in or erased is 0.
        generator: The only source of chance.
        policy: Comma-separated names of ``color`` (brightness, saturation, contrast), ``translation`` and
            ``cutout``, applied in the order given; empty for none.
        share: (i, k): the images are every k-th of a batch from the i-th on, and draw what they would draw in it.

    Raises:
        ValueError: A name is unknown.
    """
    for name in named(policy):
        images = _POLICIES[name](images, _Dice(len(images), generator, share))
    return images


def named(policy: str) -> list[str]:
    """Return the names in a policy.

    Raises:
        ValueError: One is unknown.
    """
    names = [part.strip() for part in policy.split(",") if part.strip()]
    for name in names:
        if name not in _POLICIES:
            raise ValueError(f"unknown augmentation {name!r}; known are {', '.join(_POLICIES)}")
    return names


@dataclass(frozen=True)
class _Dice:
    n: int
    generator: torch.Generator
    share: tuple[int, int]

    def throw(self, width: int) -> Tensor:
        """Return uniform numbers [n, width]."""
        index, of = self.share
        return torch.rand((self.n * of, width), generator=self.generator, device=self.generator.device)[index::of]


def _color(images: Tensor, dice: _Dice) -> Tensor:
    brightness, saturation, contrast = dice.throw(3).to(images).reshape(-1, 3, 1, 1, 1).unbind(1)  # [N, 1, 1, 1] each
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = torch.lerp(grey, images, 2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, contrast + 0.5)


def _translation(images: Tensor, dice: _Dice) -> Tensor:
    inside = torch.ones(1, dtype=torch.bool, device=images.device)
    for axis in (2, 3):
        size = images.shape[axis]
        reach = round(SHIFT * size)
        steps = (dice.throw(1) * (2 * reach + 1)).long().to(images.device) - reach
        source = torch.arange(size, device=images.device) - steps  # [N, size]
        shape = [len(images), 1, 1, 1]
        shape[axis] = size
        index = source.clamp(0, size - 1).reshape(shape)
        images = images.gather(axis, index.expand(images.shape))
        inside = inside & ((source >= 0) & (source < size)).reshape(shape)
    return torch.where(inside, images, torch.zeros((), dtype=images.dtype, device=images.device))


def _cutout(images: Tensor, dice: _Dice) -> Tensor:
    box = torch.ones(1, dtype=torch.bool, device=images.device)
    for axis in (2, 3):
        size = images.shape[axis]
        side = round(CUTOUT * size)
        middle = (dice.throw(1) * (size + 1 - side % 2)).long().to(images.device)
        at = torch.arange(size, device=images.device)
        shape = [len(images), 1, 1, 1]
        shape[axis] = size
        first = middle - side // 2
        box = box & ((at >= first) & (at < first + side)).reshape(shape)
    return images.masked_fill(box, 0.0)


_POLICIES = {"color": _color, "translation": _translation, "cutout": _cutout}
