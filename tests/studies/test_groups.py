"""The studies of groups: two groups of a few pictures, tiny translators, every page that is written of them."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from portraitist.data.images import Pixels, write_image
from portraitist.errors import UsageError
from studies import group_weights
from studies.groups import main, page, pictures
from studies.groups.pictures import PHOTOS, SETS, Drawings
from studies.groups.study import GroupStudy
from tests.train.test_translator_training import Colours


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for group in ("women", "men"):
        monkeypatch.setitem(PHOTOS, group, (3, 2))
    monkeypatch.setitem(SETS, "waves", Drawings("waves", {"women": (4, 2), "men": (3, 2)}))
    monkeypatch.setattr(pictures, "cut_out", lambda picture: picture)  # nobody is in these pictures
    people = [("women" if k < 6 else "men", f"{k:02}.png") for k in range(12)]
    random = np.random.default_rng(1)
    folder = tmp_path / "data"
    for _, name in people:
        smooth = np.kron(random.integers(0, 255, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        write_image(folder / "style_waves" / name, smooth)
    with zipfile.ZipFile(folder / "photos_256.zip", "w") as archive:
        for _, name in people:
            archive.write(folder / "style_waves" / name, name)
    for labels in ("labels_style_waves.csv", "labels_photos_256.csv"):
        with (folder / labels).open("w", newline="") as file:
            csv.writer(file).writerows([("file", "group"), *((name, group) for group, name in people)])
    return folder


def nobody(study: GroupStudy, each: int) -> dict[str, list[Pixels]]:
    return {group: [np.full((256, 256, 3), 90, np.uint8)] * each for group in study.groups}


def rests(study: Callable[[list[str]], None], words: list[str], runs: Path) -> bool:
    """Whether a command leaves every file of the runs as it is."""
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file()}
    study(words)
    return {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file()} == before


@pytest.fixture
def words(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for module in (page, group_weights):
        monkeypatch.setattr(module, "people_of", nobody)
    (tmp_path / "out").mkdir()
    folders = ["--data", str(data), "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    return [*folders, "--style", "waves", "--size", "32", "--channels", "4", "--images", "1", "--few", "1"]


@pytest.mark.slow
def test_every_way_is_measured_and_kept(words: list[str], tmp_path: Path) -> None:
    words += ["--seeds", "1", "--group-weight", "1"]
    main(words)
    text = (tmp_path / "out" / "groups.md").read_text(encoding="utf-8")
    assert "recipe `paper` at 32 pixels" in text
    assert "women 3/4; men 3/3; held out: women 2/2; men 2/2" in " ".join(text.split())
    assert all(f"| {name} |" in text for name in ("basic", "mixed", "naive fine-tuning", "ours", "drawings trained on"))
    assert (tmp_path / "out" / "groups.png").exists() and (tmp_path / "out" / "groups_attention.png").exists()
    assert rests(main, [*words, "--page"], tmp_path / "runs")
    assert (tmp_path / "out" / "groups.md").read_text(encoding="utf-8") == text


@pytest.mark.recipe
def test_every_weight_is_measured_and_kept(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words += ["--weights", "1,5"]
    with pytest.raises(UsageError, match="whether the person stays"):
        group_weights.main(words)
    words += ["--identity", "embedder"]
    monkeypatch.setattr("studies.groups.study.load_identity", lambda path: Colours())
    with pytest.raises(UsageError, match="Not all weights are measured"):
        group_weights.main([*words, "--page"])
    group_weights.main(words)
    text = (tmp_path / "out" / "group_weights.md").read_text(encoding="utf-8")
    assert "| weight 1 |" in text and "| weight 5 |" in text and (tmp_path / "out" / "group_weights.png").exists()
    assert rests(group_weights.main, [*words, "--page"], tmp_path / "runs")
    assert (tmp_path / "out" / "group_weights.md").read_text(encoding="utf-8") == text
    shared = [word for word in words if word not in ("--weights", "1,5")]
    for study in (group_weights.main, main):
        with pytest.raises(UsageError, match="--transposed changes nothing in paper"):
            study([*shared, "--transposed"])
    with pytest.raises(UsageError, match="--both is of trainings with --initial"):
        group_weights.main([*words, "--both"])
    group_weights.main([*words, "--both", "--images", "2", "--initial", "0.5", "--name", "copies", "--weights", "5"])
    text = (tmp_path / "out" / "copies.md").read_text(encoding="utf-8")
    assert all(f"| {begun}{row} |" in text for begun in ("", "after copies, ") for row in ("basic", "weight 5"))
    assert "of which the first 1 were only drawn as they are" in " ".join(text.split())
    (settings,) = (tmp_path / "runs").glob("*initial0.5/0/1-5/ours/settings.json")
    assert json.loads(settings.read_text())["initial_share"] == 0  # of a translator that draws already
