"""Runs that cannot go on as they are: NaN, too little memory, changed settings, collapse."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from portraitist.data import ImageBatches, ImageSet, write_image
from portraitist.data.teacher import Pairs
from portraitist.errors import BadModel, NonFinite, OutOfMemory, UsageError
from portraitist.io.headers import read_header
from portraitist.io.model_file import load_model
from portraitist.runs import findings
from portraitist.runs.finetune import TrainOptions, train
from portraitist.train.folder import libraries
from portraitist.train.gan import Gan
from portraitist.train.log import STATS
from portraitist.train.loop import fit
from portraitist.train.painter import PainterTraining, PairBatches
from portraitist.train.session import NOT_FINITE
from portraitist.train.snapshot import resume, write_snapshot
from portraitist.train.spec import Freeze, Role, Term
from portraitist.train.symptoms import LINES, SYMPTOMS, Symptoms
from portraitist.train.terms import StepContext
from tests.runs.test_finetune import SCRATCH, TRAINING, draw_exemplars
from tests.train.test_loop import TRAINING as LOOP
from tests.train.test_loop import Waves, same, start

QUIET = TrainOptions(quiet=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return ImageSet.open(draw_exemplars(tmp_path_factory.mktemp("exemplars")), 16)


def test_nan_names_the_pictures_of_its_step(images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Tensor] = []
    at = ImageBatches.at

    def poisoned(self: ImageBatches, position: int) -> Tensor:
        shown.append(at(self, position))
        return shown[-1] * (float("nan") if position == 8 else 1)

    monkeypatch.setattr(ImageBatches, "at", poisoned)
    with pytest.raises(NonFinite, match="after 8 images") as caught:
        train(images, tmp_path / "run", SCRATCH, TRAINING, QUIET)
    noted = json.loads((tmp_path / "run" / NOT_FINITE).read_text())
    assert (noted["images"], noted["step"], len(noted["pictures"])) == (8, 2, 4)
    # The names are those of the pictures that were seen, mirrored or not.
    for name, picture in zip(noted["pictures"], shown[-1], strict=True):
        real = images[images.names.index(name)].float().div(127.5).sub(1)
        assert torch.equal(picture, real) or torch.equal(picture, real.flip(2)), name
        assert name in str(caught.value)
    assert "--allow learning_rate" in caught.value.cure


def test_the_pictures_of_a_painters_step_are_named(images: ImageSet) -> None:
    pairs = Pairs(images, torch.zeros(len(images), 3, 16, 16, dtype=torch.uint8))
    batches = PairBatches(pairs, [images], PainterTraining(batch=4, mirror=False, seed=2))
    for step in range(3):
        sample, names = batches.at(step), batches.names(step)
        for name, picture in zip(names, [*sample.photos, *sample.exemplars], strict=True):
            assert torch.equal(picture, images[images.names.index(name)].float().div(127.5).sub(1)), name
    # Of several sets a batch holds as many exemplars of each.
    few, many = images.subset(range(2)), images.subset(range(2, len(images)))
    balanced = PairBatches(pairs, [few, many], PainterTraining(batch=4, mirror=False, seed=2))
    for step in range(5):
        shown = balanced.names(step)[4:]
        assert set(shown[:2]) <= set(few.names) and set(shown[2:]) <= set(many.names) and len(shown) == 4


@dataclass(frozen=True)
class Hungry(Term):
    """A loss that asks for more memory than there is, in parts larger than a quarter of the batch."""

    name: ClassVar[str] = "hungry"
    role: ClassVar[Role] = "G"

    def __call__(self, context: StepContext) -> Tensor:
        if context.share.of < 4:
            torch.empty(1 << 60, dtype=torch.uint8)
        return context.state.generator.synthesis.const.square().sum()


def test_too_little_memory_names_the_number_of_parts_to_try() -> None:
    training = replace(LOOP, images=4)
    for parts, more in ((1, 2), (2, 4)):
        with pytest.raises(OutOfMemory) as caught:
            fit(start(), Gan(replace(training, accumulate=parts), Waves(), [Hungry()]), lambda state, report: False)
        assert f"--set accumulate={more} --allow accumulate " in caught.value.cure and caught.value.exit_code == 4
    fit(start(), Gan(replace(training, accumulate=4), Waves(), [Hungry()]), lambda state, report: False)


def test_a_batch_that_cannot_be_divided_further_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hungry, "__call__", lambda self, context: torch.empty(1 << 60, dtype=torch.uint8))
    with pytest.raises(OutOfMemory, match=r"in 4 parts.*smallest parts"):
        fit(start(), Gan(replace(LOOP, accumulate=4), Waves(), [Hungry()]), lambda state, report: False)


def test_a_run_goes_on_with_a_setting_that_is_let_through(
    images: ImageSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    train(images, run, SCRATCH, replace(TRAINING, images=12), QUIET)
    slower = replace(TRAINING, learning_rate=TRAINING.learning_rate / 4)
    with pytest.raises(UsageError, match=r"learning_rate: .*--allow"):
        train(images, run, SCRATCH, slower, QUIET)
    allowed = replace(QUIET, allow=frozenset({"learning_rate"}))
    header = read_header(train(images, run, SCRATCH, slower, allowed))
    assert "goes on with other settings: learning_rate: 0.002 -> 0.0005" in caplog.text
    assert header.recipe["allowed"] == ["learning_rate"] and header.recipe["learning_rate"] == slower.learning_rate
    assert header.recipe["libraries"] == libraries() and header.lineage[-1]["images_seen"] == 24
    # Its weights are those of neither rate alone, and its snapshots are its own without being let through again.
    others = [train(images, tmp_path / f"{t.learning_rate}", SCRATCH, t, QUIET) for t in (TRAINING, slower)]
    digest = load_model(run / "model.safetensors").digest
    assert digest not in [load_model(path).digest for path in others]
    (run / "snapshots" / "snapshot-000000024.safetensors").unlink()  # the one left was written at the other rate
    assert load_model(train(images, run, SCRATCH, slower, QUIET)).digest == digest


def test_what_a_run_is_cannot_be_let_through(images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run in"):
        train(images, tmp_path / "new", SCRATCH, TRAINING, replace(QUIET, allow=frozenset({"batch"})))
    train(images, tmp_path / "run", SCRATCH, replace(TRAINING, images=4), QUIET)
    for name in ("data", "seed", "held_out", "networks.generator"):
        with pytest.raises(UsageError, match=f"another '{name}'"):
            train(images, tmp_path / "run", SCRATCH, TRAINING, replace(QUIET, allow=frozenset({name})))
    with pytest.raises(UsageError, match="no setting 'learnig_rate'"):
        train(images, tmp_path / "run", SCRATCH, TRAINING, replace(QUIET, allow=frozenset({"learnig_rate"})))
    # A setting that the networks follow from is let through, and then refused by them.
    paths = replace(TRAINING, augment="none")
    train(images, tmp_path / "run", SCRATCH, replace(paths, images=8), replace(QUIET, allow=frozenset({"augment"})))
    with pytest.raises(BadModel, match="other networks"):
        resume(tmp_path / "run" / "snapshots", start())


LINE = {"sign_real": 0.6, "sign_fake": -0.6, "gradient_g": 0.1, "gradient_d": 1.0, "variety": 0.3, "variety_real": 0.4}


@pytest.mark.parametrize(
    ("name", "ill"),
    [
        ("certain", {"sign_real": 1.0, "sign_fake": -0.99}),
        ("dead", {"gradient_g": 0.0}),
        ("dead", {"gradient_d": 1e-12}),
        ("alike", {"variety": 0.01}),
    ],
)
def test_a_symptom_that_lasts_is_told_once(name: str, ill: dict[str, float], caplog: pytest.LogCaptureFixture) -> None:
    symptoms = Symptoms()

    def look(line: dict[str, float]) -> dict[str, float]:
        return symptoms.look({"images": 8.0, **line})

    assert [look(LINE | ill) for _ in range(LINES - 1)] == [{}] * (LINES - 1)
    assert look(LINE) == {}  # it must show in a row
    assert [look(LINE | ill) for _ in range(LINES - 1)] == [{}] * (LINES - 1) and caplog.text == ""
    again = Symptoms()  # as a run that is continued
    again.restore(symptoms.lines)
    symptoms = again
    assert [look(LINE | ill) for _ in range(3)] == [{f"symptom_{name}": 1.0}] * 3
    assert caplog.text.count(SYMPTOMS[name].words) == 1 and SYMPTOMS[name].cure in caplog.text
    assert look(LINE) == {} and look({}) == {}


def test_one_sided_certainty_and_small_batches_are_no_symptom() -> None:
    symptoms = Symptoms()
    for _ in range(LINES):
        assert symptoms.look({"images": 8.0, "sign_real": 1.0, "sign_fake": 0.2}) == {}
        assert symptoms.look({"images": 8.0, "loss": 1.0}) == {}


def test_a_judge_that_is_sure_of_everything_is_told_by_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    halves = np.zeros((16, 16, 3), np.uint8)
    halves[:, :8] = 255  # what a generator that is frozen but for its last block never draws
    for i in range(4):
        write_image(
            tmp_path / "halves" / f"{i}.png", halves + (np.arange(256).reshape(16, 16, 1) == i).astype(np.uint8)
        )
    frozen = Freeze(mapping=True, generator_upto=8)
    training = replace(TRAINING, images=120, snapshot=120, r1_gamma=0.0, path_weight=0.0, augment="none")
    training = replace(training, learning_rate=0.004, mirror=False, frozen=frozen)
    run = tmp_path / "run"
    train(ImageSet.open(tmp_path / "halves", 16), run, SCRATCH, training, QUIET)
    lines = [json.loads(text) for text in (run / STATS).read_text().splitlines()]
    assert all({"variety", "variety_real"} <= line.keys() for line in lines)
    assert all(line["gradient_g"] > 0 and line["gradient_d"] > 0 for line in lines)
    told = {line["images"] for line in lines if "symptom_certain" in line}
    sure = {line["images"] for line in lines if line["sign_real"] >= 0.98 and line["sign_fake"] <= -0.98}
    assert told and told <= sure and caplog.text.count("tells all drawn images from all real ones") == 1


def test_symptoms_are_part_of_a_snapshot(tmp_path: Path) -> None:
    state, other = start(), start()
    state.symptoms.lines = {"alike": 3}
    write_snapshot(tmp_path, state)
    resume(tmp_path, other)
    assert same(state, other) and other.symptoms.lines == {"alike": 3}


def test_a_log_that_somebody_has_spoilt_ends_nothing(tmp_path: Path) -> None:
    assert findings._stats(tmp_path) == []
    whole = {"images": 8.0, "images_per_second": 2.0, "loss": 0.5}
    spoilt = [
        b"\xff\xfe",
        b"{",
        b"[1]",
        b"[" * 100_000,
        b'{"images": 4}',
        b'{"images": "x", "images_per_second": 1}',
        b"",
    ]
    (tmp_path / STATS).write_bytes(b"\n".join([*spoilt, json.dumps(whole | {"note": "x"}).encode()]))
    assert findings._stats(tmp_path) == [whole]
    (tmp_path / STATS).unlink()
    (tmp_path / STATS).mkdir()
    assert findings._stats(tmp_path) == []
