"""Joined models as files: what they are a style of, whose licence they carry, and that they draw what was joined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from portraitist.errors import BadModel, UsageError
from portraitist.io.headers import Header, read_header
from portraitist.io.model_file import Model, ancestors, generator_digest, load_model, save_model, save_pack
from portraitist.networks.generator import with_low_rows
from portraitist.spaces import WPlus
from portraitist.surgery import FeatureSwap, Joined, blend_models, hard, swap, swap_models
from tests.conftest import make_model, restyled

CODES = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
both_ways = pytest.mark.parametrize("by", ["features", "weights"])
everywhere = pytest.mark.parametrize("upto", [0, 4, 8, 16])


def no_base(header: Header) -> Model:
    raise AssertionError("no base is needed")


def draw(drawer: object) -> Tensor:
    return drawer.synthesize(WPlus(CODES))  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def style(tmp_path: Path, tiny_model: Model, tiny_style: Model) -> Model:
    """The tiny style as it comes from its file."""
    return load_model(save_pack(tmp_path / "wild.safetensors", tiny_style, tiny_model), find_base=lambda h: tiny_model)


@pytest.fixture
def other(tmp_path: Path, tiny_model: Model) -> Model:
    pack = save_pack(tmp_path / "calm.safetensors", restyled(tiny_model, "calm", 2), tiny_model)
    return load_model(pack, find_base=lambda h: tiny_model)


def reloaded(joined: Joined, path: Path, base: Model) -> Model:
    return load_model(joined.save(path), find_base=lambda header: base, supports_feature_swap=True)


@everywhere
def test_a_feature_swap_comes_back_bit_for_bit(tmp_path: Path, tiny_model: Model, style: Model, upto: int) -> None:
    joined = swap_models(tiny_model, style, upto, "features", find_base=no_base, name="both")
    again = reloaded(joined, tmp_path / "both.safetensors", tiny_model)
    header = again.header
    assert (header.kind, header.name, header.swap_upto) == ("style-pack", "both", upto)
    assert header.base_digest == generator_digest(tiny_model)
    drawn = FeatureSwap(tiny_model.generator, again.generator, header.swap_upto)
    assert torch.equal(draw(drawn), draw(swap(tiny_model.generator, style.generator, upto, "features")))


@everywhere
@pytest.mark.parametrize("turned", [False, True])
def test_a_weight_swap_of_a_base_and_its_style_is_a_style(
    tmp_path: Path, tiny_model: Model, style: Model, upto: int, turned: bool
) -> None:
    low, high = (style, tiny_model) if turned else (tiny_model, style)
    joined = swap_models(low, high, upto, "weights", find_base=no_base)
    assert joined.base is tiny_model
    again = reloaded(joined, tmp_path / "both.safetensors", tiny_model)
    assert again.header.kind == "style-pack" and again.header.swap_upto == 0
    assert torch.equal(draw(again.generator), draw(swap(low.generator, high.generator, upto, "weights")))
    ends = {0: high, 16: low}
    if upto in ends:
        assert torch.equal(draw(again.generator), draw(ends[upto].generator))


@both_ways
@everywhere
def test_a_model_swapped_with_itself_is_itself(
    tmp_path: Path, tiny_model: Model, style: Model, by: str, upto: int
) -> None:
    joined = swap_models(tiny_model, tiny_model, upto, by, find_base=no_base)  # type: ignore[arg-type]
    again = reloaded(joined, tmp_path / "base.safetensors", tiny_model)
    assert generator_digest(again) == generator_digest(tiny_model)
    if by == "weights":
        joined = swap_models(style, style, upto, "weights", find_base=lambda header: tiny_model)
        assert generator_digest(reloaded(joined, tmp_path / "s.safetensors", tiny_model)) == generator_digest(style)


@pytest.mark.parametrize(("share", "end"), [(0.0, "low"), (1.0, "high")])
def test_a_blend_at_its_ends_is_one_of_its_sides(
    tmp_path: Path, tiny_model: Model, style: Model, other: Model, share: float, end: str
) -> None:
    alpha = dict.fromkeys((4, 8, 16), share)
    joined = blend_models(style, other, alpha, find_base=lambda header: tiny_model, mapping=end)  # type: ignore[arg-type]
    again = reloaded(joined, tmp_path / "b.safetensors", tiny_model)
    assert again.header.kind == "style-pack"
    assert generator_digest(again) == generator_digest({"low": style, "high": other}[end])


def test_models_without_a_common_base_become_a_whole_model(tmp_path: Path, tiny_model: Model, style: Model) -> None:
    stranger = make_model(seed=7, name="stranger")
    for low, high in ((stranger, tiny_model), (stranger, style), (style, stranger)):
        assert not ancestors(low) & ancestors(high)
        joined = swap_models(low, high, 8, "weights", find_base=no_base)
        again = load_model(joined.save(tmp_path / f"{id(low)}{id(high)}.safetensors"))
        assert again.header.kind == "model"
        assert torch.equal(draw(again.generator), draw(swap(low.generator, high.generator, 8, "weights")))
        assert again.discriminator is not None


def test_a_whole_model_is_a_style_of_what_it_was_fine_tuned_from(tiny_model: Model, style: Model) -> None:
    step = {"base": generator_digest(tiny_model), "data": {}, "images_seen": 5}
    run = Model(style.generator, style.discriminator, replace(tiny_model.header, name="run", lineage=[step]))
    assert ancestors(run) == {generator_digest(run), generator_digest(tiny_model)}
    assert swap_models(tiny_model, run, 8, "features", find_base=no_base).base is tiny_model
    assert swap_models(run, style, 8, "weights", find_base=lambda header: tiny_model).base is tiny_model
    twin = replace(run, generator=restyled(run, "twin", 9).generator)
    assert swap_models(run, twin, 8, "weights", find_base=no_base).base is None  # their base is nowhere at hand


def test_a_feature_swap_needs_the_base_below(tiny_model: Model, style: Model, other: Model) -> None:
    for low, high in ((style, other), (style, tiny_model), (make_model(seed=7, name="stranger"), style)):
        with pytest.raises(UsageError, match="stored as a style of its low side") as error:
            swap_models(low, high, 8, "features", find_base=lambda header: tiny_model)
        assert "--by weights" in error.value.cure


@both_ways
def test_models_of_other_sizes_and_foreign_resolutions_are_refused(tiny_model: Model, by: str) -> None:
    with pytest.raises(BadModel, match="different sizes") as error:
        swap_models(tiny_model, make_model(resolution=32), 8, by, find_base=no_base)  # type: ignore[arg-type]
    assert error.value.cure
    with pytest.raises(UsageError, match="Use one of 4, 8, 16, or 0"):
        swap_models(tiny_model, tiny_model, 12, by, find_base=no_base)  # type: ignore[arg-type]


def test_both_sides_are_named_in_the_file(tmp_path: Path, tiny_model: Model, style: Model) -> None:
    steps = [{"images_seen": 1}, {"images_seen": 2}, {"images_seen": 3}]
    low = replace(tiny_model, header=replace(tiny_model.header, lineage=steps[:2], licence="MIT", credit="Somebody"))
    high = replace(style, header=replace(style.header, lineage=[steps[0], steps[2]], licence="CC-BY-4.0 OR MIT"))
    joined = blend_models(low, high, hard(low.generator.anatomy, 8), find_base=no_base)
    header = read_header(joined.save(tmp_path / "b.safetensors"))
    assert header.lineage == steps
    assert header.licence == "MIT AND (CC-BY-4.0 OR MIT)" and header.credit == "Somebody; Nobody"
    assert header.recipe["low"] == {"name": "tiny", "digest": generator_digest(low)}
    assert header.recipe["high"] == {"name": "wild", "digest": generator_digest(high)}
    assert header.recipe["alpha"] == {"4": 0.0, "8": 0.0, "16": 1.0}
    same = swap_models(low, low, 8, "weights", find_base=no_base).model.header
    assert (same.licence, same.credit, same.lineage) == ("MIT", "Somebody", steps[:2])
    silent = replace(high, header=replace(high.header, licence=""))
    assert swap_models(low, silent, 8, "weights", find_base=no_base).model.header.licence == ""


def test_a_feature_swap_cannot_be_saved_whole(tmp_path: Path, tiny_model: Model, style: Model) -> None:
    joined = swap_models(tiny_model, style, 8, "features", find_base=no_base)
    with pytest.raises(BadModel, match="cannot be a feature swap"):
        save_model(tmp_path / "x.safetensors", joined.model)
    assert not (tmp_path / "x.safetensors").exists()


@both_ways
def test_a_style_with_two_mapping_networks_is_joined_too(
    tmp_path: Path, tiny_model: Model, style: Model, by: str
) -> None:
    generator = with_low_rows(style.generator, 4)
    frozen = replace(style, generator=generator, header=replace(style.header, generator=generator.anatomy))
    joined = swap_models(tiny_model, frozen, 8, by, find_base=no_base, mapping="high")  # type: ignore[arg-type]
    again = reloaded(joined, tmp_path / "sg.safetensors", tiny_model)
    assert again.generator.anatomy.low_rows == 4
    made = swap(tiny_model.generator, generator, 8, by, "high")  # type: ignore[arg-type]
    drawn = FeatureSwap(tiny_model.generator, again.generator, 8, "high") if by == "features" else again.generator
    z = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    assert torch.equal(draw(drawn), draw(made)) and torch.equal(drawn.styles(z), made.styles(z))
