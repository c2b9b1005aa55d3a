"""The way of docs/larger.md, from another program's checkpoint to a portrait, command by command, in miniature."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from portraitist.cli.main import main
from portraitist.data import write_image
from portraitist.data.images import read_image
from portraitist.io import registry
from portraitist.io.model_file import generator_digest, load_model

pytestmark = pytest.mark.recipe
Run = Callable[..., None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], models_folder: Path) -> Run:
    """The command line in this process, which must succeed."""
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)

    def go(*words: object) -> None:
        monkeypatch.setattr(sys, "argv", ["portraitist", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, capsys.readouterr().err

    return go


def faces(folder: Path, count: int) -> Path:
    random = np.random.default_rng(count)
    for i in range(count):
        write_image(folder / f"{i}.png", random.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    return folder


def test_a_foreign_checkpoint_becomes_a_base_with_encoder_and_style(shared: Path, tmp_path: Path, run: Run) -> None:
    """rosinality's file to `convert`, `models add`, `encoder train`, `encoder import`, `train --from`, `stylize`."""
    base, encoder, style = tmp_path / "big.safetensors", tmp_path / "encoder", tmp_path / "style"
    run("convert", shared / "golden" / "rosinality.pt", base, "--name", "big", "--licence", "MIT", "--half")
    run("models", "add", base)
    quick = ("--images", 16, "--set", "batch=8", "--device", "cpu")
    run(
        "encoder", "train", faces(tmp_path / "photos", 24), "--base", "big", "-o", encoder, "--name", "big-hvae", *quick
    )
    run("encoder", "import", encoder)
    run("train", faces(tmp_path / "drawings", 24), "--from", "big", "-o", style, "--recipe", "freeze_fc", *quick)

    stored = registry.load_encoder_of(registry.load("big"))
    assert stored is not None and stored.header.base_digest == generator_digest(load_model(base))
    me = write_image(tmp_path / "me.png", read_image(tmp_path / "photos" / "3.png"))
    run("stylize", me, "--aligned", "--style", style, "--refine", 2, "-o", tmp_path / "out", "--device", "cpu")
    drawn = [read_image(p) for p in (tmp_path / "out").glob("*.png")]
    assert len(drawn) == 1 and drawn[0].std() > 0
