"""Cost of each translator's recipe at one side of the pictures: a step and a drawing, over CycleGAN's.

python -m benchmarks.translators        # writes docs/results/translator_costs.md
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from portraitist.networks.branches import TranslatorSystem
from portraitist.ops import keep_heap
from portraitist.recipes.translator import PRESETS, Preset
from portraitist.train.loop import fit
from portraitist.train.translation_loss import Sample
from portraitist.train.translator import Translation, TranslatorState

from .__main__ import RESULTS

SIDE, ROUNDS, GROUP = 64, 3, "all"
PAGE = RESULTS / "translator_costs.md"


class Noise:
    """Pictures that follow from the step."""

    def at(self, step: int) -> dict[str, Sample]:
        random = torch.Generator().manual_seed(step)
        photos, drawings = torch.randn(2, 1, 3, SIDE, SIDE, generator=random).clamp(-1, 1)
        return {GROUP: (photos, drawings)}


@dataclass(frozen=True)
class Subject:
    """A recipe's translators at their own width."""

    step: Callable[[], object]
    draw: Callable[[], object]
    parameters: int
    """Of the way from photos to drawings."""


def main() -> None:
    torch.set_num_threads(1)
    keep_heap()
    subjects = {name: subject(name) for name in PRESETS}
    steps, drawings = (measured({n: getattr(s, what) for n, s in subjects.items()}) for what in ("step", "draw"))
    lines = [
        "# What a translator costs",
        "",
        f"CPU time of a training step of one photo and one drawing, and of one drawing, at {SIDE} pixels, over that of",
        f"CycleGAN: median of {ROUNDS} rounds in turn, one thread, the width of each recipe, no embedder of faces",
        f"({platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}). Written by",
        "`python -m benchmarks.translators`. U-GAT-IT's style sees whole maps: its parameters grow with the pixels.",
        "",
        "| preset | step | drawing | parameters, photo to drawing |",
        "|---|---|---|---|",
        *(f"| `{n}` | {steps[n]:.2f} | {drawings[n]:.2f} | {s.parameters / 1e6:.1f} M |" for n, s in subjects.items()),
    ]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


def subject(name: Preset) -> Subject:
    """Make a recipe's translators."""
    recipe = PRESETS[name](SIDE)
    torch.manual_seed(0)
    system = TranslatorSystem.new(recipe.translator, recipe.panel, (GROUP,))
    training = replace(recipe.training, person_weight=0.0, initial_share=0.0)
    state = TranslatorState(system, training)
    objective = Translation(training, Noise(), system, None)

    def step() -> None:
        until = state.step + 1
        fit(state, objective, lambda state, report: state.step == until)

    @torch.no_grad()
    def draw() -> Tensor:
        image: Tensor = system.to_drawing(Noise().at(0)[GROUP][0], GROUP).image
        return image

    return Subject(step, draw, sum(p.numel() for p in system.to_drawing.parameters()))


def measured(runs: dict[Preset, Callable[[], object]]) -> dict[Preset, float]:
    """Return the time of each over that of CycleGAN."""
    times: dict[Preset, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS + 1):
        for name, run in runs.items():
            begun = time.process_time()
            run()
            if number:  # the first warms up
                times[name].append(time.process_time() - begun)
    own = times["cyclegan"]
    return {n: statistics.median(t / b for t, b in zip(found, own, strict=True)) for n, found in times.items()}


if __name__ == "__main__":
    main()
