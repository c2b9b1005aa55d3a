"""The study of painters: what it says of numbers, and what it measures of a small painter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from portraitist.errors import UsageError
from portraitist.evaluate import Interval, PictureMeasures
from portraitist.io.catalogue import entries
from portraitist.io.headers import PackPainter, read_header
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.networks.painter import PainterAnatomy, new_painter
from studies.painter import CHOICES, COUNTED, PAINTER, TEACHER, chosen, cost_of, flat, verdict
from studies.pictures import counted

NOTHING = Interval(0.5, 0.1)


def measured(style: float) -> PictureMeasures:
    same = dict.fromkeys(("identity", "strangers", "rank1", "sharpness", "layout", "eye_difference"), NOTHING)
    return PictureMeasures(**same, style=Interval(style, 0.1), exemplar_sharpness=NOTHING, mirror_bias=NOTHING)


def test_distances_are_shares_of_the_photos_above_the_floor() -> None:
    told = verdict({"nothing": measured(2.1), TEACHER: measured(1.1), PAINTER: measured(0.6)}, 0.1, is_default=True)
    assert told == (
        f"Floor 0.10; of the photo's distance above it is left: 50% by the {TEACHER}, 25% by the painter. "
        "Photos are drawn by the painter."
    )
    assert verdict(
        {"nothing": measured(2.1), TEACHER: measured(1.1), PAINTER: measured(0.6)}, 0.1, is_default=False
    ).endswith("Photos are drawn by the code.")


@pytest.mark.parametrize("lines", [chosen(CHOICES), counted(COUNTED)])
def test_choices_and_counts_are_recorded_of_each_style_with_a_painter(lines: list[str]) -> None:
    styles = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("|")][2:]
    headers = {e.name: read_header(e.path) for e in entries()}
    assert sorted(styles) == sorted(n for n, h in headers.items() if h.painter is not None and h.base_name == "faces")


@pytest.mark.recipe
def test_the_cost_is_that_of_the_painter_in_the_pack(models_folder: Path, tiny_model: Model, tiny_style: Model) -> None:
    save_model(models_folder / "tiny.safetensors", tiny_model)
    save_pack(models_folder / "wild.safetensors", tiny_style, tiny_model)
    with pytest.raises(UsageError, match="has no painter"):
        cost_of("wild")
    small = PainterAnatomy((4, 4, 8), 1, 4.0)
    header = replace(tiny_style.header, painter=PackPainter(small, 256))
    carrying = replace(tiny_style, painter=new_painter(small), header=header)
    save_pack(models_folder / "wild.safetensors", carrying, tiny_model, overwrite=True)
    cost = cost_of("wild")
    assert 0.005 < cost.megabytes < 0.5 and 0 < cost.milliseconds[0] < cost.milliseconds[1]


def test_a_flat_photo_has_few_colours_which_are_means() -> None:
    photo = np.random.default_rng(0).integers(90, 110, (64, 64, 3), dtype=np.uint8)
    photo[:, 32:] += 100
    found = flat(photo)
    left, right = (np.unique(half.reshape(-1, 3), axis=0) for half in (found[:, :28], found[:, 36:]))
    assert len(left) == len(right) == 1
    assert np.abs(left[0].astype(int) - photo[:, :32].mean((0, 1))).max() < 3
    assert np.abs(right[0].astype(int) - photo[:, 32:].mean((0, 1))).max() < 3
