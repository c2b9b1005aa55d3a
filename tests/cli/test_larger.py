"""The way of docs/larger.md, from another program's checkpoint to a portrait, command by command, in miniature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from portraitist.data import write_image
from portraitist.data.images import read_image
from portraitist.io import registry
from portraitist.io.model_file import generator_digest, load_model
from tests.cli.conftest import Run

pytestmark = pytest.mark.recipe
Succeed = Callable[..., None]


@pytest.fixture
def succeed(run: Run, models_folder: Path) -> Succeed:
    """The command line, which must succeed."""

    def go(*words: object) -> None:
        code, _, errors = run(*words)
        assert not code, errors

    return go


def faces(folder: Path, count: int) -> Path:
    random = np.random.default_rng(count)
    for i in range(count):
        write_image(folder / f"{i}.png", random.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    return folder


def test_a_foreign_checkpoint_becomes_a_base_with_encoder_and_style(
    shared: Path, tmp_path: Path, succeed: Succeed
) -> None:
    """rosinality's file to `convert`, `models add`, `encoder train`, `encoder import`, `train --from`, `stylize`."""
    base, encoder, style = tmp_path / "big.safetensors", tmp_path / "encoder", tmp_path / "style"
    succeed("convert", shared / "golden" / "rosinality.pt", base, "--name", "big", "--licence", "MIT", "--half")
    succeed("models", "add", base)
    quick = ("--images", 16, "--set", "batch=8", "--device", "cpu")
    succeed(
        "encoder", "train", faces(tmp_path / "photos", 24), "--base", "big", "-o", encoder, "--name", "big-hvae", *quick
    )
    succeed("encoder", "import", encoder)
    succeed("train", faces(tmp_path / "drawings", 24), "--from", "big", "-o", style, "--recipe", "freeze_fc", *quick)

    stored = registry.load_encoder_of(registry.load("big"))
    assert stored is not None and stored.header.base_digest == generator_digest(load_model(base))
    me = write_image(tmp_path / "me.png", read_image(tmp_path / "photos" / "3.png"))
    succeed("stylize", me, "--aligned", "--style", style, "--refine", 2, "-o", tmp_path / "out", "--device", "cpu")
    drawn = [read_image(p) for p in (tmp_path / "out").glob("*.png")]
    assert len(drawn) == 1 and drawn[0].std() > 0
