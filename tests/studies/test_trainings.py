"""The study of trainings: who is trained on what, and what tells men from women among drawings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from portraitist.data import ImageSet, write_image
from portraitist.errors import PortraitistError
from portraitist.io.headers import read_header
from portraitist.io.model_file import Model
from portraitist.networks.features import DiscriminatorFeatures
from studies import trainings
from studies.trainings import GENDERS, WAYS, Gender, Way, people_of, trained
from tests.conftest import make_model

compose = trainings.compose


@pytest.fixture
def coloured(tmp_path: Path) -> ImageSet:
    """Twelve dark women and six bright men."""
    random = np.random.default_rng(0)
    names = []
    for k in range(18):
        low, high, gender = (0, 90, "female") if k % 3 else (150, 255, "male")
        names.append(f"{k:02}.png,{gender}")
        write_image(tmp_path / "faces" / f"{k:02}.png", random.integers(low, high, (16, 16, 3)).astype(np.uint8))
    (tmp_path / "labels.csv").write_text("file,gender\n" + "\n".join(names))
    return ImageSet.open(tmp_path / "faces", 16, labels=tmp_path / "labels.csv")


def test_ways_are_told_apart_and_only_multipath_has_paths() -> None:
    assert len({way.name for way in WAYS}) == len(WAYS)
    assert [way.name for way in WAYS if way.paths] == ["agilegan+multipath"]
    assert Way("agilegan", balanced=True).name == "agilegan, balanced"


@pytest.mark.recipe
def test_men_and_women_are_told_apart_as_the_exemplars_are(coloured: ImageSet) -> None:
    discriminator = make_model().discriminator
    assert discriminator is not None
    gender = Gender.of(coloured, DiscriminatorFeatures(discriminator))
    assert gender.recall == {"female": 1.0, "male": 1.0}
    drawings = np.stack(list(coloured.decoded_at(256)))
    men = np.array([k % 3 == 0 for k in range(18)])
    assert gender.shares(drawings, men) == (1.0, 1.0)
    assert gender.shares(drawings, ~men) == (0.0, 0.0)


def test_as_many_men_as_women_are_drawn(coloured: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainings, "PEOPLE", 5)
    people = people_of(coloured)
    assert list(people) == list(GENDERS) and {p.shape for p in people.values()} == {(5, 16, 16, 3)}
    assert people["female"].max() < 90 and people["male"].min() >= 150
    assert len({p.tobytes() for p in people["male"]}) == 5  # nobody twice


@pytest.mark.recipe
@pytest.mark.parametrize("way", [WAYS[0], WAYS[4]], ids=lambda way: way.name)
def test_a_training_is_kept_and_balanced_where_it_is_to_be(
    coloured: ImageSet, tmp_path: Path, tiny_model: Model, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainings, "finder_named", lambda: None)
    monkeypatch.setattr(trainings, "compose", lambda *given, **more: replace(compose(*given, **more), batch=4))
    path = trained(way, coloured, tiny_model, 8, tmp_path / "runs")
    header = read_header(path)
    assert header.recipe["images"] == 8 and bool(header.recipe["balance"]) == way.balanced
    before = path.read_bytes()
    assert trained(way, coloured, tiny_model, 8, tmp_path / "runs") == path
    assert path.read_bytes() == before  # nothing was trained again
    with pytest.raises(PortraitistError):
        trained(way, coloured.subset(range(9)), tiny_model, 8, tmp_path / "runs")
