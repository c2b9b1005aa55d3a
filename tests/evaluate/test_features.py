"""Pooled features: closed forms, a length that no picture changes, and batches that do not matter."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from portraitist.errors import NonFinite
from portraitist.evaluate import pooled_features
from portraitist.io.model_file import Model
from portraitist.networks.features import DiscriminatorFeatures


class Pixels:
    """The image itself as the only tap."""

    name = "pixels"
    digest = ""

    def taps(self, images: Tensor) -> list[Tensor]:
        return [images]


def pictures(count: int = 5, side: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_they_agree_with_the_closed_form() -> None:
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0, 0], image[0, 1, 1] = 0.2, -7.0  # red above, negative green below: unit vectors whatever their size
    root = math.sqrt(3)
    expected = torch.tensor([[root / 2, -root / 2, 0, root / 2, root / 2, 0]])
    torch.testing.assert_close(pooled_features(Pixels(), image), expected, rtol=0, atol=1e-6)


def test_every_row_has_the_same_length(tiny_model: Model) -> None:
    assert tiny_model.discriminator is not None
    features = DiscriminatorFeatures(tiny_model.discriminator)
    rows = pooled_features(features, torch.cat([pictures(), 100 * pictures(), torch.ones(1, 3, 16, 16)]))
    channels = sum(tap.shape[1] for tap in features.taps(pictures(1)))
    assert rows.shape == (11, 2 * channels)
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.square().sum(1), torch.full((11,), float(channels)), rtol=1e-4, atol=0)


def test_batches_do_not_matter_and_images_do_not_mix(tiny_model: Model) -> None:
    assert tiny_model.discriminator is not None
    features, images = DiscriminatorFeatures(tiny_model.discriminator), pictures(7)
    whole = pooled_features(features, images)
    torch.testing.assert_close(pooled_features(features, images, batch=2), whole)
    torch.testing.assert_close(pooled_features(features, (part for part in torch.split(images, 3))), whole)
    torch.testing.assert_close(pooled_features(features, images.flip(0)), whole.flip(0))
    assert float((whole[0] - whole[1]).norm()) > 0.1


def test_they_carry_no_gradient() -> None:
    assert not pooled_features(Pixels(), pictures().requires_grad_(True)).requires_grad


def test_they_cannot_tell_where_things_are() -> None:
    rolled = pictures().roll((3, 5), (2, 3)).flip(3)
    torch.testing.assert_close(pooled_features(Pixels(), rolled), pooled_features(Pixels(), pictures()))


def test_a_picture_that_is_no_number_is_named() -> None:
    images = pictures()
    images[3, 1, 2, 2] = math.nan
    with pytest.raises(NonFinite, match="image 3 "):
        pooled_features(Pixels(), images, batch=2)
