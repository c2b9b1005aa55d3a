"""Adversarial losses and penalties against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from portraitist.losses import discriminator_loss, generator_loss, path_lengths, r1


def test_r1_of_a_quadratic_form() -> None:
    random = torch.Generator().manual_seed(0)
    a = torch.randn(48, 48, generator=random, dtype=torch.float64)
    a = a + a.t()
    images = torch.randn(5, 3, 4, 4, generator=random, dtype=torch.float64, requires_grad=True)
    x = images.flatten(1)
    scores = (x @ a * x).sum(1) / 2  # the gradient is A x
    assert torch.allclose(r1(scores, images), (x @ a).square().sum(1))
    r1(scores, images).sum().backward()
    assert images.grad is not None and torch.allclose(images.grad.flatten(1), 2 * x @ a @ a)


def test_path_length_of_a_linear_generator() -> None:
    random = torch.Generator().manual_seed(0)
    jacobian = torch.randn(3 * 4 * 4, 6, generator=random, dtype=torch.float64)
    ws = torch.randn(20_000, 1, 6, generator=random, dtype=torch.float64, requires_grad=True)
    images = (ws[:, 0] @ jacobian.t()).reshape(-1, 3, 4, 4)
    noise = torch.randn(images.shape, generator=random, dtype=torch.float64)
    lengths = path_lengths(images, ws, noise)
    # E |J^T y|^2 is the squared Frobenius norm, over the 4 * 4 pixels that scale y.
    expected = jacobian.square().sum() / 16
    assert lengths.square().mean() == pytest.approx(float(expected), rel=0.03)


def test_losses_at_the_draw() -> None:
    zero = torch.zeros(4)
    assert float(generator_loss(zero)) == pytest.approx(math.log(2))
    assert float(discriminator_loss(zero, zero)) == pytest.approx(2 * math.log(2))


def test_each_player_wants_what_it_should() -> None:
    low, high = torch.full((3,), -2.0), torch.full((3,), 2.0)
    assert generator_loss(high) < generator_loss(low)
    assert discriminator_loss(high, low) < discriminator_loss(low, high)


def test_the_hinge_game_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0, 1.0])
    assert float(discriminator_loss(real, fake, "hinge")) == pytest.approx((0 + 0.5 + 2) / 3 + (0 + 1 + 2) / 3)
    assert float(generator_loss(fake, "hinge")) == pytest.approx((3 - 0 - 1) / 3)
    real.requires_grad_(True)
    fake.requires_grad_(True)
    discriminator_loss(real, fake, "hinge").backward()
    assert real.grad is not None and real.grad.tolist() == pytest.approx([0, -1 / 3, -1 / 3])
    assert fake.grad is not None and fake.grad.tolist() == pytest.approx([0, 1 / 3, 1 / 3])
    sure = torch.tensor([-9.0], requires_grad=True)
    generator_loss(sure, "hinge").backward()  # it still learns from one that is sure, unlike the printed form
    assert sure.grad is not None and sure.grad.tolist() == [-1]
