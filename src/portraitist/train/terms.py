"""The terms of the game: a loss, whose turn it is, and how often.

A term sees a :class:`Turn`, which offers the players, the real images and every random draw; it returns a scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from ..losses import Game, discriminator_loss, generator_loss, path_lengths, r1
from ..networks import Discriminator, Generator, Seen
from .ada import mean_sign
from .spec import Training
from .state import TrainState

Player = Literal["G", "D"]


@dataclass(frozen=True)
class Share:
    """Every ``of``-th image of a batch, from the ``index``-th on: what one process works on at a time.

    Images i, i + of, ... keep the groups of the discriminator's minibatch statistic together.
    """

    index: int = 0
    of: int = 1

    def take(self, batch: Tensor) -> Tensor:
        """Return the share of something that has the batch as its first axis."""
        return batch[self.index :: self.of]


@dataclass(frozen=True)
class Drawn:
    """What the generator has drawn, and from what."""

    z: Tensor
    """Latents, one per row of W+: [N, rows, z_dim]."""
    noise: list[Tensor]
    seen: list[Seen]
    """What each block has drawn."""

    @property
    def images(self) -> Tensor:
        """[N, 3, R, R] in about [-1, 1]."""
        return self.seen[-1].image


@dataclass
class Turn:
    """One step of one player: what a term may look at and draw from.

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
    share: Share = Share()
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
        first, second = torch.randn(2, batch, anatomy.z_dim, generator=self.random)
        mixed = torch.rand(batch, generator=self.random) < self.training.mixing
        crossover = torch.randint(1, rows, (batch,), generator=self.random)
        crossed = mixed[:, None] & (torch.arange(rows)[None] >= crossover[:, None])  # [batch, rows]
        z = torch.where(crossed[:, :, None], second[:, None], first[:, None])
        return self.share.take(z).to(self.real.device)

    def noise(self, batch: int) -> list[Tensor]:
        """Draw this share of fresh noise for a batch."""
        planes = self.generator.synthesis.draw_noise(batch, self.random)
        return [self.share.take(plane) for plane in planes]

    @cached_property
    def drawn(self) -> Drawn:
        """A batch of images of fresh latents and noise; all terms of a step look at the same."""
        z, noise = self.latents(self.batch), self.noise(self.batch)
        return Drawn(z, noise, list(self.generator.synthesis.walk(self.generator.styles(z), noise)))

    def scores(self, images: Tensor) -> Tensor:
        """Return what the discriminator says of images after augmentation."""
        score: Tensor = self.discriminator(self.augmentation(images, self.random, self.share))
        return score.float()  # losses are formulas of full precision


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
        """Return the loss, a scalar, mean over the share; of a lazy term before the factor ``every``."""

    def note(self, state: TrainState, training: Training, report: dict[str, Tensor]) -> None:
        """Take from the averaged report of a step what the state remembers; called once a step."""


class Forgetful:
    """A term that the state remembers nothing of."""

    def note(self, state: TrainState, training: Training, report: dict[str, Tensor]) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class PlayD:
    """The discriminator's half of the game."""

    game: Game = "logistic"
    name: str = "loss_d"
    player: Player = "D"
    every: int = 1

    def __call__(self, turn: Turn) -> Tensor:
        """Score one batch of drawn and one of real images."""
        with torch.no_grad():
            drawn = turn.drawn.images
        fake, real = turn.scores(drawn), turn.scores(turn.real)
        seen = real.detach()
        turn.report |= {"score_real": seen.mean(), "score_fake": fake.detach().mean(), "sign_real": mean_sign(seen)}
        return discriminator_loss(real, fake, self.game)

    def note(self, state: TrainState, training: Training, report: dict[str, Tensor]) -> None:
        """Tell the controller of the augmentation how sure the discriminator is of real images."""
        state.ada.note(report["sign_real"], training.batch)


@dataclass(frozen=True)
class PlayG(Forgetful):
    """The generator's half of the game."""

    game: Game = "logistic"
    name: str = "loss_g"
    player: Player = "G"
    every: int = 1

    def __call__(self, turn: Turn) -> Tensor:
        """Draw a batch and let the discriminator score it."""
        return generator_loss(turn.scores(turn.drawn.images), self.game)


@dataclass(frozen=True)
class R1(Forgetful):
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
    name: str = "path"
    player: Player = "G"

    def __call__(self, turn: Turn) -> Tensor:
        """Return the mean squared deviation of path lengths from their running mean."""
        batch = max(turn.batch // self.shrink, turn.share.of)
        ws = turn.generator.styles(turn.latents(batch))
        if not ws.requires_grad:  # the mapping network may rest
            ws.requires_grad_(True)
        images = turn.generator.synthesis(ws, turn.noise(batch))
        noise = turn.share.take(torch.randn(batch, *images.shape[1:], generator=turn.random)).to(images)
        lengths = path_lengths(images, ws, noise)
        turn.report["path_length"] = lengths.detach().mean()
        return (lengths - turn.state.path_mean).square().mean() * self.weight

    def note(self, state: TrainState, training: Training, report: dict[str, Tensor]) -> None:
        """Move the running mean of path lengths."""
        state.path_mean = state.path_mean.lerp(report["path_length"].to(state.path_mean), training.path_decay)


def standard_terms(training: Training) -> tuple[Term, ...]:
    """Return the terms of StyleGAN2: the game, R1 and path length."""
    terms: list[Term] = [PlayD(training.game)]
    if training.r1_interval:
        terms.append(R1(training.r1_gamma, training.r1_interval))
    terms.append(PlayG(training.game))
    if training.path_interval:
        terms.append(PathLength(training.path_weight, training.path_interval, training.path_shrink))
    return tuple(terms)
