"""Perceptual distance: the axioms of a distance, a closed form, and finite gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from portraitist.losses.perceptual import FeatureError, PerceptualDistance, pixel_error, pyramid_error, unit_channels


class Pixels:
    """The image itself and its mean over places as two taps."""

    name = "pixels"
    digest = ""

    def taps(self, images: Tensor) -> list[Tensor]:
        return [images, images.mean((2, 3), keepdim=True)]


DISTANCE = PerceptualDistance(Pixels())


def pictures(seed: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


@given(st.integers(0, 10_000), st.integers(10_001, 20_000))
@settings(max_examples=25, deadline=None)
def test_it_is_zero_on_itself_symmetric_and_positive_elsewhere(one: int, other: int) -> None:
    a, b = pictures(one), pictures(other)
    assert torch.equal(DISTANCE(a, a), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(DISTANCE(a, b), DISTANCE(b, a), rtol=0, atol=0)
    assert (DISTANCE(a, b) > 0).all()


def test_it_agrees_with_the_closed_form() -> None:
    red, green = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    red[:, 0], green[:, 1] = 0.3, 0.9
    # Orthogonal unit vectors are sqrt(2) apart: 2 per tap, whatever their lengths.
    assert float(DISTANCE(red, green)) == pytest.approx(4.0, rel=1e-6)
    green[:, :, :, 2:] = red[:, :, :, 2:]
    mean = torch.tensor([0.15, 0.45])
    second = 2 - 2 * float(mean[0] / mean.norm())
    assert float(DISTANCE(red, green)) == pytest.approx(1.0 + second, rel=1e-6)


def test_channel_weights_weigh_channels() -> None:
    red, green = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    red[:, 0], green[:, 1] = 1, 1
    weighted = PerceptualDistance(Pixels(), [torch.tensor([0.5, 0.0, 9.0]), torch.tensor([0.0, 0.25, 9.0])])
    assert float(weighted(red, green)) == pytest.approx(0.75, rel=1e-6)


def test_prepared_targets_give_the_same_and_images_do_not_mix() -> None:
    a, b = pictures(1, 3), pictures(2, 3)
    prepared = DISTANCE.prepare(b)
    assert torch.equal(DISTANCE.distance(a, prepared), DISTANCE(a, b))
    assert DISTANCE(a, b).shape == (3,)
    single = torch.cat([DISTANCE(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(DISTANCE(a, b), single)


def test_the_gradient_is_finite_at_zero_and_on_black() -> None:
    for images in (pictures(3), torch.zeros(2, 3, 8, 8)):
        for target in (images, pictures(4).to(images)):
            x = images.clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(DISTANCE(x, target).sum(), x)
            assert torch.isfinite(gradient).all()
    x = pictures(3).requires_grad_(True)
    (gradient,) = torch.autograd.grad(DISTANCE(x, x.detach()).sum(), x)
    assert gradient.abs().max() < 1e-12


def test_the_gradient_is_right() -> None:
    x = pictures(5, 1)[:, :, :3, :3].clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: DISTANCE(x, pictures(6, 1)[:, :, :3, :3]), (x,))


def test_the_norm_of_features_is_the_root_of_their_error() -> None:
    a, b = pictures(1), pictures(2)  # the last tap but one is the picture itself
    error, norm = (FeatureError(Pixels(), root=root)(a, b) for root in (False, True))
    assert torch.allclose(norm, (a - b).flatten(1).norm(dim=1) / math.sqrt(a[0].numel())) and norm.shape == (2,)
    assert torch.allclose(norm.square(), error)
    same = a.clone().requires_grad_()
    FeatureError(Pixels(), root=True)(same, a).sum().backward()
    assert same.grad is not None and same.grad.isfinite().all()


def test_it_is_named_after_its_network() -> None:
    assert DISTANCE.name == "pixels distance"
    assert PerceptualDistance(Pixels(), name="LPIPS (pixels)").name == "LPIPS (pixels)"


def test_unit_channels() -> None:
    lengths = unit_channels(pictures(7)).square().sum(1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=0, atol=1e-6)
    assert torch.equal(unit_channels(torch.zeros(1, 2, 2, 2)), torch.zeros(1, 2, 2, 2))


def test_pixel_errors() -> None:
    a = torch.zeros(2, 3, 32, 32)
    b = torch.stack([torch.full((3, 32, 32), 0.5), torch.zeros(3, 32, 32)])
    assert pixel_error(a, b).tolist() == [0.25, 0.0]
    # A difference without texture is the same at every size; a checkerboard is gone after one halving.
    assert pyramid_error(a, b).tolist() == [0.25, 0.0]
    checks = torch.ones(1, 1, 32, 32)
    checks[..., ::2] = -1
    assert float(pyramid_error(checks, torch.zeros_like(checks))) == pytest.approx(1 / 3)
    assert float(pyramid_error(checks, torch.zeros_like(checks), smallest=32)) == 1.0
    assert math.isclose(float(pixel_error(checks, torch.zeros_like(checks))), 1.0)
