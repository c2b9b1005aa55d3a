"""How alike two pictures look: the distance of their features in the form of LPIPS, and plain pixels beside it.

perceptual = PerceptualDistance(DiscriminatorFeatures(discriminator))
target = perceptual.prepare(photos)                  # once
loss = perceptual.distance(images, target).sum()     # in each step
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks import Discriminator
from ..networks.features import DeepestTaps, DiscriminatorFeatures, Features

EPSILON = 1e-10

Prepared = tuple[Tensor, ...]
"""Unit-normalised maps [N, C, h, w], one per tap."""


class PerceptualDistance:
    """Zhang et al. 2018, arXiv:1801.03924, Eq. 1: squared difference of unit feature vectors, averaged over places.

    It is LPIPS only with that paper's channel weights over the trunk they were fitted on; ``name`` says what it is.
    """

    def __init__(self, features: Features, weights: Sequence[Tensor] | None = None, name: str = "") -> None:
        """Choose the features.

        Args:
            features: The network whose maps are compared.
            weights: Weight of each channel, [C] per tap; 1 everywhere when None.
            name: What to call the distance in reports; that of the network by default.
        """
        self.features = features
        self.weights = None if weights is None else tuple(w.detach().reshape(-1, 1, 1) for w in weights)
        self.name = name or f"{features.name} distance"

    def __call__(self, images: Tensor, others: Tensor) -> Tensor:
        """Return the distance [N] of images [N, 3, H, W] in [-1, 1] to others."""
        return self.distance(images, self.prepare(others))

    def deepest(self, count: int) -> PerceptualDistance:
        """Return this distance on its ``count`` coarsest taps only: what is at large, and not how it is drawn."""
        weights = None if self.weights is None else self.weights[-count:]
        return PerceptualDistance(DeepestTaps(self.features, count), weights, f"{self.name}, deepest {count}")

    def to(self, device: torch.device | str) -> Self:
        """Move the network to a device, and return this distance."""
        if isinstance(self.features, torch.nn.Module):
            self.features.to(device)
        return self

    def prepare(self, images: Tensor) -> Prepared:
        """Return what :meth:`distance` needs of images [N, 3, H, W]; differentiable."""
        return tuple(unit_channels(x) for x in self.features.taps(images))

    def distance(self, images: Tensor, prepared: Prepared) -> Tensor:
        """Return the distance [N] of images to prepared ones, summed over taps; 0 where they are equal."""
        total = images.new_zeros(())
        for k, (mine, theirs) in enumerate(zip(self.prepare(images), prepared, strict=True)):
            square = (mine - theirs).square()  # [N, C, h, w], Eq. 1
            if self.weights is not None:
                square = square * self.weights[k].to(square)
            total = total + square.sum(1).mean((1, 2))
        return total

    def mean_distance(self, images: Tensor, others: Tensor) -> Tensor:
        """Return the mean distance of images [N, 3, H, W] to others, which get no gradient: a scalar of LPIPS's scale.

        Without fitted weights it is the mean over taps, which is about as large as LPIPS.
        """
        with torch.no_grad():
            prepared = self.prepare(others)
        taps = len(prepared) if self.weights is None else 1
        return self.distance(images, prepared).mean() / taps


def default_perceptual(discriminator: Discriminator) -> PerceptualDistance:
    """Return the distance on the features of a base's discriminator, which needs no download."""
    return PerceptualDistance(DiscriminatorFeatures(discriminator))


class FeatureError(PerceptualDistance):
    """Squared difference of one map as it is, averaged: the last but one, which is relu4_3 of VGG16.

    The feature loss of in-domain inversion (Zhu et al. 2020, arXiv:2004.00049, Sec. 3.2) in its released form. Its root
    is a norm, as UI2I prints (Huang et al. 2020, arXiv:2010.05713, Eq. 5), less a factor of the size of the map.
    """

    def __init__(self, features: Features, *, root: bool = False) -> None:
        super().__init__(features, name=f"{features.name} {'norm' if root else 'error'}")
        self.root = root

    def prepare(self, images: Tensor) -> Prepared:
        """Return the map of images [N, 3, H, W]; differentiable."""
        return tuple(self.features.taps(images)[-2:-1])

    def distance(self, images: Tensor, prepared: Prepared) -> Tensor:
        """Return the error [N] of images against prepared ones."""
        (mine,), (theirs,) = self.prepare(images), prepared
        error = pixel_error(mine, theirs)
        return (error + EPSILON).sqrt() if self.root else error  # a root has no slope at 0


def unit_channels(x: Tensor) -> Tensor:
    """Scale the vector of channels at each place of [N, C, h, w] to unit length; its gradient is finite at 0 too."""
    return x * torch.rsqrt(x.square().sum(1, keepdim=True) + EPSILON)


def pixel_error(images: Tensor, others: Tensor) -> Tensor:
    """Return the mean squared difference of pixels per image: [N]."""
    return (images - others).square().mean((1, 2, 3))


def absolute_error(images: Tensor, others: Tensor) -> Tensor:
    """Return the mean absolute difference of pixels per image: [N]."""
    return (images - others).abs().mean((1, 2, 3))


def pyramid_error(images: Tensor, others: Tensor, smallest: int = 8) -> Tensor:
    """Return :func:`pixel_error` averaged over the images and their halvings down to ``smallest`` pixels: [N].

    Shape and shading at large weigh more than fine texture, which a small generator cannot draw anyway.
    """
    difference, errors = images - others, []
    while True:
        errors.append(difference.square().mean((1, 2, 3)))
        if min(difference.shape[2:]) < 2 * smallest:
            return torch.stack(errors).mean(0)
        difference = F.avg_pool2d(difference, 2)
