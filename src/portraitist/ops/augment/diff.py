"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738): cheap augmentation of fixed strength, for every image."""

from __future__ import annotations

import torch
from torch import Tensor

SHIFT = 1 / 8
"""Largest translation, as a part of the image's side."""

CUTOUT = 1 / 2
"""Side of the erased box, as a part of the image's side."""


def diff_augment(images: Tensor, generator: torch.Generator, policy: str = "color,translation,cutout") -> Tensor:
    """Augment every image, differentiably, each with draws of its own.

    Args:
        images: Images [N, C, H, W] in [-1, 1]; the result is not clamped, and what is moved in or erased is 0.
        generator: The only source of chance.
        policy: Comma-separated names of ``color`` (brightness, saturation, contrast), ``translation`` and
            ``cutout``, applied in the order given; empty for none.

    Raises:
        ValueError: A name is unknown.
    """
    for name in filter(None, (part.strip() for part in policy.split(","))):
        if name not in _POLICIES:
            raise ValueError(f"unknown augmentation {name!r}; known are {', '.join(_POLICIES)}")
        images = _POLICIES[name](images, generator)
    return images


def _color(images: Tensor, generator: torch.Generator) -> Tensor:
    brightness, saturation, contrast = (
        _rand(images, generator, 3).to(images).reshape(-1, 3, 1, 1, 1).unbind(1)
    )  # [N, 1, 1, 1] each
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = torch.lerp(grey, images, 2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, contrast + 0.5)


def _translation(images: Tensor, generator: torch.Generator) -> Tensor:
    inside = torch.ones(1, dtype=torch.bool, device=images.device)
    for axis in (2, 3):
        size = images.shape[axis]
        reach = round(SHIFT * size)
        steps = (_rand(images, generator, 1) * (2 * reach + 1)).long().to(images.device) - reach
        source = torch.arange(size, device=images.device) - steps  # [N, size]
        shape = [len(images), 1, 1, 1]
        shape[axis] = size
        index = source.clamp(0, size - 1).reshape(shape)
        images = images.gather(axis, index.expand(images.shape))
        inside = inside & ((source >= 0) & (source < size)).reshape(shape)
    return torch.where(inside, images, torch.zeros((), dtype=images.dtype, device=images.device))


def _cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    box = torch.ones(1, dtype=torch.bool, device=images.device)
    for axis in (2, 3):
        size = images.shape[axis]
        side = round(CUTOUT * size)
        middle = (_rand(images, generator, 1) * (size + 1 - side % 2)).long().to(images.device)
        at = torch.arange(size, device=images.device)
        shape = [len(images), 1, 1, 1]
        shape[axis] = size
        first = middle - side // 2
        box = box & ((at >= first) & (at < first + side)).reshape(shape)
    return images.masked_fill(box, 0.0)


def _rand(images: Tensor, generator: torch.Generator, width: int) -> Tensor:
    return torch.rand((len(images), width), generator=generator, device=generator.device)


_POLICIES = {"color": _color, "translation": _translation, "cutout": _cutout}
