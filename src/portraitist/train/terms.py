"""The terms of the game: a loss, whose turn it is, and how often.

A term sees a :class:`Turn`, which offers the players, the real images and every random draw; it returns a scalar.
Recipes add terms of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from ..losses import discriminator_loss, generator_loss, path_lengths, r1
from .spec import Training
from .state import TrainState

Player = Literal["G", "D"]


@dataclass
class Turn:
    """One step of one player: what a term may look at and draw from."""

    state: TrainState
    training: Training
    real: Tensor
    """[N, 3, R, R] in [-1, 1]."""
    random: torch.Generator
    augment: Callable[[Tensor, torch.Generator], Tensor]
    """What images go through before the discriminator sees them."""
    report: dict[str, Tensor] = field(default_factory=dict)
    """Scalars for the log, without gradients."""

    def draw_ws(self, count: int) -> Tensor:
        """Draw codes of W+ [count, rows, w_dim] from the prior, some of them mixed from two latents."""
        anatomy = self.state.generator.anatomy
        z = torch.randn(2, count, anatomy.z_dim, generator=self.random).to(self.real.device)
        mixed = torch.rand(count, generator=self.random) < self.training.mixing
        crossover = torch.randint(1, anatomy.rows, (count,), generator=self.random)
        w = self.state.generator.mapping(z.flatten(0, 1)).unflatten(0, (2, count))
        rows = torch.arange(anatomy.rows)[None]
        second = (mixed[:, None] & (rows >= crossover[:, None])).to(self.real.device)  # [count, rows]
        return torch.where(second[:, :, None], w[1][:, None], w[0][:, None])

    def draw(self, ws: Tensor) -> Tensor:
        """Draw images from codes with fresh noise."""
        synthesis = self.state.generator.synthesis
        image: Tensor = synthesis(ws, synthesis.draw_noise(len(ws), self.random))
        return image

    def scores(self, images: Tensor) -> Tensor:
        """Return what the discriminator says of images after augmentation."""
        score: Tensor = self.state.discriminator(self.augment(images, self.random))
        return score


class Term(Protocol):
    """A loss of one player."""

    @property
    def name(self) -> str:
        """Word under which the loss is logged."""

    @property
    def player(self) -> Player:
        """Whose parameters it moves."""

    @property
    def every(self) -> int:
        """Steps between its turns; 1 joins the player's main step, more is a lazy step of its own."""

    def __call__(self, turn: Turn) -> Tensor:
        """Return the loss, a scalar; of a lazy term before the factor ``every``."""


@dataclass(frozen=True)
class LogisticD:
    """The discriminator's half of the non-saturating logistic game."""

    name: str = "loss_d"
    player: Player = "D"
    every: int = 1

    def __call__(self, turn: Turn) -> Tensor:
        """Score one batch of drawn and one of real images."""
        with torch.no_grad():
            drawn = turn.draw(turn.draw_ws(len(turn.real)))
        fake, real = turn.scores(drawn), turn.scores(turn.real)
        turn.state.ada.observe(real.detach())
        turn.report |= {"score_real": real.detach().mean(), "score_fake": fake.detach().mean()}
        return discriminator_loss(real, fake)


@dataclass(frozen=True)
class LogisticG:
    """The generator's half of the non-saturating logistic game."""

    name: str = "loss_g"
    player: Player = "G"
    every: int = 1

    def __call__(self, turn: Turn) -> Tensor:
        """Draw a batch and let the discriminator score it."""
        return generator_loss(turn.scores(turn.draw(turn.draw_ws(len(turn.real)))))


@dataclass(frozen=True)
class R1:
    """Gradient penalty on real images, through the augmentation to the raw images."""

    gamma: float
    every: int = 16
    name: str = "r1"
    player: Player = "D"

    def __call__(self, turn: Turn) -> Tensor:
        """Return gamma / 2 times the mean squared gradient norm."""
        real = turn.real.detach().requires_grad_(True)
        penalty = r1(turn.scores(real), real).mean()
        return penalty * (self.gamma / 2)


@dataclass(frozen=True)
class PathLength:
    """Path length regularisation (Karras et al. 2020, arXiv:1912.04958, Eq. 4) on a smaller batch."""

    weight: float
    every: int = 4
    shrink: int = 2
    decay: float = 0.01
    name: str = "path"
    player: Player = "G"

    def __call__(self, turn: Turn) -> Tensor:
        """Return the mean squared deviation of path lengths from their running mean, which it moves."""
        count = max(len(turn.real) // self.shrink, 1)
        ws = turn.draw_ws(count)
        if not ws.requires_grad:  # the mapping network may rest
            ws.requires_grad_(True)
        images = turn.draw(ws)
        noise = torch.randn(images.shape, generator=turn.random).to(images)
        lengths = path_lengths(images, ws, noise)
        mean = turn.state.path_mean.lerp(lengths.detach().mean(), self.decay)
        turn.state.path_mean = mean
        return (lengths - mean).square().mean() * self.weight


def standard_terms(training: Training) -> tuple[Term, ...]:
    """Return the terms of StyleGAN2: the game, R1 and path length."""
    terms: list[Term] = [LogisticD()]
    if training.r1_interval:
        terms.append(R1(training.r1_gamma, training.r1_interval))
    terms.append(LogisticG())
    if training.path_interval:
        terms.append(
            PathLength(training.path_weight, training.path_interval, training.path_shrink, training.path_decay)
        )
    return tuple(terms)
