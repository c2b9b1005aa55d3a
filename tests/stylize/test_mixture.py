"""Mixtures of styles: exact at the corners, a sum between them, and named so that files may carry the name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.cli.styles import first_default
from portraitist.errors import UsageError
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.networks import Generator
from portraitist.networks.generator import with_low_rows
from portraitist.stylize.interpolation import mixed
from portraitist.stylize.mixture import Mixture
from tests.conftest import restyled


def same(a: Generator, b: Generator) -> bool:
    x, y = a.state_dict(), b.state_dict()
    return a.anatomy == b.anatomy and x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


@pytest.fixture(scope="session")
def calm(tiny_model: Model) -> Model:
    return restyled(tiny_model, "calm", seed=2)


@pytest.fixture(scope="session")
def frozen(tiny_model: Model) -> Model:
    """A FreezeSG style: the base drives two rows, and the mapping of the others has moved."""
    model = restyled(replace(tiny_model, generator=with_low_rows(tiny_model.generator, 2)), "frozen", seed=3)
    with torch.no_grad():
        for p in model.generator.mapping.parameters():
            p += 0.1
    return model


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model, calm: Model) -> None:
    registry.add(save_model(tmp_path / "tiny.safetensors", tiny_model))
    for style in (tiny_style, calm):
        registry.add(save_pack(tmp_path / f"{style.header.name}.safetensors", style, tiny_model))


def test_the_corners_are_base_and_styles_bit_for_bit(
    tiny_model: Model, tiny_style: Model, calm: Model, frozen: Model
) -> None:
    base = tiny_model.generator
    a, b, c = tiny_style.generator, calm.generator, frozen.generator
    assert same(mixed(base, []), base) and same(mixed(base, [(a, 0), (b, 0.0), (c, 0)]), base)
    for style in (a, b, c):
        assert same(mixed(base, [(style, 1.0)]), style)
    assert same(mixed(base, [(a, 0), (b, 1), (c, 0)]), b)
    assert same(mixed(base, [(base, 0.3), (b, 1)]), b)  # what differs from the base counts, and nothing does


@settings(max_examples=20, deadline=None)
@given(weights=st.lists(st.floats(0, 1.5, width=32), min_size=3, max_size=3))
def test_a_mixture_adds_what_the_styles_differ_by(
    tiny_model: Model, tiny_style: Model, calm: Model, weights: list[float]
) -> None:
    base = tiny_model.generator
    styles = [(m.generator, w) for m, w in zip((tiny_style, calm, tiny_style), weights, strict=True)]
    found = mixed(base, styles).state_dict()
    for name, value in base.state_dict().items():
        expected = value + sum(w * (g.state_dict()[name] - value) for g, w in styles)
        assert torch.allclose(found[name], expected, atol=1e-5), name
    assert same(mixed(base, styles), mixed(base, styles[::-1]))


def test_half_of_two_styles_is_their_mean(tiny_model: Model, tiny_style: Model, calm: Model) -> None:
    a, b = tiny_style.generator.state_dict(), calm.generator.state_dict()
    half = mixed(tiny_model.generator, [(tiny_style.generator, 0.5), (calm.generator, 0.5)])
    for name, value in half.state_dict().items():
        assert torch.allclose(value, (a[name] + b[name]) / 2, atol=1e-6), name


def test_styles_with_the_bases_mapping_mix_with_those_without(
    tiny_model: Model, tiny_style: Model, frozen: Model
) -> None:
    base = tiny_model.generator
    other = restyled(tiny_model, "moved").generator
    with torch.no_grad():
        other.mapping.layers[0].bias += 2
    both = mixed(base, [(frozen.generator, 0.5), (other, 0.25)])
    assert both.anatomy == frozen.generator.anatomy and both.low_mapping is not None
    weight = base.mapping.layers[0].bias
    assert torch.allclose(both.low_mapping.layers[0].bias, weight + 0.25 * 2, atol=1e-6)  # `frozen` leaves it as it was
    assert torch.allclose(both.mapping.layers[0].bias, weight + 0.5 * 0.1 + 0.25 * 2, atol=1e-6)
    assert mixed(base, [(frozen.generator, 0), (tiny_style.generator, 0.5)]).anatomy == base.anatomy


def test_what_equals_the_base_is_held_once(tiny_model: Model, tiny_style: Model, frozen: Model) -> None:
    base = {name: value.data_ptr() for name, value in tiny_model.generator.state_dict().items()}
    for style, weight in ((tiny_style, 1.0), (tiny_style, 0.5), (frozen, 0.5)):
        found = mixed(tiny_model.generator, [(style.generator, weight)]).state_dict()
        own = {name for name, value in found.items() if value.data_ptr() != base.get(name)}
        differing = {
            name for name, value in style.generator.state_dict().items()
            if name not in base or not torch.equal(value, tiny_model.generator.state_dict()[name])
        }  # fmt: skip
        assert own == differing


def test_mixing_changes_neither_base_nor_style(tiny_model: Model, tiny_style: Model, calm: Model) -> None:
    before = [m.digest for m in (tiny_model, tiny_style, calm)]
    mixed(tiny_model.generator, [(tiny_style.generator, 0.7), (calm.generator, 0.7)])
    mixed(tiny_model.generator, [(tiny_style.generator, 1.0)])
    assert [m.digest for m in (tiny_model, tiny_style, calm)] == before


@pytest.mark.parametrize(
    ("text", "name", "weights"),
    [
        ("wild", "wild", [1.0]),
        ("wild:1", "wild-1", [1.0]),
        ("wild:.5", "wild-0.5", [0.5]),
        ("wild:0.6+calm:0.40", "wild-0.6+calm-0.4", [0.6, 0.4]),
        ("calm:1.5+wild:0+calm:0.25", "calm-1.5+wild-0+calm-0.25", [1.5, 0, 0.25]),
    ],
)
def test_mixtures_are_read_and_named(known: None, text: str, name: str, weights: list[float]) -> None:
    found = Mixture.find(text)
    assert found.name == name and [part.weight for part in found.parts] == weights
    assert [part.header.name for part in found.parts] == [word.partition(":")[0] for word in text.split("+")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nobody", "no model 'nobody'"),
        ("nobody:0.5", "no model 'nobody'"),
        ("wild:0.5+nobody:0.5", "no model 'nobody'"),
        ("wild+calm", r"no model 'wild\+calm'"),
        ("wild:0.5+calm", r"no model 'wild:0.5\+calm'"),
        ("wild:0.5+", "no model"),
        ("wild:-1", "no model"),
        ("wild:nan", "no model"),
        (":0.5", "no model ':0.5'"),
        ("wild:", "no model"),
        ("wild:2", "cannot have the weight 2.*0 to 1.5"),
        ("wild:" + "9" * 400, "cannot have the weight inf"),
        ("tiny:0.5", "full model, not a style"),
        ("wild:0.5" * 3000, "no model"),
    ],
)
def test_what_is_no_mixture_is_refused(known: None, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Mixture.find(text)


def test_a_path_as_it_stands_goes_before_a_mixture(known: None, tmp_path: Path, tiny_model: Model, calm: Model) -> None:
    run = tmp_path / "runs" / "wild:0.5+calm:0.5"
    save_pack(run / "style.safetensors", calm, tiny_model)
    assert [part.weight for part in Mixture.find(run).parts] == [1.0]
    plus = tmp_path / "c++:1"
    save_pack(plus / "style.safetensors", calm, tiny_model)
    found = Mixture.find(f"wild:0.5+{plus}:0.25")  # its name ends like a weight and holds a plus
    assert found.name == "wild-0.5+c++:1-0.25" and found.parts[1].path.parent == plus


def test_the_one_style_of_an_attribute_has_its_path(models_folder: Path, tiny_model: Model, tiny_style: Model) -> None:
    paths = {"women": tiny_style, "men": restyled(tiny_model, "both", seed=5)}
    save_pack(models_folder / "both.safetensors", paths, tiny_model)
    save_pack(models_folder / "a.safetensors", restyled(tiny_model, "a", seed=2), tiny_model)
    assert first_default(None) == ["a"] and first_default("men") == ["both"]
