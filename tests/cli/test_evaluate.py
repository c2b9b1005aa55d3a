"""``portraitist evaluate``: the report of a small run, bad photos, and wrong use."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from portraitist.cli.main import main
from portraitist.data import write_image
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for k in range(3):
        write_image(tmp_path / "photos" / f"{k}.png", random.integers(0, 255, (20, 16, 3), dtype=np.uint8))
    return tmp_path / "photos"


@pytest.fixture
def base(models_folder: Path, tmp_path: Path, tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))


def run(patch: pytest.MonkeyPatch, *words: object) -> int:
    fixed = ("--base", "tiny", "--aligned", "--steps", 2, "--prior-codes", 12)
    patch.setattr(sys, "argv", ["portraitist", "evaluate", "inversion", *map(str, (*words, *fixed))])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_a_folder_of_photos_becomes_a_report(
    base: None, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    words = (photos, "-o", out, "-m", "portrait", "-m", "ui2i", "--limit", 2, "--seed", 4)
    assert run(monkeypatch, *words) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        str(out / name) for name in ("inversion.md", "inversion.json", "inversion.png")
    ]
    first = json.loads((out / "inversion.json").read_text())
    assert list(first["results"]) == ["mean face", "portrait", "ui2i"]
    assert first["photos"] == [str(photos / "0.png"), str(photos / "1.png")]
    assert first["settings"]["methods"]["ui2i"]["steps"] == 2 and first["settings"]["base"]["name"] == "tiny"
    assert first["results"]["portrait"]["steps"] == 2 and first["results"]["portrait"]["seconds"]["value"] > 0
    assert run(monkeypatch, *words) == 2
    assert "exists already" in capsys.readouterr().err
    assert run(monkeypatch, *words, "--overwrite") == 0
    second = json.loads((out / "inversion.json").read_text())
    for result in (*first["results"].values(), *second["results"].values()):
        del result["seconds"], result["each"]["seconds"]
    assert first == second


def test_a_bad_photo_is_listed_and_the_others_are_measured(
    base: None, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "1.png").write_bytes(b"x")
    assert run(monkeypatch, photos, photos / "2.png", "-o", tmp_path / "out") == 3
    done = capsys.readouterr()
    assert "2 photos measured, 1 left out" in done.out and "1.png" in done.err and "Traceback" not in done.err
    report = json.loads((tmp_path / "out" / "inversion.json").read_text())
    assert list(report["failures"]) == [str(photos / "1.png")] and len(report["photos"]) == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--method", "magic"], 2, "Unknown method 'magic'"),
        (["--method", "in-domain"], 2, "No encoder of 'tiny' is known"),
        (["--prior", "w"], 2, "There is no prior 'w'"),
        (["--prior-codes", "2"], 3, "2 codes of the prior are too few for 3 photos"),
        (["--identity", "missing.pth"], 3, "missing.pth"),
    ],
)
def test_wrong_use_is_one_line(
    base: None,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["portraitist", "evaluate", "inversion", str(photos), "-o", "out", *words])
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--base", "tiny", "--aligned", "--steps", "1"])
    with pytest.raises(SystemExit) as ended:
        main()
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert ended.value.code == code and len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "out").exists()


def test_a_base_without_a_discriminator_needs_other_networks(
    models_folder: Path, photos: Path, tiny_model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from dataclasses import replace

    registry.add(
        save_model(
            tmp_path / "b.safetensors",
            Model(tiny_model.generator, None, replace(tiny_model.header, discriminator=None)),
        )
    )
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)
    assert run(monkeypatch, photos, "-o", tmp_path / "out") == 2
    assert "has no discriminator to measure likeness with" in capsys.readouterr().err
