"""Inversion measures: against other programs' SSIM and matrix roots, closed forms, and sets that mix or do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from torch import Tensor

from portraitist.errors import BadData, UsageError
from portraitist.evaluate import (
    energy_distance,
    frechet_distance,
    ms_ssim,
    ms_ssim_scales,
    overlap,
    prior_codes,
    ssim,
    tsne,
)
from portraitist.io.model_file import Model
from portraitist.spaces import ZPlus


def pictures(count: int, side: int, seed: int = 0) -> Tensor:
    """Smooth pictures, as photos are."""
    noise = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed)).numpy()
    return torch.tensor(gaussian_filter(noise, (0, 0, 2, 2)) * 4).clamp(-1, 1)


def codes(count: int, entries: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(count, 2, entries // 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_ssim_agrees_with_scikit_image() -> None:
    x, y = pictures(2, 32), pictures(2, 32, seed=1)
    y = torch.lerp(y, x, 0.5)
    theirs = [
        structural_similarity(
            a.numpy(), b.numpy(), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=2,
            channel_axis=0,
        )
        for a, b in zip(x.double(), y.double(), strict=True)
    ]  # fmt: skip
    assert ssim(x, y).tolist() == pytest.approx(theirs, abs=1e-6)
    assert 0.1 < theirs[0] < 0.95


def test_equal_pictures_are_1_and_alone_as_in_a_batch() -> None:
    x, y = pictures(3, 64), pictures(3, 64, seed=1)
    for measure in (ssim, ms_ssim):
        torch.testing.assert_close(measure(x, x), torch.ones(3, dtype=torch.float64), atol=1e-6, rtol=0)
        torch.testing.assert_close(
            measure(x, y), torch.cat([measure(a[None], b[None]) for a, b in zip(x, y, strict=True)])
        )
        torch.testing.assert_close(measure(x, y), measure(y, x))


def test_ssim_of_flat_pictures_has_a_closed_form() -> None:
    x, y = torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), -0.25)
    c = (0.01 * 2) ** 2
    assert float(ssim(x, y)) == pytest.approx((2 * 0.5 * -0.25 + c) / (0.25 + 0.0625 + c), rel=1e-4)


def test_values_beyond_the_range_count_as_its_ends() -> None:
    x = pictures(1, 16)
    assert torch.equal(ssim(x * 9, x), ssim((x * 9).clamp(-1, 1), x))


def ms_ssim_by_hand(x: Tensor, y: Tensor, weights: list[float]) -> float:
    a, b = x.double().numpy(), y.double().numpy()
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    result = 1.0
    for k, weight in enumerate(weights):

        def blur(v: np.ndarray) -> np.ndarray:
            return gaussian_filter(v, (0, 1.5, 1.5), truncate=3.5)[:, 5:-5, 5:-5]

        ma, mb = blur(a), blur(b)
        va, vb, cab = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
        factor = (2 * cab + c2) / (va + vb + c2)
        if k == len(weights) - 1:
            factor = factor * (2 * ma * mb + c1) / (ma * ma + mb * mb + c1)
        result *= max(factor.mean(), 0) ** weight
        a, b = (v.reshape(3, v.shape[1] // 2, 2, v.shape[2] // 2, 2).mean((2, 4)) for v in (a, b))
    return result


def test_ms_ssim_of_64_pixels_has_three_scales() -> None:
    x, y = pictures(1, 64), pictures(1, 64, seed=1)
    y = torch.lerp(y, x, 0.6)
    total = 0.0448 + 0.2856 + 0.3001
    by_hand = ms_ssim_by_hand(x[0], y[0], [0.0448 / total, 0.2856 / total, 0.3001 / total])
    assert float(ms_ssim(x, y)) == pytest.approx(by_hand, abs=1e-6)
    assert float(ms_ssim(x, y, scales=1)) == pytest.approx(float(ssim(x, y)), abs=1e-6)


@pytest.mark.parametrize(("side", "scales"), [(16, 1), (32, 2), (64, 3), (128, 4), (176, 5), (1024, 5)])
def test_scales_that_sides_have_room_for(side: int, scales: int) -> None:
    assert ms_ssim_scales(side) == scales
    if side <= 176:
        assert float(ms_ssim(pictures(1, side), pictures(1, side))) == pytest.approx(1, abs=1e-6)


def test_pictures_smaller_than_the_window_are_refused() -> None:
    for measure in (ssim, ms_ssim):
        with pytest.raises(BadData, match="8x8"):
            measure(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))


def exact(mean: list[float], deviations: list[float]) -> Tensor:
    """Rows whose mean is exactly this and whose covariance is exactly diagonal."""
    width = len(mean)
    signs = torch.tensor(scipy.linalg.hadamard(8), dtype=torch.float64)[:, 1 : width + 1]
    return torch.tensor(mean) + signs * torch.tensor(deviations) * math.sqrt(7 / 8)


def test_frechet_distance_of_diagonal_gaussians_has_a_closed_form() -> None:
    x, y = exact([0, 1, 2], [1, 2, 3]), exact([1, 1, 0], [2, 2, 0.5])
    assert frechet_distance(x, y) == pytest.approx((1 + 4) + (1 + 0 + 2.5**2), rel=1e-6)


@given(st.integers(2, 20), st.integers(2, 20), st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_frechet_distance_agrees_with_a_matrix_root(m: int, n: int, seed: int) -> None:
    x, y = codes(m, seed=seed), codes(n, seed=seed + 1000) * 2 + 0.5
    a, b = (np.cov(t.flatten(1).numpy(), rowvar=False) for t in (x, y))
    # The root of a symmetric product exists even where the covariances lack rank.
    half = scipy.linalg.sqrtm(a + 0j).real if m > 6 else _root(a)
    trace = np.sqrt(np.linalg.eigvalsh(half @ b @ half).clip(0)).sum()
    gap = (x.flatten(1).mean(0) - y.flatten(1).mean(0)).square().sum()
    expected = float(gap) + np.trace(a) + np.trace(b) - 2 * trace
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-9)


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def test_frechet_distance_of_equal_sets_is_0_and_of_one_repeated_code_is_known() -> None:
    x = codes(9)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-12)
    repeated = x.mean(0).expand(4, 2, 3)
    assert frechet_distance(repeated, x) == pytest.approx(float(x.flatten(1).var(0).sum()), rel=1e-9)


def test_energy_distance_by_hand_and_its_expectation_between_equals() -> None:
    # |x - y| is 3 and 5 and 1 and 3, |x - x'| 2, |y - y'| 2.
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]])
    assert energy_distance(x, y) == pytest.approx((2 * 3 - 2 - 2) / 2)
    mean = sum(energy_distance(codes(6, seed=2 * k), codes(6, seed=2 * k + 1)) for k in range(200)) / 200
    assert mean == pytest.approx(0, abs=0.015)
    wide = codes(400, entries=200)
    assert energy_distance(wide.mean(0).expand(9, -1, -1), wide) == pytest.approx(math.sqrt(2) - 1, abs=0.01)


def test_frechet_distance_of_few_codes_prefers_one_code_to_the_prior_and_energy_does_not() -> None:
    prior, fresh = codes(500, entries=200), codes(8, entries=200, seed=1)
    one = prior.mean(0).expand(8, -1, -1)
    assert frechet_distance(one, prior) < frechet_distance(fresh, prior)
    assert energy_distance(one, prior) > 10 * abs(energy_distance(fresh, prior))


def test_too_few_codes_and_codes_of_two_sizes_are_refused() -> None:
    with pytest.raises(BadData, match="2 of each"):
        frechet_distance(codes(1), codes(5))
    with pytest.raises(BadData, match="one size"):
        frechet_distance(codes(4), codes(5, entries=8))
    for sizes in ((5, 9), (9, 8)):
        with pytest.raises(BadData, match="neighbours"):
            overlap(codes(sizes[0]), codes(sizes[1]))


def test_sets_of_one_distribution_overlap_wholly() -> None:
    found = overlap(codes(100), codes(800, seed=1))
    assert found.codes == pytest.approx(1, abs=0.08) and found.prior == pytest.approx(1, abs=0.08)


def test_sets_that_lie_apart_do_not_overlap() -> None:
    assert overlap(codes(20) + 100, codes(80, seed=1)).value == 0


@pytest.mark.parametrize("scale", [0.2, 5.0])
def test_a_sphere_inside_another_does_not_overlap_with_it(scale: float) -> None:
    # In many dimensions: the wider set's neighbours are all of the tighter set.
    found = overlap(codes(40, entries=200) * scale, codes(160, entries=200, seed=1))
    assert found.value < 0.02
    assert max(found.codes, found.prior) > 1.8


def test_overlap_is_the_mean_over_rows_counted_by_hand() -> None:
    x, y = torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[0.4], [11.0], [30.0]])
    # Nearest one: 0 -> 0.4, 1 -> 0.4, 10 -> 11 and 0.4 -> 0, 11 -> 10, 30 -> 11; chance gives 3 of 5.
    found = overlap(x, y, neighbours=1)
    assert found.codes == pytest.approx(1 / 0.6) and found.prior == pytest.approx((2 / 3) / 0.6)
    assert found.value == 1


def test_codes_that_are_all_one_code_count_in_parts() -> None:
    one = torch.ones(8, 4)
    assert overlap(one, one).value == pytest.approx(1)
    assert overlap(one, codes(8, entries=4).flatten(1).float()).value == 0


def test_codes_of_the_prior_come_from_the_mapping_network(tiny_model: Model) -> None:
    generator = tiny_model.generator
    plus, single = prior_codes(generator, 5), prior_codes(generator, 5, prior="z")
    assert plus.shape == single.shape == (5, generator.anatomy.rows, 16)
    assert torch.equal(plus[:3], prior_codes(generator, 3)) and not torch.equal(plus, prior_codes(generator, 5, seed=1))
    assert torch.equal(single[:, :1].expand_as(single), single) and not torch.equal(plus[:, 0], plus[:, 1])
    latents = ZPlus.sample(5, generator.anatomy.rows, 16, torch.Generator().manual_seed(0)).data
    with torch.no_grad():
        torch.testing.assert_close(plus[:, 2], generator.mapping(latents[:, 2]))
    with pytest.raises(UsageError, match="no prior"):
        prior_codes(generator, 1, prior="w")  # type: ignore[arg-type]


def test_neighbours_in_the_plane_are_those_of_the_codes() -> None:
    pytest.importorskip("sklearn")
    first, second = tsne([codes(12), codes(14, seed=1) + 50], seed=3)
    assert first.shape == (12, 2) and second.shape == (14, 2)
    within = torch.cdist(first, first).fill_diagonal_(math.inf).amin(1)
    assert (within < torch.cdist(first, second).amin(1)).all()
    assert torch.equal(tsne([codes(12), codes(14, seed=1) + 50], seed=3)[0], first)
