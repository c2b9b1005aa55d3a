"""Training of translators: the game, its settings, its state and its one loop, for one group of people or several.

"Few-shot Fine-grained Cartoon Face Generation", Sec. 3.2 and 3.3. The basic model is trained on the common group alone;
in the second stage every step shows samples of each group. The losses of the common group move the shared parameters
and its own; those of the others move their own branch only (selective back-propagation). The discriminators are shared
by all groups and learn from all.

    state = TranslatorState.start(system, training)
    fit_translator(state, GroupBatches(data, training, 64), training, persons, on_step)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ..data.groups import Groups, Pool
from ..data.sampler import BatchOrder
from ..errors import NonFinite, UsageError
from ..losses.perceptual import absolute_error
from ..losses.translation import attention_loss, drawn_well, group_loss, person_loss, told_apart
from ..networks.branches import BranchedTranslator, TranslatorSystem
from ..networks.identity import Identity
from ..networks.patch_discriminator import PatchPanel
from ..networks.translator import Init, Translated
from ..networks.translator_layers import clamp_shares
from .state import random_of


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
    """Of the game in the discriminators' loss; CycleGAN has one half."""
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
    tick: int = 500
    """Images between lines of statistics."""
    snapshot: int = 10_000
    """Images between snapshots and sheets of drawings."""

    def __post_init__(self) -> None:
        for name in ("images", "batch", "tick", "snapshot"):
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
        left = 1 - images / self.images
        return (
            self.learning_rate * min(left / (1 - self.decay_from), 1.0) if self.decay_from < 1 else self.learning_rate
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

    def _cut(self, pool: Pool, step: int, group: str, side: int) -> Tensor:
        t = self.training
        # Orders of their own: in a common one each photo would always meet the same drawing in sets of equal size.
        order = BatchOrder(len(pool), t.batch, 2 * t.seed + side, t.mirror)
        pictures = pool.batch(*order.at(step * t.batch))
        room, size = pictures.shape[-1] - self.resolution, self.resolution
        random = random_of(t.seed, step, group, side)
        corners = torch.randint(room + 1, (len(pictures), 2), generator=random).tolist()
        return torch.stack([p[:, y : y + size, x : x + size] for p, (y, x) in zip(pictures, corners, strict=True)])


@dataclass
class TranslatorState:
    """All that the training of a translator is at one moment, and all that a snapshot must hold."""

    system: TranslatorSystem
    optimiser_g: Adam
    optimiser_d: Adam
    images: int = 0
    """Photos seen."""
    step: int = 0
    pools: dict[str, Tensor] = field(default_factory=dict)
    """Earlier drawings and photos that the translators made, where the discriminators are shown such."""

    @classmethod
    def start(cls, system: TranslatorSystem, training: TranslatorTraining) -> TranslatorState:
        """Begin a training with players that it then owns."""
        to_drawing, to_photo, of_drawings, of_photos = system.train().requires_grad_(True).players()

        def adam(*players: nn.Module) -> Adam:
            parameters = [p for player in players for p in player.parameters()]
            betas = (training.beta1, training.beta2)
            return Adam(parameters, training.learning_rate, betas, weight_decay=training.weight_decay, foreach=True)

        return cls(system, adam(to_drawing, to_photo), adam(of_drawings, of_photos))

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state under one flat name each."""
        found = {f"system.{k}": v for k, v in self.system.state_dict().items()}
        for name, p in self.system.named_parameters():
            found |= {f"adam.{key}.{name}": torch.as_tensor(v) for key, v in self._moments(p).items()}
        return found | {f"pool.{k}": v for k, v in self.pools.items()}

    def counters(self) -> dict[str, Any]:
        """Return what is no tensor."""
        return {"images": self.images, "step": self.step}

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Become the state that a snapshot holds; the exact opposite of :meth:`tensors` and :meth:`counters`."""
        rest = dict(tensors)
        device = next(self.system.parameters()).device
        self.system.load_state_dict({k: rest.pop(f"system.{k}") for k in self.system.state_dict()})
        trained = {p for group in self.optimiser_g.param_groups for p in group["params"]}
        for name, p in self.system.named_parameters():
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"adam.{key}.{name}" in rest]
            if keys:
                loaded = {key: rest.pop(f"adam.{key}.{name}") for key in keys}
                optimiser = self.optimiser_g if p in trained else self.optimiser_d
                optimiser.state[p] = {k: v if k == "step" else v.to(p.device) for k, v in loaded.items()}
        self.pools = {k.removeprefix("pool."): rest.pop(k).to(device) for k in list(rest) if k.startswith("pool.")}
        if rest:
            raise KeyError(f"unknown tensors in the snapshot: {sorted(rest)[:5]}")
        self.images, self.step = counters["images"], counters["step"]

    def _moments(self, p: nn.Parameter) -> dict[str, Any]:
        return self.optimiser_g.state.get(p) or self.optimiser_d.state.get(p) or {}


Terms = dict[str, tuple[float, Tensor]]
"""Weight and value of each part of a loss."""


class TranslationLoss:
    """What the players minimise. Terms of weight 0 are not computed."""

    def __init__(self, system: TranslatorSystem, training: TranslatorTraining, persons: Identity | None = None) -> None:
        """Choose what persons are told apart by.

        Args:
            system: The players.
            training: Weights.
            persons: Tells persons apart; may be None where its weight is 0.

        Raises:
            UsageError: There is a weight of the person, and nothing that tells persons apart; or a player is missing.
        """
        if training.person_weight and persons is None:
            raise UsageError("Nothing tells persons apart.", "Give an embedder, or set person_weight=0.")
        self.to_drawing, self.to_photo, self.of_drawings, self.of_photos = system.players()
        self.groups, self.training, self.persons = system.groups, training, persons

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
            judged, count = panel(torch.cat([real, fake])), len(real)
            apart = told_apart([s[:count] for s in judged.scores], [s[count:] for s in judged.scores])
            _add(terms, "game_d", self.training.discriminator_weight, apart)
            if judged.groups is not None:
                _add(terms, "group_d", 1.0, group_loss(judged.groups[:count], self.groups.index(group)))
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
            return self.to_photo(drawings, group).image, self.to_drawing(photos, group).image

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
        minds = weights.identity_weight or (weights.attention_weight and there.anatomy.attentive)
        seen: Translated = there(torch.cat([pictures, others]) if minds else pictures, group, detached=detached)
        made = seen.image[:count]
        judged = panel(made)
        if weights.adversarial_weight:
            _add(terms, "game_g", weights.adversarial_weight, drawn_well(judged.scores))
        if weights.cycle_weight:
            again = back(made, group, detached=detached).image
            _add(terms, "cycle", weights.cycle_weight, absolute_error(again, pictures).mean())
        if weights.identity_weight:
            _add(terms, "identity", weights.identity_weight, absolute_error(seen.image[count:], others).mean())
        if weights.attention_weight and seen.logits is not None:
            attended = attention_loss(seen.logits[:count], seen.logits[count:])
            _add(terms, "attention", weights.attention_weight, attended)
        if weights.person_weight and self.persons is not None:
            _add(terms, "person", weights.person_weight, person_loss(self.persons, pictures, made))
        if weights.group_weight and judged.groups is not None:
            _add(terms, "group_g", weights.group_weight, group_loss(judged.groups, self.groups.index(group)))


def fit_translator(
    state: TranslatorState,
    samples: Samples,
    training: TranslatorTraining,
    persons: Identity | None,
    on_step: Callable[[TranslatorState, dict[str, Tensor]], bool],
) -> TranslatorState:
    """Train until ``training.images`` photos have been seen or ``on_step`` says stop.

    Args:
        state: Where the training stands; moved in place.
        samples: Pictures by step.
        training: Settings.
        persons: Tells persons apart; may be None where its weight is 0.
        on_step: Called after every step with the state and the scalars of the step; True ends the training.

    Raises:
        NonFinite: A loss or its gradient is NaN or infinite; no weight has been touched by it.
        UsageError: Nothing tells persons apart, or a player is missing.
    """
    loss = TranslationLoss(state.system, training, persons)
    device = next(state.system.parameters()).device
    while state.images < training.images:
        batch = {group: _to(sample, device) for group, sample in samples.at(state.step).items()}
        for optimiser in (state.optimiser_g, state.optimiser_d):
            for settings in optimiser.param_groups:
                settings["lr"] = training.rate(state.images)
        report = _discriminators_step(state, loss, batch, training)
        report |= _translators_step(state, loss, batch, training)
        state.step += 1
        state.images += training.batch * len(batch)
        if on_step(state, report):
            break
    return state


def translator_gradients(
    loss: TranslationLoss, batch: Mapping[str, Sample], parameters: Sequence[Tensor], selective: bool
) -> tuple[list[Tensor | None], list[Terms]]:
    """Return the gradient of the translators' losses, added over groups, and the terms of each group.

    Args:
        loss: What is minimised.
        batch: Pictures of each group, the common one first.
        parameters: Of the translators.
        selective: Keep the losses of all but the common group from the shared parameters.
    """
    total: list[Tensor | None] = [None] * len(parameters)
    found = []
    for group, sample in batch.items():
        terms = loss.of_translators(sample, group, detached=selective and group != loss.groups[0])
        gradients = torch.autograd.grad(_sum(terms), parameters, allow_unused=True)
        total = [b if a is None else a if b is None else a + b for a, b in zip(total, gradients, strict=True)]
        found.append({name: (weight, value.detach()) for name, (weight, value) in terms.items()})
    return total, found


def _discriminators_step(
    state: TranslatorState, loss: TranslationLoss, batch: Mapping[str, Sample], training: TranslatorTraining
) -> dict[str, Tensor]:
    panels = (loss.of_drawings, loss.of_photos)
    for panel in panels:
        panel.iterate()
    parameters = [p for panel in panels for p in panel.parameters()]
    found, total = [], torch.zeros((), device=parameters[0].device)
    for group, sample in batch.items():
        photos, drawings = loss.fakes(sample, group)
        random = random_of(training.seed, state.step, group, "pool")
        fakes = (
            _pooled(state.pools, f"photos.{group}", photos, training.pool, random),
            _pooled(state.pools, f"drawings.{group}", drawings, training.pool, random),
        )
        terms = loss.of_discriminators(sample, fakes, group)
        total = total + _sum(terms)
        found.append({name: (weight, value.detach()) for name, (weight, value) in terms.items()})
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    _descend(state, state.optimiser_d, parameters, gradients, total.detach(), "discriminators")
    return _report("loss_d", found)


def _translators_step(
    state: TranslatorState, loss: TranslationLoss, batch: Mapping[str, Sample], training: TranslatorTraining
) -> dict[str, Tensor]:
    translators, panels = (loss.to_drawing, loss.to_photo), (loss.of_drawings, loss.of_photos)
    parameters = [p for translator in translators for p in translator.parameters()]
    for panel in panels:
        panel.requires_grad_(False)
    try:
        gradients, found = translator_gradients(loss, batch, parameters, training.selective)
    finally:
        for panel in panels:
            panel.requires_grad_(True)
    report = _report("loss_g", found)
    _descend(state, state.optimiser_g, parameters, gradients, report["loss_g"], "translators")
    for translator in translators:
        clamp_shares(translator)
    return report


def _descend(
    state: TranslatorState,
    optimiser: Adam,
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    loss: Tensor,
    whose: str,
) -> None:
    size = torch.nn.utils.get_total_norm([g for g in gradients if g is not None])
    if not torch.isfinite(loss + size):
        raise NonFinite(
            f"The loss of the {whose} is {loss.item()}, its gradient {size.item()}, after {state.images} images.",
            "Train into a new folder with a lower learning_rate.",
        )
    for p, gradient in zip(parameters, gradients, strict=True):
        p.grad = gradient
    optimiser.step()
    for p in parameters:
        p.grad = None


def _pooled(pools: dict[str, Tensor], name: str, fresh: Tensor, size: int, random: torch.Generator) -> Tensor:
    """Exchange each fresh picture, half of the time, for one that was kept; keep all until the pool is full."""
    if not size:
        return fresh
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


def _sum(terms: Terms) -> Tensor:
    return torch.stack([weight * value for weight, value in terms.values()]).sum()


def _report(name: str, found: Sequence[Terms]) -> dict[str, Tensor]:
    """Return the loss of all groups, and each of its terms, unweighted, averaged over groups."""
    total = torch.stack([_sum(terms) for terms in found]).sum()
    return {name: total} | {key: torch.stack([terms[key][1] for terms in found]).mean() for key in found[0]}


def _to(sample: Sample, device: torch.device) -> Sample:
    photos, drawings = sample
    return photos.to(device), drawings.to(device)
