"""A style as the teacher of a painter: its own pictures, a digest of all that makes them, and whose terms hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.networks.painter_anatomy import PainterAnatomy
from portraitist.stylize import Stylizer
from portraitist.stylize.mixture import Mixture
from portraitist.stylize.teacher import StyleTeacher, painter_header
from tests.conftest import restyled


@pytest.fixture
def styles(models_folder: Path, tiny_model: Model, tiny_style: Model) -> Path:
    save_model(models_folder / "tiny.safetensors", tiny_model)
    save_pack(models_folder / "wild.safetensors", tiny_style, tiny_model)
    other = restyled(tiny_model, "calm", seed=2)
    header = replace(other.header, licence="MIT", credit="Somebody")
    save_pack(models_folder / "calm.safetensors", replace(other, header=header), tiny_model)
    return models_folder


def test_it_draws_what_the_style_draws(tiny_model: Model, tiny_style: Model) -> None:
    stylizer = Stylizer(tiny_model, {"wild": tiny_style})
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    teacher = StyleTeacher(stylizer, 32)
    (face,) = stylizer.stylize(photo, aligned=True, size=32).faces
    assert np.array_equal(teacher.draw(photo), face.picture("wild")) and teacher.draw(photo).shape == (32, 32, 3)


def test_the_digest_tells_teachers_apart(tiny_model: Model, tiny_style: Model) -> None:
    first = StyleTeacher(Stylizer(tiny_model, {"wild": tiny_style}), 32).digest
    others = [
        StyleTeacher(Stylizer(tiny_model, {"wild": tiny_style}), 64),
        StyleTeacher(Stylizer(tiny_model, {"wild": tiny_style}, strength=0.5), 32),
        StyleTeacher(Stylizer(tiny_model, {"wild": restyled(tiny_model, "wild", seed=3)}), 32),
        StyleTeacher(Stylizer(tiny_model, {"wild": tiny_style}, seed=1), 32),
    ]
    assert StyleTeacher(Stylizer(tiny_model, {"wild": tiny_style}), 32).digest == first
    assert len({first, *(teacher.digest for teacher in others)}) == 5


@pytest.mark.parametrize(
    ("style", "terms"),
    [
        ("wild", ("CC-BY-4.0", "Nobody")),
        ("wild:0.5+calm:0.5", ("CC-BY-4.0 AND MIT", "Nobody; Somebody")),
    ],
)
def test_a_painter_has_the_terms_of_its_style(
    styles: Path, tiny_model: Model, tiny_style: Model, style: str, terms: tuple[str, str]
) -> None:
    header = painter_header(Mixture.find(style), Stylizer(tiny_model, {"wild": tiny_style}), PainterAnatomy())
    assert (header.licence, header.credit) == terms
