from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from portraitist.ops.warp import Padding, affine_warp, affine_warp_reference, reflect_pad, reflect_points

PADDINGS: tuple[Padding, ...] = ("zeros", "reflect")


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix(*rows: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor([rows], dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    out=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    padding=st.sampled_from(PADDINGS),
)
def test_agrees_with_the_reference(seed: int, height: int, width: int, out: tuple[int, int], padding: Padding) -> None:
    images, matrices = random(2, 3, height, width, seed=seed), random(2, 2, 3, seed=seed + 1) * 3
    fast = affine_warp(images, matrices, out, padding=padding)
    slow = affine_warp_reference(images, matrices, out, padding=padding)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-9)


@pytest.mark.parametrize("padding", PADDINGS)
def test_identity_keeps_the_image(padding: Padding) -> None:
    images = random(2, 3, 7, 10)
    torch.testing.assert_close(affine_warp(images, torch.eye(3).double()[None], padding=padding), images)


def test_matrix_maps_output_to_input_in_pixels() -> None:
    images = random(1, 1, 5, 6)
    moved = affine_warp(images, matrix((1, 0, 2), (0, 1, 1)))
    torch.testing.assert_close(moved[:, :, :4, :4], images[:, :, 1:, 2:])
    assert moved[:, :, 4:].abs().max() < 1e-12
    assert moved[:, :, :, 4:].abs().max() < 1e-12


def test_halving_averages_pairs() -> None:
    images = random(1, 2, 6, 8)
    half = affine_warp(images, matrix((2, 0, 0.5), (0, 2, 0.5)), (3, 4))
    torch.testing.assert_close(half, torch.nn.functional.avg_pool2d(images, 2))


def test_two_by_three_and_three_by_three_agree() -> None:
    images, matrices = random(2, 1, 5, 5), random(2, 3, 3)
    assert torch.equal(affine_warp(images, matrices), affine_warp(images, matrices[:, :2]))


def test_reflection_is_numpy_reflect_padding() -> None:
    images = random(1, 1, 4, 5)
    padded = affine_warp(images, matrix((1, 0, -3), (0, 1, -3)), (10, 11), padding="reflect")
    expected = torch.nn.functional.pad(images, (3, 3, 3, 3), mode="reflect")
    torch.testing.assert_close(padded, expected)
    assert torch.equal(reflect_pad(images, 3), expected)


def test_reflection_repeats_as_often_as_it_takes() -> None:
    folded = [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    at = torch.arange(-5.0, 8.0).expand(1, 2, 1, 13)
    assert reflect_points(at, 1, 3)[0, 0, 0].tolist() == folded
    assert reflect_points(at, 1, 3)[0, 1].abs().max() == 0
    assert reflect_points(at, 1, 3, keep=2)[0, 0, 0].tolist() == [1, 0, 1, *range(-2, 5), 1, 2, 1]
    assert reflect_pad(torch.arange(3.0).reshape(1, 1, 1, 3), 5)[0, 0, 0].tolist() == folded


@pytest.mark.parametrize("padding", PADDINGS)
def test_is_differentiable_twice(padding: Padding) -> None:
    images = random(2, 2, 4, 5).requires_grad_()
    matrices = (torch.eye(2, 3).double() + 0.1 * random(2, 2, 3, seed=3)).requires_grad_()

    def warp(images: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        return affine_warp(images, matrices, (3, 5), padding=padding)

    assert gradcheck(warp, (images, matrices))
    assert gradgradcheck(warp, (images, matrices))
