"""Distances of sets: equal to independent libraries on the same rows, closed forms, and copies that are caught."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc
from torch import Tensor, nn

from portraitist.errors import BadData
from portraitist.evaluate import (
    frechet_distance,
    frechet_interval,
    kernel_distance,
    kernel_subsets,
    neighbourhoods,
)


def rows(count: int, width: int = 8, seed: int = 0, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=torch.Generator().manual_seed(99)) / width**0.5 + torch.eye(width)
    return torch.randn(count, width, generator=random).matmul(mix).mul(scale).add(shift)


class Given(nn.Module):
    """A feature network for other libraries: the pictures are the rows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, images: Tensor) -> Tensor:
        rows: Tensor = images.flatten(1)
        return rows


def of_library(metric: Any, x: Tensor, y: Tensor, **settings: object) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = metric(feature=Given(x.shape[1]), normalize=True, **settings)
        found.set_dtype(torch.float64)
        for part, real in ((x, True), (y, False)):
            found.update(part.double()[:, :, None, None], real=real)
        return found.compute()


@pytest.mark.parametrize(("m", "n", "width"), [(60, 80, 8), (200, 40, 16), (64, 64, 4)])
def test_frechet_distance_equals_torchmetrics(m: int, n: int, width: int, library: None) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    x, y = rows(m, width), rows(n, width, seed=1, shift=0.3, scale=1.4)
    expected = float(of_library(FrechetInceptionDistance, x, y))
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_kernel_subsets_equal_torchmetrics_where_a_subset_is_everything(library: None) -> None:
    from torchmetrics.image.kid import KernelInceptionDistance

    x, y = rows(50), rows(50, seed=1, shift=0.2)
    mean, spread = of_library(KernelInceptionDistance, x, y, subsets=3, subset_size=50)
    found = kernel_subsets(y, x, subsets=3, size=50)
    assert found.value == pytest.approx(float(mean), abs=1e-4)
    assert found.value == pytest.approx(kernel_distance(x, y), rel=1e-9)
    assert found.spread == pytest.approx(float(spread), abs=1e-4) == pytest.approx(0, abs=1e-9)


@given(st.integers(8, 40), st.integers(1, 6), st.integers(0, 99), st.floats(0, 1.5))
@settings(max_examples=25, deadline=None)
def test_neighbourhoods_equal_prdc(count: int, k: int, seed: int, shift: float) -> None:
    real, outputs = rows(count, 5, seed), rows(count, 5, seed + 100, shift=shift)
    expected = compute_prdc(real.double().numpy(), outputs.double().numpy(), nearest_k=k)
    found = neighbourhoods(real, outputs, k=k, k_density=k, draws=2)
    for name, value in expected.items():
        assert getattr(found, name).value == pytest.approx(value, abs=1e-4), name


def test_sets_of_unequal_size_are_compared_at_equal_numbers() -> None:
    real, outputs = rows(30), rows(300, seed=1)
    found = neighbourhoods(real, outputs, draws=40)
    assert found.count == 30
    each = [
        compute_prdc(real.double().numpy(), outputs[torch.randperm(300)[:30]].double().numpy(), nearest_k=3)["recall"]
        for _ in range(40)
    ]
    assert found.recall.value == pytest.approx(float(np.mean(each)), abs=0.05)
    whole = compute_prdc(real.double().numpy(), outputs.double().numpy(), nearest_k=3)
    # What unequal numbers would make of coverage.
    assert found.coverage.value < whole["coverage"]


def test_two_gaussians_have_the_closed_form() -> None:
    # Rows of +-a on the axes are Gaussians with a diagonal covariance, exactly.
    def axes(lengths: tuple[float, ...], shift: float) -> Tensor:
        points = torch.diag(torch.tensor(lengths, dtype=torch.float64))
        return torch.cat([points, -points]) + shift

    x, y = axes((1.0, 2.0, 3.0), 0.0), axes((2.0, 2.0, 1.0), 0.5)
    variance = 2 / 5  # two of six points on each axis, unbiased
    expected = 3 * 0.25 + variance * ((1 - 2) ** 2 + 0 + (3 - 1) ** 2)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_equal_sets_have_no_distance_and_a_translation_has_its_square() -> None:
    x = rows(40, 60)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x.double(), x.double() + 0.25) == pytest.approx(60 * 0.25**2, rel=1e-9)
    same = neighbourhoods(x, x, draws=2)
    assert (same.precision.value, same.recall.value, same.coverage.value) == (1, 1, 1)
    far = neighbourhoods(x, x + 1000, draws=2)
    assert (far.precision.value, far.recall.value, far.density.value, far.coverage.value) == (0, 0, 0, 0)


def test_the_interval_of_a_frechet_distance_follows_its_seed_and_holds_other_samples() -> None:
    x, y = rows(80, 6), rows(60, 6, seed=1, shift=0.5)
    found = frechet_interval(x, y, seed=3)
    assert found == frechet_interval(x, y, seed=3) != frechet_interval(x, y, seed=4)
    assert found.value == frechet_distance(x, y)
    fresh = torch.tensor(
        [frechet_distance(rows(80, 6, seed=k), rows(60, 6, seed=k + 500, shift=0.5)) for k in range(100)]
    )
    assert found.spread == pytest.approx(float(fresh.std()), rel=0.5)
    assert found.half_width == pytest.approx(1.96 * found.spread)


def test_subsets_follow_their_seed_and_are_not_clipped() -> None:
    x, y = rows(60), rows(60, seed=1)
    found = kernel_subsets(x, y, size=20, seed=1)
    assert found == kernel_subsets(x, y, size=20, seed=1) != kernel_subsets(x, y, size=20, seed=2)
    assert found.value == pytest.approx(kernel_distance(x, y), abs=3 * found.spread)
    assert kernel_subsets(x, x.clone(), size=60).value < 0


def test_a_memoriser_has_the_best_frechet_distance_and_a_kernel_distance_below_0() -> None:
    # The figures of a hundred targets: a perfect model looks worse than copies by the one, and not by the other.
    targets, perfect = rows(100, 64), rows(500, 64, seed=1)
    copies = targets[torch.randint(100, (500,), generator=torch.Generator().manual_seed(0))]
    assert frechet_distance(copies, targets) < 0.2 * frechet_distance(perfect, targets)
    at = kernel_distance(copies, targets)
    assert at < 0 and abs(kernel_distance(perfect, targets)) < abs(at)


def test_sets_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(BadData, match="at least 6"):
        neighbourhoods(rows(5), rows(20))
    with pytest.raises(BadData, match="of one size"):
        frechet_distance(rows(5, 4), rows(5, 3))
    with pytest.raises(BadData, match="1 bootstrap"):
        frechet_interval(rows(5), rows(5), draws=1)
    with pytest.raises(BadData, match="0 subsets"):
        kernel_subsets(rows(5), rows(5), subsets=0)


def test_spreads_shrink_with_the_number_of_rows() -> None:
    few, many = (neighbourhoods(rows(n), rows(n, seed=1), draws=60).precision.spread for n in (25, 400))
    assert few / many == pytest.approx(math.sqrt(400 / 25), rel=0.5)


@pytest.fixture
def library() -> None:
    pytest.importorskip("torchmetrics")
