"""Pivotal tuning: the copy draws the picture from the pivot, the original stays as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from portraitist.errors import NonFinite, UsageError
from portraitist.invert import PivotalTuning, tune
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks import Generator
from portraitist.networks.digest import tensors_digest
from portraitist.spaces import WPlus, Z

FAST = PivotalTuning(steps=25, learning_rate=3e-3)


@pytest.fixture(scope="module")
def pivots(generator: Generator) -> WPlus:
    with torch.no_grad():
        return generator.map(Z.sample(2, 16, torch.Generator().manual_seed(9)))


def test_the_copy_draws_the_pictures_and_the_original_does_not_change(
    generator: Generator, perceptual: PerceptualDistance, images: Tensor, pivots: WPlus
) -> None:
    before = tensors_digest(generator.state_dict())
    told: list[tuple[int, int]] = []
    tuned = tune(generator, images, pivots, perceptual, FAST, progress=lambda *a: told.append(a))
    assert tensors_digest(generator.state_dict()) == before
    assert all(p.grad is None and p.requires_grad for p in generator.parameters())
    assert (tuned.after < 0.5 * tuned.before).all()
    assert (tuned.history[-1] < tuned.history[0]).all()
    assert tuned.history.shape == (25, 2) and tuned.steps == 25 and tuned.seconds > 0
    assert told == [(k, 25) for k in range(1, 26)]
    with torch.no_grad():
        torch.testing.assert_close(tuned.generator.synthesize(pivots), tuned.image)
        drawn = generator.synthesize(pivots)
    torch.testing.assert_close(perceptual(drawn, images), tuned.before)


def test_only_the_synthesis_moves(
    generator: Generator, perceptual: PerceptualDistance, images: Tensor, pivots: WPlus
) -> None:
    tuned = tune(generator, images, pivots, perceptual, replace(FAST, steps=2)).generator
    moved = {k for k, v in tuned.state_dict().items() if not torch.equal(v, generator.state_dict()[k])}
    assert moved == {k for k, _ in generator.named_parameters() if k.startswith("synthesis.")}
    assert not any(p.requires_grad or p.grad is not None for p in tuned.parameters())


def test_locality_keeps_other_codes_as_they_were(
    generator: Generator, perceptual: PerceptualDistance, images: Tensor, pivots: WPlus
) -> None:
    with torch.no_grad():
        others = generator.map(Z.sample(8, 16, torch.Generator().manual_seed(10)))

    def change(weight: float) -> Tensor:
        tuned = tune(generator, images, pivots, perceptual, replace(FAST, locality_weight=weight))
        with torch.no_grad():
            return perceptual(tuned.generator.synthesize(others), generator.synthesize(others)).mean()

    free, kept = change(0.0), change(1.0)
    assert kept < 0.8 * free


def test_it_stops_when_it_is_good_enough_and_repeats_bit_for_bit(
    generator: Generator, perceptual: PerceptualDistance, images: Tensor, pivots: WPlus
) -> None:
    first = tune(generator, images, pivots, perceptual, replace(FAST, locality_weight=0.1, steps=4))
    torch.manual_seed(77)
    again = tune(generator, images, pivots, perceptual, replace(FAST, locality_weight=0.1, steps=4))
    assert torch.equal(first.image, again.image)
    other = tune(generator, images, pivots, perceptual, replace(FAST, locality_weight=0.1, steps=4, seed=1))
    assert not torch.equal(first.image, other.image)
    half = float(first.before.max()) * 0.8
    early = tune(generator, images, pivots, perceptual, replace(FAST, enough=half))
    assert 0 < early.steps < 25 and (early.after < half).all()
    at_once = tune(generator, images, pivots, perceptual, replace(FAST, enough=1e9))
    assert at_once.steps == 0 and torch.equal(at_once.after, at_once.before) and at_once.history.shape == (0, 2)


def test_what_cannot_work_is_said(
    generator: Generator, perceptual: PerceptualDistance, images: Tensor, pivots: WPlus
) -> None:
    with pytest.raises(UsageError, match="2 pictures cannot be tuned to by 1 codes"):
        tune(generator, images, pivots[:1], perceptual)
    with pytest.raises(UsageError, match="0 pictures"):
        tune(generator, images[:0], pivots[:0], perceptual)
    with pytest.raises(UsageError, match="step"):
        PivotalTuning(steps=0)
    with pytest.raises(NonFinite):
        tune(generator, torch.full_like(images, torch.nan), pivots, perceptual, replace(FAST, steps=1))
