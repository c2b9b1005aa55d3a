"""The networks on the fast forms give what they give on the reference forms, gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.reference import reference_forms
from portraitist.networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from portraitist.ops import winograd


def play(generator: Generator, discriminator: Discriminator, z: Tensor) -> list[Tensor]:
    """Return images, scores, an R1 penalty and the gradients of all parameters by it and by the scores."""
    images = generator(z)
    scores = discriminator(images)
    (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    loss = scores.square().sum() + slope.square().sum()
    gradients = torch.autograd.grad(loss, [*generator.parameters(), *discriminator.parameters()])
    return [images, scores, loss, *gradients]


def players(size: int, channels: tuple[int, ...], clamp: float | None = None) -> tuple[Generator, Discriminator]:
    torch.manual_seed(0)
    generator = Generator(GeneratorAnatomy(size, channels, z_dim=16, w_dim=16, mapping_layers=2, clamp=clamp))
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.2)
    return generator, Discriminator(DiscriminatorAnatomy(size, channels, clamp=clamp))


@pytest.mark.parametrize("clamp", [None, 1.0])
def test_equal_in_double_precision(clamp: float | None) -> None:
    generator, discriminator = (network.double() for network in players(16, (8, 6, 4), clamp))
    z = torch.randn(4, 16, dtype=torch.float64)
    fast = play(generator, discriminator, z)
    with reference_forms():
        slow = play(generator, discriminator, z)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("tiles", [False, True])
def test_close_in_single_precision(monkeypatch: pytest.MonkeyPatch, tiles: bool) -> None:
    monkeypatch.setattr(winograd, "_machine_gains", lambda: tiles)
    generator, discriminator = players(32, (128,) * 4)
    z = torch.randn(2, 16)
    with torch.no_grad():
        images = generator(z)
        scores = discriminator(images)
        with reference_forms():
            expected = generator(z)
            expected_scores = discriminator(images)
    assert ((images - expected).norm() / expected.norm()).item() < 1e-5
    assert ((scores - expected_scores).norm() / expected_scores.norm()).item() < 1e-5
