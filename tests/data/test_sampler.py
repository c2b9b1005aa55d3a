from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from portraitist.data.sampler import BatchOrder
from portraitist.errors import UsageError

GOLDEN_INDICES = [9, 0, 3, 2, 6, 2, 7, 1, 6, 8, 9, 5]
GOLDEN_FLIPS = [0, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0]

sizes = st.integers(1, 60)
seeds = st.integers(-(2**40), 2**70)


@given(sizes, sizes, seeds, st.integers(0, 10**12))
def test_at_is_pure(n: int, batch: int, seed: int, seen: int) -> None:
    first = BatchOrder(n, batch, seed).at(seen)
    BatchOrder(n + 1, batch, seed).at(seen + 7)
    again = BatchOrder(n, batch, seed).at(seen)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[0].dtype == torch.int64 and first[1].dtype == torch.bool
    assert first[0].shape == first[1].shape == (batch,)


@given(sizes, sizes, seeds)
def test_each_epoch_is_a_permutation(n: int, batch: int, seed: int) -> None:
    order = BatchOrder(n, batch, seed)
    stream = torch.cat([order.at(seen)[0] for seen in range(0, 3 * n + batch, batch)])
    for epoch in range(3):
        assert sorted(stream[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))


@given(sizes, seeds, st.integers(0, 1000), st.integers(1, 20))
def test_the_stream_does_not_depend_on_the_batch(n: int, seed: int, seen: int, batch: int) -> None:
    by_one = [BatchOrder(n, 1, seed).at(seen + j) for j in range(batch)]
    together = BatchOrder(n, batch, seed).at(seen)
    for k in range(2):
        assert torch.equal(torch.cat([pair[k] for pair in by_one]), together[k])


def test_epochs_and_seeds_differ() -> None:
    order = BatchOrder(n=1000, batch=1000, seed=0)
    first, second = order.at(0)[0], order.at(1000)[0]
    other = replace(order, seed=1).at(0)[0]
    for one, two in [(first, second), (first, other), (first, torch.arange(1000))]:
        assert (one == two).sum() < 10


def test_the_shuffle_is_uniform() -> None:
    seen = Counter(tuple(BatchOrder(4, 4, seed).at(0)[0].tolist()) for seed in range(4800))
    chi_square = sum((count - 200) ** 2 / 200 for count in seen.values())
    assert len(seen) == 24 and chi_square < 49.7  # 23 degrees of freedom, 0.1 %


def test_half_of_the_images_are_mirrored_and_none_without_mirror() -> None:
    order = BatchOrder(n=10, batch=20_000, seed=5)
    indices, flips = order.at(0)
    assert abs(flips.float().mean() - 0.5) < 0.015
    assert abs(flips[indices == 3].float().mean() - 0.5) < 0.05
    assert not replace(order, mirror=False).at(0)[1].any()
    assert torch.equal(replace(order, mirror=False).at(0)[0], indices)


def test_the_order_is_the_one_that_old_snapshots_continue() -> None:
    indices, flips = BatchOrder(n=10, batch=12, seed=3).at(5)
    assert indices.tolist() == GOLDEN_INDICES
    assert flips.int().tolist() == GOLDEN_FLIPS


@pytest.mark.parametrize("wrong", [{"n": 0}, {"batch": 0}])
def test_impossible_orders_are_usage_errors(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        BatchOrder(**{"n": 5, "batch": 4, **wrong})
