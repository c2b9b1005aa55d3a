"""The one loop: every training, of a generator, an encoder or a translator, is ``fit`` with another objective.

with process_group("cpu") as group:
fit(state, Gan(training, batches), lambda state, report: False, group)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import NonFinite, OutOfMemory, UsageError
from ..ops.memory import is_full
from .distributed import SINGLE, ProcessGroup
from .state import State

S = TypeVar("S", bound=State)
Losses = tuple[Tensor, dict[str, Tensor]]
"""The loss of one share of a batch, a scalar with its gradient, and scalars for the log without."""


class Batches(Protocol):
    """Where real images come from."""

    def at(self, images: int) -> Tensor:
        """Return the batch [N, 3, R, R] in [-1, 1] that follows ``images`` images; a pure function of that number."""


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


WHOLE = Share()
"""A batch in one part."""


@dataclass(frozen=True)
class Phase(Generic[S]):
    """One optimiser step of one role, while all other roles are frozen."""

    name: str
    """What errors call it."""
    role: str
    """Whose optimiser steps."""
    every: int
    """Steps between its steps."""
    losses: tuple[str, ...]
    """Scalars of its report that must be finite."""
    loss: Callable[[S, Any, int, Share], Losses]
    """Of the state, one unit of the batch, the number of that unit, and the share of it to work on."""
    after: int = 0
    """Images of the training before its first step."""


class Schedule(Protocol):
    """What the loop asks of the settings of a training."""

    @property
    def images(self) -> int:
        """Images to show in all."""

    @property
    def batch(self) -> int:
        """Images of a step, or of each unit where the objective says so."""

    @property
    def accumulate(self) -> int:
        """Parts in which a batch is worked through."""


class Objective(Protocol[S]):
    """What a training minimises.

    The batch of a step consists of one or more *units*: the images of each path, or the pictures of each group.
    """

    @property
    def training(self) -> Schedule:
        """The settings."""

    @property
    def phases(self) -> Sequence[Phase[S]]:
        """The optimiser steps of a step, in order."""

    @property
    def units(self) -> int:
        """Units that share ``training.batch``, and over which losses are averaged; 1 where each has a whole batch."""

    @property
    def step_images(self) -> int:
        """Images that a step counts."""

    def prepare(self, state: S, parts: int, group: ProcessGroup) -> None:
        """Look once at the parts and processes that will share each batch, before the first step."""

    def begin(self, state: S) -> Sequence[Any]:
        """Return the units of the batch of the step that begins."""

    def finish(self, state: S, report: dict[str, Tensor]) -> None:
        """Do what follows the optimiser steps: averages, controllers, bounds."""


def fit(
    state: S,
    objective: Objective[S],
    on_step: Callable[[S, dict[str, Tensor]], bool],
    group: ProcessGroup = SINGLE,
) -> S:
    """Train until ``objective.training.images`` have been seen or ``on_step`` says stop.

    Args:
        state: Where the training stands; moved in place.
        objective: What is minimised.
        on_step: Called after every step with the state and the scalars of the step; True ends the training.
        group: The processes that train together; each works on its share of every batch.

    Returns:
        The state after the last step.

    Raises:
        NonFinite: A loss or its gradient is NaN or infinite; no weight has been touched by it.
        OutOfMemory: A step does not fit; the cure names the number of parts to try.
        UsageError: The batch cannot be shared by the processes.
    """
    training = objective.training
    _check_batch(training, objective.units, group.size)
    objective.prepare(state, training.accumulate * group.size, group)
    while state.images < training.images:
        units = objective.begin(state)
        report: dict[str, Tensor] = {}
        for phase in objective.phases:
            if state.images >= phase.after and state.step % phase.every == 0:
                with _memory_told(objective, group.size):
                    report |= _descend(state, objective, phase, units, group)
        objective.finish(state, report)
        state.step += 1
        state.images += objective.step_images
        if on_step(state, report):
            break
    return state


def _check_batch(training: Schedule, units: int, size: int) -> None:
    if training.batch % (units * training.accumulate * size):
        raise UsageError(
            f"A batch of {training.batch} cannot be shared by {size} processes, {units} paths and "
            f"{training.accumulate} parts.",
            f"Make the batch a multiple of {units * training.accumulate * size}.",
        )


@contextmanager
def _memory_told(objective: Objective[S], size: int) -> Iterator[None]:
    """Say which number of parts to try where a step does not fit.

    Nothing is halved by itself: a run that goes on elsewhere, where memory is short at another moment, would no longer
    be the same run bit for bit.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_full(error):
            raise
        t = objective.training
        parts = range(t.accumulate + 1, t.batch + 1)
        more = next((a for a in parts if t.batch % (objective.units * a * size) == 0), None)
        cure = (
            f"Add --set accumulate={more} --allow accumulate to the same command: it goes on from the last snapshot, "
            f"with the same batch in {more} parts."
            if more
            else "The batch is in the smallest parts; train into a new folder with smaller networks or pictures."
        )
        raise OutOfMemory(
            f"There is not enough memory for a batch of {t.batch} in {t.accumulate * size} parts.", cure
        ) from error


def _descend(
    state: S, objective: Objective[S], phase: Phase[S], units: Sequence[Any], group: ProcessGroup
) -> dict[str, Tensor]:
    """Let one role take one step. Return the scalars of the step."""
    optimised = state.optimisers[phase.role]
    trained = optimised.parameters
    others = [p for role, other in state.optimisers.items() if role != phase.role for p in other.parameters]
    total: list[Tensor | None] = [None] * len(trained)  # grad_p of the mean loss, the shape of each parameter p
    reports: list[dict[str, Tensor]] = []
    parts = objective.training.accumulate * group.size
    for p in others:
        p.requires_grad_(False)
    try:
        for number, unit in enumerate(units):
            for part in range(group.rank, parts, group.size):
                # Second derivatives of bfloat16 are coarse, and lazy steps are few.
                with group.autocast() if phase.every == 1 else nullcontext():
                    loss, report = phase.loss(state, unit, number, Share(part, parts))
                # The gradient of the whole batch: 1 / (units parts) sum over units u and shares s of grad L_us, summed
                # here and, in ``all_reduce``, over processes.
                gradients = torch.autograd.grad(loss / (objective.units * parts), trained, allow_unused=True)
                total = [b if a is None else a if b is None else a + b for a, b in zip(total, gradients, strict=True)]
                reports.append(report)
    finally:
        for p in others:
            p.requires_grad_(True)
    means = {k: torch.stack([r[k].double() for r in reports]).mean() for k in reports[0]}
    total, means = group.all_reduce(trained, total, means)
    _check_finite("loss", torch.stack([means[name] for name in phase.losses]).sum(), phase, state)
    # A finite loss may have none: the root of 0. Once in the weights, it would be in the next snapshot too.
    norm = torch.nn.utils.get_total_norm([g for g in total if g is not None])
    _check_finite("gradient", norm, phase, state)
    if phase.every == 1:
        means[f"gradient_{phase.role.lower()}"] = norm.detach()
    for p, gradient in zip(trained, total, strict=True):
        p.grad = gradient
    optimised.optimiser.step()
    for p in trained:
        p.grad = None
    return means


def _check_finite(what: str, value: Tensor, phase: Phase[S], state: State) -> None:
    if not torch.isfinite(value):
        raise NonFinite(
            f"The {what} of {phase.name} is {value.item()} after {state.images} images (step {state.step}).",
            "Go on from the last snapshot with a lower one: --set learning_rate=... --allow learning_rate. Or train "
            "into a new folder with a higher r1_gamma, where there is one, or without those pictures.",
        )
