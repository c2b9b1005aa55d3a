from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.errors import BadModel, UsageError
from portraitist.networks import Generator, GeneratorAnatomy
from portraitist.surgery import blend, hard, smooth

ANATOMY = GeneratorAnatomy(32, (8, 7, 6, 5), z_dim=10, w_dim=6, mapping_layers=2)
SHARES = st.fixed_dictionaries({r: st.floats(0, 1) for r in ANATOMY.resolutions})


def drawn(seed: int, anatomy: GeneratorAnatomy = ANATOMY) -> Generator:
    """A generator none of whose tensors is at rest."""
    generator = Generator(anatomy).eval()
    random = torch.Generator().manual_seed(seed)
    for tensor in generator.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=random))
    return generator


LOW, HIGH = drawn(1), drawn(2)


def resolution_of(name: str) -> int | None:
    """Where the anatomy's layers say that a tensor belongs; None outside the synthesis network."""
    owners = {layer.resolution for layer in ANATOMY.layers if name.startswith(layer.name + ".")}
    owners |= {4} if name == "synthesis.const" else set()
    assert len(owners) == (1 if name.startswith("synthesis.") else 0), name
    return owners.pop() if owners else None


@pytest.mark.parametrize("upto", (0, *ANATOMY.resolutions))
@pytest.mark.parametrize("mapping", ["low", "high"])
def test_a_hard_blend_has_the_very_tensors_of_the_sides(upto: int, mapping: str) -> None:
    mixed = blend(LOW, HIGH, hard(ANATOMY, upto), mapping).state_dict()  # type: ignore[arg-type]
    low, high = LOW.state_dict(), HIGH.state_dict()
    assert mixed.keys() == low.keys()
    for name, tensor in mixed.items():
        r = resolution_of(name)
        from_low = mapping == "low" if r is None else r <= upto
        assert torch.equal(tensor, (low if from_low else high)[name]), name


@settings(deadline=None)
@given(SHARES)
def test_every_tensor_is_linear_in_the_share_of_its_block(alpha: dict[int, float]) -> None:
    mixed, low, high = blend(LOW, HIGH, alpha).state_dict(), LOW.state_dict(), HIGH.state_dict()
    for name, tensor in mixed.items():
        r = resolution_of(name)
        share = 0.0 if r is None else alpha[r]
        torch.testing.assert_close(tensor, (1 - share) * low[name] + share * high[name], rtol=0, atol=1e-6)


@settings(deadline=None)
@given(SHARES, st.sampled_from(["low", "high"]))
def test_a_model_blended_with_itself_is_itself(alpha: dict[int, float], mapping: str) -> None:
    mixed = blend(LOW, copy.deepcopy(LOW), alpha, mapping)  # type: ignore[arg-type]
    for name, tensor in mixed.state_dict().items():
        assert torch.equal(tensor, LOW.state_dict()[name]), name


def test_the_ends_keep_what_an_interpolation_would_change() -> None:
    low, high = drawn(1), drawn(2)
    with torch.no_grad():
        low.synthesis.const[0, 0, 0], high.synthesis.const[0, 0, 0] = -0.0, math.inf
    at_low = blend(low, high, hard(ANATOMY, 32)).synthesis.const[0, 0, 0]
    assert at_low == 0 and at_low.signbit()
    assert blend(low, high, hard(ANATOMY, 0)).synthesis.const[0, 0, 0] == math.inf


def test_the_sides_are_left_alone_and_share_nothing_with_the_blend() -> None:
    before = [copy.deepcopy(g.state_dict()) for g in (LOW, HIGH)]
    mixed = blend(LOW, HIGH, hard(ANATOMY, 8))
    for tensor in mixed.state_dict().values():
        tensor.zero_()
    for generator, state in zip((LOW, HIGH), before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in generator.state_dict().items())


def test_a_second_mapping_network_comes_with_its_side() -> None:
    frozen = drawn(3, replace(ANATOMY, low_rows=4))
    z = torch.randn(2, 10, generator=torch.Generator().manual_seed(0))
    for low, high in ((frozen, HIGH), (LOW, frozen)):
        for side, owner in (("low", low), ("high", high)):
            mixed = blend(low, high, hard(ANATOMY, 8), side)  # type: ignore[arg-type]
            assert mixed.anatomy == owner.anatomy
            assert torch.equal(mixed.styles(z), owner.styles(z))
            assert torch.equal(mixed.synthesis.const, low.synthesis.const)


def test_a_hard_switch() -> None:
    assert hard(ANATOMY, 8) == {4: 0, 8: 0, 16: 1, 32: 1}
    assert set(hard(ANATOMY, 0).values()) == {1}
    assert set(hard(ANATOMY, 32).values()) == {0}


@settings(deadline=None)
@given(st.sampled_from(ANATOMY.resolutions), st.floats(0.01, 20))
def test_a_smooth_switch_is_a_sigmoid_of_octaves(middle: int, width: float) -> None:
    alpha = smooth(ANATOMY, middle, width)
    octaves = {r: k - ANATOMY.resolutions.index(middle) for k, r in enumerate(ANATOMY.resolutions)}
    assert alpha[middle] == 0.5
    for r, share in alpha.items():
        assert share == pytest.approx(1 / (1 + math.exp(-octaves[r] / width)), abs=1e-12)


def test_one_width_from_the_middle() -> None:
    alpha = smooth(ANATOMY, 8, 1)
    assert [alpha[4], alpha[8], alpha[16]] == pytest.approx([0.26894, 0.5, 0.73106], abs=1e-5)


def test_a_narrow_smooth_switch_between_two_resolutions_is_a_hard_one() -> None:
    assert smooth(ANATOMY, 8 * 2**0.5, 1e-300) == hard(ANATOMY, 8)


@pytest.mark.parametrize(("middle", "width"), [(0, 1), (-8, 1), (8, 0), (8, -1), (math.nan, 1), (8, math.inf)])
def test_impossible_switches_are_refused(middle: float, width: float) -> None:
    with pytest.raises(UsageError, match="must be positive"):
        smooth(ANATOMY, middle, width)


@pytest.mark.parametrize("upto", [-4, 2, 12, 64])
def test_a_switch_where_no_block_ends_is_refused(upto: int) -> None:
    with pytest.raises(UsageError, match="Use one of 4, 8, 16, 32, or 0"):
        hard(ANATOMY, upto)


@pytest.mark.parametrize(
    "alpha",
    [
        {4: 0, 8: 0, 16: 1},
        {4: 0, 8: 0, 16: 1, 32: 1, 64: 1},
        {4: -0.1, 8: 0, 16: 1, 32: 1},
        {4: 0, 8: 0, 16: 1, 32: 1.1},
        {4: 0, 8: math.nan, 16: 1, 32: 1},
    ],
)
def test_impossible_shares_are_refused(alpha: dict[int, float]) -> None:
    with pytest.raises(UsageError, match="share"):
        blend(LOW, HIGH, alpha)


@pytest.mark.parametrize(
    "other", [replace(ANATOMY, channels=(8, 7, 6, 4)), replace(ANATOMY, mapping_layers=3), replace(ANATOMY, clamp=256)]
)
def test_generators_of_other_sizes_are_refused(other: GeneratorAnatomy) -> None:
    with pytest.raises(BadModel, match="different sizes") as error:
        blend(LOW, drawn(0, other), hard(ANATOMY, 8))
    assert error.value.cure


def test_a_side_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="'low' or 'high'"):
        blend(LOW, HIGH, hard(ANATOMY, 8), "left")  # type: ignore[arg-type]
