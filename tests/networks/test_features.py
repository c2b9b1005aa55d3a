"""Feature networks: shapes, recorded values, and nothing that changes behind one's back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from portraitist.errors import BadModel
from portraitist.networks import Discriminator, DiscriminatorAnatomy
from portraitist.networks.features import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    AlexNetFeatures,
    DiscriminatorFeatures,
    SqueezeNetFeatures,
    TrunkFeatures,
    VGG16Features,
    resized,
)

LPIPS_WIDTHS = {
    VGG16Features: (64, 128, 256, 512, 512),
    AlexNetFeatures: (64, 192, 384, 256, 256),
    SqueezeNetFeatures: (64, 128, 256, 384, 384, 512, 512),
}


def random_weights(network: type[TrunkFeatures], seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {f"features.{k}": v.shape for k, v in network.layers().state_dict().items()}
    return {k: torch.randn(s, generator=generator) * 2 / max(s.numel() / s[0], 1) ** 0.5 for k, s in shapes.items()}


@pytest.fixture
def discriminator() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(DiscriminatorAnatomy(16, (8, 6, 4)))


@pytest.mark.parametrize("network", LPIPS_WIDTHS)
def test_a_trunk_taps_what_lpips_taps(network: type[TrunkFeatures]) -> None:
    features = network(random_weights(network))
    for side in (features.smallest, 64):
        taps = features.taps(torch.zeros(2, 3, side, side))
        assert tuple(x.shape[1] for x in taps) == LPIPS_WIDTHS[network]
        assert all(len(x) == 2 and x.min() >= 0 for x in taps)
        sides = [x.shape[2] for x in taps]
        assert sides == sorted(sides, reverse=True)
    with pytest.raises(BadModel, match=f"at least {features.smallest}"):
        features.taps(torch.zeros(1, 3, features.smallest - 1, 64))


def test_vgg16_halves_exactly_and_alexnet_as_published() -> None:
    sides = [x.shape[2] for x in VGG16Features(random_weights(VGG16Features)).taps(torch.zeros(1, 3, 32, 32))]
    assert sides == [32, 16, 8, 4, 2]
    sides = [x.shape[2] for x in AlexNetFeatures(random_weights(AlexNetFeatures)).taps(torch.zeros(1, 3, 224, 224))]
    assert sides == [55, 27, 13, 13, 13]


def test_squeezenet_agrees_with_recorded_values(shared: Path) -> None:
    with np.load(shared / "data/weights/squeezenet1_1_imagenet_mxnet.npz") as file:
        features = SqueezeNetFeatures({k: torch.from_numpy(file[k]) for k in file.files})
    raw = torch.from_numpy(np.load(shared / "data/weights/squeezenet1_1_check_input.npy"))
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    taps = dict(zip(features.after, features.taps((raw * deviation + mean) * 2 - 1), strict=True))
    recorded = json.loads((shared / "data/weights/squeezenet1_1_check.json").read_text())["layers"]
    assert len(recorded) == 5
    for layer, shape, expected_mean, expected_deviation in recorded:
        assert list(taps[layer].shape) == shape
        assert float(taps[layer].mean()) == pytest.approx(expected_mean, rel=1e-4)
        assert float(taps[layer].std()) == pytest.approx(expected_deviation, rel=1e-4)


def test_a_trunk_normalises_as_its_training_did() -> None:
    features = SqueezeNetFeatures(random_weights(SqueezeNetFeatures))
    white = torch.ones(1, 3, 1, 1) * features.factor + features.shift
    expected = [(1 - m) / d for m, d in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)]
    assert white.flatten().tolist() == pytest.approx(expected, rel=1e-6)


def test_large_images_are_reduced_first() -> None:
    weights = random_weights(VGG16Features)
    images = torch.rand(1, 3, 48, 48) * 2 - 1
    reduced = VGG16Features(weights, largest=32).taps(images)
    expected = VGG16Features(weights).taps(resized(images, 32))
    assert all(torch.equal(a, b) for a, b in zip(reduced, expected, strict=True))


def test_weights_must_fit() -> None:
    weights = random_weights(AlexNetFeatures)
    with pytest.raises(BadModel, match=r"lack 1 .*features\.0\.bias"):
        AlexNetFeatures({k: v for k, v in weights.items() if k != "features.0.bias"})
    with pytest.raises(BadModel, match=r"features\.99\.bias"):
        AlexNetFeatures(weights | {"features.99.bias": torch.zeros(1)})
    with pytest.raises(BadModel, match=r"features\.0\.bias \(3,\), not \(64,\)"):
        AlexNetFeatures(weights | {"features.0.bias": torch.zeros(3)})
    AlexNetFeatures(weights | {"classifier.1.bias": torch.zeros(3)})


def test_digest_follows_the_weights() -> None:
    one, again, other = (AlexNetFeatures(random_weights(AlexNetFeatures, s)).digest for s in (0, 0, 1))
    assert one == again != other
    assert len(one) == 64


def test_discriminator_features_are_its_own(discriminator: Discriminator) -> None:
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    taps = DiscriminatorFeatures(discriminator).taps(images)
    assert [tuple(x.shape[1:]) for x in taps] == [(4, 16, 16), (6, 8, 8), (8, 4, 4)]
    assert all(torch.equal(a, b) for a, b in zip(taps, discriminator.features(images), strict=True))


@pytest.mark.parametrize("side", [7, 16, 33])
def test_discriminator_features_take_any_size(discriminator: Discriminator, side: int) -> None:
    grey = torch.full((1, 3, side, side), 0.25)
    features = DiscriminatorFeatures(discriminator)
    for a, b in zip(features.taps(grey), features.taps(grey.new_full((1, 3, 16, 16), 0.25)), strict=True):
        torch.testing.assert_close(a, b)


def test_training_on_does_not_change_the_features(discriminator: Discriminator) -> None:
    features = DiscriminatorFeatures(discriminator)
    images = torch.rand(1, 3, 16, 16)
    before, digest = features.taps(images), features.digest
    with torch.no_grad():
        discriminator.from_rgb.weight.add_(1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, features.taps(images), strict=True))
    assert features.digest == digest != DiscriminatorFeatures(discriminator).digest


def test_gradients_reach_images_and_no_weight(discriminator: Discriminator) -> None:
    images = torch.rand(1, 3, 20, 20, requires_grad=True)
    for features in (DiscriminatorFeatures(discriminator), SqueezeNetFeatures(random_weights(SqueezeNetFeatures))):
        images.grad = None
        torch.stack([x.sum() for x in features.taps(images)]).sum().backward()
        assert images.grad is not None and images.grad.abs().sum() > 0
        assert all(p.grad is None and not p.requires_grad for p in features.parameters())
    assert all(p.requires_grad for p in discriminator.parameters())


def test_resizing_keeps_the_mean_and_does_not_alias() -> None:
    checks = torch.ones(1, 1, 64, 64)
    checks[:, :, ::2] = -1
    assert resized(checks, 64) is checks
    assert resized(checks, 16)[:, :, 2:-2].abs().max() < 0.02
