"""Snapshots and settings of version 0.1 (commit df0574e) go on as they would have there."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from portraitist.errors import UsageError
from portraitist.recipes import compose
from portraitist.train.folder import SETTINGS, check_config
from portraitist.train.loop import fit
from portraitist.train.snapshot import resume
from portraitist.train.source_losses import Structure
from portraitist.train.spec import RENAMED, Training, current, upgraded
from portraitist.train.state import State
from portraitist.train.translator import Translation, TranslatorState
from tests.conftest import make_model
from tests.recipes.tiny_runs import TinyRun, tiny
from tests.train import test_encoder_training as encoders
from tests.train import test_translator_training as translators

FOLDER = Path(__file__).parent / "snapshots"

OLD_STRUCTURE = Structure(weight=1.0)
"""With which they were taken: the recipe's weight was the paper's."""


def resumed(name: str, state: State, folder: Path) -> State:
    shutil.copy(FOLDER / f"{name}.safetensors", folder / "snapshot-000000001.safetensors")
    assert resume(folder, state) is not None
    return state


def check_same(name: str, reports: list[dict[str, Any]]) -> None:
    expected = json.loads((FOLDER / "losses.json").read_text())[name]
    assert len(reports) == len(expected)
    for mine, theirs in zip(reports, expected, strict=True):
        # Later versions report more.
        assert {k: float(mine[k]) for k in theirs} == pytest.approx(theirs, rel=1e-3, abs=1e-6)


def test_a_generator_goes_on(tmp_path: Path) -> None:
    run = TinyRun(tiny("structure", steps=4).with_term(OLD_STRUCTURE))
    state = resumed("generator", run.state, tmp_path)
    assert (state.images, state.step, len(state.history), bool(state.best)) == (8, 2, 2, True)
    check_same("generator", run.go(judged=True).reports)


def test_an_encoder_goes_on(tmp_path: Path) -> None:
    base = make_model(seed=5)
    state = encoders.start(base, "hvae")
    resumed("encoder", state, tmp_path)
    assert (state.images, state.step) == (12, 3)
    check_same("encoder", encoders.go(state, base))


def test_a_translator_goes_on(tmp_path: Path) -> None:
    training = replace(translators.TINY, pool=3, decay_from=0.5)
    system = translators.system(groups=("women",))
    state = TranslatorState(system, training)
    resumed("translator", state, tmp_path)
    assert state.images == 12 and len(state.pools) == 2
    reports: list[dict[str, Any]] = []

    def on_step(state: State, report: dict[str, Tensor]) -> bool:
        reports.append(report)
        return False

    fit(state, Translation(training, translators.Shapes(groups=("women",)), system, None), on_step)
    check_same("translator", reports)
    assert all(torch.isfinite(v).all() for v in state.tensors().values())


OLD: dict[str, Any] = {
    "rests": {"discriminator_from": 8, "generator_upto": 8, "mapping": False, "styles_upto": 8},
    "game": "logistic",
    "structure_weight": 1.0,
    "structure_from": 4,
    "structure_upto": 16,
    "structure_tap": "rgb",
    "similarity_weight": 0.0,
    "similarity_taps": 3,
}


def test_old_settings_are_read_under_their_new_names(tmp_path: Path) -> None:
    training = compose("freeze_sg+structure", 16, start=Training(batch=4, seed=3)).with_term(OLD_STRUCTURE)
    kept = {k: v for k, v in training.record().items() if k not in ("frozen", "gan_loss", "terms", "structure")}
    (tmp_path / SETTINGS).write_text(json.dumps(kept | OLD))
    check_config(tmp_path, training.record(), upgrade=upgraded)
    assert json.loads((tmp_path / SETTINGS).read_text())["structure"]["weight"] == 1.0  # from now on the new ones
    for wrong in (replace(training, terms=()), replace(training, gan_loss="hinge")):
        (tmp_path / SETTINGS).write_text(json.dumps(kept | OLD))
        with pytest.raises(UsageError, match=r"terms: |gan_loss: logistic -> hinge"):
            check_config(tmp_path, wrong.record(), upgrade=upgraded)


def test_a_loss_that_was_not_there_is_another_training(tmp_path: Path) -> None:
    plain = compose("freeze_sg", 16, start=Training(batch=4, seed=3))
    kept = {k: v for k, v in plain.record().items() if k not in ("frozen", "gan_loss", "terms")}
    (tmp_path / SETTINGS).write_text(json.dumps(kept | OLD | {"structure_weight": 0.0}))
    more = compose("freeze_sg+structure", 16, start=Training(batch=4, seed=3)).with_term(OLD_STRUCTURE)
    with pytest.raises(UsageError, match=r"terms: \[\] -> \['structure'\]"):
        check_config(tmp_path, more.record(), upgrade=upgraded)
    check_config(tmp_path, plain.record(), upgrade=upgraded)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_taken_with_a_warning(old: str, new: str, caplog: pytest.LogCaptureFixture) -> None:
    assert current(f"{old}=1") == f"{new}=1"
    assert f"{old} is now called {new}" in caplog.text
    assert current("batch=8") == "batch=8"
