"""From any style to any other: the picture is inverted in its own style and drawn by the others."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data.images import to_array, to_tensor, write_image
from portraitist.errors import UsageError
from portraitist.invert import Projector, in_domain, portrait, stylegan2
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.losses.perceptual import default_perceptual
from portraitist.stylize import ByEncoder, ByOptimisation, Portrait, Stylizer, stylize_files
from portraitist.stylize.choices import Options
from portraitist.stylize.inversion import encoder_inverter
from tests.conftest import make_model, restyled
from tests.stylize.test_batch import Marked, draw
from tests.stylize.test_pipeline import Pixels
from tests.stylize.tiny_encoders import make_encoder

SHORT = replace(portrait(), steps=3)
NAMES = ("tiny", "wild", "calm")
Load = Callable[..., Stylizer]


@pytest.fixture
def models(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> dict[str, Model]:
    """A base and two styles of it, known by name."""
    found = {"tiny": tiny_model, "wild": tiny_style, "calm": restyled(tiny_model, "calm", 2)}
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    for name in ("wild", "calm"):
        registry.add(save_pack(tmp_path / f"{name}.safetensors", found[name], tiny_model))
    return found


def load(*styles: str, **more: object) -> Stylizer:
    return Stylizer.load(styles, **({"finder": Marked(), "inversion": ByOptimisation(SHORT)} | more))  # type: ignore[arg-type]


def crop(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)


def only(stylizer: Stylizer, photo: Pixels | None = None) -> Portrait:
    return stylizer.stylize(crop() if photo is None else photo, aligned=True, size=16).faces[0]


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(NAMES, 2)))
def test_every_pair_of_models_is_served(models: dict[str, Model], source: str, target: str) -> None:
    face = only(load(target, source=source))
    looks = default_perceptual(models["tiny"].discriminator)
    found = Projector(models[source].generator, looks, SHORT).invert(to_tensor(crop())[None])
    assert torch.equal(face.code.data, found.code.data)
    with torch.no_grad():
        drawn = {name: to_array(models[name].generator.synthesize(found.code)[0]) for name in NAMES}
    assert np.array_equal(face.pictures[target], drawn[target])
    assert np.array_equal(face.reconstruction, drawn[source])
    assert not np.array_equal(drawn[source], drawn[target])


def test_a_style_that_inverts_finds_a_drawing_of_its_own_nearer_than_the_base_does(models: dict[str, Model]) -> None:
    generator = models["wild"].generator
    with torch.no_grad():
        drawing = to_array(generator(torch.randn(1, 16, generator=torch.Generator().manual_seed(3)))[0])
    looks, target = default_perceptual(models["tiny"].discriminator), to_tensor(drawing)[None]
    longer = replace(portrait(), steps=40)
    far = {}
    for source in ("wild", "tiny"):
        face = only(load("calm", source=source, inversion=ByOptimisation(longer)), drawing)
        with torch.no_grad():
            far[source] = float(looks(models[source].generator.synthesize(face.code), target))
    assert far["wild"] < far["tiny"]


def test_the_base_as_source_means_photos(models: dict[str, Model]) -> None:
    plain, named = only(load("wild")), only(load("wild", source="tiny"))
    assert np.array_equal(plain.pictures["wild"], named.pictures["wild"])
    assert load("wild").settings == load("wild", source="tiny").settings
    assert np.array_equal(only(load("wild", source="calm:0")).pictures["wild"], plain.pictures["wild"])


def test_the_base_may_stand_beside_styles_and_alone_only_for_a_source(models: dict[str, Model]) -> None:
    face = only(load("wild", "tiny"))
    assert list(face.pictures) == ["wild", "tiny"]
    assert np.array_equal(face.pictures["tiny"], face.reconstruction)
    for source in (None, "tiny"):
        with pytest.raises(UsageError, match="a full model, not a style"):
            load("tiny", source=source)


def test_a_mixture_may_be_the_source(models: dict[str, Model], tiny_model: Model) -> None:
    half = only(load("tiny", source="wild:0.5+calm:0.5"))
    assert not np.array_equal(half.reconstruction, only(load("tiny", source="wild")).reconstruction)
    whole = only(load("tiny", source="wild:1"))
    assert np.array_equal(whole.reconstruction, only(load("tiny", source="wild")).reconstruction)
    model = Stylizer(tiny_model, {"calm": models["calm"]}, source=models["wild"], inversion=ByOptimisation(SHORT))
    assert np.array_equal(only(model).pictures["calm"], only(load("calm", source="wild")).pictures["calm"])


def test_a_source_with_paths_takes_the_attribute(models: dict[str, Model], tmp_path: Path, tiny_model: Model) -> None:
    paths = {"women": models["wild"], "men": restyled(tiny_model, "both", seed=5)}
    pack = save_pack(tmp_path / "both.safetensors", paths, tiny_model)
    face = only(load("tiny", source=str(pack), attribute="women"))
    assert np.array_equal(face.pictures["tiny"], only(load("tiny", source="wild")).pictures["tiny"])
    with pytest.raises(UsageError, match="women, men"):
        load("tiny", source=str(pack))


def test_models_of_other_bases_are_refused(models: dict[str, Model], models_folder: Path, tmp_path: Path) -> None:
    other = make_model(seed=7, name="other")
    save_model(models_folder / "other.safetensors", other)
    save_pack(models_folder / "theirs.safetensors", restyled(other, "theirs"), other)
    with pytest.raises(UsageError, match=r"\['wild', 'theirs'\] belong to different bases"):
        load("wild", source="theirs")
    for styles, source in ((("wild", "other"), None), (("wild",), "other")):
        with pytest.raises(UsageError, match="a full model, not a style"):
            load(*styles, source=source)


def test_an_encoder_does_not_invert_drawings(models: dict[str, Model], tiny_model: Model) -> None:
    stored = make_encoder(tiny_model)
    registry.add_encoder(stored)
    for encoder in (ByEncoder(), ByEncoder(stored)):
        with pytest.raises(UsageError, match=r"inverted by optimisation.*--method encoder"):
            load("calm", source="wild", inversion=encoder)
    stylizer = load("calm", source="wild", inversion=None, seed=3)
    assert isinstance(stylizer.inverter, Projector) and stylizer.encoder is None
    assert stylizer.inverter.settings == replace(portrait(), seed=3)
    assert stylizer.settings["encoder"] == "" and "Projection" in str(stylizer.settings["inverter"])
    with pytest.raises(UsageError, match="cannot be combined with a source"):
        load("calm", source="wild", inversion=stylizer.inverter)


def test_an_optimisation_may_begin_at_the_encoder(models: dict[str, Model], tiny_model: Model) -> None:
    stored, way = make_encoder(tiny_model), replace(in_domain(), steps=1)
    code = only(load("calm", source="wild", inversion=ByOptimisation(way, stored))).code  # the first that is looked at
    encode = encoder_inverter(tiny_model, stored, default_perceptual(tiny_model.discriminator)).encode
    assert torch.equal(code.data, encode(to_tensor(crop())[None]).detach())


def test_any_way_of_optimisation_can_be_chosen(models: dict[str, Model], tiny_model: Model) -> None:
    way = replace(stylegan2(), steps=2)
    code = only(load("calm", source="wild", inversion=ByOptimisation(way))).code
    wanted = (
        Projector(models["wild"].generator, default_perceptual(tiny_model.discriminator), way)
        .invert(to_tensor(crop())[None])
        .code
    )
    assert torch.equal(code.data, wanted.data)


def test_finished_files_are_redone_when_the_source_changes(models: dict[str, Model], tmp_path: Path) -> None:
    photo, out = tmp_path / "in" / "me.png", tmp_path / "out"
    write_image(photo, draw(1, 1))

    def run(source: str | None) -> str:
        stylizer = load("calm", source=source)
        (line,) = stylize_files(stylizer, photo.parent, out, Options(), report=out / "report.json")
        return line.status

    for source in (None, "wild", "calm"):
        assert (run(source), run(source)) == ("done", "skipped")
