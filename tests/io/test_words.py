"""Words of a base: those that ship fit it, the user's count first, and a damaged file is passed over with a word."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from portraitist.errors import BadModel, UsageError
from portraitist.io import registry
from portraitist.io.directions import save_directions
from portraitist.io.model_file import generator_digest
from portraitist.io.words import direction_of, words_of
from portraitist.spaces.direction import Direction


def test_the_words_that_ship_are_those_of_the_bundled_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTRAITIST_MODELS", str(tmp_path))
    base = registry.load("faces")
    stored = words_of(generator_digest(base), "faces")
    assert {"smile", "age"} <= set(stored.directions) and stored.header.licence == "CC-BY-NC-SA-4.0"
    assert stored.header.lineage["photos"]["count"] == 1000 and "Peterson" in stored.header.credit
    anatomy = base.generator.anatomy
    for word in stored.directions.values():
        assert word.accuracy is not None and word.accuracy >= 0.5 and word.judged is not None and word.judged >= 1
        assert word.step(anatomy.rows).shape == (anatomy.rows, anatomy.w_dim)


def test_the_users_words_count_and_damaged_ones_are_told(
    models_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    digest, folder = "abc", models_folder / "words"
    folder.mkdir(parents=True)
    (folder / "broken.safetensors").write_bytes(b"no")
    mine = Direction("mine", torch.ones(10, 128), tuple(range(10)), accuracy=0.9)
    path = save_directions(folder / "mine.safetensors", [mine], base=digest, lineage={"photos": 3})
    assert list(words_of(digest).directions) == ["mine"] and "broken.safetensors" in caplog.text
    assert words_of(digest).header.lineage == {"photos": 3} and direction_of("mine", digest).accuracy == 0.9
    assert direction_of(f"{path}:mine", digest).name == "mine"
    with pytest.raises(BadModel, match="were found on"):
        direction_of(str(path), "another base")
    with pytest.raises(UsageError, match="Known: mine"):
        direction_of("smile", digest)
    with pytest.raises(UsageError, match="knows no words"):
        words_of("another base")
