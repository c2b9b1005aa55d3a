"""SeFa: what is found is what the algebra says, whatever the weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.spaces import sefa_basis


def layers(seed: int, dim: int, heights: tuple[int, ...] = (7, 3)) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(h, dim, generator=random) for h in heights]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), dim=st.integers(1, 24), normalise=st.booleans())
def test_directions_are_orthonormal_sorted_and_eigenvectors(seed: int, dim: int, normalise: bool) -> None:
    weights = layers(seed, dim)
    basis = sefa_basis(weights, normalise=normalise)
    v, a = basis.vectors.double(), torch.cat(weights).double()
    assert basis.vectors.shape == (dim, dim) and len(basis) == dim
    torch.testing.assert_close(v @ v.t(), torch.eye(dim).double(), rtol=0, atol=1e-5)
    assert (basis.values[:-1] >= basis.values[1:]).all() and (basis.values >= 0).all()
    if normalise:
        a = a / a.norm(dim=1, keepdim=True)
    # The change of all styles by a unit step is what the eigenvalue says.
    torch.testing.assert_close((v @ a.t()).square().sum(1), basis.values.double(), rtol=1e-4, atol=1e-4)
    assert (basis.vectors.gather(1, basis.vectors.abs().argmax(1, keepdim=True)) > 0).all()


@settings(deadline=None, max_examples=40)
@given(
    scales=st.lists(st.integers(-30, 30).filter(bool), min_size=1, max_size=12, unique_by=abs),
    seed=st.integers(0, 2**31),
)
def test_a_diagonal_map_gives_the_axes_by_size(scales: list[int], seed: int) -> None:
    """The signs of the weights do not matter, nor does the order of the rows or how they are cut into layers."""
    a = torch.diag(torch.tensor(scales, dtype=torch.float32))
    shuffled = a[torch.randperm(len(a), generator=torch.Generator().manual_seed(seed))]
    basis = sefa_basis([shuffled[:1], shuffled[1:]])
    order = sorted(range(len(scales)), key=lambda k: -abs(scales[k]))
    torch.testing.assert_close(basis.vectors, torch.eye(len(a))[order], rtol=0, atol=1e-6)
    torch.testing.assert_close(basis.values, torch.tensor([float(scales[k] ** 2) for k in order]))


def test_unit_rows_count_directions_and_not_sizes() -> None:
    """Three small rows along one axis outweigh one large row along another only when rows are normalised."""
    a = torch.tensor([[9.0, 0, 0], [0, 1, 0], [0, 2, 0], [0, -1, 0]])
    assert sefa_basis([a]).vectors.argmax(1).tolist() == [0, 1, 2]
    unit = sefa_basis([a], normalise=True)
    assert unit.vectors.argmax(1).tolist() == [1, 0, 2] and unit.values.tolist() == [3, 1, 0]
    with_zero_row = sefa_basis([a, torch.zeros(1, 3)], normalise=True)
    assert torch.equal(with_zero_row.values, unit.values)


def test_coordinates_and_steps_are_each_others_inverse() -> None:
    basis = sefa_basis(layers(0, 6))
    steps = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(basis.compose(basis.coordinates(steps)), steps)
    three = basis.first(3)
    assert three.vectors.shape == (3, 6) and three.values.shape == (3,)
    coordinates = torch.randn(2, 3, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(three.coordinates(three.compose(coordinates)), coordinates)
    # Dropped directions are orthogonal to those kept.
    left = steps - three.compose(three.coordinates(steps))
    torch.testing.assert_close(three.coordinates(left), torch.zeros(2, 4, 3), rtol=0, atol=1e-5)
    for k in (0, 7):
        with pytest.raises(ValueError, match="no first"):
            basis.first(k)
