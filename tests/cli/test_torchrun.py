"""The command line in several processes: one model, one run folder, one line of output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from portraitist.io.headers import read_header
from portraitist.io.model_file import load_model, save_model
from tests.cli.conftest import Run
from tests.conftest import make_model
from tests.runs.test_finetune import draw_exemplars
from tests.train.torchrun import ended, torchrun

pytestmark = pytest.mark.xdist_group("machine")

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / "src" / "portraitist" / "__main__.py"
SETTINGS = (
    "held_out=0",
    "patience=0",
    "batch=8",
    "augment=ada",
    "ada_images=64",
    "ada_target=-1",
    "tick=8",
    "snapshot=16",
    "r1_every=2",
)


def command(folder: Path, out: Path, *words: str) -> list[str]:
    """Fine-tune the base in ``folder`` on its exemplars."""
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    from_ = ["--from", str(folder / "base.safetensors"), "-o", str(out)]
    return ["train", str(folder / "exemplars"), *from_, *settings, *words]


def in_two(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the command line in two processes, as people do."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = [sys.executable, *launcher, "-m", "portraitist", *words, "--rank-timeout", "60"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(program, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw_exemplars(tmp_path / "exemplars", 20)
    save_model(tmp_path / "base.safetensors", make_model(name="tiny"))
    return tmp_path


@pytest.mark.recipe
def test_two_processes_write_what_one_does_and_one_goes_on(
    folder: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    code, _, told = run(*command(folder, folder / "alone", "--images", "48"))
    assert code == 0, told
    first = in_two(command(folder, folder / "both", "--images", "32"))
    assert first.returncode == 0, first.stderr
    both = folder / "both"
    next_ = f"next: portraitist stylize me.jpg --style {both}"
    assert first.stdout.splitlines() == [str(both / "style.safetensors"), str(both / "report.html"), next_]  # said once
    code, _, told = run(*command(folder, folder / "both", "--images", "48"))
    assert code == 0 and "continuing from snapshot-000000032" in caplog.text, told
    log = folder / "log.txt"
    assert ended(torchrun(PROGRAM, *command(folder, folder / "both", "--set", "batch=4"), log=log), 300) == 1
    assert "began with other settings" in log.read_text()
    ours, theirs = (load_model(folder / name / "model.safetensors").tensors() for name in ("both", "alone"))
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=1e-4)
    lines = (folder / "both" / "stats.jsonl").read_text().splitlines()
    assert [json.loads(line)["images"] for line in lines] == [8, 16, 24, 32, 40, 48]
    assert read_header(folder / "both" / "style.safetensors").kind == "style-pack"
    assert not (folder / "both" / "lock.json").exists()
