"""Trainings of a few steps on sixteen pixels: the recipes' own settings, at intervals so short that all terms play."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from portraitist.io.model_file import Model
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.recipes import RECIPES, compose
from portraitist.runs.early_stopping import HeldOutMonitor
from portraitist.train.gan import Gan
from portraitist.train.loop import fit
from portraitist.train.spec import Training
from portraitist.train.state import TrainState
from portraitist.train.terms import SourceModel
from tests.conftest import make_model

SIDE = 16
BATCH = 4
PRESETS = [(r.name, preset) for r in RECIPES.values() for preset in r.presets]


@dataclass(frozen=True)
class Waves:
    """Sixteen-pixel pictures that follow from their position."""

    batch: int = BATCH

    def at(self, images: int) -> Tensor:
        phase = torch.arange(images, images + self.batch)[:, None, None, None] * 0.7
        x = torch.linspace(0, 6, SIDE)
        frequency = 1 + torch.arange(3)[None, :, None, None]
        return torch.sin(x * frequency + phase + x[:, None])


def attributes(names: str) -> tuple[str, ...]:
    return ("women", "men") if "multipath" in names.split("+") else ()


def tiny(names: str, preset: str = "default", steps: int = 4) -> Training:
    """Return the training of composed recipes, cut short."""
    start = Training(batch=BATCH, seed=3)
    training = compose(names, SIDE, preset=preset, paths=attributes(names), start=start)
    if training.paths and training.frozen.generator_upto >= 8:  # of sixteen pixels, the only block that paths have
        training = replace(training, split_from=16, split_upto=16)
    return replace(
        training,
        images=steps * BATCH,
        r1_every=2,
        path_every=2 if training.path_every else 0,
        ada_every=1,
        ada_images=64,
    )


def tiny_base() -> Model:
    """Return a base whose discriminator is sure of some reals; else the hinge gives its last bias no gradient."""
    base = make_model(seed=5)
    assert base.discriminator is not None
    torch.nn.init.ones_(base.discriminator.final.out.bias)
    return base


@dataclass
class TinyRun:
    """A training, its base, and what its steps said."""

    training: Training
    base: Model = field(default_factory=tiny_base)

    def __post_init__(self) -> None:
        assert self.base.discriminator is not None
        networks = copy.deepcopy(self.base.generator).train(), copy.deepcopy(self.base.discriminator).train()
        self.state = TrainState.start(*networks, self.training)
        features = DiscriminatorFeatures(self.base.discriminator)
        self.objective = Gan(
            self.training, Waves(), source=SourceModel(self.base.generator, PerceptualDistance(features))
        )
        held_out = [Waves(5).at(100 * (k + 1)) for k in range(max(len(self.training.paths), 1))]
        self.monitor = HeldOutMonitor(self.base.generator, held_out, features)
        self.reports: list[dict[str, float]] = []

    def go(
        self, stop_at: int = 0, judged: bool = False, each: Callable[[TrainState], None] = lambda state: None
    ) -> TinyRun:
        def on_step(state: TrainState, report: dict[str, Tensor]) -> bool:
            self.reports.append({k: float(v) for k, v in report.items()})
            each(state)
            if judged:
                self.monitor.update(state)
            return state.images == stop_at

        fit(self.state, self.objective, on_step)
        return self


def same(a: TrainState, b: TrainState) -> bool:
    x, y = a.tensors(), b.tensors()
    return a.counters() == b.counters() and x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)
