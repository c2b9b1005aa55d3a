"""A single path that is shown the values of an attribute equally often, however many exemplars each has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from portraitist.data import ImageSet, write_image
from portraitist.errors import UsageError
from portraitist.io.headers import read_header
from portraitist.io.model_file import Model
from portraitist.recipes import compose
from portraitist.runs.finetune import Finetuning, TrainOptions
from portraitist.runs.source import Source
from portraitist.train.spec import Training

COUNTS = {"red": 12, "green": 6, "blue": 6}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder = tmp_path_factory.mktemp("coloured")
    random = np.random.default_rng(1)
    for channel, (colour, count) in enumerate(COUNTS.items()):
        for i in range(count):
            picture = np.zeros((16, 16, 3), np.uint8)
            picture[..., channel] = random.integers(60, 255, (16, 16))
            write_image(folder / colour / f"{i:02d}.png", picture)
    return ImageSet.open(folder, 16)


def balanced(**changes: object) -> Training:
    training = compose("freeze_fc", 16, start=Training(batch=4, seed=3))
    small = {"images": 8, "tick": 8, "snapshot": 8, "held_out": 0.2, "patience": 0, "balance": ("red", "green")}
    return replace(training, **{**small, **changes})  # type: ignore[arg-type]


def test_each_batch_holds_as_many_of_each_value_and_none_of_others(
    images: ImageSet, tmp_path: Path, tiny_model: Model
) -> None:
    run = Finetuning(images, tmp_path / "run", Source(base=tiny_model), balanced(), TrainOptions(quiet=True))
    colours = [[name.split("/")[0] for name in run.batches.names(position)] for position in range(0, 200, 4)]
    assert all(batch == ["red", "red", "green", "green"] for batch in colours)
    (rest,), (held,) = run.exemplars.train, run.exemplars.held_out
    shown = {name for position in range(0, 200, 4) for name in run.batches.names(position)}
    assert shown == {name for name in rest.names if not name.startswith("blue")}
    assert len(held) == 5 and not shown & set(held.names)
    alone = Finetuning(
        images, tmp_path / "alone", Source(base=tiny_model), balanced(balance=()), TrainOptions(quiet=True)
    )
    assert {name for position in range(0, 200, 4) for name in alone.batches.names(position)} == set(rest.names)


def test_a_balanced_style_has_one_path_and_says_what_was_balanced(
    images: ImageSet, tmp_path: Path, tiny_model: Model
) -> None:
    run = Finetuning(
        images, tmp_path / "run", Source(base=tiny_model), balanced(held_out=0.0), TrainOptions(quiet=True)
    )
    run.go()
    header = read_header(tmp_path / "run" / "style.safetensors")
    assert header.paths == () and list(header.recipe["balance"]) == ["red", "green"]
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert set(settings["attributes"]) == {"red", "green"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"paths": ("red", "green")}, "equally often already"),
        ({"balance": ("red",)}, "two values or more"),
        ({"balance": ("red", "red")}, "two values or more"),
        ({"balance": ("red", "green", "blue")}, "cannot be shared by 3 values"),
    ],
)
def test_a_balance_that_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        balanced(**settings)
