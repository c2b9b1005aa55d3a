from __future__ import annotations

from functools import partial
from itertools import count

import pytest

from benchmarks.larger import Noise
from benchmarks.measure import Peak
from benchmarks.phases import REST, Cost, Metered, mean_step, page
from portraitist.io.model_file import Model
from portraitist.recipes import from_scratch
from portraitist.runs.source import Source
from portraitist.train.spec import Training
from portraitist.train.state import TrainState


def test_each_phase_of_a_step_is_metered_once_and_the_rest_before_and_after(tiny_model: Model) -> None:
    source, training = Source(tiny_model), from_scratch(16, Training(batch=4))
    objective = Metered(training, Noise(16, 4))
    state = TrainState.start(*source.networks(0), training)
    rises = objective.used(state, partial(next, count()))
    assert rises == {REST: 2, "loss_d": 1, "r1": 1, "loss_g": 1, "path": 1}


def test_lazy_phases_have_their_share_of_the_mean_step() -> None:
    phases = [Cost("loss_d", 1, 1.0, 3e9), Cost("r1", 4, 4.0, 4e9)]
    assert mean_step(phases) == Cost("**mean step**", 1, pytest.approx(2.0), pytest.approx(4e9))
    row = "| 8 px | **mean step** | 1 | 2000 | 4.0 | 0.50 | 0.25 | **3.0** |"
    assert row in page({"8 px": phases}, Peak(4.0, 8.0), batch=6)
