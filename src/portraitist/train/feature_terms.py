"""A second discriminator on frozen features: it sees at once what the plain one takes many images to learn.

Projected GANs (Sauer et al. 2021, arXiv:2111.01007) replace the discriminator; a generator that has already learned
faces does not survive that. So it joins with a small weight, after its heads have seen some images. A generator that
plays to the fixed grid of one network draws dots: so the picture is shown a little blurred and noisy, at random sizes
and offsets, maxima within the network become means, and one head looks at what the blur takes away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim import Adam

from ..errors import UsageError
from ..networks import GeneratorAnatomy
from ..networks.feature_discriminator import FeatureDiscriminator, blurred, patch_loss
from ..networks.features import Features, resized
from ..ops.augment import diff_augment
from .spec import Role, Term, Training
from .state import Optimised
from .terms import StepContext

OFFSETS = 8
"""Pixels by which the picture is cropped at most, so that no pixel keeps its place on the network's grid."""
SIDES = 8
"""Step between the sides that are drawn."""
NOISE = 0.02
"""Standard deviation of the noise, of values in [-1, 1]."""


@dataclass(frozen=True)
class FeatureLoss(Term):
    """What the generator hears from the discriminator of features, and all settings of both."""

    weight: float = 3.0
    """Of what the feature network sees."""
    detail: float = 0.25
    """Of what the blur takes away."""
    rate: float = 0.001
    """Learning rate of Adam for the heads."""
    rest: int = 800
    """Images after which the generator begins to hear of it."""
    ramp: int = 1_600
    """Images over which both weights then rise."""
    smallest: int = 112
    largest: int = 224
    """Least and greatest side in pixels at which features are taken; the picture's own where it is smaller."""
    name: ClassVar[str] = "feature_discriminator"
    role: ClassVar[Role] = "G"
    uses_features: ClassVar[bool] = True
    needs_features: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.refuse_negative("weight", "detail", "rate", "rest", "ramp")
        if not 0 < self.smallest <= self.largest:
            raise UsageError(
                f"The sides {self.name}.smallest={self.smallest} and {self.name}.largest={self.largest} exclude "
                "each other.",
                "Set the smallest side to at most the largest.",
            )

    @property
    def partners(self) -> tuple[Term, ...]:
        """The loss of the heads."""
        return (HeadsLoss(self),)

    def __call__(self, context: StepContext) -> Tensor:
        """Draw a batch and let the heads score it."""
        images = context.drawn.images
        share = self.share_of(context.state.images)
        if not share:
            return images.new_zeros(())
        *deep, detail = context.heads(self.seen(images, context))  # scores of patches, [N, 1, h, w] each
        # E softplus(-D_k(x)) over heads k and patches
        return (self.weight * patch_loss(deep, -1) + self.detail * patch_loss([detail], -1)) * share

    def share_of(self, images: int) -> float:
        """Return the share of the weights after so many images: 0, rising, 1."""
        return min(max((images - self.rest) / max(self.ramp, 1), 0.0), 1.0)

    def seen(self, images: Tensor, context: StepContext) -> list[Tensor]:
        """Return what the heads look at of images [N, 3, R, R]: recoloured, moved and, for features, made small."""
        share, random = context.share, context.random
        with torch.autocast(images.device.type, enabled=False):
            images = diff_augment(images.float(), random, "color,translation", (share.index, share.of))
        side = images.shape[-1]
        least, most = min(self.smallest, side), min(self.largest, side)
        wanted = least + SIDES * int(torch.randint(0, (most - least) // SIDES + 1, (), generator=random))
        top, left = torch.randint(0, max(min(OFFSETS, side // 16), 1), (2,), generator=random).tolist()
        small = resized(blurred(images)[..., top:, left:], wanted)
        noise = torch.randn(context.batch, *small.shape[1:], generator=random)
        small = small + NOISE * share.take(noise).to(small)
        return context.heads.seen(context.features, images, small)

    def check(self, training: Training, anatomy: GeneratorAnatomy) -> None:
        """Refuse several paths, which would share the heads.

        Raises:
            UsageError: There are several.
        """
        if training.paths:
            raise UsageError(
                "A discriminator of features knows one style, not several paths.", f"Leave {self.name} out."
            )


@dataclass(frozen=True)
class HeadsLoss(Term):
    """What the heads minimise: the logistic loss of patches, on real and drawn images."""

    settings: FeatureLoss
    name: ClassVar[str] = "feature_heads"
    role: ClassVar[Role] = "F"

    def __call__(self, context: StepContext) -> Tensor:
        """Score one batch of drawn and one of real images."""
        with torch.no_grad():
            drawn, real = (self.settings.seen(images, context) for images in (context.opposed, context.real))
        # E softplus(-D_k(x)) + E softplus(D_k(G(z)))
        return patch_loss(context.heads(real), -1) + patch_loss(context.heads(drawn), 1)


def optimised_heads(training: Training, features: Features, images: Tensor) -> Optimised | None:
    """Make the discriminator of features, fitted to images [N, 3, R, R], with its optimiser, if one is asked for."""
    term = next((t for t in training.terms if isinstance(t, FeatureLoss)), None)
    if term is None:
        return None
    heads = FeatureDiscriminator.fitted(features, resized(images, min(term.largest, images.shape[-1])), training.seed)
    return Optimised("adam.F", heads, Adam(heads.parameters(), term.rate, betas=(0.0, 0.99)))
