"""The losses of generator and discriminator: StyleGAN2's own terms, and what every term may look at.

A term sees a :class:`StepContext`, which offers the networks, the real images and every random draw; it returns a
scalar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from ..data import ImageBatches
from ..losses import GanLoss, discriminator_loss, generator_loss, path_lengths, r1
from ..losses.perceptual import PerceptualDistance
from ..networks import Discriminator, Generator, Seen
from ..networks.feature_discriminator import FeatureDiscriminator
from ..networks.features import Features
from .ada import mean_sign
from .loop import WHOLE, Share
from .spec import Role, Term, Training
from .state import TrainState


@dataclass(frozen=True)
class Drawn:
    """A batch that the generator has drawn, and from what."""

    z: Tensor
    """Latents, one per row of W+: [N, rows, z_dim]."""
    noise: list[Tensor]
    seen: list[Seen]
    """The output of each block."""

    @property
    def images(self) -> Tensor:
        """[N, 3, R, R] in about [-1, 1]."""
        return self.seen[-1].image


@dataclass(frozen=True)
class SourceModel:
    """The base that a fine-tuning began with, for terms that compare with it; never trained."""

    generator: Generator
    perceptual: PerceptualDistance
    """How drawings are compared."""


@dataclass(frozen=True)
class SmallerModel:
    """What a training is held to, for terms that compare with it; never trained."""

    generator: Generator
    codes: Mapping[str, Tensor]
    """Its codes of the pictures that are trained on, [rows, w_dim] by name; empty where they are not known."""
    batches: ImageBatches
    """These pictures, in the order in which they are shown."""

    def known_at(self, images: int) -> tuple[Tensor, Tensor]:
        """Return the codes [N, rows, w_dim] of the batch that follows ``images`` images, and which are mirrored [N]."""
        return torch.stack([self.codes[n] for n in self.batches.names(images)]), self.batches.mirrored(images)


@dataclass
class StepContext:
    """One step of one role: what a term may look at and draw from.

    All that is random is drawn for the whole batch and then shared out, so that any number of shares see what one
    process would.
    """

    state: TrainState
    training: Training
    generator: Generator
    discriminator: Discriminator
    real: Tensor
    """This share of the real images, [N, 3, R, R] in [-1, 1]."""
    random: torch.Generator
    augmentation: Callable[[Tensor, torch.Generator, Share], Tensor]
    """What images go through before the discriminator sees them."""
    share: Share = WHOLE
    source: SourceModel | None = None
    seen_by: Features | None = None
    smaller_model: SmallerModel | None = None
    shown: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    """Drawn images that the discriminators of this step have in common, by path and share."""
    path: int = 0
    report: dict[str, Tensor] = field(default_factory=dict)
    """Scalars for the log, without gradients; averaged over shares."""

    @property
    def batch(self) -> int:
        """Images of all shares together."""
        return len(self.real) * self.share.of

    def latents(self, batch: int) -> Tensor:
        """Draw this share of a batch of latents of the prior, one for each row of W+: [N, rows, z_dim].

        Of one latent, or of two with a crossover (style mixing), or all independent where the training asks for Z+.
        """
        anatomy = self.generator.anatomy
        rows = anatomy.rows
        if self.training.latents == "z+":
            z = torch.randn(batch, rows, anatomy.z_dim, generator=self.random)
            return self.share.take(z).to(self.real.device)
        first, second = torch.randn(2, batch, anatomy.z_dim, generator=self.random)  # [batch, z_dim] each
        mixed = torch.rand(batch, generator=self.random) < self.training.mixing
        crossover = torch.randint(1, rows, (batch,), generator=self.random)
        crossed = mixed[:, None] & (torch.arange(rows)[None] >= crossover[:, None])  # [batch, rows]
        z = torch.where(crossed[:, :, None], second[:, None], first[:, None])
        return self.share.take(z).to(self.real.device)

    def noise(self, batch: int) -> list[Tensor]:
        """Draw this share of fresh noise for a batch: [N, 1, r, r] per convolution."""
        planes = self.generator.synthesis.draw_noise(batch, self.random)
        return [self.share.take(plane) for plane in planes]

    @cached_property
    def drawn(self) -> Drawn:
        """A batch of images of fresh latents and noise; all terms of a step look at the same."""
        z, noise = self.latents(self.batch), self.noise(self.batch)
        return Drawn(z, noise, list(self.generator.synthesis.walk(self.generator.styles(z), noise)))

    @property
    def opposed(self) -> Tensor:
        """Drawn images [N, 3, R, R] without gradients; all discriminators of a step look at the same."""
        key = self.path, self.share.index
        if key not in self.shown:
            with torch.no_grad():
                self.shown[key] = self.drawn.images
        return self.shown[key]

    def scores(self, images: Tensor) -> Tensor:
        """Return the discriminator's scores [N] of images after augmentation."""
        score: Tensor = self.discriminator(self.augmentation(images, self.random, self.share))
        return score.float()  # losses are formulas of full precision

    @property
    def base(self) -> SourceModel:
        """The source, for terms that need one."""
        assert self.source is not None, "a term that needs the base was given none"
        return self.source

    @property
    def smaller(self) -> SmallerModel:
        """The smaller model, for terms that need it."""
        assert self.smaller_model is not None, "a term that needs a smaller model was given none"
        return self.smaller_model

    @property
    def features(self) -> Features:
        """The frozen network, for terms that need one."""
        assert self.seen_by is not None, "a term that needs features was given none"
        return self.seen_by

    @property
    def heads(self) -> FeatureDiscriminator:
        """The discriminator of features."""
        heads = self.state.networks["F"]
        assert isinstance(heads, FeatureDiscriminator)
        return heads


@dataclass(frozen=True)
class DiscriminatorLoss(Term):
    """The adversarial loss of the discriminator."""

    gan_loss: GanLoss = "logistic"
    name: ClassVar[str] = "loss_d"
    role: ClassVar[Role] = "D"

    def __call__(self, context: StepContext) -> Tensor:
        """Score one batch of drawn and one of real images."""
        fake, real = context.scores(context.opposed), context.scores(context.real)  # [N]
        seen = real.detach()
        context.report |= {
            "score_real": seen.mean(),
            "score_fake": fake.detach().mean(),
            "sign_real": mean_sign(seen),
            "sign_fake": mean_sign(fake),
        }
        return discriminator_loss(real, fake, self.gan_loss)

    def update_state(self, state: TrainState, training: Training, report: dict[str, Tensor]) -> None:
        """Report to ADA how sure the discriminator is of real images: r_t = E[sign(D(x))] (arXiv:2006.06676, Eq. 1)."""
        state.ada.note(report["sign_real"], training.batch)


@dataclass(frozen=True)
class GeneratorLoss(Term):
    """The adversarial loss of the generator."""

    gan_loss: GanLoss = "logistic"
    name: ClassVar[str] = "loss_g"
    role: ClassVar[Role] = "G"

    def __call__(self, context: StepContext) -> Tensor:
        """Draw a batch and let the discriminator score it."""
        return generator_loss(context.scores(context.drawn.images), self.gan_loss)


@dataclass(frozen=True)
class R1(Term):
    """Gradient penalty on real images, through the augmentation to the raw images."""

    gamma: float
    every: int = 16
    name: ClassVar[str] = "r1"
    role: ClassVar[Role] = "D"

    def __call__(self, context: StepContext) -> Tensor:
        """Return gamma / 2 times the mean squared gradient norm (Mescheder et al. 2018, arXiv:1801.04406, Eq. 9)."""
        real = context.real.detach().requires_grad_(True)
        penalty = r1(context.scores(real), real).mean()  # E |grad_x D(x)|^2
        return penalty * (self.gamma / 2)


@dataclass(frozen=True)
class PathLength(Term):
    """Path length regularisation (Karras et al. 2020, arXiv:1912.04958, Eq. 4) on a smaller batch."""

    weight: float
    every: int = 4
    shrink: int = 2
    name: ClassVar[str] = "path"
    role: ClassVar[Role] = "G"

    def __call__(self, context: StepContext) -> Tensor:
        """Return the mean squared deviation of path lengths from their running mean."""
        batch = max(context.batch // self.shrink, context.share.of)
        ws = context.generator.styles(context.latents(batch))  # [N, rows, w_dim]
        if not ws.requires_grad:  # the mapping network may be frozen
            ws.requires_grad_(True)
        images = context.generator.synthesis(ws, context.noise(batch))
        noise = context.share.take(torch.randn(batch, *images.shape[1:], generator=context.random)).to(images)
        lengths = path_lengths(images, ws, noise)  # |J_w^T y| per image, [N]
        context.report["path_length"] = lengths.detach().mean()
        # Eq. 4: E (|J_w^T y| - a)^2
        return (lengths - context.state.path_mean).square().mean() * self.weight

    def update_state(self, state: TrainState, training: Training, report: dict[str, Tensor]) -> None:
        """Move the running mean a of path lengths (below Eq. 4)."""
        state.path_mean = state.path_mean.lerp(report["path_length"].to(state.path_mean), training.path_decay)


def standard_terms(training: Training) -> tuple[Term, ...]:
    """Return the terms of StyleGAN2: the adversarial losses, R1 and path length."""
    terms: list[Term] = [DiscriminatorLoss(training.gan_loss)]
    if training.r1_interval:
        terms.append(R1(training.r1_gamma, training.r1_interval))
    terms.append(GeneratorLoss(training.gan_loss))
    if training.path_interval:
        terms.append(PathLength(training.path_weight, training.path_interval, training.path_shrink))
    return tuple(terms)
