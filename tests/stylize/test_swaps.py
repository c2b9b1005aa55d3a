"""Swapped layers in the pipeline: on the fly, from files, in mixtures, and when finished files are redone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data.images import to_array, write_image
from portraitist.errors import UsageError
from portraitist.invert import portrait
from portraitist.io import registry
from portraitist.io.headers import Header
from portraitist.io.model_file import Model, generator_digest, save_model, save_pack
from portraitist.networks import Generator
from portraitist.stylize import ByOptimisation, Portrait, Stylizer, stylize_files
from portraitist.stylize.choices import Options
from portraitist.surgery import swap, swap_models
from portraitist.surgery.compatibility import CODES, FAR, compatibility
from tests.conftest import make_model, restyled
from tests.stylize.test_batch import Marked, draw, files
from tests.stylize.test_pipeline import Pixels

SHORT = replace(portrait(), steps=2)
Load = Callable[..., Stylizer]
ways = pytest.mark.parametrize("by", ["features", "weights"])


@pytest.fixture
def load(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> Load:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    registry.add(save_pack(tmp_path / "c.safetensors", restyled(tiny_model, "calm", 2), tiny_model))
    settings = {"finder": Marked(), "inversion": ByOptimisation(SHORT)}
    return lambda styles=("wild",), **more: Stylizer.load(styles, **(settings | more))  # type: ignore[arg-type]


@pytest.fixture
def swapped(tmp_path: Path, tiny_model: Model, load: Load) -> Path:
    """A feature swap of the base and its style as a file."""
    joined = swap_models(tiny_model, registry.load("wild"), 8, "features", find_base=no_base, name="soft")
    return joined.save(tmp_path / "soft.safetensors")


def no_base(header: Header) -> Model:
    raise AssertionError("no base is needed")


def only(stylizer: Stylizer) -> Portrait:
    return stylizer.stylize(crop(), aligned=True, size=16).faces[0]


def crop(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)


@ways
@pytest.mark.parametrize("upto", [4, 8, 16])
def test_a_swap_on_the_fly_draws_what_the_function_draws(
    load: Load, tiny_model: Model, tiny_style: Model, by: str, upto: int
) -> None:
    face = only(load(swap=upto, swap_by=by))
    expected = swap(tiny_model.generator, tiny_style.generator, upto, by, "high")  # type: ignore[arg-type]
    with torch.no_grad():
        drawn = to_array(expected.synthesize(face.code)[0])
    assert np.array_equal(face.pictures["wild"], drawn)
    plain = only(load())
    assert torch.equal(plain.code.data, face.code.data)  # the photo's code is the same
    # Of 4 pixels only the first convolution and the colours differ, which a swap of features at 4 still shows.
    assert not np.array_equal(plain.pictures["wild"], drawn)
    assert np.array_equal(plain.reconstruction, face.reconstruction)


@ways
def test_none_is_the_style_and_all_weights_are_the_base(load: Load, by: str) -> None:
    assert np.array_equal(only(load(swap=0, swap_by=by)).pictures["wild"], only(load()).pictures["wild"])
    whole = only(load(swap=16, swap_by="weights"))
    assert np.array_equal(whole.pictures["wild"], whole.reconstruction)


def test_a_swap_from_a_file_draws_what_one_on_the_fly_draws(load: Load, swapped: Path) -> None:
    wanted = only(load(swap=8)).pictures["wild"]
    assert np.array_equal(only(load([swapped])).pictures["soft"], wanted)
    registry.add(swapped)
    assert np.array_equal(only(load(["soft"])).pictures["soft"], wanted)
    stylizer = load()
    stylizer.add(swapped)
    assert np.array_equal(only(stylizer).pictures["soft"], wanted)
    stylizer.remove("soft")
    assert list(only(stylizer).pictures) == ["wild"]


def test_strength_takes_a_swap_to_the_base(load: Load, swapped: Path) -> None:
    half, none = (only(load([f"{swapped}:{weight}"])) for weight in (0.5, 0))
    (name,) = none.pictures
    assert np.array_equal(none.pictures[name], none.reconstruction)
    assert not np.array_equal(next(iter(half.pictures.values())), none.reconstruction)
    assert np.array_equal(only(load([swapped], strength=0.0)).pictures["soft"], none.reconstruction)


def test_a_swap_is_neither_mixed_nor_swapped_again_nor_inverted_in(load: Load, swapped: Path) -> None:
    for styles, more, words in (
        ([f"{swapped}:0.5+wild:0.5"], {}, "cannot be mixed.*--by weights"),
        ([swapped], {"swap": 8}, "'soft' is swapped at 8 pixels already.*--swap"),
        (["wild"], {"source": swapped}, "cannot invert pictures.*--by weights"),
        (["wild"], {"swap": 12}, "Use one of 4, 8, 16, or 0"),
        (["wild"], {"swap": 8, "swap_by": "layers"}, "'features' or 'weights'"),
    ):
        with pytest.raises(UsageError, match=words):
            load(styles, **more)


def test_finished_files_are_redone_when_the_swap_changes(load: Load, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    write_image(source / "me.png", draw(1, 1))

    def run(**more: object) -> str:
        (line,) = stylize_files(load(**more), source, out, Options(), report=out / "report.json")
        return line.status

    pictures = {}
    for more in ({}, {"swap": 8}, {"swap": 16}, {"swap": 16, "swap_by": "weights"}):
        assert (run(**more), run(**more)) == ("done", "skipped")
        pictures[str(more)] = (out / "me.wild.png").read_bytes()
    assert len(set(pictures.values())) == 4
    assert files(out) == ["me.wild.png", "report.json"]


def test_a_report_from_before_there_were_swaps_still_holds(load: Load) -> None:
    assert not {"swap", "appearance", "source"} & load().settings.keys()


def test_swaps_of_unrelated_models_are_warned_of_with_the_distance(
    tiny_model: Model, tiny_style: Model, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = make_model(seed=7, name="stranger")
    found = compatibility(tiny_model, stranger)
    assert not found.related and found.distance is not None and found.relative_distance is not None
    assert "'tiny' and 'stranger' have no common base" in found.warning
    assert f"{found.distance:.3g}" in found.warning and f"{found.relative_distance:.2f}" in found.warning
    assert str(CODES) in found.warning and "discriminator" in found.warning
    same = compatibility(tiny_model, tiny_model)
    assert same.related and same.distance == 0 and same.relative_distance == 0 and same.warning == ""


def test_a_style_that_has_left_its_base_is_warned_of_too(
    load: Load, tiny_model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    far = Model(
        Shuffled(tiny_model.generator),
        None,
        Header(tiny_model.generator.anatomy, base_digest=generator_digest(tiny_model)),
    )
    found = compatibility(tiny_model, far)
    assert (
        found.related
        and found.relative_distance is not None
        and found.relative_distance > FAR
        and "lie far apart" in found.warning
    )
    lost = Model(make_model(seed=7).generator, None, tiny_model.header)
    with caplog.at_level(logging.WARNING, "portraitist"):
        Stylizer(tiny_model, {"near": tiny_model}, swap=8)
        assert caplog.text == ""
        Stylizer(tiny_model, {"lost": lost}, swap=8)
        assert "'tiny' and 'lost' lie far apart" in caplog.text
        caplog.clear()
        Stylizer(tiny_model, {"lost": lost})
        assert caplog.text == ""


def test_without_a_discriminator_lineage_alone_decides(tiny_model: Model) -> None:
    blind = Model(tiny_model.generator, None, tiny_model.header)
    assert compatibility(blind, blind).warning == ""
    stranger = Model(make_model(seed=7).generator, None, tiny_model.header)
    assert "cannot be measured without a discriminator" in compatibility(blind, stranger).warning


class Shuffled(Generator):
    """A model whose codes have nothing to do with those of the one it was made of."""

    def __init__(self, generator: Generator) -> None:
        super().__init__(generator.anatomy)
        self.load_state_dict(generator.state_dict())

    def styles(self, z: torch.Tensor) -> torch.Tensor:
        return super().styles(z.flip(1))
