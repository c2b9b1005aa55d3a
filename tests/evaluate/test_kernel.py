"""The kernel distance: explicit double loops, expectation 0 between equals, and a spread that is one."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from portraitist.errors import BadData
from portraitist.evaluate import kernel_distance, kernel_interval


def rows(count: int, width: int = 12, seed: int = 0, shift: float = 0.0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + shift


def by_loops(x: Tensor, y: Tensor) -> float:
    def kernel(a: Tensor, b: Tensor) -> float:
        dot = sum(float(p) * float(q) for p, q in zip(a, b, strict=True))
        return float((dot / len(a) + 1) ** 3)

    m, n = len(x), len(y)
    xx = sum(kernel(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    yy = sum(kernel(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    xy = sum(kernel(a, b) for a in x for b in y) / (m * n)
    return xx + yy - 2 * xy


def without(x: Tensor, index: int) -> Tensor:
    return torch.cat([x[:index], x[index + 1 :]])


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_it_agrees_with_loops_and_is_symmetric(m: int, n: int, seed: int) -> None:
    x, y = rows(m, 4, seed), rows(n, 4, seed + 1000, shift=0.5)
    assert kernel_distance(x, y) == pytest.approx(by_loops(x, y), rel=1e-9, abs=1e-12)
    assert kernel_distance(x, y) == pytest.approx(kernel_distance(y, x), rel=1e-12, abs=1e-13)


def test_it_agrees_with_the_closed_form() -> None:
    # Rows e1, e1 against 0, 0: kernels (1/2 + 1)^3, 1 and 1.
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert kernel_distance(x, torch.zeros(2, 2)) == pytest.approx(1.5**3 - 1, rel=1e-12)


def test_the_spread_is_the_jackknife_of_the_distance() -> None:
    x, y = rows(5, 4), rows(7, 4, seed=1, shift=0.4)
    variance = 0.0
    for left_out in (
        [kernel_distance(without(x, i), y) for i in range(5)],
        [kernel_distance(x, without(y, j)) for j in range(7)],
    ):
        variance += (len(left_out) - 1) * statistics.pvariance(left_out)
    interval = kernel_interval(x, y)
    assert interval.value == kernel_distance(x, y)
    assert interval.spread == pytest.approx(math.sqrt(variance), rel=1e-6)


def test_between_equal_distributions_it_is_zero_on_average_and_not_clipped() -> None:
    drawn = [kernel_distance(rows(40, seed=k), rows(15, seed=10_000 + k)) for k in range(400)]
    error = statistics.stdev(drawn) / math.sqrt(len(drawn))
    assert abs(statistics.mean(drawn)) < 3 * error
    assert 0.3 < sum(value < 0 for value in drawn) / len(drawn) < 0.8


@pytest.mark.parametrize(("shift", "narrowest", "widest"), [(0.0, 1.0, 1.8), (0.5, 0.8, 1.25)])
def test_the_spread_is_that_of_repeated_draws(shift: float, narrowest: float, widest: float) -> None:
    # Between equals the jackknife is about sqrt(2) too wide; apart it is right.
    found = [kernel_interval(rows(60, seed=k), rows(25, seed=10_000 + k, shift=shift)) for k in range(300)]
    real = statistics.stdev(interval.value for interval in found)
    stated = math.sqrt(statistics.mean(interval.spread**2 for interval in found))
    assert narrowest < stated / real < widest


def test_it_grows_with_what_separates_the_sets() -> None:
    found = [kernel_distance(rows(50), rows(20, seed=1, shift=shift)) for shift in (0.0, 0.3, 0.6, 1.2)]
    assert found == sorted(found)


def test_a_memoriser_is_below_zero() -> None:
    exemplars = rows(20)
    assert kernel_distance(exemplars.repeat(10, 1), exemplars) < 0


def test_sets_that_are_too_small_are_refused() -> None:
    with pytest.raises(BadData, match="1 and 5"):
        kernel_distance(rows(1), rows(5))
    with pytest.raises(BadData, match="5 and 2"):
        kernel_interval(rows(5), rows(2))
