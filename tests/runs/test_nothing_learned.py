"""A training that ends no nearer to its exemplars than the base says so, and writes no style."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from portraitist.errors import NothingLearned
from portraitist.recipes import compose
from portraitist.runs.finetune import TrainOptions, train
from portraitist.runs.source import Source
from portraitist.train.spec import Training
from tests.conftest import make_model, smooth_pictures


def test_the_shortest_training_is_judged_and_may_have_learned_nothing(tmp_path: Path) -> None:
    base = make_model(seed=5, name="tiny", resolution=32)
    still = replace(compose("freeze_d", 32, start=Training(batch=4)), images=4, tick=500, learning_rate=1e-9)
    images = smooth_pictures(tmp_path / "drawings").subset([*range(10), *range(3)])
    with pytest.raises(NothingLearned, match="after 4 images") as refused:
        train(
            images.subset([*range(10), *range(3)]), tmp_path / "run", Source(base=base), still, TrainOptions(quiet=True)
        )
    assert "a tick is 500 images" in str(refused.value) and "--images" in refused.value.cure
    assert refused.value.exit_code == 3
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert "report.html" in left and not {"style.safetensors", "model.safetensors"} & left
