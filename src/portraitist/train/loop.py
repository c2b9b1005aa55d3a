"""The one loop: every training of a generator is ``fit`` with other terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..errors import NonFinite
from ..ops.augment import augment, diff_augment
from .spec import Training
from .state import TrainState
from .terms import Player, Term, Turn


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
) -> TrainState:
    """Train until ``training.images`` have been seen or ``on_step`` says stop.

    Args:
        state: Where the training stands; moved in place.
        batches: Real images by position.
        training: Settings.
        terms: Losses of both players.
        on_step: Called after every step with the state and the scalars of the step; True ends the training.

    Returns:
        The state after the last step.

    Raises:
        NonFinite: A loss or its gradient is NaN or infinite; no weight has been touched by it.
    """
    plan = phases(terms)
    for real in _stream(state, batches, training):
        random = state.random(training.seed)
        report: dict[str, Tensor] = {}
        for phase in plan:
            if state.step % phase.every == 0:
                turn = Turn(state, training, real, random, _augmentation(training, state), report)
                _descend(turn, phase)
        state.follow(training)
        state.step += 1
        state.images += len(real)
        if training.augment == "ada":
            state.ada.adjust(len(real))
        if on_step(state, report):
            break
    return state


def _stream(state: TrainState, batches: Batches, training: Training) -> Iterator[Tensor]:
    device = state.path_mean.device
    while state.images < training.images:
        yield batches.at(state.images).to(device)


def _descend(turn: Turn, phase: Phase) -> None:
    """Let one player take one step; the other only watches."""
    state = turn.state
    optimiser, other = (
        (state.optimiser_g, state.discriminator) if phase.player == "G" else (state.optimiser_d, state.generator)
    )
    trained = [p for group in optimiser.param_groups for p in group["params"] if p.requires_grad]
    watching = [p for p in other.parameters() if p.requires_grad]
    for p in watching:
        p.requires_grad_(False)
    try:
        loss = torch.zeros((), device=turn.real.device)
        for term in phase.terms:
            value = term(turn)
            turn.report[term.name] = value.detach()
            loss = loss + value * phase.every
        _check_finite("loss", loss, phase, state)
        gradients = torch.autograd.grad(loss, trained, allow_unused=True)
    finally:
        for p in watching:
            p.requires_grad_(True)
    # A finite loss may have none: the root of 0. Once in the weights, it would be in the next snapshot too.
    _check_finite("gradient", torch.nn.utils.get_total_norm([g for g in gradients if g is not None]), phase, state)
    for p, gradient in zip(trained, gradients, strict=True):
        p.grad = gradient
    optimiser.step()
    for p in trained:
        p.grad = None


def _check_finite(what: str, value: Tensor, phase: Phase, state: TrainState) -> None:
    if not torch.isfinite(value):
        raise NonFinite(
            f"The {what} of {', '.join(t.name for t in phase.terms)} is {value.item()} after {state.images} images "
            f"(step {state.step}).",
            "Train into a new folder with a lower learning_rate or a higher r1_gamma.",
        )


def _augmentation(training: Training, state: TrainState) -> Callable[[Tensor, torch.Generator], Tensor]:
    if training.augment == "diffaugment":
        return diff_augment
    if training.augment == "ada" and state.ada.p > 0:
        return lambda images, random: augment(images, state.ada.p, random)
    return lambda images, random: images
