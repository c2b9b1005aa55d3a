"""The one loop: every training of a generator is ``fit`` with other terms."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..errors import NonFinite, UsageError
from ..ops.augment import augment, diff_augment
from .crew import ALONE, Crew
from .spec import Training
from .state import TrainState
from .terms import Player, Share, Term, Turn

log = logging.getLogger("portraitist")


class Batches(Protocol):
    """Where real images come from."""

    def at(self, images: int) -> Tensor:
        """Return the batch [N, 3, R, R] in [-1, 1] that follows ``images`` images; a pure function of that number."""


@dataclass(frozen=True)
class Phase:
    """Terms of one player that share an optimiser step."""

    player: Player
    every: int
    terms: tuple[Term, ...]


def phases(terms: Sequence[Term]) -> tuple[Phase, ...]:
    """Group terms into D, D's lazy ones, G, G's lazy ones, in the order they are played."""
    found: list[Phase] = []
    for player in ("D", "G"):
        mine = [t for t in terms if t.player == player]
        if main := tuple(t for t in mine if t.every == 1):
            found.append(Phase(player, 1, main))
        found += [Phase(player, t.every, (t,)) for t in mine if t.every > 1]
    return tuple(found)


def fit(
    state: TrainState,
    batches: Batches,
    training: Training,
    terms: Sequence[Term],
    on_step: Callable[[TrainState, dict[str, Tensor]], bool],
    crew: Crew = ALONE,
) -> TrainState:
    """Train until ``training.images`` have been seen or ``on_step`` says stop.

    Args:
        state: Where the training stands; moved in place.
        batches: Real images by position; of several paths, the batch of the first, then that of the second, ...
        training: Settings.
        terms: Losses of both players.
        on_step: Called after every step with the state and the scalars of the step; True ends the training.
        crew: The processes that train together; each works on its share of every batch.

    Returns:
        The state after the last step.

    Raises:
        NonFinite: A loss or its gradient is NaN or infinite; no weight has been touched by it.
        UsageError: The batch cannot be shared by the processes.
    """
    plan = phases(terms)
    paths = max(len(training.paths), 1)
    if training.batch % (paths * training.accumulate * crew.size):
        raise UsageError(
            f"A batch of {training.batch} cannot be shared by {crew.size} processes, {paths} paths and "
            f"{training.accumulate} parts.",
            f"Make the batch a multiple of {paths * training.accumulate * crew.size}.",
        )
    if crew.rank == 0 and not _shares_evenly(state, training, paths, training.accumulate * crew.size):
        log.warning(
            "A batch of %d in %d parts trains otherwise than as a whole; twice the batch, or fewer parts, would not.",
            training.batch,
            training.accumulate * crew.size,
        )
    while state.images < training.images:
        real = batches.at(state.images).to(state.path_mean.device)
        report: dict[str, Tensor] = {}
        for number, phase in enumerate(plan):
            if state.step % phase.every == 0:
                found = _descend(state, training, phase, number, real.chunk(paths), crew)
                for term in phase.terms:
                    term.note(state, training, found)
                report |= found
        state.follow(training)
        state.step += 1
        state.images += len(real)
        if training.augment == "ada":
            state.ada.adjust(len(real))
        if on_step(state, report):
            break
    return state


def _descend(
    state: TrainState, training: Training, phase: Phase, number: int, reals: Sequence[Tensor], crew: Crew
) -> dict[str, Tensor]:
    """Let one player take one step; the other only watches. Return the scalars of the step."""
    optimiser, other = (
        (state.optimiser_g, state.discriminator) if phase.player == "G" else (state.optimiser_d, state.generator)
    )
    trained = [p for group in optimiser.param_groups for p in group["params"] if p.requires_grad]
    watching = [p for p in other.parameters() if p.requires_grad]
    augmentation = _augmentation(training, state)
    total: list[Tensor | None] = [None] * len(trained)
    reports: list[dict[str, Tensor]] = []
    parts = training.accumulate * crew.size
    for p in watching:
        p.requires_grad_(False)
    try:
        for path, real in enumerate(reals):
            for part in range(crew.rank, parts, crew.size):
                share, random = Share(part, parts), state.random(training.seed, number, path)
                players = state.players(path)
                # Second derivatives of bfloat16 are coarse, and lazy steps are few.
                with crew.precision() if phase.every == 1 else nullcontext():
                    turn = Turn(state, training, *players, share.take(real), random, augmentation, share)
                    loss = _loss(turn, phase)
                gradients = torch.autograd.grad(loss / (len(reals) * parts), trained, allow_unused=True)
                total = [b if a is None else a if b is None else a + b for a, b in zip(total, gradients, strict=True)]
                reports.append(turn.report)
    finally:
        for p in watching:
            p.requires_grad_(True)
    report = {k: torch.stack([r[k].double() for r in reports]).mean() for k in reports[0]}
    total, report = crew.together(trained, total, report)
    _check_finite("loss", torch.stack([report[t.name] for t in phase.terms]).sum(), phase, state)
    # A finite loss may have none: the root of 0. Once in the weights, it would be in the next snapshot too.
    _check_finite("gradient", torch.nn.utils.get_total_norm([g for g in total if g is not None]), phase, state)
    for p, gradient in zip(trained, total, strict=True):
        p.grad = gradient
    optimiser.step()
    for p in trained:
        p.grad = None
    return report


def _shares_evenly(state: TrainState, training: Training, paths: int, parts: int) -> bool:
    """Tell whether parts see the groups of the discriminator's statistic, and the path lengths, of the whole batch."""
    whole, group = training.batch // paths, state.players()[1].anatomy.group
    sizes = {max([g for g in range(1, min(group, n) + 1) if n % g == 0], default=0) for n in (whole, whole // parts)}
    return len(sizes) == 1 and not (training.path_interval and whole // training.path_shrink % parts)


def _loss(turn: Turn, phase: Phase) -> Tensor:
    loss = torch.zeros((), device=turn.real.device)
    for term in phase.terms:
        value = term(turn)
        turn.report[term.name] = value.detach()
        loss = loss + value * phase.every
    return loss


def _check_finite(what: str, value: Tensor, phase: Phase, state: TrainState) -> None:
    if not torch.isfinite(value):
        raise NonFinite(
            f"The {what} of {', '.join(t.name for t in phase.terms)} is {value.item()} after {state.images} images "
            f"(step {state.step}).",
            "Train into a new folder with a lower learning_rate or a higher r1_gamma.",
        )


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
