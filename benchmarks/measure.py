"""Count the work of a subject and time it, interleaved with its reference form, in CPU time of one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from portraitist.ops import plain_convolution

from .reference import reference_forms

Run = Callable[[], object]


@dataclass(frozen=True)
class Subject:
    """One piece of work to measure."""

    name: str
    build: Callable[[], Run]
    goal: float
    """Fraction of the matrix-product peak to reach."""
    quick: bool = False
    """Part of the short run."""


@dataclass(frozen=True)
class Result:
    """What one subject took."""

    name: str
    gflop: float
    """Work in its direct form."""
    milliseconds: float
    ratio: float
    """Time of the reference form over ours: median of the rounds."""
    ratio_low: float
    ratio_high: float
    of_sgemm: float
    """Fraction of the matrix-product peak."""
    of_convolution: float
    """Fraction of the rate of a large plain convolution."""
    goal: float
    rounds: int


@dataclass(frozen=True)
class Peak:
    """Rates of the machine in GFLOP/s."""

    sgemm: float
    convolution: float


def peak(rounds: int = 5) -> Peak:
    """Measure the rate of a matrix product (1024 to 2048) and of a large 3x3 convolution."""
    sgemm = max(2 * len(m) ** 3 / _median(partial(torch.mm, m, m), rounds) for m in map(_square, (1024, 2048)))
    x = torch.randn(4, 256, 64, 64).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3).contiguous(memory_format=torch.channels_last)
    work = 2 * 4 * 256 * 256 * 9 * 64 * 64
    return Peak(sgemm / 1e9, work / _median(lambda: F.conv2d(x, weight, padding=1), rounds) / 1e9)


def measure(subject: Subject, machine: Peak, *, seconds: float, least: int) -> Result:
    """Run a subject and its reference form in turn for about ``seconds``, at least ``least`` rounds."""
    torch.manual_seed(0)
    run = subject.build()
    with plain_convolution(), WorkCounter() as counter:
        run()
    with reference_forms():
        run()
    ours: list[float] = []
    theirs: list[float] = []
    end = time.monotonic() + seconds
    while len(ours) < least or time.monotonic() < end:
        ours.append(_seconds(run))
        with reference_forms():
            theirs.append(_seconds(run))
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    spent = statistics.median(ours)
    rate = counter.total / spent / 1e9
    return Result(
        subject.name,
        counter.total / 1e9,
        spent * 1e3,
        statistics.median(ratios),
        ratios[0],
        ratios[-1],
        rate / machine.sgemm,
        rate / machine.convolution,
        subject.goal,
        len(ours),
    )


class WorkCounter(TorchDispatchMode):
    """Adds up the work of matrix products and convolutions; the depthwise filters between them do not count."""

    total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        rule = flop_registry.get(func._overloadpacket)
        if rule is not None and _groups(func, args) == 1:
            self.total += rule(*args, **(kwargs or {}), out_val=out)
        return out


def _groups(func: Any, args: tuple[Any, ...]) -> int:
    name = func._schema.name
    if "convolution" not in name:
        return 1
    return int(args[9 if "backward" in name else 8])


def _square(side: int) -> torch.Tensor:
    return torch.randn(side, side)


def _median(run: Run, rounds: int) -> float:
    run()
    return statistics.median(_seconds(run) for _ in range(rounds))


def _seconds(run: Run) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start
