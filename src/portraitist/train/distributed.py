"""The processes that train together.

Each works on its share of every batch; gradients and scalars are then averaged, so that all take the same step. One
process in full precision is a group of its own; more of them, and mixed precision, are driven by Lightning Fabric.

    with process_group("cpu") as group:     # under torchrun: waits for the others
        fit(state, objective, on_step, group)
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import RankLost, UsageError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")
Precision = Literal["fp32", "bf16"]

RANK_TIMEOUT = 120.0
"""Seconds to wait for another process before it counts as lost."""


class ProcessGroup(Protocol):
    """What a training asks of the processes that train together, as torch.distributed names it.

    All but ``autocast`` wait for the others: every process must call them, in the same order.
    """

    @property
    def rank(self) -> int:
        """The number of this process, from 0; that one writes files and talks."""

    @property
    def size(self) -> int:
        """How many processes there are."""

    @property
    def device(self) -> str:
        """Where this process computes: ``cpu``, ``cuda`` or ``cuda:N``."""

    def autocast(self) -> AbstractContextManager[None]:
        """Return what networks run in: full or mixed precision."""

    def all_reduce(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], report: dict[str, Tensor]
    ) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        """Return the sum of gradients and the mean of scalars over all processes."""

    def all_reduce_max(self, number: int) -> int:
        """Return the largest of the numbers that the processes give."""

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes, differentiable."""

    def broadcast(self, value: T) -> T:
        """Return the value that process 0 gives."""

    def barrier(self) -> None:
        """Wait until all processes are here."""


@dataclass(frozen=True)
class SingleProcess:
    """A single process in full precision."""

    device: str = "cpu"
    rank: int = 0
    size: int = 1

    def autocast(self) -> AbstractContextManager[None]:
        """Change nothing."""
        return nullcontext()

    def all_reduce(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], report: dict[str, Tensor]
    ) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        """Return what was given."""
        return list(gradients), report

    def all_reduce_max(self, number: int) -> int:
        """Return what was given."""
        return number

    def mean(self, tensor: Tensor) -> Tensor:
        """Return what was given."""
        return tensor

    def broadcast(self, value: T) -> T:
        """Return what was given."""
        return value

    def barrier(self) -> None:
        """Wait for nobody."""


SINGLE = SingleProcess()


class FabricGroup:
    """Processes launched by torchrun, or one in mixed precision.

    Every wait for the others ends with :class:`~portraitist.errors.RankLost` when one is gone or does not answer
    within the timeout of the group.
    """

    def __init__(self, fabric: Fabric) -> None:
        """Take a Fabric that has been launched."""
        self.fabric = fabric
        self.rank, self.size = fabric.global_rank, fabric.world_size
        self.device = str(fabric.device)

    def autocast(self) -> AbstractContextManager[None]:
        """Return autocast to bfloat16, or nothing; weights, gradients and optimisers stay in single precision."""
        return self.fabric.autocast()

    def all_reduce(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], report: dict[str, Tensor]
    ) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        """Return the sum of gradients and the mean of scalars over all processes, in one exchange.

        A parameter without gradient counts as one of 0, and has none afterwards only where no process has one.
        """
        given = torch.tensor([0.0 if g is None else 1.0 for g in gradients], device=self.device)
        mine = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]
        scalars = torch.stack([v.to(given) for v in report.values()])
        flat = self._reduced(torch.cat([*(g.flatten() for g in mine), scalars, given]), "sum")
        *sums, scalars, given = torch.split(flat, [*(p.numel() for p in parameters), len(scalars), len(given)])
        total = [s.view_as(p) if n else None for s, p, n in zip(sums, parameters, given.tolist(), strict=True)]
        return total, dict(zip(report, (scalars / self.size).double(), strict=True))

    def all_reduce_max(self, number: int) -> int:
        """Return the largest of the numbers that the processes give."""
        return int(self._reduced(torch.tensor(number, device=self.device), "max"))

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes, differentiable: the gradient is that of the sum of losses."""
        result: Tensor = _Mean.apply(tensor, self)  # type: ignore[no-untyped-call]
        return result

    def broadcast(self, value: T) -> T:
        """Return the value that process 0 gives."""
        with _waiting(self):
            return self.fabric.broadcast(value)

    def barrier(self) -> None:
        """Wait until all processes are here."""
        with _waiting(self):
            self.fabric.barrier()

    def _reduced(self, tensor: Tensor, operation: Literal["sum", "max"]) -> Tensor:
        if self.size == 1:
            return tensor
        with _waiting(self):
            result = self.fabric.all_reduce(tensor, reduce_op=operation)
        assert isinstance(result, Tensor)
        return result


class _Mean(torch.autograd.Function):
    """m = sum_r x_r / n; each loss L_q sees m, so the gradient of sum_q L_q by x_r is sum_q (dL_q / dm) / n."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: FabricGroup) -> Tensor:
        ctx.group = group
        return group._reduced(tensor.clone(), "sum") / group.size

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.group._reduced(gradient.clone(), "sum") / ctx.group.size, None


@contextmanager
def process_group(
    device: str, precision: Precision = "fp32", rank_timeout: float = RANK_TIMEOUT
) -> Iterator[ProcessGroup]:
    """Meet the other processes that torchrun has launched, and part from them at the end.

    Args:
        device: ``cpu`` or ``cuda``; each process takes a device of its own.
        precision: ``bf16`` runs the networks in mixed precision; lazy regularisers, weights and optimisers stay fp32.
        rank_timeout: Seconds to wait for another process before it counts as lost. What one process does alone, such
            as writing files, must be done within it.

    Raises:
        UsageError: lightning-fabric is missing, or the environment describes no process group.
        RankLost: Another process is gone or does not answer.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1 and precision == "fp32":
        yield SingleProcess(device)
        return
    group = FabricGroup(_launched(device, precision, rank_timeout, size))
    try:
        yield group
    except RankLost:
        raise  # at once: torchrun ends this process too, and the message must come first
    except BaseException:
        _part()
        raise
    _part()


def check_identical(group: ProcessGroup, what: str, value: str | int) -> None:
    """Make sure that all processes have the same files before them.

    Raises:
        UsageError: ``value`` is another here than on process 0.
    """
    if group.broadcast(value) != value:
        raise UsageError(
            f"Process {group.rank} sees another {what} than process 0.", "Put it on a disk that all machines share."
        )


def _launched(device: str, precision: Precision, rank_timeout: float, size: int) -> Fabric:
    local = _number("LOCAL_WORLD_SIZE", 1)
    _check(device, size, local)
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
        from lightning_fabric.strategies.ddp import DDPStrategy
    # Beside a missing package: one that is there but broken, as torchvision for another torch, whose errors vary.
    except Exception as error:
        raise UsageError(
            f"Several processes and mixed precision need lightning-fabric, which cannot be imported ({error}).",
            "Run pip install 'portraitist[distributed]'.",
        ) from error
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # Makes NCCL raise an error after the timeout instead of ending the process.
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
    several = size > 1
    try:
        fabric = Fabric(
            accelerator=device.partition(":")[0],
            devices=local if several else [int(device.partition(":")[2] or 0)] if device != "cpu" else 1,
            num_nodes=size // local,
            strategy=DDPStrategy(timeout=timedelta(seconds=rank_timeout)) if several else "auto",
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            plugins=[TorchElasticEnvironment()] if several else [],
        )
        fabric.launch()
        fabric.barrier()
    except RuntimeError as error:
        raise RankLost(f"The {size} processes did not meet ({_gist(error)}).", CURE) from error
    return fabric


def _part() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _check(device: str, size: int, local: int) -> None:
    missing = [name for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR") if name not in os.environ]
    if size > 1 and missing:
        raise UsageError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} are not set.", "Launch the processes with torchrun."
        )
    if size % local:
        raise UsageError(f"{size} processes do not make machines of {local}.", "Give each machine as many.")
    if size > 1 and ":" in device:
        raise UsageError(f"Several processes cannot share '{device}'.", "Use --device cuda; each takes its own.")
    if size > 1 and device == "cuda" and local > torch.cuda.device_count():
        raise UsageError(
            f"There are {local} processes for {torch.cuda.device_count()} devices.", "Launch one process per device."
        )


CURE = "The messages of the others, above or in their logs, say why; the same command continues from the last snapshot."


@contextmanager
def _waiting(group: FabricGroup) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # the only type that gloo and NCCL have
        raise RankLost(
            f"Process {group.rank} of {group.size} lost another: gone, or no answer in time ({_gist(error)}).",
            CURE,
        ) from error


def _gist(error: Exception) -> str:
    # What follows is advice, and a backtrace of C++.
    return re.split(r"\. |\n", re.sub(r"^\[.*?\] ", "", str(error)))[0]


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"The variable {name} is '{text}', which is not a number of processes.", "Unset it.")
    return int(text)
