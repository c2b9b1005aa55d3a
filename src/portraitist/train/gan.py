"""What a generator and a discriminator minimise together: terms grouped into phases, ADA, paths.

objective = Gan(training, batches, source=SourceModel(base, features))
fit(TrainState.start(generator, discriminator, training), objective, on_step)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ..networks.features import Features
from ..ops.augment import augment, diff_augment
from .distributed import ProcessGroup
from .loop import Batches, Losses, Phase, Share
from .spec import ROLES, Term, Training
from .state import TrainState, random_of
from .terms import SmallerModel, SourceModel, StepContext, standard_terms

log = logging.getLogger("portraitist")


class Gan:
    """The losses of both roles, as an objective of the loop; of several paths, the batch is that of each in turn."""

    def __init__(
        self,
        training: Training,
        batches: Batches,
        terms: Sequence[Term] | None = None,
        source: SourceModel | None = None,
        features: Features | None = None,
        smaller: SmallerModel | None = None,
    ) -> None:
        """Choose what is minimised.

        Args:
            training: Settings.
            batches: Real images by position; of several paths, the batch of the first, then that of the second, ...
            terms: Losses of both roles; those of StyleGAN2 and those that the training carries when None.
            source: What terms compare with that need the base.
            features: What the discriminator of features looks at, where there is one.
            smaller: The smaller model that the training is held to, where there is one.
        """
        self.training, self.batches, self.source, self.features = training, batches, source, features
        self.smaller = smaller
        chosen = (*standard_terms(training), *training.terms) if terms is None else tuple(terms)
        self.terms = (*chosen, *(partner for term in chosen for partner in term.partners))
        self.units = max(len(training.paths), 1)
        self._shown: dict[tuple[int, int], Tensor] = {}
        self.step_images = training.batch
        groups = grouped(self.terms)
        self.phases = tuple(
            Phase(
                ", ".join(t.name for t in group),
                group[0].role,
                group[0].every,
                tuple(t.name for t in group),
                partial(self._loss, number, group),
            )
            for number, group in enumerate(groups)
        )

    def prepare(self, state: TrainState, parts: int, group: ProcessGroup) -> None:
        """Warn where parts see other groups of images than the whole batch has."""
        if group.rank == 0 and not self._shares_evenly(state, parts):
            log.warning(
                "A batch of %d in %d parts trains otherwise than as a whole; twice the batch, or fewer parts, would "
                "not.",
                self.training.batch,
                parts,
            )

    def begin(self, state: TrainState) -> Sequence[Tensor]:
        """Return the real images of each path."""
        self._shown = {}
        return self.batches.at(state.images).to(state.device).chunk(self.units)

    def finish(self, state: TrainState, report: dict[str, Tensor]) -> None:
        """Move running values, the average and p of ADA."""
        for term in self.terms:
            if term.name in report:
                term.update_state(state, self.training, report)
        state.follow(self.training)
        if self.training.augment == "ada":
            state.ada.adjust(self.training.batch)

    def _loss(
        self, number: int, terms: Sequence[Term], state: TrainState, real: Tensor, path: int, share: Share
    ) -> Losses:
        """Return the sum of a phase's terms for one path; a lazy term counts ``every`` times (lazy regularisation)."""
        random = random_of(self.training.seed, state.images, number, path)
        context = StepContext(
            state,
            self.training,
            *state.pair(path),
            share.take(real),
            random,
            _augmentation(self.training, state),
            share,
            self.source,
            self.features,
            self.smaller,
            self._shown,
            path,
        )
        loss = torch.zeros((), device=real.device)
        for term in terms:
            value = term(context)  # [], the mean over the share
            context.report[term.name] = value.detach()
            loss = loss + value * term.every
        return loss, context.report

    def _shares_evenly(self, state: TrainState, parts: int) -> bool:
        """Tell whether each part has the statistic groups, and each term the images, that it has in the whole batch."""
        whole, group = self.training.batch // self.units, state.pair()[1].anatomy.group
        sizes = {
            max([g for g in range(1, min(group, n) + 1) if n % g == 0], default=0) for n in (whole, whole // parts)
        }
        return len(sizes) == 1 and all(whole // term.shrink % parts == 0 for term in self.terms)


def grouped(terms: Sequence[Term]) -> tuple[tuple[Term, ...], ...]:
    """Group terms into phases: D, D's lazy ones, then those of the other roles, in the order in which they step."""
    found: list[tuple[Term, ...]] = []
    for role in ROLES:
        mine = [t for t in terms if t.role == role]
        if main := tuple(t for t in mine if t.every == 1):
            found.append(main)
        found += [(t,) for t in mine if t.every > 1]
    return tuple(found)


def _augmentation(training: Training, state: TrainState) -> Callable[[Tensor, torch.Generator, Share], Tensor]:
    p = state.ada.p if training.augment == "ada" else 0.0
    if training.augment != "diffaugment" and p == 0:
        return lambda images, random, share: images

    def augmented(images: Tensor, random: torch.Generator, share: Share) -> Tensor:
        # Always in full precision: matrices of places and colours have none to spare.
        with torch.autocast(images.device.type, enabled=False):
            if training.augment == "diffaugment":
                return diff_augment(images.float(), random, share=(share.index, share.of))
            return augment(images.float(), p, random, share=(share.index, share.of))

    return augmented
