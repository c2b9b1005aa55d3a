"""A small generator, what it drew, and how likeness is measured."""

from __future__ import annotations

import pytest
import torch

from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from portraitist.networks.features import DiscriminatorFeatures


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    made = Generator(GeneratorAnatomy(16, (16, 12, 8), z_dim=16, w_dim=16, mapping_layers=2))
    with torch.no_grad():
        for name, value in made.named_parameters():
            if name.endswith("noise_strength"):
                value.fill_(0.1)
    return made


@pytest.fixture(scope="module")
def perceptual() -> PerceptualDistance:
    torch.manual_seed(1)
    return PerceptualDistance(DiscriminatorFeatures(Discriminator(DiscriminatorAnatomy(16, (16, 12, 8)))))


@pytest.fixture(scope="module")
def images(generator: Generator) -> torch.Tensor:
    with torch.no_grad():
        drawn: torch.Tensor = generator(torch.randn(2, 16, generator=torch.Generator().manual_seed(5)))
    return drawn
