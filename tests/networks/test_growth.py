"""Growth: larger networks that do what the smaller ones did."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from portraitist.errors import UsageError
from portraitist.networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from portraitist.networks.growth import (
    channels_above,
    entrance,
    grow_discriminator,
    grow_generator,
    grown_discriminator,
    grown_generator,
)
from portraitist.ops import taps, upsample

SMALL = GeneratorAnatomy(32, (12, 10, 8, 6), z_dim=16, w_dim=16, mapping_layers=2)
STEPS = ((64, (12, 10, 8, 6, 5)), (128, (14, 16, 9, 6, 8, 5)))
"""Once a resolution, then a resolution and wider."""


def test_a_generator_grown_twice_draws_the_enlarged_pictures() -> None:
    old = trained_generator()
    grown = old
    for resolution, channels in STEPS:
        grown = grow_generator(grown, grown_generator(grown.anatomy, resolution, channels), seed=1)
    z = torch.randn(3, SMALL.rows, 16, generator=torch.Generator().manual_seed(2))
    longer = torch.cat([z, z[:, -1:].expand(-1, grown.anatomy.rows - SMALL.rows, -1)], 1)
    with torch.no_grad():
        wanted, image = old(z), grown(longer)
        for _ in STEPS:
            wanted = upsample(wanted, taps())
    assert image.shape == (3, 3, 128, 128)
    spread = wanted.max() - wanted.min()
    assert (image - wanted).abs().max() <= 1e-5 * spread


def test_the_old_channels_of_widened_layers_see_what_they_saw() -> None:
    old = trained_generator()
    grown = grow_generator(old, grown_generator(SMALL, 32, (20, 11, 8, 16)), seed=1)
    z = torch.randn(2, SMALL.rows, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for was, now in zip(old.synthesis.walk(old.styles(z)), grown.synthesis.walk(grown.styles(z)), strict=True):
            kept = now.features[:, : was.features.shape[1]]
            assert torch.allclose(kept, was.features, atol=1e-5 * float(was.features.abs().max()))
            assert torch.allclose(now.image, was.image, atol=1e-5)


def test_new_channels_are_not_dead() -> None:
    grown = grow_generator(trained_generator(), grown_generator(SMALL, 64, (20, 11, 8, 16, 8)), seed=1)
    image = grown(torch.randn(2, 16))
    image.square().mean().backward()
    top = grown.synthesis.blocks["64"].to_rgb.weight
    assert top.grad is not None and (top.grad.abs().amax((0, 2, 3)) > 0).all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in grown.parameters())


@pytest.mark.parametrize("channels", [(12, 10, 8, 6), (12, 16, 9, 6), (20, 10, 8, 12)])
def test_a_widened_discriminator_scores_as_before(channels: tuple[int, ...]) -> None:
    old = trained_discriminator(32, (12, 10, 8, 6))
    grown = grow_discriminator(old, grown_discriminator(old.anatomy, 32, channels), seed=1)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        was, now = old(images), grown(images)
    # 1e-4: the epsilon under the root of the group statistic counts for new channels too.
    tolerance = 1e-5 if channels[0] == 12 else 1e-3
    assert (now - was).abs().max() <= tolerance * was.abs().max()


def test_the_old_part_of_a_grown_discriminator_scores_as_before() -> None:
    """Given the features that the old entrance gives, whatever the new one adds in new channels."""
    old = trained_discriminator(32, (12, 10, 8, 6))
    grown = old
    for resolution, channels in STEPS:
        grown = grow_discriminator(grown, grown_discriminator(grown.anatomy, resolution, channels), seed=1)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        features = old.from_rgb(images)
        was = old(images)
        for r in ("32", "16", "8"):
            features = grown.blocks[r](features)
        now = grown.final(features)
        assert entrance(grown, 32)(torch.randn(1, 3, 128, 128)).shape == (1, 6, 32, 32)
    assert (now - was).abs().max() <= 1e-3 * was.abs().max()


def test_growth_is_a_function_of_the_seed() -> None:
    old, anatomy = trained_generator(), grown_generator(SMALL, 64)
    one, same, other = (grow_generator(old, anatomy, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert any(not torch.equal(one[k], other[k]) for k in one)


def test_channels_above_halve_down_to_eight() -> None:
    assert channels_above((128, 128, 96, 48, 24), 2) == (128, 128, 96, 48, 24, 12, 8)
    assert channels_above((16, 4), 1) == (16, 4, 4)


@pytest.mark.parametrize(
    ("resolution", "channels", "says"),
    [
        (16, (), "cannot grow to 16"),
        (48, (), "cannot grow to 48"),
        (0, (), "cannot grow to 0"),
        (64, (12, 10, 8, 5, 4), "lose channels at 32 pixels"),
    ],
)
def test_what_cannot_be_grown_is_refused(resolution: int, channels: tuple[int, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        grown_generator(SMALL, resolution, channels)
    with pytest.raises(UsageError, match=says):
        grown_discriminator(DiscriminatorAnatomy(32, SMALL.channels), resolution, channels)


def test_other_sizes_than_resolution_and_width_do_not_grow() -> None:
    with pytest.raises(UsageError, match="resolutions and channels alone"):
        grow_generator(trained_generator(), replace(SMALL, w_dim=32), seed=0)
    with pytest.raises(UsageError, match="FreezeSG"):
        grown_generator(replace(SMALL, low_rows=2), 64)
    with pytest.raises(UsageError, match="group statistics"):
        grown_discriminator(DiscriminatorAnatomy(32, SMALL.channels, group_channels=2), 32, (16, 10, 8, 6))


def trained_generator() -> Generator:
    """Return a generator none of whose parameters is neutral."""
    torch.manual_seed(0)
    generator = Generator(SMALL).eval()
    _stir(generator)
    return generator


def trained_discriminator(resolution: int, channels: tuple[int, ...]) -> Discriminator:
    torch.manual_seed(0)
    discriminator = Discriminator(DiscriminatorAnatomy(resolution, channels)).eval()
    _stir(discriminator)
    return discriminator


def _stir(network: torch.nn.Module) -> None:
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn_like(p))
