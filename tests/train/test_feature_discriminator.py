"""The second discriminator: what it looks at, when it is heard, and that a training with it resumes exactly."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.optim import Adam

from portraitist.data import ImageSet
from portraitist.errors import UsageError
from portraitist.io.model_file import Model, load_model
from portraitist.networks.feature_discriminator import FeatureDiscriminator, patch_loss, spread, with_mean_pooling
from portraitist.networks.features import Features, SqueezeNetFeatures
from portraitist.recipes import grow
from portraitist.runs.finetune import TrainOptions, objective_of, train
from portraitist.runs.source import Source, grown
from portraitist.train.feature_terms import FeatureLoss, optimised_heads
from portraitist.train.loop import fit
from portraitist.train.signals import Interrupted
from portraitist.train.spec import Training
from portraitist.train.state import TrainState
from tests.conftest import make_model

TERM = FeatureLoss(weight=1.0, rest=4, ramp=4)
TRAINING = replace(
    grow(32, Training(batch=4, seed=3)), images=16, tick=4, snapshot=8, r1_every=2, entrance_images=8
).with_term(TERM)


@pytest.fixture(scope="module")
def source(tiny_model: Model) -> Source:
    return grown(tiny_model, 32)


@pytest.fixture(scope="module")
def squeezenet() -> SqueezeNetFeatures:
    torch.manual_seed(0)
    return SqueezeNetFeatures({f"features.{k}": v for k, v in SqueezeNetFeatures.layers().state_dict().items()})


class Fixed:
    def at(self, images: int) -> Tensor:
        return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(images)) * 2 - 1


def weights_after(
    source: Source, features: Features, training: Training, images: int
) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    heads = optimised_heads(training, features, Fixed().at(0))
    state = TrainState.start(*source.networks(0), training, heads)
    reports: list[dict[str, Tensor]] = []

    def on_step(state: TrainState, report: dict[str, Tensor]) -> bool:
        reports.append(report)
        return state.images >= images

    fit(state, objective_of(source, training, Fixed(), TrainOptions(features=features)), on_step)
    return {k: v.clone() for k, v in state.tensors().items()}, reports


def test_depths_are_spread_over_the_taps() -> None:
    assert spread(7, 4) == (1, 3, 4, 6)
    assert spread(3, 4) == (0, 1, 2)


def test_heads_see_dots_that_blurred_features_hide(squeezenet: SqueezeNetFeatures) -> None:
    random = torch.Generator().manual_seed(0)
    smooth = torch.rand(8, 3, 1, 1, generator=random).expand(-1, -1, 32, 32) * 2 - 1
    dots = torch.zeros(32, 32)
    dots[::2, ::2] = 0.3
    made = FeatureDiscriminator.fitted(squeezenet, smooth, 0)
    optimiser = Adam(made.parameters(), 0.005)
    for _ in range(40):
        real, dotted = made.seen(squeezenet, smooth, smooth), made.seen(squeezenet, smooth + dots, smooth)
        loss = patch_loss(made(real), -1) + patch_loss(made(dotted), 1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    real, dotted = (made(made.seen(squeezenet, x, smooth)) for x in (smooth, smooth + dots))
    assert (real[-1].mean() - dotted[-1].mean()) > 1
    assert all(torch.equal(a, b) for a, b in zip(real[:-1], dotted[:-1], strict=True))


def test_means_take_the_place_of_maxima_in_a_copy(squeezenet: SqueezeNetFeatures) -> None:
    smooth = with_mean_pooling(squeezenet)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    pairs = list(zip(smooth.taps(images), squeezenet.taps(images), strict=True))
    assert [a.shape for a, _ in pairs] == [b.shape for _, b in pairs]
    assert torch.equal(*pairs[0])  # before the first pooling
    rectified = squeezenet.features[:2](images * squeezenet.factor + squeezenet.shift)
    assert isinstance(smooth, SqueezeNetFeatures)
    assert torch.allclose(smooth.features[2](rectified)[..., 0, 0], rectified[..., :3, :3].mean((2, 3)))
    assert torch.equal(squeezenet.features[2](rectified)[..., 0, 0], rectified[..., :3, :3].amax((2, 3)))


def test_the_generator_hears_of_it_after_its_rest(source: Source, features: Features) -> None:
    plain = replace(TRAINING, terms=())
    with_it, reports = weights_after(source, features, TRAINING, 8)
    without, _ = weights_after(source, features, plain, 8)
    assert all(torch.equal(with_it[k], without[k]) for k in without if k.startswith(("G.", "D.", "average.")))
    assert [float(r["feature_discriminator"]) for r in reports] == [0, 0]
    with_it, reports = weights_after(source, features, TRAINING, 12)
    without, _ = weights_after(source, features, plain, 12)
    assert float(reports[-1]["feature_discriminator"]) > 0
    moved = [k for k in without if k.startswith("G.") and not torch.equal(with_it[k], without[k])]
    assert moved


def test_heads_learn_from_the_first_step(source: Source, features: Features) -> None:
    before = optimised_heads(TRAINING, features, Fixed().at(0))
    assert before is not None
    after, reports = weights_after(source, features, TRAINING, 4)
    fixed = {"scale"}
    for name, value in before.network.state_dict().items():
        assert (name in fixed) == torch.equal(after[f"F.{name}"], value), name
    assert all(float(r["feature_heads"]) > 0 for r in reports)


def test_parts_of_a_batch_see_what_the_whole_sees(source: Source, features: Features) -> None:
    whole, told = weights_after(source, features, TRAINING, 4)
    parts, told_in_parts = weights_after(source, features, replace(TRAINING, accumulate=2), 4)
    assert told_in_parts[0]["feature_heads"] == pytest.approx(float(told[0]["feature_heads"]), abs=1e-4)
    for name in (k for k in whole if k.startswith("adam.F.exp_avg_sq.")):
        assert torch.allclose(parts[name], whole[name], rtol=1e-2, atol=1e-9), name


def test_it_resumes_bit_for_bit(source: Source, photos: ImageSet, features: Features, tmp_path: Path) -> None:
    quiet = TrainOptions(quiet=True, features=features)

    def stop(state: TrainState) -> None:
        if state.images == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    whole = train(photos, tmp_path / "whole", source, TRAINING, quiet)
    with pytest.raises(Interrupted):
        train(photos, tmp_path / "halves", source, TRAINING, replace(quiet, watch=stop))
    halves = train(photos, tmp_path / "halves", source, TRAINING, quiet)
    mine, theirs = (sorted((p.parent / "snapshots").glob("*"))[-1] for p in (whole, halves))
    with safe_open(mine, "pt") as a, safe_open(theirs, "pt") as b:
        assert set(a.keys()) == set(b.keys()) and any(k.startswith("adam.F.") for k in a.keys())
        assert all(torch.equal(a.get_tensor(k), b.get_tensor(k)) for k in a.keys())
    assert load_model(whole).header.recipe["feature_discriminator"]["weight"] == 1.0


def test_what_it_lacks_or_what_is_idle_is_refused(
    source: Source, photos: ImageSet, features: Features, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="needs a feature network"):
        train(photos, tmp_path, source, TRAINING, TrainOptions(quiet=True))
    with pytest.raises(UsageError, match="No loss of this training looks at discriminator"):
        train(photos, tmp_path, source, replace(TRAINING, terms=()), TrainOptions(quiet=True, features=features))
    lpips = [torch.ones(8)]
    with pytest.raises(UsageError, match="No loss of this training looks at LPIPS weights"):
        train(photos, tmp_path, source, TRAINING, TrainOptions(quiet=True, features=features, lpips=lpips))
    with pytest.raises(UsageError, match="need the network that they were fitted on"):
        train(photos, tmp_path, source, replace(TRAINING, terms=()), TrainOptions(quiet=True, lpips=lpips))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [({"rest": -1}, "rest"), ({"weight": float("nan")}, "weight"), ({"smallest": 300}, "exclude")],
)
def test_settings_without_sense_are_refused(settings: dict[str, float], wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong):
        FeatureLoss(**settings)  # type: ignore[arg-type]


def test_paths_are_refused(features: Features, photos: ImageSet, tmp_path: Path) -> None:
    base = make_model(resolution=32)
    training = replace(Training(batch=4), paths=("a", "b"), split_from=8, split_upto=16).with_term(FeatureLoss())
    with pytest.raises(UsageError, match="several paths"):
        training.terms[0].check(training, base.generator.anatomy)
