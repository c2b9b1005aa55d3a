"""``portraitist distill``: from a style and two folders to a painter's file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.io.painter_files import load_painter
from tests.cli.conftest import Run
from tests.conftest import smooth_pictures

pytestmark = pytest.mark.recipe
SMALL = ("--size", 32, "--widths", "4,4,8", "--blocks", 1, "--images", 2, "--device", "cpu")
SETTINGS = ("batch=2", "panel.channels=4", "perceptual.crop=16", "adversarial.crop=16")


@pytest.fixture
def data(tmp_path: Path, models_folder: Path, tiny_model: Model, tiny_style: Model) -> Path:
    save_model(models_folder / "faces.safetensors", tiny_model)
    save_pack(models_folder / "wild.safetensors", tiny_style, tiny_model)
    for name in ("photos", "exemplars"):
        smooth_pictures(tmp_path / name)
    return tmp_path


def words(data: Path, *more: object) -> tuple[object, ...]:
    sets = [word for setting in SETTINGS for word in ("--set", setting)]
    given = ("--photos", data / "photos", "--exemplars", data / "exemplars", "-o", data / "run")
    return ("distill", "wild", *given, *SMALL, *sets, *more)


def test_from_a_style_to_a_painter(run: Run, data: Path) -> None:
    code, lines, _ = run(*words(data, "--name", "mine"))
    assert (code, lines) == (0, [str(data / "run" / "painter.safetensors")])
    header = load_painter(data / "run").header
    assert (header.name, header.style_name, header.licence, header.credit) == ("mine", "wild", "CC-BY-4.0", "Nobody")
    assert header.painter.widths == (4, 4, 8) and header.painter.blocks == 1 and header.side == 32
    assert len(header.style_digest) == len(header.teacher_digest) == 64
    assert header.training["looks"]["name"].startswith("discriminator") and header.training["persons"] is None
    assert len(list((data / "run" / "teacher").glob("*.png"))) == 10
    # Once more: nothing is left to do, and the teacher is the same.
    before = (data / "run" / "teacher" / "index.jsonl").read_text()
    assert run(*words(data, "--name", "mine"))[0] == 0
    assert (data / "run" / "teacher" / "index.jsonl").read_text() == before
    code, _, told = run(*words(data, "--seed", 1))
    assert code == 2 and "seed: 0 -> 1" in told and "new folder" in told


def test_a_dry_run_writes_nothing(run: Run, data: Path) -> None:
    code, lines, _ = run(*words(data, "--dry-run", "--set", "consistency.views.shift=5"))
    assert code == 0 and lines[-1] == "10 photos, 10 exemplars"
    shown = json.loads("\n".join(lines[:-1]))
    assert shown["painter"]["widths"] == [4, 4, 8] and shown["consistency"]["views"]["shift"] == 5
    assert not (data / "run").exists()


def test_what_is_wrong_is_said_with_its_cure(run: Run, data: Path) -> None:
    for more, parts in {
        ("--widths", "4,4"): ("three numbers", "24,48,96"),
        ("--size", 60): ("60 pixels", "multiple of 8"),
        ("--set", "pixels=1"): ("pixels",),
        ("--set", "pixels.weight=-1"): ("cannot be negative",),
        ("--set", "strokes.weight=1"): ("no setting 'strokes'", "adversarial"),
        ("--identity", data / "no.pt"): ("no.pt",),
        ("--identity", data / "no.pt", "--set", "identity.weight=0"): ("identity.weight is 0", "Leave it out"),
        ("--set", "identity.weight=2"): ("for a face embedder", "--identity FILE"),
        ("--photos", data / "nowhere"): ("nowhere",),
        ("--licence", "a\x07b"): ("control characters", "plain text"),
    }.items():
        code, _, told = run(*words(data, *more))
        assert code in (2, 3) and all(part in told for part in parts), (more, told)
    code, _, told = run("distill", "unheard", *words(data)[2:])
    assert code == 2 and "unheard" in told
    code, _, told = run("distill", "faces", *words(data)[2:])
    assert code == 2 and "full model, not a style" in told
    assert not (data / "run").exists()
