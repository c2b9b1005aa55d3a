from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.spaces import W, WPlus, Z, ZPlus, lerp, mix, statistics, truncate


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plus(n: int = 2, rows: int = 6, dim: int = 5, seed: int = 0) -> WPlus:
    return WPlus(torch.randn(n, rows, dim, generator=dice(seed)))


@pytest.mark.parametrize("code", [W(torch.randn(3, 5)), plus(3)])
def test_truncation_at_its_ends_is_exact(code: W | WPlus) -> None:
    mean = code[:1]
    assert torch.equal(truncate(code, mean, 1.0).data, code.data)
    centre = truncate(code, mean, 0.0).data
    assert torch.equal(centre, mean.data.expand_as(code.data))


def test_truncation_of_the_first_rows_leaves_the_rest() -> None:
    code, mean = plus(), WPlus(torch.zeros(1, 6, 5))
    some = truncate(code, mean, 0.5, rows=2).data
    assert torch.equal(some[:, 2:], code.data[:, 2:])
    torch.testing.assert_close(some[:, :2], code.data[:, :2] / 2)
    with pytest.raises(ValueError, match=r"W\+ only"):
        truncate(W(torch.zeros(1, 5)), W(torch.zeros(1, 5)), 0.5, rows=2)


@settings(deadline=None, max_examples=30)
@given(at=st.integers(0, 6))
def test_mixing_takes_rows_from_each(at: int) -> None:
    low, high = plus(seed=1), plus(seed=2)
    mixed = mix(low, high, at).data
    assert torch.equal(mixed[:, :at], low.data[:, :at])
    assert torch.equal(mixed[:, at:], high.data[:, at:])


@pytest.mark.parametrize("at", [-1, 7])
def test_mixing_outside_the_rows_is_refused(at: int) -> None:
    with pytest.raises(ValueError, match=r"\[0, 6\]"):
        mix(plus(), plus(), at)


def test_lerp_at_its_ends_is_exact() -> None:
    start, end = plus(seed=1), plus(seed=2)
    assert torch.equal(lerp(start, end, 0.0).data, start.data)
    assert torch.equal(lerp(start, end, 1.0).data, end.data)


@settings(deadline=None, max_examples=30)
@given(few=st.integers(1, 5), more=st.integers(0, 20), dim=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_the_first_latents_do_not_depend_on_the_count(few: int, more: int, dim: int, seed: int) -> None:
    short, long = (Z.sample(n, dim, dice(seed)).data for n in (few, few + more))
    assert torch.equal(long[:few], short)
    assert torch.equal(
        ZPlus.sample(few + more, 3, dim, dice(seed)).data[:few], ZPlus.sample(few, 3, dim, dice(seed)).data
    )


def test_broadcast_repeats_a_code_over_the_rows() -> None:
    w = W(torch.randn(2, 5))
    rows = w.broadcast(4).data
    assert rows.shape == (2, 4, 5)
    assert all(torch.equal(rows[:, k], w.data) for k in range(4))


def test_a_number_keeps_the_batch_axis() -> None:
    code = plus(3)
    assert torch.equal(code[1].data, code.data[1:2])
    assert torch.equal(code[-1].data, code.data[2:])
    assert len(code[:2]) == 2


def test_a_loop_over_codes_ends_and_a_number_beyond_them_is_refused() -> None:
    code = plus(3)
    assert torch.equal(torch.cat([one.data for one in code]), code.data)
    for beyond in (3, -4):
        with pytest.raises(IndexError, match="among 3"):
            code[beyond]


def test_codes_are_compared_as_objects() -> None:
    code = plus(3)
    assert code == code and code != WPlus(code.data)


def test_statistics_of_a_linear_map_are_known() -> None:
    measured = statistics(lambda z: 2 * z + 3, 8, count=5000)
    torch.testing.assert_close(measured.mean.data, torch.full((1, 8), 3.0), atol=0.12, rtol=0)
    assert measured.deviation == pytest.approx(2 * 8**0.5, rel=0.02)
    again = statistics(lambda z: 2 * z + 3, 8, count=5000)
    assert torch.equal(measured.mean.data, again.mean.data)
    assert measured.deviation == again.deviation


@pytest.mark.parametrize(("space", "shape"), [(Z, (1, 2, 3)), (ZPlus, (1, 2)), (W, (4,)), (WPlus, (2, 3))])
def test_axes_of_another_space_are_refused(space: type[Z | ZPlus | W | WPlus], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"{space.__name__} holds a float tensor"):
        space(torch.zeros(shape))


def test_whole_numbers_are_no_code() -> None:
    with pytest.raises(ValueError, match="int64"):
        W(torch.zeros(1, 2, dtype=torch.int64))
