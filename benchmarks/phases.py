"""Speed of training by phase: time, work and fraction of the machine's peak, with the networks and presets in use.

python -m benchmarks.phases        # writes docs/results/training_speed.md
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from portraitist.io.registry import load
from portraitist.networks.feature_discriminator import with_mean_pooling
from portraitist.networks.features import Features, SqueezeNetFeatures
from portraitist.ops import keep_heap, plain_convolution
from portraitist.recipes import from_scratch, grow
from portraitist.report.markdown import prose, table
from portraitist.runs.source import Source
from portraitist.train.feature_terms import optimised_heads
from portraitist.train.gan import Gan
from portraitist.train.loop import Batches, Losses, Phase, Share, fit
from portraitist.train.spec import Training
from portraitist.train.state import TrainState

from .__main__ import RESULTS
from .larger import GROWN_CHANNELS, GROWN_DISCRIMINATOR_CHANNELS, Noise, grown_source
from .measure import Peak, WorkCounter, peak

PAGE = RESULTS / "training_speed.md"
STEPS = 8
SEEN = 10_000
"""Images that count as seen, so that the generator hears of the discriminator of features in full."""
ADA_P = 0.1
REST = "batch, average"


def main() -> None:
    torch.set_num_threads(1)
    keep_heap()
    torch.manual_seed(0)
    machine = peak(rounds=15)
    base = load("faces")
    wide = grown_source(base)
    measured = {
        "64 px": costs(Source(base), from_scratch(64)),
        "256 px": costs(wide, grow(256)),
        "256 px, `--features`": costs(wide, grow(256, features=True), squeezenet()),
    }
    PAGE.write_text("\n".join(page(measured, machine, Training().batch)), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Cost:
    """What a phase takes in a step that it has a part in."""

    phase: str
    every: int
    """Steps from one such step to the next."""
    seconds: float
    work: float
    """Floating-point operations; a multiplication and an addition are two."""

    def cells(self, machine: Peak) -> list[object]:
        rate = self.work / self.seconds / 1e9
        fractions = (f"{rate / limit:.2f}" for limit in (machine.sgemm, machine.convolution))
        return [self.phase, self.every, f"{self.seconds * 1e3:.0f}", f"{self.work / 1e9:.1f}", *fractions]


def costs(source: Source, training: Training, features: SqueezeNetFeatures | None = None) -> list[Cost]:
    """Measure each phase, in the order of a step, and the rest of a step."""
    batches = Noise(source.resolution, training.batch)
    pooled = None if features is None else with_mean_pooling(features)
    heads = None if pooled is None else optimised_heads(training, pooled, batches.at(0))
    state = TrainState.start(*source.networks(0), training, heads)
    objective = Metered(training, batches, features=pooled)
    with plain_convolution(), WorkCounter() as counter:
        work = objective.used(state, lambda: counter.total)
    seconds = objective.used(state, time.process_time)
    every = {phase.name: phase.every for phase in objective.phases}
    return [Cost(name, every.get(name, 1), seconds[name], work[name]) for name in (*every, REST)]


class Metered(Gan):
    """The losses of a training, which read a meter whenever the next phase of a step begins."""

    def __init__(self, training: Training, batches: Batches, features: Features | None = None) -> None:
        super().__init__(training, batches, features=features)
        self.phases = tuple(replace(phase, loss=partial(self._begun, phase)) for phase in self.phases)

    def used(self, state: TrainState, meter: Callable[[], float]) -> dict[str, float]:
        """Return by how much a meter rises in each phase, mean over steps that all phases have a part in."""
        self.meter = meter
        self.readings: list[tuple[str, float]] = []
        for k in range(STEPS):
            state.step, state.images, state.ada.p = 0, SEEN + k * self.step_images, ADA_P
            fit(state, self, lambda *_: True)
        self._read(REST)
        rises: dict[str, float] = {}
        for (phase, before), (_, after) in pairwise(self.readings):
            rises[phase] = rises.get(phase, 0.0) + (after - before) / STEPS
        return rises

    def begin(self, state: TrainState) -> Sequence[Tensor]:
        self._read(REST)
        return super().begin(state)

    def finish(self, state: TrainState, report: dict[str, Tensor]) -> None:
        self._read(REST)
        super().finish(state, report)

    def _begun(self, phase: Phase[TrainState], state: TrainState, unit: Tensor, number: int, share: Share) -> Losses:
        self._read(phase.name)
        return phase.loss(state, unit, number, share)

    def _read(self, phase: str) -> None:
        self.readings.append((phase, self.meter()))


def squeezenet() -> SqueezeNetFeatures:
    """Return features with random weights; only their speed matters here."""
    return SqueezeNetFeatures({f"features.{k}": v for k, v in SqueezeNetFeatures.layers().state_dict().items()})


def mean_step(phases: Sequence[Cost]) -> Cost:
    """Return what a step takes on average: lazy phases have their share of it."""
    seconds, work = (sum(getattr(cost, what) / cost.every for cost in phases) for what in ("seconds", "work"))
    return Cost("**mean step**", 1, seconds, work)


def page(measured: Mapping[str, Sequence[Cost]], machine: Peak, batch: int) -> list[str]:
    """Return the lines of the page: of every training its phases, then the mean step with images a second."""
    rows: list[list[object]] = []
    for name, phases in measured.items():
        mean = mean_step(phases)
        rows += [[name, *cost.cells(machine), ""] for cost in phases]
        rows.append([name, *mean.cells(machine), f"**{batch / mean.seconds:.1f}**"])
    channels, narrower = (",".join(map(str, widths)) for widths in (GROWN_CHANNELS, GROWN_DISCRIMINATOR_CHANNELS))
    head = ("training", "phase", "every", "ms", "GFLOP", "of matrix product", "of convolution", "images a second")
    return [
        "# Speed of training",
        "",
        *prose(
            f"One core ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}), "
            f"one thread, fp32, CPU time, batch {batch}, random images, means of {STEPS} steps. Measured peaks: "
            f"{machine.sgemm:.0f} GFLOP/s in a large matrix product, {machine.convolution:.0f} in a 3x3 convolution. "
            "Where other work shares the core, two runs differ by up to 15 %."
        ),
        *prose(
            "A phase is forward, backward and Adam; lazy ones take place in every so many steps, and the mean step has "
            f"that share of them. `{REST}` is drawing the batch, the moving average and ADA. Work is counted as direct "
            "convolution, filters left out; a multiplication and an addition are two operations."
        ),
        *table(head, rows),
        *prose(
            f"64 px: the bundled base, `from_scratch`. 256 px: the same base grown, `grow`; channels {channels}, of "
            f"the discriminator {narrower}. `--features`: SqueezeNet. p of ADA: {ADA_P}. Written by "
            "`python -m benchmarks.phases`."
        ),
    ]


if __name__ == "__main__":
    main()
