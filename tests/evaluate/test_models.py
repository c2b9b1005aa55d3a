"""Distances of models and of twins: axioms, closed forms, and what each must not notice."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from portraitist.errors import BadData
from portraitist.evaluate import layout_similarity, model_distance, structure_distance
from portraitist.io.model_file import Model
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.features import DiscriminatorFeatures


def look(model: Model) -> PerceptualDistance:
    assert model.discriminator is not None
    return PerceptualDistance(DiscriminatorFeatures(model.discriminator))


def pictures(seed: int, count: int = 3, side: int = 64) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_model_is_at_zero_from_itself(tiny_model: Model) -> None:
    mine = tiny_model.generator
    found = model_distance(mine, mine, look(tiny_model), z_dim=16, count=20)
    assert (found.value, found.spread) == (0.0, 0.0)


def test_the_distance_is_symmetric_and_does_not_depend_on_batches(tiny_model: Model, tiny_style: Model) -> None:
    one, other, distance = tiny_model.generator, tiny_style.generator, look(tiny_model)
    found = model_distance(one, other, distance, z_dim=16, count=20)
    assert found.value > 0.1
    back = model_distance(other, one, distance, z_dim=16, count=20, batch=3)
    assert back.value == pytest.approx(found.value, abs=1e-6)
    assert back.spread == pytest.approx(found.spread, abs=1e-6)
    assert model_distance(one, other, distance, z_dim=16, count=20, seed=1).value != found.value


def test_it_is_the_mean_over_shared_normal_latents_and_its_standard_error(tiny_model: Model) -> None:
    class Plain(PerceptualDistance):
        def __call__(self, images: Tensor, others: Tensor) -> Tensor:
            return (images - others).square().mean((1, 2, 3))

    def square(z: Tensor) -> Tensor:
        return z[:, :1, None, None].expand(-1, 3, 4, 4)

    def blank(z: Tensor) -> Tensor:
        return torch.zeros(len(z), 3, 4, 4)

    # The square of a normal has mean 1 and variance 2.
    found = model_distance(square, blank, Plain(look(tiny_model).features), z_dim=2, count=20_000, batch=5000)
    assert found.spread == pytest.approx(math.sqrt(2 / 20_000), rel=0.05)
    assert abs(found.value - 1) < 3 * found.spread


def test_one_latent_is_refused(tiny_model: Model) -> None:
    with pytest.raises(BadData, match="1 latents"):
        model_distance(tiny_model.generator, tiny_model.generator, look(tiny_model), z_dim=16, count=1)


def test_structure_distance_is_zero_on_itself_and_the_square_of_a_shift() -> None:
    images = pictures(0)
    assert torch.equal(structure_distance(images, images), torch.zeros(3))
    torch.testing.assert_close(structure_distance(images, images + 0.25), torch.full((3,), 0.0625))


def test_structure_is_blind_to_what_is_finer_than_an_area() -> None:
    images = pictures(0)
    board = torch.ones(64, 64)
    board[::2, 1::2] = board[1::2, ::2] = -1
    textured = images + 0.5 * board
    torch.testing.assert_close(structure_distance(images, textured), torch.zeros(3), rtol=0, atol=1e-12)
    torch.testing.assert_close(layout_similarity(images, textured), torch.ones(3))
    assert (structure_distance(images, textured, side=64) > 0.2).all()


def test_twins_may_differ_in_size() -> None:
    images = pictures(0, side=32)
    larger = images.repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(structure_distance(images, larger), torch.zeros(3), rtol=0, atol=1e-12)


def test_likeness_is_pearsons_correlation_of_luminance() -> None:
    images, others = pictures(0, side=16), pictures(1, side=16)
    weights = torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]
    for index, found in enumerate(layout_similarity(images, others)):
        both = torch.stack([(x[index] * weights).sum(0).flatten() for x in (images, others)])
        assert float(found) == pytest.approx(float(torch.corrcoef(both)[0, 1]), abs=1e-6)


def test_likeness_does_not_notice_contrast_brightness_or_colour() -> None:
    images = pictures(0)
    torch.testing.assert_close(layout_similarity(images, 0.3 * images + 0.4), torch.ones(3))
    torch.testing.assert_close(layout_similarity(images, -images), -torch.ones(3))
    tint = torch.tensor([0.5, -0.2, 0.1])[:, None, None]
    torch.testing.assert_close(layout_similarity(images, images + tint), torch.ones(3))
    assert layout_similarity(images, pictures(1)).abs().max() < 0.5


def test_a_blank_picture_is_like_none() -> None:
    blank = torch.full((3, 3, 64, 64), 0.1)
    assert torch.equal(layout_similarity(blank, pictures(0)), torch.zeros(3))
    assert torch.equal(layout_similarity(blank, blank), torch.zeros(3))
