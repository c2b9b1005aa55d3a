"""Training of translators: its settings, its losses and its state, for one group of people or several.

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
from ..errors import UsageError
from ..losses.perceptual import absolute_error
from ..losses.translation import attention_loss, drawn_well, group_loss, person_loss, told_apart
from ..networks.branches import BranchedTranslator, TranslatorSystem
from ..networks.identity import Identity
from ..networks.patch_discriminator import PatchPanel
from ..networks.translator import Init, Translated
from ..networks.translator_layers import clamp_shares
from .distributed import ProcessGroup
from .loop import Losses, Phase, Share
from .spec import refuse_not_finite
from .state import Optimised, State, random_of


@dataclass(frozen=True)
class TranslatorTraining:
    """Every setting of a translator's training; the defaults are the few-shot paper's."""

    images: int = 200_000
    """Photos to show in all, of all groups together; as many drawings are shown beside them."""
    batch: int = 1
    """Photos, and drawings, of each group in a step."""
    seed: int = 0
    learning_rate: float = 1e-4
    beta1: float = 0.5
    """Of Adam."""
    beta2: float = 0.999
    weight_decay: float = 1e-4
    """Added to the gradient (L2), as the programs do it."""
    decay_from: float = 1.0
    """Share of the training after which the learning rate falls, in a straight line to 0; it is fixed at 1."""
    adversarial_weight: float = 1.0
    discriminator_weight: float = 1.0
    """Of the adversarial part of the discriminators' loss; CycleGAN has one half."""
    cycle_weight: float = 10.0
    identity_weight: float = 10.0
    attention_weight: float = 1000.0
    """Of the translators' auxiliary classifiers; of no meaning without attention."""
    person_weight: float = 1.0
    """Of 1 minus the cosine of the embeddings of two faces; nothing is embedded at 0."""
    group_weight: float = 100.0
    """Of the classification of what is drawn; that of real pictures has weight 1. Only where groups are told apart."""
    selective: bool = True
    """Let samples of the groups that are not the common one move the branch of their group only."""
    pool: int = 0
    """The discriminators see one of so many earlier pictures half of the time (Shrivastava et al. 2017); 0: never."""
    enlarge: float = 286 / 256
    """Pictures are made larger by this factor, and a square of the network's size is cut out at random."""
    mirror: bool = True
    """Show each picture mirrored half of the time."""
    init: Init = "normal"
    """How new weights are drawn."""
    accumulate: int = 1
    """Parts in which a batch is worked through, to save memory; gradients are those of the whole."""
    tick: int = 500
    """Images between lines of statistics."""
    snapshot: int = 10_000
    """Images between snapshots and sheets of drawings."""

    def __post_init__(self) -> None:
        refuse_not_finite(self)
        for name in ("images", "batch", "accumulate", "tick", "snapshot"):
            if getattr(self, name) < 1:
                raise UsageError(f"The setting {name} must be at least 1, not {getattr(self, name)}.")
        for name in ("adversarial", "discriminator", "cycle", "identity", "attention", "person", "group"):
            if not getattr(self, f"{name}_weight") >= 0:
                raise UsageError(f"The setting {name}_weight cannot be negative.")
        if not self.discriminator_weight or not self.adversarial_weight + self.cycle_weight + self.identity_weight:
            raise UsageError(
                "Nothing would be learned: discriminator_weight is 0, or adversarial_, cycle_ and identity_weight are.",
                "Give one of these a weight.",
            )
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"The setting {name} must be at least 0 and below 1, not {getattr(self, name)}.")
        if not self.learning_rate > 0 or not self.weight_decay >= 0 or self.pool < 0:
            raise UsageError("The settings learning_rate, weight_decay and pool cannot be negative, the first not 0.")
        if not 0 <= self.decay_from <= 1 or not 1 <= self.enlarge <= 2:
            raise UsageError("The setting decay_from is a share from 0 to 1; enlarge is a factor from 1 to 2.")

    def rate(self, images: int) -> float:
        """Return the learning rate after so many images."""
        left = 1 - images / self.images  # from 1 to 0
        return (
            self.learning_rate * min(left / (1 - self.decay_from), 1.0) if self.decay_from < 1 else self.learning_rate
        )

    def idle(self, *, groups: int, attention: bool, new: bool) -> dict[str, str]:
        """Return settings that have no effect, and why.

        Args:
            groups: That are told apart.
            attention: Whether the translators have any.
            new: Whether their weights are drawn anew.
        """
        found = {} if attention else {"attention_weight": "the translators have no attention"}
        if groups < 2:
            found |= dict.fromkeys(("group_weight", "selective"), "there is one group")
        if not new:
            found["init"] = "the weights are those of the translator to go on from"
        return found

    def refuse_idle(self, identity: bool) -> None:
        """Refuse a face embedder that no loss would look through.

        Raises:
            UsageError: One is given, and its loss has no weight.
        """
        if identity and not self.person_weight:
            raise UsageError(
                "A face embedder is given, and person_weight is 0.", "Leave it out, or give person_weight a value."
            )

    def loaded(self, resolution: int) -> int:
        """Return the side at which pictures for a network of ``resolution`` pixels are opened."""
        return round(resolution * self.enlarge)


Sample = tuple[Tensor, Tensor]
"""Photos and drawings of one group, [batch, 3, R, R] each."""


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
    """Both translators, both panels of discriminators, their optimisers and the pools of earlier pictures."""

    def __init__(self, system: TranslatorSystem, training: TranslatorTraining) -> None:
        """Begin a training with networks that it then owns."""
        self.system = system
        to_drawing, to_photo, of_drawings, of_photos = system.train().requires_grad_(True).players()

        def adam(*networks: nn.Module) -> Optimised:
            parameters = [p for network in networks for p in network.parameters()]
            betas = (training.beta1, training.beta2)
            optimiser = Adam(
                parameters, training.learning_rate, betas, weight_decay=training.weight_decay, foreach=True
            )
            return Optimised("adam", system, optimiser)

        super().__init__({"system": system}, {"D": adam(of_drawings, of_photos), "G": adam(to_drawing, to_photo)})
        self.kept["pool"] = {}

    @property
    def pools(self) -> dict[str, Tensor]:
        """Earlier drawings and photos that the translators made, where the discriminators are shown such."""
        return self.kept["pool"]


Terms = dict[str, tuple[float, Tensor]]
"""Weight and value of each part of a loss."""


class TranslationLoss:
    """What translators and discriminators minimise. Terms of weight 0 are not computed."""

    def __init__(
        self, system: TranslatorSystem, training: TranslatorTraining, identity: Identity | None = None
    ) -> None:
        """Choose the networks and the face embedder.

        Args:
            system: Both translators and both panels of discriminators.
            training: Weights.
            identity: The face embedder; may be None where its weight is 0.

        Raises:
            UsageError: ``person_weight`` is set and there is no face embedder, or a network is missing.
        """
        if training.person_weight and identity is None:
            raise UsageError("person_weight > 0 needs a face embedder.", "Give one, or set person_weight=0.")
        self.to_drawing, self.to_photo, self.of_drawings, self.of_photos = system.players()
        self.groups, self.training, self.identity = system.groups, training, identity

    def of_discriminators(self, sample: Sample, fakes: Sample, group: str) -> Terms:
        """Return the terms of the discriminators for photos and drawings of a group and for what was made of them.

        Args:
            sample: Photos and drawings.
            fakes: Photos drawn of drawings, and drawings of photos.
            group: Whose.
        """
        terms: Terms = {}
        for panel, real, fake in zip((self.of_photos, self.of_drawings), sample, fakes, strict=True):
            # Pictures do not see each other, so one pass over all is the same, and quicker.
            output, count = panel(torch.cat([real, fake])), len(real)
            scores = [s.float() for s in output.scores]  # maps [2N, 1, h, w]; losses are formulas of full precision
            apart = told_apart([s[:count] for s in scores], [s[count:] for s in scores])  # L_adv + L_cam of D
            _add(terms, "game_d", self.training.discriminator_weight, apart)
            if output.groups is not None:  # L_cls^real, of logits [N, groups]
                _add(terms, "group_d", 1.0, group_loss(output.groups[:count].float(), self.groups.index(group)))
        return terms

    def of_translators(self, sample: Sample, group: str, *, detached: bool = False) -> Terms:
        """Return the terms of the translators for photos and drawings of a group.

        Args:
            sample: Photos and drawings.
            group: Whose.
            detached: Keep the gradient from the shared parameters.
        """
        terms: Terms = {}
        photos, drawings = sample
        ways = (
            (photos, drawings, self.to_drawing, self.to_photo, self.of_drawings),
            (drawings, photos, self.to_photo, self.to_drawing, self.of_photos),
        )
        for pictures, others, there, back, panel in ways:
            self._one_way(terms, pictures, others, there, back, panel, group, detached)
        return terms

    def fakes(self, sample: Sample, group: str) -> Sample:
        """Return photos made of drawings and drawings made of photos, without a gradient."""
        photos, drawings = sample
        with torch.no_grad():
            return self.to_photo(drawings, group).image.float(), self.to_drawing(photos, group).image.float()

    def _one_way(
        self,
        terms: Terms,
        pictures: Tensor,
        others: Tensor,
        there: BranchedTranslator,
        back: BranchedTranslator,
        panel: PatchPanel,
        group: str,
        detached: bool,
    ) -> None:
        weights, count = self.training, len(pictures)
        both = weights.identity_weight or (weights.attention_weight and there.anatomy.attentive)
        seen: Translated = there(torch.cat([pictures, others]) if both else pictures, group, detached=detached)
        images = seen.image.float()  # [N or 2N, 3, R, R]
        made = images[:count]
        output = panel(made)
        if weights.adversarial_weight:  # L_adv
            scores = [s.float() for s in output.scores]
            _add(terms, "game_g", weights.adversarial_weight, drawn_well(scores))
        if weights.cycle_weight:  # L_cycle = |T'(T(x)) - x|
            again = back(made, group, detached=detached).image.float()
            _add(terms, "cycle", weights.cycle_weight, absolute_error(again, pictures).mean())
        if weights.identity_weight:  # L_identity = |T(y) - y|
            _add(terms, "identity", weights.identity_weight, absolute_error(images[count:], others).mean())
        if weights.attention_weight and seen.logits is not None:  # L_cam of the translator, logits [2N, 2]
            attended = attention_loss(seen.logits[:count].float(), seen.logits[count:].float())
            _add(terms, "attention", weights.attention_weight, attended)
        if weights.person_weight and self.identity is not None:  # L_face
            _add(terms, "person", weights.person_weight, person_loss(self.identity, pictures, made))
        if weights.group_weight and output.groups is not None:  # L_cls^fake
            classified = group_loss(output.groups.float(), self.groups.index(group))
            _add(terms, "group_g", weights.group_weight, classified)


@dataclass(frozen=True)
class Shown:
    """What a step shows of one group."""

    group: str
    sample: Sample
    fakes: Sample | None
    """What the discriminators see beside the sample; made for each share where there is no pool."""


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
            system: Both translators and both panels of discriminators.
            identity: The face embedder; may be None where its weight is 0.

        Raises:
            UsageError: There is no face embedder where one is needed, or a network is missing.
        """
        self.training, self.samples, self.loss = training, samples, TranslationLoss(system, training, identity)
        self.groups = len(system.groups)
        self.phases = (
            Phase("the discriminators", "D", 1, ("loss_d",), self._discriminators),
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
        for panel in (self.loss.of_drawings, self.loss.of_photos):
            panel.iterate()
        batch, shown = self.samples.at(state.step), []
        self.groups = len(batch)
        for group, (photos, drawings) in batch.items():
            sample = photos.to(state.device), drawings.to(state.device)
            shown.append(Shown(group, sample, self._pooled(state, sample, group) if self.training.pool else None))
        return shown

    def finish(self, state: TranslatorState, report: dict[str, Tensor]) -> None:
        """Keep the shares of normalisations between 0 and 1."""
        for translator in (self.loss.to_drawing, self.loss.to_photo):
            clamp_shares(translator)

    def _discriminators(self, state: TranslatorState, shown: Shown, unit: int, share: Share) -> Losses:
        sample = _taken(shown.sample, share)
        fakes = self.loss.fakes(sample, shown.group) if shown.fakes is None else _taken(shown.fakes, share)
        return self._losses("loss_d", self.loss.of_discriminators(sample, fakes, shown.group))

    def _translators(self, state: TranslatorState, shown: Shown, unit: int, share: Share) -> Losses:
        # Selective back-propagation (Sec. 3.3): all but the common group move their own branch only.
        detached = self.training.selective and shown.group != self.loss.groups[0]
        sample = _taken(shown.sample, share)
        return self._losses("loss_g", self.loss.of_translators(sample, shown.group, detached=detached))

    def _losses(self, name: str, terms: Terms) -> Losses:
        """Return the weighted sum; in the log terms are means over groups, and the loss is the sum over them."""
        loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
        report = {key: value.detach() for key, (_, value) in terms.items()}
        return loss, {name: loss.detach() * self.groups, **report}

    def _pooled(self, state: TranslatorState, sample: Sample, group: str) -> Sample:
        """Return what the whole batch becomes, partly exchanged for what was made earlier."""
        photos, drawings = self.loss.fakes(sample, group)
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


def _add(terms: Terms, name: str, weight: float, value: Tensor) -> None:
    terms[name] = weight, value + terms[name][1] if name in terms else value


def _taken(sample: Sample, share: Share) -> Sample:
    photos, drawings = sample
    return share.take(photos), share.take(drawings)
