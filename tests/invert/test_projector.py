"""Projection: it finds what the generator drew, each image on its own, and leaves the generator alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from portraitist.errors import NonFinite, UsageError
from portraitist.invert import (
    Inverted,
    Inverter,
    Projection,
    Projector,
    fit_prior,
    portrait,
)
from portraitist.invert.projector import noise_correlation
from portraitist.losses.perceptual import PerceptualDistance, pixel_error
from portraitist.networks import Generator, GeneratorAnatomy
from portraitist.spaces import WPlus, statistics

QUICK = replace(portrait(), steps=12)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_it_finds_what_the_generator_drew(
    space: str, generator: Generator, perceptual: PerceptualDistance, images: torch.Tensor
) -> None:
    settings = replace(portrait(), space=space, steps=150, prior_weight=0.0, tie_weight=0.0)
    found = Projector(generator, perceptual, settings).invert(images)
    assert (found.distance < 0.1 * found.history[0]).all()
    assert (pixel_error(found.image, images) < 0.1 * images.var()).all()


def test_the_result_belongs_together(
    generator: Generator, perceptual: PerceptualDistance, images: torch.Tensor
) -> None:
    inverter: Inverter = Projector(generator, perceptual, QUICK)
    found: Inverted = inverter.invert(images)
    assert isinstance(found.code, WPlus) and found.code.data.shape == (2, 6, 16)
    assert found.history.shape == (12, 2) and found.steps == 12 and found.seconds > 0
    with torch.no_grad():
        torch.testing.assert_close(generator.synthesize(found.code), found.image)
    assert all(d in found.history[:, k] for k, d in enumerate(found.distance))
    assert not found.code.data.requires_grad and not found.image.requires_grad


def test_w_gives_equal_rows_and_w_plus_different_ones(
    generator: Generator, perceptual: PerceptualDistance, images: torch.Tensor
) -> None:
    in_w = Projector(generator, perceptual, replace(QUICK, space="w")).invert(images).code.data
    assert torch.equal(in_w, in_w[:, :1].expand_as(in_w))
    in_plus = Projector(generator, perceptual, QUICK).invert(images).code.data
    assert (in_plus - in_plus[:, :1]).abs().amax((0, 2))[1:].min() > 1e-4


def test_a_picture_does_not_see_its_company(
    generator: Generator, perceptual: PerceptualDistance, images: torch.Tensor
) -> None:
    alone = [Projector(generator, perceptual, QUICK).invert(images[k : k + 1]) for k in range(2)]
    codes = torch.cat([a.code.data for a in alone])
    in_turn = Projector(generator, perceptual, QUICK).invert(images)
    assert torch.equal(in_turn.code.data, codes)
    assert torch.equal(in_turn.image, torch.cat([a.image for a in alone]))
    at_once = Projector(generator, perceptual, QUICK, together=2).invert(images)
    torch.testing.assert_close(at_once.code.data, codes, rtol=0, atol=1e-5)


def test_neither_place_nor_company_matters(generator: Generator, perceptual: PerceptualDistance) -> None:
    """Three pictures in two orders and alone: the noise on the codes is the seed's, not the place's."""
    settings = replace(QUICK, code_noise=0.5, seed=7)
    with torch.no_grad():
        three = generator(torch.randn(3, 16, generator=torch.Generator().manual_seed(8)))
    found = Projector(generator, perceptual, settings).invert(three).code.data
    turned = Projector(generator, perceptual, settings).invert(three.flip(0)).code.data.flip(0)
    alone = Projector(generator, perceptual, settings).invert(three[2:]).code.data
    assert torch.equal(found, turned) and torch.equal(found[2:], alone)
    at_once = Projector(generator, perceptual, settings, together=3).invert(three.flip(0)).code.data.flip(0)
    torch.testing.assert_close(at_once, found, rtol=0, atol=1e-5)


def test_the_seed_decides(generator: Generator, perceptual: PerceptualDistance, images: torch.Tensor) -> None:
    def code(seed: int) -> torch.Tensor:
        return Projector(generator, perceptual, replace(QUICK, seed=seed)).invert(images[:1]).code.data

    torch.manual_seed(99)
    first = code(3)
    torch.manual_seed(11)
    assert torch.equal(first, code(3))
    assert not torch.equal(first, code(4))


def test_the_generator_is_left_alone(perceptual: PerceptualDistance, images: torch.Tensor) -> None:
    torch.manual_seed(2)
    generator = Generator(GeneratorAnatomy(16, (8, 8, 8), z_dim=16, w_dim=16, mapping_layers=2)).train()
    generator.mapping.requires_grad_(False)
    before = {k: v.clone() for k, v in generator.state_dict().items()}
    wanted = {k: p.requires_grad for k, p in generator.named_parameters()}
    Projector(generator, perceptual, replace(QUICK, optimise_noise=True)).invert(images)
    assert all(torch.equal(v, before[k]) for k, v in generator.state_dict().items())
    assert wanted == {k: p.requires_grad for k, p in generator.named_parameters()}
    assert all(p.grad is None for p in generator.parameters())
    assert generator.training


def test_the_best_drawing_is_kept(generator: Generator, perceptual: PerceptualDistance, images: torch.Tensor) -> None:
    """With much noise on the code the last drawing is not the best one."""
    reckless = Projection(
        space="w+", steps=15, learning_rate=0.05, ramp_up=0, ramp_down=0, code_noise=5, code_noise_until=2
    )
    found = Projector(generator, perceptual, reckless).invert(images)
    assert torch.equal(found.distance, found.history.amin(0))
    assert (found.distance < found.history[-1]).any()


def test_noise_planes_are_fitted_on_demand(
    generator: Generator, perceptual: PerceptualDistance, images: torch.Tensor
) -> None:
    assert Projector(generator, perceptual, QUICK).invert(images).noise is None
    found = Projector(generator, perceptual, replace(QUICK, optimise_noise=True)).invert(images)
    assert found.noise is not None
    assert [tuple(p.shape) for p in found.noise] == [(2, 1, r, r) for r in (4, 8, 8, 16, 16)]
    with torch.no_grad():
        torch.testing.assert_close(generator.synthesize(found.code, found.noise), found.image)
    for plane in found.noise:
        torch.testing.assert_close(plane.mean((1, 2, 3)), torch.zeros(2), rtol=0, atol=1e-5)
        torch.testing.assert_close(plane.square().mean((1, 2, 3)), torch.ones(2), rtol=1e-4, atol=0)
    assert not torch.equal(found.noise[-1][0], found.noise[-1][1])


def test_penalties_keep_codes_near_the_prior(
    generator: Generator, perceptual: PerceptualDistance, images: torch.Tensor
) -> None:
    def code(**weights: float) -> torch.Tensor:
        settings = replace(portrait(), steps=60, **weights)
        return Projector(generator, perceptual, settings).invert(images).code.data

    prior = fit_prior(generator.mapping, 16)
    free = code(prior_weight=0.0, tie_weight=0.0)
    assert (prior.penalty(code(prior_weight=2.0, tie_weight=0.0)) < 0.7 * prior.penalty(free)).all()
    spread = [c.var(1).sum() for c in (free, code(prior_weight=0.0, tie_weight=10.0))]
    assert spread[1] < 0.5 * spread[0]


def test_codes_can_be_refined(generator: Generator, perceptual: PerceptualDistance, images: torch.Tensor) -> None:
    steady = replace(portrait(), steps=40, code_noise=0.0)
    first = Projector(generator, perceptual, steady).invert(images)
    second = Projector(generator, perceptual, replace(steady, learning_rate=0.01)).invert(images, start=first.code)
    torch.testing.assert_close(second.history[0], first.distance)
    assert (second.distance < first.distance).all()
    with pytest.raises(UsageError, match="shape"):
        Projector(generator, perceptual, steady).invert(images, start=first.code[:1])
    with pytest.raises(UsageError, match="w\\+"):
        Projector(generator, perceptual, replace(steady, space="w")).invert(images, start=first.code)


def test_photos_of_any_size_are_resized(
    generator: Generator, perceptual: PerceptualDistance, images: torch.Tensor
) -> None:
    large = images.repeat_interleave(3, 2).repeat_interleave(3, 3)
    found = Projector(generator, perceptual, QUICK).invert(large)
    assert found.image.shape == images.shape


def test_progress_counts_every_step(generator: Generator, perceptual: PerceptualDistance, images: torch.Tensor) -> None:
    told: list[tuple[int, int]] = []
    Projector(generator, perceptual, replace(QUICK, steps=3)).invert(images, progress=lambda *a: told.append(a))
    assert told == [(k, 6) for k in range(1, 7)]


def test_what_cannot_work_is_said(generator: Generator, perceptual: PerceptualDistance, images: torch.Tensor) -> None:
    with pytest.raises(NonFinite):
        Projector(generator, perceptual, QUICK).invert(torch.full_like(images, torch.nan))
    with pytest.raises(UsageError, match="no picture"):
        Projector(generator, perceptual, QUICK).invert(images[:0])
    with pytest.raises(UsageError, match="'z'"):
        replace(QUICK, space="z")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="step"):
        replace(QUICK, steps=0)


def test_correlated_noise_is_penalised() -> None:
    white = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    smooth = white + white.roll(1, 2)
    assert (noise_correlation([white]) < 0.01).all()
    assert (noise_correlation([smooth]) > 0.5).all()
    constant = torch.ones(1, 1, 32, 32)
    assert float(noise_correlation([constant])) == 6.0  # two directions at 32, 16 and 8 pixels


def test_the_prior_knows_its_own_codes(generator: Generator) -> None:
    prior = fit_prior(generator.mapping, 16)
    measured = statistics(generator.mapping, 16)
    torch.testing.assert_close(prior.mean, measured.mean.data[0])
    assert math.isclose(prior.deviation, measured.deviation, rel_tol=1e-6)
    with torch.no_grad():
        ws = generator.mapping(torch.randn(4000, 16, generator=torch.Generator().manual_seed(1)))[:, None]
    penalty = prior.penalty(ws)
    assert 0.5 < penalty.mean() < 1.2
    assert (prior.penalty(2 * ws - prior.mean) > penalty).float().mean() > 0.95
