from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from portraitist.errors import BadModel, UsageError
from portraitist.networks import Generator, GeneratorAnatomy
from portraitist.ops import upsample
from portraitist.spaces import W, WPlus, Z, ZPlus
from portraitist.surgery import FeatureSwap, blend, hard, swap

ANATOMY = GeneratorAnatomy(32, (8, 7, 6, 5), z_dim=10, w_dim=6, mapping_layers=2)
PLACES = (0, *ANATOMY.resolutions)
everywhere = pytest.mark.parametrize("upto", PLACES)
both_ways = pytest.mark.parametrize("by", ["features", "weights"])


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(seed: int, anatomy: GeneratorAnatomy = ANATOMY) -> Generator:
    """A generator none of whose tensors is at rest."""
    generator = Generator(anatomy).eval().requires_grad_(False)
    random = dice(seed)
    for tensor in generator.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=random))
    return generator


def codes(seed: int, count: int = 2) -> Tensor:
    return torch.randn(count, ANATOMY.rows, ANATOMY.w_dim, generator=dice(seed))


LOW, HIGH = drawn(1), drawn(2)
LATENTS, CODES = torch.randn(2, 10, generator=dice()), codes(3)
PLANES = [torch.randn(2, 1, c.resolution, c.resolution, generator=dice(k)) for k, c in enumerate(ANATOMY.convs)]


def released(low: Generator, high: Generator, upto: int, low_ws: Tensor, high_ws: Tensor) -> Tensor:
    """Two full passes, as Cartoon-StyleGAN's: the first keeps a tensor, the second puts it in place of its own."""

    def run(generator: Generator, ws: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor | None]:
        blocks, kept = generator.synthesis.blocks, None
        x = generator.synthesis.const.expand(len(ws), -1, -1, -1)
        skip = torch.zeros(len(ws), 3, 2, 2)
        for k, r in enumerate(ANATOMY.resolutions):
            if k:
                x = blocks[str(r)].conv0(x, ws[:, 2 * k - 1])  # type: ignore[operator]
            x = blocks[str(r)].conv1(x, ws[:, 2 * k])  # type: ignore[operator]
            if r == upto:
                kept, x = x, x if given is None else given
            skip = upsample(skip, generator.synthesis.kernel) + blocks[str(r)].to_rgb(x, ws[:, 2 * k + 1])  # type: ignore[operator]
        return skip, kept

    _, features = run(low, low_ws, None)
    return run(high, high_ws, features)[0]


@both_ways
@everywhere
def test_a_model_swapped_with_itself_is_itself_bit_for_bit(by: str, upto: int) -> None:
    same = swap(LOW, copy.deepcopy(LOW), upto, by)  # type: ignore[arg-type]
    assert torch.equal(same(LATENTS), LOW(LATENTS))
    assert torch.equal(same(LATENTS, PLANES), LOW(LATENTS, PLANES))
    assert torch.equal(same.synthesize(WPlus(CODES)), LOW.synthesize(WPlus(CODES)))


@settings(deadline=None)
@given(st.sampled_from(PLACES), st.integers(0, 2**20), st.integers(1, 3))
def test_a_feature_swap_is_that_of_the_released_code(upto: int, seed: int, count: int) -> None:
    swapped, ws = FeatureSwap(LOW, HIGH, upto), codes(seed, count)
    expected = released(LOW, HIGH, upto, ws, ws)
    scale = float(expected.abs().max())
    torch.testing.assert_close(swapped.synthesize(WPlus(ws)) / scale, expected / scale, rtol=0, atol=1e-6)


@everywhere
def test_from_latents_each_side_uses_its_own_mapping(upto: int) -> None:
    low = drawn(4, replace(ANATOMY, low_rows=4))
    expected = released(low, HIGH, upto, low.styles(LATENTS), HIGH.styles(LATENTS))
    scale = float(expected.abs().max())
    torch.testing.assert_close(FeatureSwap(low, HIGH, upto)(LATENTS) / scale, expected / scale, rtol=0, atol=1e-6)


def test_nothing_from_low_is_high() -> None:
    features, weights = swap(LOW, HIGH, 0, "features"), swap(LOW, HIGH, 0, "weights", mapping="high")
    for model in (features, weights):
        assert torch.equal(model(LATENTS), HIGH(LATENTS))
        assert torch.equal(model.synthesize(WPlus(CODES)), HIGH.synthesize(WPlus(CODES)))
    assert torch.equal(swap(LOW, HIGH, 0, "weights")(LATENTS), HIGH.synthesis(LOW.styles(LATENTS)))


def test_all_weights_from_low_are_low() -> None:
    assert torch.equal(swap(LOW, HIGH, 32, "weights")(LATENTS), LOW(LATENTS))


def test_all_features_from_low_leave_the_colours_of_high() -> None:
    *below, last = HIGH.synthesis.walk(CODES)
    top = list(LOW.synthesis.walk(CODES))[-1]
    own = HIGH.synthesis.blocks["32"].to_rgb(top.features, CODES[:, -1])  # type: ignore[operator]
    expected = upsample(below[-1].image, HIGH.synthesis.kernel) + own
    assert torch.equal(FeatureSwap(LOW, HIGH, 32).synthesize(WPlus(CODES)), expected)
    assert last.resolution == 32


@settings(deadline=None)
@given(st.sampled_from(ANATOMY.resolutions), st.integers(0, 2**20))
def test_the_two_ways_differ_by_the_colours_of_the_low_resolutions_alone(upto: int, seed: int) -> None:
    ws = codes(seed)
    features, weights = (swap(LOW, HIGH, upto, by).synthesize(WPlus(ws)) for by in ("features", "weights"))
    low = next(seen for seen in LOW.synthesis.walk(ws) if seen.resolution == upto)
    rgb = HIGH.synthesis.blocks[str(upto)].to_rgb(low.features, ws[:, ANATOMY.rows_upto(upto) - 1])  # type: ignore[operator]
    difference = rgb - low.image
    if upto > 4:
        below = next(seen for seen in HIGH.synthesis.walk(ws) if seen.resolution == upto // 2)
        difference = difference + upsample(below.image, HIGH.synthesis.kernel)
    while difference.shape[-1] < ANATOMY.resolution:
        difference = upsample(difference, HIGH.synthesis.kernel)
    scale = float(weights.abs().max())
    assert not torch.allclose(features / scale, weights / scale, atol=1e-3)
    torch.testing.assert_close((features - weights) / scale, difference / scale, rtol=0, atol=1e-5)


@everywhere
def test_each_side_takes_its_share_of_the_noise_planes(upto: int) -> None:
    low, high = copy.deepcopy(LOW), copy.deepcopy(HIGH)
    for generator in (low, high):
        for conv, plane in zip(ANATOMY.convs, PLANES, strict=True):
            stored = generator.get_submodule(conv.name).noise
            assert isinstance(stored, Tensor)
            stored.copy_(plane[0, 0])
    ws = WPlus(CODES[:1])
    given = FeatureSwap(LOW, HIGH, upto).synthesize(ws, [plane[:1] for plane in PLANES])
    assert torch.equal(given, FeatureSwap(low, high, upto).synthesize(ws))


@everywhere
def test_blocks_that_cannot_show_do_not_run(upto: int) -> None:
    ran: list[tuple[str, str]] = []
    low, high = copy.deepcopy(LOW), copy.deepcopy(HIGH)
    for side, generator in (("low", low), ("high", high)):
        for conv in ANATOMY.convs:
            layer = generator.get_submodule(conv.name)
            layer.register_forward_hook(lambda *_, side=side, name=conv.name: ran.append((side, name)))
    FeatureSwap(low, high, upto).synthesize(WPlus(CODES))
    of_low = [("low", c.name) for c in ANATOMY.convs if c.resolution <= upto]
    of_high = [("high", c.name) for c in ANATOMY.convs if c.resolution != upto]
    assert sorted(ran) == sorted(of_low + of_high)


@both_ways
@everywhere
def test_the_sides_are_left_alone(by: str, upto: int) -> None:
    before = [copy.deepcopy(g.state_dict()) for g in (LOW, HIGH)]
    swap(LOW, HIGH, upto, by)(LATENTS)  # type: ignore[arg-type]
    for generator, state in zip((LOW, HIGH), before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in generator.state_dict().items())


@pytest.mark.parametrize("side", ["low", "high"])
def test_one_side_answers_for_the_mapping(side: str) -> None:
    owner = {"low": LOW, "high": HIGH}[side]
    swapped = FeatureSwap(LOW, HIGH, 8, side)  # type: ignore[arg-type]
    assert swapped.anatomy == ANATOMY
    assert swapped.mapping is owner.mapping
    assert torch.equal(swapped.styles(LATENTS), owner.styles(LATENTS))
    assert torch.equal(swapped.map(Z(LATENTS)).data, owner.map(Z(LATENTS)).data)
    assert torch.equal(swapped.w_mean, owner.w_mean)
    assert torch.equal(swapped.mean.data, owner.mean.data)


def test_a_shared_mapping_makes_both_entries_one() -> None:
    high = copy.deepcopy(HIGH)
    high.mapping.load_state_dict(LOW.mapping.state_dict())
    for upto in PLACES:
        swapped = FeatureSwap(LOW, high, upto)
        assert torch.equal(swapped(LATENTS), swapped.synthesize(swapped.map(Z(LATENTS))))


def test_a_code_of_w_drives_all_rows() -> None:
    w, swapped = W(CODES[:, 0]), FeatureSwap(LOW, HIGH, 8)
    assert torch.equal(swapped.synthesize(w), swapped.synthesize(w.broadcast(ANATOMY.rows)))


def test_gradients_reach_the_parts_that_draw() -> None:
    low, high = (copy.deepcopy(g).requires_grad_(True) for g in (LOW, HIGH))
    FeatureSwap(low, high, 8)(LATENTS).square().sum().backward()
    for name, parameter in low.synthesis.named_parameters():
        used = name == "const" or (("blocks.4." in name or "blocks.8." in name) and "to_rgb" not in name)
        assert (parameter.grad is not None and bool(parameter.grad.any())) == used, name
    for name, parameter in high.synthesis.named_parameters():
        assert (parameter.grad is not None and bool(parameter.grad.any())) == ("blocks.8.conv" not in name), name


def test_weights_are_swapped_by_a_hard_blend() -> None:
    swapped, expected = swap(LOW, HIGH, 8, "weights"), blend(LOW, HIGH, hard(ANATOMY, 8))
    assert isinstance(swapped, Generator)
    assert all(torch.equal(t, expected.state_dict()[name]) for name, t in swapped.state_dict().items())


@both_ways
def test_generators_of_other_sizes_are_refused(by: str) -> None:
    with pytest.raises(BadModel, match="different sizes") as error:
        swap(LOW, drawn(0, replace(ANATOMY, channels=(8, 7, 6, 4))), 8, by)  # type: ignore[arg-type]
    assert error.value.cure


@both_ways
@pytest.mark.parametrize("upto", [-4, 2, 12, 64])
def test_a_place_where_no_block_ends_is_refused(by: str, upto: int) -> None:
    with pytest.raises(UsageError, match="Use one of 4, 8, 16, 32, or 0"):
        swap(LOW, HIGH, upto, by)  # type: ignore[arg-type]


@both_ways
def test_a_side_that_does_not_exist_is_refused(by: str) -> None:
    with pytest.raises(UsageError, match="'low' or 'high'"):
        swap(LOW, HIGH, 8, by, "left")  # type: ignore[arg-type]


def test_a_way_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="'features' or 'weights'"):
        swap(LOW, HIGH, 8, "layers")  # type: ignore[arg-type]


def test_codes_of_another_kind_are_refused() -> None:
    swapped = FeatureSwap(LOW, HIGH, 8)
    with pytest.raises(BadModel, match="does not fit"):
        swapped.synthesize(WPlus(CODES[:, :-1]))
    with pytest.raises(TypeError, match="map it first"):
        swapped.synthesize(ZPlus(CODES))  # type: ignore[arg-type]
