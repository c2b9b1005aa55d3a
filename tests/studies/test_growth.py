"""The page of a base that grows: every snapshot that is asked for, beside the old base and the photos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data import ImageSet, write_image
from portraitist.data.images import read_image
from portraitist.io import registry
from portraitist.io.model_file import load_model, save_model
from portraitist.networks.features import SqueezeNetFeatures
from portraitist.recipes import grow
from portraitist.runs.finetune import TrainOptions, train
from portraitist.runs.source import grown
from portraitist.train.spec import Training
from studies import growth
from tests.conftest import make_model


def test_the_page_has_a_row_for_each_snapshot(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for k in range(8):
        write_image(tmp_path / "photos" / f"{k}.png", random.integers(0, 255, (32, 32, 3)).astype(np.uint8))
    weights = tmp_path / "squeezenet.pth"
    torch.save({f"features.{k}": v for k, v in SqueezeNetFeatures.layers().state_dict().items()}, weights)
    base = make_model(name="tiny")
    file = save_model(tmp_path / "tiny.safetensors", base)
    training = replace(grow(32, Training(batch=4)), images=16, snapshot=8, tick=8, entrance_images=4)
    photos = ImageSet.open(tmp_path / "photos", 32)
    path = train(photos, tmp_path / "run", grown(registry.load(str(file)), 32), training, TrainOptions(quiet=True))
    wanted = [f"--images={n}" for n in (8, 16)]
    folder = str(tmp_path / "photos")
    given = [f"--photos={folder}", f"--held-out={folder}", f"--features={weights}", *wanted]
    given += [f"--trial={name}={tmp_path / 'run'}" for name in ("plain", "other")]
    growth.main([str(tmp_path / "run"), f"--from={file}", *given, "--samples=8", f"--out={tmp_path / 'page'}"])
    page = (tmp_path / "page" / "growth.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")][2:]
    assert rows == ["photos it learns from", f"{file}, enlarged", "8 images", "16 images", "", "---", "plain", "other"]
    (last, generator) = list(growth.trained(tmp_path / "run", []))[-1]
    z = torch.randn(1, 16, generator=torch.Generator().manual_seed(1))
    assert last == 16 and torch.equal(generator(z), load_model(path).generator(z))
    sheet = read_image(tmp_path / "page" / "growth.png")
    assert sheet.shape[0] > 3 * 16 and sheet.shape[1] > 8 * 16
    assert (tmp_path / "page" / "growth_trials.png").is_file()
    growth.main(
        [str(tmp_path / "run"), f"--from={path}", *given[:3], "--samples=8", f"--out={tmp_path}", "--page=more"]
    )
    more = (tmp_path / "more.md").read_text(encoding="utf-8")
    assert "| the base before |" in more and "(more.png)" in more and (tmp_path / "more.png").is_file()


def test_trials_are_compared_at_equal_images_and_at_equal_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [{"images": 8.0, "cpu_seconds": 60.0}, {"images": 16.0, "cpu_seconds": 120.0}]
    (tmp_path / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    trial = growth.Trial.of(f"slow={tmp_path}")
    assert (trial.cpu_minutes(), trial.cpu_minutes(8)) == (3, 1)
    generator = make_model().generator
    monkeypatch.setattr(growth, "snapshots", lambda folder: [8, 16])
    monkeypatch.setattr(growth, "counters_of", lambda images: {"images": images})
    monkeypatch.setattr(growth, "trained", lambda run, wanted: [(n, generator) for n in (8, 16) if n in wanted])
    assert [images for images, _ in trial.compared(2.5)] == [8, 16]
    assert [images for images, _ in trial.compared(3)] == [16]
    assert [images for images, _ in trial.compared(0.5)] == [16]
    for given in (f"={tmp_path}", f"slow={tmp_path / 'none'}"):
        with pytest.raises(ValueError, match="NAME=RUN"):
            growth.Trial.of(given)
