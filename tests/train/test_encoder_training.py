"""The training of encoders: what is minimised, what moves, and that it can be cut anywhere."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from portraitist.errors import NonFinite, UsageError
from portraitist.io.model_file import Model
from portraitist.losses.identity import identity_distance
from portraitist.losses.latent import kl_divergence
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.encoder import new_encoder
from portraitist.networks.encoder_anatomy import EncoderAnatomy, EncoderKind
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.networks.identity import DiscriminatorIdentity
from portraitist.train.encoder import (
    EncoderLoss,
    EncoderState,
    EncoderTraining,
    Encoding,
    agilegan,
    psp,
)
from portraitist.train.loop import fit
from tests.conftest import make_model

KINDS: tuple[EncoderKind, ...] = ("hvae", "vae", "z+", "w+")
TINY = EncoderTraining(images=24, batch=4, seed=3, samples=0.5, ema_images=100.0, ema_ramp=0.0)


def anatomy(base: Model, kind: EncoderKind) -> EncoderAnatomy:
    rows = base.generator.anatomy.rows
    dim = base.generator.anatomy.w_dim if kind == "w+" else base.generator.anatomy.z_dim
    return EncoderAnatomy(kind, 16, (1, 1, rows - 2), dim, widths=(8, 8, 8, 8, 8), units=(1, 1, 1, 1), head_width=8)


@pytest.fixture(scope="module")
def base() -> Model:
    return make_model(seed=5)


class Photos:
    """Pictures that the base draws, at positions."""

    def __init__(self, base: Model, batch: int) -> None:
        self.base, self.batch = base.generator, batch

    def at(self, images: int) -> Tensor:
        random = torch.Generator().manual_seed(images)
        with torch.no_grad():
            drawn: Tensor = self.base(torch.randn(self.batch, self.base.anatomy.z_dim, generator=random))
        return drawn.clamp(-1, 1)


def start(base: Model, kind: EncoderKind, training: EncoderTraining = TINY) -> EncoderState:
    torch.manual_seed(1)
    return EncoderState(new_encoder(anatomy(base, kind), base.generator), training)


def loss_of(base: Model, training: EncoderTraining = TINY) -> EncoderLoss:
    assert base.discriminator is not None
    looks = PerceptualDistance(DiscriminatorFeatures(base.discriminator))
    return EncoderLoss(base.generator, training, looks, DiscriminatorIdentity(base.discriminator))


def go(state: EncoderState, base: Model, training: EncoderTraining = TINY, steps: int = 100) -> list[dict[str, Tensor]]:
    told: list[dict[str, Tensor]] = []
    until = state.step + steps

    def on_step(state: EncoderState, report: dict[str, Tensor]) -> bool:
        told.append(report)
        return state.step == until

    fit(state, Encoding(training, Photos(base, training.photos), loss_of(base, training)), on_step)
    return told


def test_the_papers_weights() -> None:
    ours = agilegan()
    assert (ours.pixel_weight, ours.perceptual_weight, ours.identity_weight, ours.kl_weight) == (1, 0.8, 0.8, 5e-4)
    assert (ours.batch, ours.learning_rate) == (16, 1e-3) and (psp().identity_weight, psp().kl_weight) == (0.1, 0)


def test_the_loss_is_the_weighted_sum_of_its_terms(base: Model) -> None:
    training = replace(TINY, pixel_weight=2.0, perceptual_weight=3.0, identity_weight=5.0, kl_weight=7.0)
    loss, encoder, photos = loss_of(base, training), start(base, "hvae").encoder.eval(), Photos(base, 4).at(9)
    with torch.no_grad():
        torch.nn.init.normal_(encoder.fc_mu.weight, std=0.3)
        torch.nn.init.normal_(encoder.fc_var.weight, std=0.3)
        terms = loss(encoder, photos, torch.Generator().manual_seed(0))
        encoded = encoder(photos)
        z = encoded.sample(torch.Generator().manual_seed(0))[0]
        drawn = base.generator(z)
    assert loss.identity is not None
    assert terms["pixels"] == pytest.approx(float((drawn - photos).square().mean()))
    taps = len(loss.perceptual.prepare(photos))
    assert terms["perceptual"] == pytest.approx(float(loss.perceptual(drawn, photos).mean()) / taps)
    mine, theirs = loss.identity.embed(drawn), loss.identity.embed(photos)
    assert terms["identity"] == pytest.approx(float(identity_distance(mine, theirs).mean()), abs=1e-6)
    assert terms["kl"] == pytest.approx(float(kl_divergence(encoded.mu, encoded.logvar)))
    expected = sum(w * float(terms[k]) for k, w in (("pixels", 2), ("perceptual", 3), ("identity", 5), ("kl", 7)))
    assert float(terms["loss"]) == pytest.approx(expected)


def test_weight_0_leaves_a_term_out(base: Model) -> None:
    training = replace(TINY, perceptual_weight=0, identity_weight=0, kl_weight=0)
    loss = EncoderLoss(base.generator, training, loss_of(base).perceptual, None)
    found = loss(start(base, "hvae").encoder.eval(), Photos(base, 4).at(0), None)
    assert set(found) == {"loss", "pixels"} and found["loss"] == found["pixels"]
    with pytest.raises(UsageError, match="face embedder"):
        EncoderLoss(base.generator, TINY, loss_of(base).perceptual, None)
    with pytest.raises(UsageError, match="compared"):
        replace(training, pixel_weight=0)


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_posterior_is_held_to_the_prior(base: Model, kind: EncoderKind) -> None:
    found = loss_of(base)(start(base, kind).encoder.eval(), Photos(base, 4).at(0), None)
    assert ("kl" in found) == (kind in ("hvae", "vae"))
    if "kl" in found:
        assert found["kl"] == 0  # the heads begin at 0: at the prior itself


def test_some_persons_of_a_batch_are_those_that_come_first(base: Model) -> None:
    some, photos = loss_of(base, replace(TINY, identity_part=0.5)), Photos(base, 4).at(0)
    encoder, whole = start(base, "w+").encoder.eval(), loss_of(base)
    random = torch.Generator().manual_seed(0)
    assert some(encoder, photos, random)["identity"] == whole(encoder, photos[:2], random)["identity"]
    assert some(encoder, photos, None)["identity"] == whole(encoder, photos, None)["identity"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_moves_and_the_base_rests(base: Model, kind: EncoderKind) -> None:
    before = {k: v.clone() for k, v in base.generator.state_dict().items()}
    state = start(base, kind)
    first = {k: v.clone() for k, v in state.encoder.state_dict().items()}
    go(state, base)
    assert state.images == 24 and state.step == 6
    moved = {k for k, v in state.encoder.state_dict().items() if not torch.equal(v, first[k])}
    assert set(first) - moved == ({"latent_avg"} if kind == "w+" else set())
    assert all(torch.equal(v, before[k]) for k, v in base.generator.state_dict().items())
    assert all(p.grad is None for p in (*state.encoder.parameters(), *base.generator.parameters()))


@pytest.mark.recipe
@pytest.mark.parametrize(("kind", "batch", "steps"), [("hvae", 16, 250), ("w+", 8, 80)])
def test_an_encoder_learns_what_the_base_draws(base: Model, kind: EncoderKind, batch: int, steps: int) -> None:
    training = replace(
        TINY, images=batch * steps, batch=batch, samples=0.0, identity_weight=0, perceptual_weight=0, kl_weight=1e-6
    )
    state, photos = start(base, kind, training), Photos(base, 16).at(10**6)
    loss = loss_of(base, training)
    with torch.no_grad():
        before = float(loss(state.average, photos, None)["pixels"])
    go(state, base, training, steps=steps)
    with torch.no_grad():
        after = float(loss(state.average, photos, None)["pixels"])
    assert after < 0.6 * before


@pytest.mark.parametrize("kind", ["hvae", "w+"])
def test_a_training_that_was_cut_is_the_same_training(base: Model, kind: EncoderKind) -> None:
    whole, part = start(base, kind), start(base, kind)
    go(whole, base)
    go(part, base, steps=3)
    kept, counters = {k: v.clone() for k, v in part.tensors().items()}, copy.deepcopy(part.counters())
    again = EncoderState(new_encoder(anatomy(base, kind), base.generator), TINY)
    again.restore(kept, counters)
    go(again, base)
    mine, theirs = again.tensors(), whole.tensors()
    assert mine.keys() == theirs.keys() and all(torch.equal(v, theirs[k]) for k, v in mine.items())
    with pytest.raises(KeyError, match="unknown"):
        again.restore({**kept, "extra": torch.zeros(1)}, counters)


def test_the_average_follows(base: Model) -> None:
    training = replace(TINY, ema_images=4.0, images=4)
    state = start(base, "w+", training)
    first = {k: v.clone() for k, v in state.average.state_dict().items()}
    go(state, base, training)
    for k, v in state.average.state_dict().items():  # a half-life of one batch: half way
        torch.testing.assert_close(v, (first[k] + state.encoder.state_dict()[k]) / 2)
    assert not state.average.training and not any(p.requires_grad for p in state.average.parameters())


def test_part_of_a_batch_is_drawn_by_the_base(base: Model) -> None:
    assert (TINY.photos, replace(TINY, samples=0.0).photos, replace(TINY, batch=16, samples=0.25).photos) == (2, 4, 12)
    loss = loss_of(base)
    drawn = loss.samples(3, torch.Generator().manual_seed(4))
    z = torch.randn(3, base.generator.anatomy.z_dim, generator=torch.Generator().manual_seed(4))
    assert torch.equal(drawn, base.generator(z).detach().clamp(-1, 1))


def test_nan_ends_it_before_a_weight_is_touched(base: Model) -> None:
    class Broken(Photos):
        def at(self, images: int) -> Tensor:
            return super().at(images) * (torch.nan if images else 1)

    state = start(base, "w+")
    weights: list[dict[str, Tensor]] = []

    def on_step(state: EncoderState, report: dict[str, Tensor]) -> bool:
        weights.append({k: p.detach().clone() for k, p in state.encoder.named_parameters()})
        return False

    with pytest.raises(NonFinite, match="after 4 images"):
        fit(state, Encoding(TINY, Broken(base, TINY.photos), loss_of(base)), on_step)
    assert len(weights) == 1
    assert all(torch.equal(p, weights[0][k]) for k, p in state.encoder.named_parameters())


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": 0},
        {"batch": 0},
        {"kl_weight": float("nan")},
        {"learning_rate": float("inf")},
        {"learning_rate": 0.0},
        {"kl_weight": -1.0},
        {"samples": 1.0},
        {"held_out": -0.1},
        {"identity_part": 0.0},
        {"patience": 1, "held_out": 0.0},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        replace(TINY, **wrong)


PINNED = {"hvae": 1.09008, "vae": 1.380912, "z+": 1.317468, "w+": 0.983748}
"""The loss of the sixth step: what a change of the training's meaning would move."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_tiny_run_is_pinned(base: Model, kind: EncoderKind) -> None:
    found = go(start(base, kind), base)
    assert float(found[-1]["loss"]) == pytest.approx(PINNED[kind], rel=1e-4)
