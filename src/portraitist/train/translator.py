"""Training of translators: its state and its objective, for one group of people or several.

"Few-shot Fine-grained Cartoon Face Generation", Sec. 3.2 and 3.3. The basic model is trained on the common group alone;
in the second stage every step shows samples of each group. The losses of the common group move the shared parameters
and its own; those of the others move their own branch only (selective back-propagation). The discriminators are shared
by all groups and learn from all.

    state = TranslatorState(system, training)
    fit(state, Translation(training, GroupBatches(data, training, 64), system, identity), on_step)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ..data.groups import SIDES, Groups, Pool
from ..data.sampler import BatchOrder
from ..networks.branches import TranslatorSystem
from ..networks.identity import Identity
from ..networks.translator_layers import clamp_shares
from .coded_loss import CodedLoss
from .distributed import ProcessGroup
from .drit_loss import DritLoss
from .loop import Losses, Phase, Share
from .state import Optimised, State, random_of
from .translation_loss import Draws, Sample, Terms, TranslationLoss
from .translator_settings import TranslatorTraining


class Samples(Protocol):
    """Where pictures come from."""

    def at(self, step: int) -> Mapping[str, Sample]:
        """Return the pictures of each group, the common one first, of a step; a pure function of its number."""


@dataclass(frozen=True)
class GroupBatches:
    """Photos and drawings of groups in the endless orders of a seed, cut at random."""

    data: Groups
    training: TranslatorTraining
    resolution: int

    def at(self, step: int) -> dict[str, Sample]:
        """Return the pictures of each group of a step."""
        return {
            name: (self._cut(self.data.photos[name], step, name, 0), self._cut(self.data.drawings[name], step, name, 1))
            for name in self.data.names
        }

    def names(self, step: int) -> list[str]:
        """Return what the pictures of a step are called, with their groups."""
        found = []
        for name in self.data.names:
            for side, pool in enumerate((self.data.photos[name], self.data.drawings[name])):
                indices, _ = self._order(pool, step, side)
                found += [f"{SIDES[side]}/{name}/{pool.names[index]}" for index in indices.tolist()]
        return found

    def _order(self, pool: Pool, step: int, side: int) -> tuple[Tensor, Tensor]:
        # Orders of their own: in a common one each photo would always meet the same drawing in sets of equal size.
        t = self.training
        return BatchOrder(len(pool), t.batch, 2 * t.seed + side, t.mirror).at(step * t.batch)

    def _cut(self, pool: Pool, step: int, group: str, side: int) -> Tensor:
        t = self.training
        pictures = pool.batch(*self._order(pool, step, side))
        room, size = pictures.shape[-1] - self.resolution, self.resolution
        random = random_of(t.seed, step, group, side)
        corners = torch.randint(room + 1, (len(pictures), 2), generator=random).tolist()
        return torch.stack([p[:, y : y + size, x : x + size] for p, (y, x) in zip(pictures, corners, strict=True)])


class TranslatorState(State):
    """Both translators, all discriminators, their optimisers and the pools of earlier pictures."""

    def __init__(self, system: TranslatorSystem, training: TranslatorTraining) -> None:
        """Begin a training with networks that it then owns."""
        self.system = system
        to_drawing, to_photo, of_drawings, of_photos = system.train().requires_grad_(True).players()

        def adam(*networks: nn.Module) -> Optimised:
            parameters = list(nn.ModuleList(networks).parameters())  # what translators share comes once
            betas = (training.beta1, training.beta2)
            optimiser = Adam(
                parameters, training.learning_rate, betas, weight_decay=training.weight_decay, foreach=True
            )
            return Optimised("adam", system, optimiser)

        judges = [of_drawings, of_photos] + ([] if system.of_contents is None else [system.of_contents])
        super().__init__({"system": system}, {"D": adam(*judges), "G": adam(to_drawing, to_photo)})
        self.kept["pool"] = {}

    @property
    def pools(self) -> dict[str, Tensor]:
        """Earlier drawings and photos that the translators made, where the discriminators are shown such."""
        return self.kept["pool"]


@dataclass(frozen=True)
class Shown:
    """What a step shows of one group."""

    group: str
    sample: Sample
    fakes: Sample | None
    """What the discriminators see beside the sample; made for each share where there is no pool."""
    draws: Draws | None = None
    """Random numbers of the group's batch, the same for discriminators and translators."""


class Translation:
    """The training of translators as an objective of the loop: discriminators, then translators, over all groups."""

    units = 1  # each group has a whole batch, and losses are added

    def __init__(
        self,
        training: TranslatorTraining,
        samples: Samples,
        system: TranslatorSystem,
        identity: Identity | None,
    ) -> None:
        """Choose what is minimised.

        Args:
            training: Settings.
            samples: Pictures by step.
            system: Both translators and all discriminators.
            identity: The face embedder; may be None where its weight is 0.

        Raises:
            UsageError: There is no face embedder where one is needed, or a network is missing.
        """
        coded = DritLoss if system.anatomy.adversarial else CodedLoss
        kind = coded if system.anatomy.coded else TranslationLoss
        self.training, self.samples, self.loss = training, samples, kind(system, training, identity)
        self.groups = len(system.groups)
        self.phases = (
            Phase("the discriminators", "D", 1, ("loss_d",), self._discriminators, after=training.initial_images),
            Phase("the translators", "G", 1, ("loss_g",), self._translators),
        )

    @property
    def step_images(self) -> int:
        """Photos in a step, of all groups together."""
        return self.training.batch * self.groups

    def prepare(self, state: TranslatorState, parts: int, group: ProcessGroup) -> None:
        """Do nothing: pictures do not see each other."""

    def begin(self, state: TranslatorState) -> Sequence[Shown]:
        """Return what the step shows of each group; set the learning rate, and move the spectral norms once."""
        for optimised in state.optimisers.values():
            for settings in optimised.optimiser.param_groups:
                settings["lr"] = self.training.rate(state.images)
        if not self._initial(state):
            for panel in (self.loss.of_drawings, self.loss.of_photos):
                panel.iterate()
        batch, shown = self.samples.at(state.step), []
        self.groups = len(batch)
        for group, (photos, drawings) in batch.items():
            sample = photos.to(state.device), drawings.to(state.device)
            draws = self._draws(state, len(photos), group)
            pooled = self.training.pool and not self._initial(state)
            fakes = self._pooled(state, sample, group, draws) if pooled else None
            shown.append(Shown(group, sample, fakes, draws))
        return shown

    def finish(self, state: TranslatorState, report: dict[str, Tensor]) -> None:
        """Keep the shares of normalisations between 0 and 1."""
        for translator in (self.loss.to_drawing, self.loss.to_photo):
            clamp_shares(translator)

    def _discriminators(self, state: TranslatorState, shown: Shown, unit: int, share: Share) -> Losses:
        sample = _taken(shown.sample, share)
        draws = None if shown.draws is None else _taken(shown.draws, share)
        fakes = self.loss.fakes(sample, shown.group, draws) if shown.fakes is None else _taken(shown.fakes, share)
        return self._losses("loss_d", self.loss.of_discriminators(sample, fakes, shown.group, draws))

    def _translators(self, state: TranslatorState, shown: Shown, unit: int, share: Share) -> Losses:
        # Selective back-propagation (Sec. 3.3): all but the common group move their own branch only.
        detached = self.training.selective and shown.group != self.loss.groups[0]
        sample = _taken(shown.sample, share)
        if self._initial(state):
            return self._losses("loss_g", self.loss.of_copies(sample, shown.group, detached=detached))
        draws = None if shown.draws is None else _taken(shown.draws, share)
        return self._losses("loss_g", self.loss.of_translators(sample, shown.group, draws, detached=detached))

    def _losses(self, name: str, terms: Terms) -> Losses:
        """Return the weighted sum; in the log terms are means over groups, and the loss is the sum over them."""
        loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
        report = {key: value.detach() for key, (_, value) in terms.items()}
        return loss, {name: loss.detach() * self.groups, **report}

    def _initial(self, state: TranslatorState) -> bool:
        """Tell whether the translators only learn to draw pictures again as yet."""
        return state.images < self.training.initial_images

    def _draws(self, state: TranslatorState, count: int, group: str) -> Draws | None:
        drawn = self.loss.draws(count, self.training.seed, state.step, group)
        return None if drawn is None else (drawn[0].to(state.device), drawn[1].to(state.device))

    def _pooled(self, state: TranslatorState, sample: Sample, group: str, draws: Draws | None) -> Sample:
        """Return what the whole batch becomes, partly exchanged for what was made earlier."""
        photos, drawings = self.loss.fakes(sample, group, draws)
        random = random_of(self.training.seed, state.step, group, "pool")
        return (
            _exchanged(state.pools, f"photos.{group}", photos, self.training.pool, random),
            _exchanged(state.pools, f"drawings.{group}", drawings, self.training.pool, random),
        )


def _exchanged(pools: dict[str, Tensor], name: str, fresh: Tensor, size: int, random: torch.Generator) -> Tensor:
    """Exchange each fresh picture, half of the time, for one that was kept; keep all until the pool is full."""
    pool, shown = pools.get(name, fresh[:0]), []
    for picture in fresh:
        if len(pool) < size:
            pool = torch.cat([pool, picture[None]])
        elif torch.rand((), generator=random) < 0.5:
            at = int(torch.randint(size, (), generator=random))
            picture, pool = pool[at], torch.cat([pool[:at], picture[None], pool[at + 1 :]])
        shown.append(picture)
    pools[name] = pool
    return torch.stack(shown)


def _taken(sample: Sample, share: Share) -> Sample:
    photos, drawings = sample
    return share.take(photos), share.take(drawings)
