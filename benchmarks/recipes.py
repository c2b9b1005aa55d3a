"""Cost of each recipe: time of sixteen steps on the bundled base, which play every lazy term, over the baseline's.

python -m benchmarks.recipes        # writes docs/results/recipe_costs.md
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from portraitist.io import registry
from portraitist.io.model_file import Model
from portraitist.ops import keep_heap
from portraitist.recipes import RECIPES, compose
from portraitist.runs.finetune import objective_of
from portraitist.runs.source import Source
from portraitist.train.loop import fit
from portraitist.train.state import TrainState

from .__main__ import RESULTS

STEPS, ROUNDS = 16, 5
PAGE = RESULTS / "recipe_costs.md"


def main() -> None:
    torch.set_num_threads(1)
    keep_heap()
    base = registry.load("faces")
    runs = {name: steps(name, base) for name in RECIPES}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begun = time.process_time()
            run()
            times[name].append(time.process_time() - begun)
    ratios = {
        name: statistics.median(t / b for t, b in zip(times[name], times["baseline"], strict=True)) for name in runs
    }
    batch = compose("baseline", base.generator.anatomy.resolution).batch
    lines = [
        "# What a step of each recipe costs",
        "",
        f"Time of {STEPS} steps over that of the baseline, median of {ROUNDS} rounds in turn; one thread, CPU time,",
        f"batch {batch}, the bundled base ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, torch "
        f"{torch.__version__}). Written by `python -m benchmarks.recipes`; `portraitist recipes` quotes it.",
        "",
        "| recipe | cost | images/s |",
        "|---|---|---|",
        *(f"| {n} | {r:.2f} | {STEPS * batch / statistics.median(times[n]):.0f} |" for n, r in ratios.items()),
    ]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


def steps(name: str, base: Model) -> Callable[[], object]:
    """Return a function that trains on for as many steps as play every lazy term."""
    side = base.generator.anatomy.resolution
    paths = ("first", "second") if name == "multipath" else ()
    training = replace(compose(name, side, paths=paths), images=10**9)
    source = Source(base=base)
    state = TrainState.start(*source.networks(0), training)
    state.ada.p = 0.1 if training.augment == "ada" else 0.0

    class Noise:
        def at(self, images: int) -> Tensor:
            random = torch.Generator().manual_seed(images)
            return torch.randn(training.batch, 3, side, side, generator=random).clamp(-1, 1)

    objective = objective_of(source, training, Noise())

    def run() -> None:
        until = state.step + STEPS
        fit(state, objective, lambda state, report: state.step == until)

    return run


if __name__ == "__main__":
    main()
