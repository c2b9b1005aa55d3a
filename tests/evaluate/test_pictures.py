"""Measures of drawings on pictures whose values are known beforehand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from portraitist.data import ImageSet, resize
from portraitist.errors import BadData, PortraitistError, UsageError
from portraitist.evaluate import (
    PictureMeasures,
    PictureScorer,
    baselines,
    embed,
    eye_difference,
    kernel_interval,
    measure_pictures,
    recognition,
    sharpness,
)
from portraitist.evaluate.picture_baselines import BASE_SIZE, NOTHING, SMOOTHED, smoothed
from portraitist.evaluate.picture_signals import CUTOFF, EYE_ROWS, LEFT_EYE_COLUMNS, SIDE, Batch
from portraitist.evaluate.recognition import share
from portraitist.io.feature_files import load_features
from portraitist.io.identity_files import load_identity
from portraitist.networks.features import DiscriminatorFeatures
from tests.conftest import make_model


class Places:
    """Embeds a picture as its light and dark over 8 x 8 areas."""

    name, digest = "places", "0"

    def embed(self, images: Tensor) -> Tensor:
        areas = torch.nn.functional.adaptive_avg_pool2d(images, 8).flatten(1)
        return torch.nn.functional.normalize(areas - areas.mean(1, keepdim=True))


def features() -> DiscriminatorFeatures:
    discriminator = make_model().discriminator
    assert discriminator is not None
    return DiscriminatorFeatures(discriminator)


def patches(count: int, seed: int = 0) -> Batch:
    """Pictures of random areas of 16 pixels, no two alike."""
    areas = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return areas.repeat(16, axis=1).repeat(16, axis=2)


def measured(drawings: Batch, mirrored: Batch | None = None) -> PictureMeasures:
    return measure_pictures(patches(8), drawings, patches(6, seed=1), Places(), features(), mirrored)


def grey(values: np.ndarray) -> Batch:
    """Make grey pictures of values [256, 256], or [N, 256, 256]."""
    values = values if values.ndim == 3 else values[None]
    return np.rint(values).clip(0, 255).astype(np.uint8)[..., None].repeat(3, axis=3)


def flipped(pictures: Batch) -> Batch:
    return np.ascontiguousarray(pictures[:, :, ::-1])


def test_the_photos_themselves_keep_everybody() -> None:
    found = measured(patches(8), flipped(patches(8)))
    assert found.identity.value == pytest.approx(1, abs=1e-6) and found.identity.spread < 1e-6
    assert found.rank1.value == 1 and found.layout.value == pytest.approx(1, abs=1e-6)
    assert found.strangers.value < 0.5 and found.mirror_bias is not None
    assert found.mirror_bias.value == pytest.approx(0, abs=1e-9) and found.mirror_bias.spread < 1e-9
    assert found.eye_difference.value == pytest.approx(eye_difference(patches(8)).mean())


def test_drawings_of_the_next_person_keep_nobody() -> None:
    found = measured(np.roll(patches(8), 1, axis=0))
    assert found.rank1.value == 0 and found.identity.value < 0.5 and found.layout.value < 0.5
    assert found.mirror_bias is None and "mirror_bias" not in found.as_json()


def test_a_blank_drawing_of_everybody_recognises_nobody() -> None:
    assert measured(np.full((8, SIDE, SIDE, 3), 90, np.uint8)).rank1.value == 0


def test_cosines_are_counted_by_hand() -> None:
    angles = torch.tensor([0.0, 40.0, 90.0, 200.0]).deg2rad()
    photos = torch.stack([angles.cos(), angles.sin()], 1)
    turns = torch.tensor([10.0, 50.0, 0.0, 0.0]).deg2rad()  # the second lands on the third
    drawn = torch.stack([(angles + turns).cos(), (angles + turns).sin()], 1)
    found = recognition(drawn, photos)
    apart = (angles + turns)[:, None] - angles[None]
    own = apart.diag().cos()
    assert found.rank1.value == 0.75
    assert found.own.value == pytest.approx(float(own.mean()), abs=1e-6)
    assert found.own.spread == pytest.approx(float(own.std()) / 2, abs=1e-6)
    cosines = apart.cos()
    others = [float(cosines[i, j]) for i in range(4) for j in range(4) if i != j]
    assert found.strangers.value == pytest.approx(sum(others) / 12, abs=1e-6)
    left = [
        sum(float(cosines[i, j]) for i in range(4) for j in range(4) if i != j and k not in (i, j)) / 6
        for k in range(4)
    ]
    assert found.strangers.spread == pytest.approx(math.sqrt(3 / 4 * sum((x - sum(left) / 4) ** 2 for x in left)))


def test_a_share_has_wilsons_error() -> None:
    # R's prop.test(50, 72, correct = FALSE): 0.580 to 0.789; of all of 72: 0.949 to 1.
    found = share(50, 72)
    assert found.value == pytest.approx(50 / 72) and found.half_width == pytest.approx((0.7890 - 0.5804) / 2, abs=2e-4)
    assert share(72, 72).half_width == pytest.approx((1 - 72 / (72 + 1.96**2)) / 2, rel=1e-6)
    for hits, count in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(BadData, match="is no share"):
            share(hits, count)


def test_white_noise_is_as_sharp_as_its_frequencies_above_the_cutoff() -> None:
    noise = np.random.default_rng(0).normal(128, 20, (12, SIDE, SIDE))
    # Rounding to whole levels adds white noise of variance 1/12.
    expected = math.sqrt((20**2 + 1 / 12) * (1 - math.pi * CUTOFF**2 / SIDE**2))
    assert sharpness(grey(noise)).mean() == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize(
    ("cycles", "across", "is_fine"), [(60, 0, True), (25, 35, True), (20, 0, False), (0, 29, False)]
)
def test_a_sine_is_sharp_only_above_the_cutoff(cycles: int, across: int, is_fine: bool) -> None:
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    wave = grey(120 + 40 * np.sin(2 * np.pi * (cycles * x + across * y) + 0.7))
    expected = 40 / math.sqrt(2) if is_fine else 0
    assert sharpness(wave)[0] == pytest.approx(expected, abs=0.3)


def test_borders_make_no_sharpness() -> None:
    ramp = grey(np.linspace(0, 255, SIDE)[None].repeat(SIDE, axis=0))
    assert sharpness(ramp)[0] < 0.4 and sharpness(np.full((1, SIDE, SIDE, 3), 200, np.uint8))[0] == 0


def test_a_darker_right_eye_is_found() -> None:
    top, bottom = (round(SIDE * part) for part in EYE_ROWS)
    begin, end = (round(SIDE * part) for part in LEFT_EYE_COLUMNS)
    light = np.full((SIDE, SIDE), 100.0)
    light[top:bottom, begin:end] = 90
    light[top:bottom, SIDE - end : SIDE - begin] = 70
    drawing = grey(light)
    assert eye_difference(drawing)[0] == pytest.approx(20)
    assert eye_difference(flipped(drawing))[0] == pytest.approx(-20)
    # The regions hold FFHQ's eye centres: 0.376 and 0.625 of the side across, 0.476 down.
    for across in (0.376, 0.625):
        light = np.full((SIDE, SIDE), 100.0)
        light[round(0.476 * SIDE), round(across * SIDE)] = 0
        assert eye_difference(grey(light))[0] != 0


def test_what_a_model_draws_into_every_face_is_its_mirror_bias() -> None:
    smudge = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    smudge[:, :, SIDE // 2 :] = 12

    def smear(pictures: Batch) -> Batch:
        return pictures // 2 - np.minimum(smudge, pictures // 2)

    def equal(pictures: Batch) -> Batch:
        return 255 - pictures

    photos = patches(8)
    smeared = measured(smear(photos), smear(flipped(photos)))
    clean = measured(equal(photos), equal(flipped(photos)))
    assert clean.mirror_bias is not None and clean.mirror_bias.value == pytest.approx(0, abs=1e-9)
    assert clean.eye_difference.value == pytest.approx(-eye_difference(photos).mean())
    assert smeared.mirror_bias is not None
    # Levels under 24 cannot lose 12: what is lost on average follows from all regions of eyes.
    per_photo = (eye_difference(smear(photos)) + eye_difference(smear(flipped(photos)))) / 2
    assert smeared.mirror_bias.value == pytest.approx(per_photo.mean()) and 11 < per_photo.mean() <= 12
    assert smeared.mirror_bias.spread == pytest.approx(per_photo.std(ddof=1) / math.sqrt(8))


def test_the_style_distance_is_that_of_the_kernel() -> None:
    looked, drawings, exemplars = features(), patches(8, seed=3), patches(6, seed=1)
    scorer = PictureScorer(patches(8), Places(), looked)
    near, far = scorer.exemplars(exemplars), scorer.exemplars(exemplars // 4)
    found = scorer.style(drawings, near, far)
    assert scorer.measure(drawings, near).style == found[0] and found[1].value > found[0].value
    rows = [
        embed(looked, torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1)
        for x in (drawings, exemplars)
    ]
    expected = kernel_interval(*rows)
    assert found[0].value == pytest.approx(expected.value, abs=1e-6)
    assert found[0].spread == pytest.approx(expected.spread, abs=1e-6)
    assert near.sharpness.value == pytest.approx(sharpness(exemplars).mean())
    assert scorer.style(drawings) == [] and scorer.measure(drawings).style is None


def test_baselines_know_no_style() -> None:
    photos = patches(3)
    found = baselines(photos, 64)
    assert list(found) == [NOTHING, SMOOTHED, BASE_SIZE]
    assert (found[NOTHING] == photos).all()
    reduced = resize(photos[0], 64, method="area")
    assert (found[BASE_SIZE][0] == resize(reduced, SIDE)).all()
    assert (baselines(photos, 1024)[BASE_SIZE] == photos).all()
    assert sharpness(found[BASE_SIZE]).mean() < 0.5 * sharpness(photos).mean()


def test_smoothing_takes_texture_and_keeps_edges() -> None:
    noise = np.random.default_rng(0).normal(0, 4, (SIDE, SIDE))
    edge = np.where(np.arange(SIDE) < SIDE // 2, 60, 180)[None] + np.zeros((SIDE, 1))
    found = smoothed(grey(edge + noise))[0, :, :, 0].astype(float)
    assert found[:, : SIDE // 2].std() < 1 and found[:, SIDE // 2 :].std() < 1
    assert (found[:, SIDE // 2 - 1] < 65).all() and (found[:, SIDE // 2] > 175).all()
    assert (smoothed(grey(edge)) == grey(edge)).all()
    # One pass on one bright dot, counted by hand: its own weight is 1, that of each of its neighbours the sum below.
    dot = np.full((SIDE, SIDE), 100.0)
    dot[9, 9] = 110
    disc = [y * y + x * x for y in range(-4, 5) for x in range(-4, 5) if 0 < y * y + x * x <= 16]
    around = sum(math.exp(-r / 72) for r in disc) * math.exp(-(30**2) / (2 * 22**2))
    expected = (110 + 100 * around) / (1 + around)
    assert smoothed(grey(dot), passes=1)[0, 9, 9, 0] == round(expected)


@pytest.mark.parametrize(
    ("drawings", "message"),
    [
        (patches(7), "7 drawings belong to 8 photos"),
        (patches(8)[:, ::2, ::2], "not uint8 [N, 256, 256, 3]"),
        (patches(8).astype(np.float32), "float32"),
        (patches(8)[0], "not uint8"),
    ],
)
def test_drawings_that_cannot_be_measured_are_errors_with_a_cure(drawings: Batch, message: str) -> None:
    with pytest.raises(BadData) as caught:
        measured(drawings)
    assert message in caught.value.message and caught.value.cure


def test_too_little_is_an_error_with_a_cure() -> None:
    scorer = PictureScorer(patches(8), Places(), features())
    few = patches(2)
    attempts = (
        lambda: PictureScorer(few, Places(), features()),
        lambda: scorer.exemplars(few),
        lambda: scorer.style(few, scorer.exemplars(patches(3))),
        lambda: scorer.measure(patches(8), mirrored=few),
        lambda: recognition(torch.eye(2), torch.eye(2)),
        lambda: recognition(torch.eye(3), torch.eye(4)),
        lambda: baselines(np.zeros((0, 3)), 64),  # type: ignore[arg-type]
    )
    for attempt in attempts:
        with pytest.raises(BadData) as caught:
            attempt()
        assert caught.value.cure
    with pytest.raises(UsageError) as wrong:
        baselines(patches(3), 2)
    assert isinstance(wrong.value, PortraitistError) and wrong.value.cure


def test_real_people_are_recognised_in_smoothed_photos(shared: Path) -> None:
    data = shared / "data"
    found = ImageSet.open(data / "people_london" / "neutral", SIDE).subset(range(10))
    photos = np.stack([found[k].permute(1, 2, 0).numpy() for k in range(10)])
    exemplars = ImageSet.open(data / "style_oil", SIDE).subset(range(10))
    held_out = np.stack([exemplars[k].permute(1, 2, 0).numpy() for k in range(10)])
    scorer = PictureScorer(
        photos,
        load_identity(data / "weights" / "mobilefacenet.pt"),
        load_features(data / "weights" / "mobilenetv2_imagenet_mxnet_features_fp16.npz"),
    )
    oil = scorer.exemplars(held_out)
    rows = {name: scorer.measure(pictures, oil) for name, pictures in baselines(photos, 64).items()}
    assert all(row.rank1.value == 1 for row in rows.values())
    assert rows[NOTHING].identity.value > rows[SMOOTHED].identity.value > 0.85 > rows[NOTHING].strangers.value + 0.5
    style, of_itself = rows[NOTHING].style, scorer.style(held_out, oil)[0]
    assert style is not None and style.value > 0.2 > 0 > of_itself.value
    assert rows[BASE_SIZE].sharpness.value < 0.5 * rows[NOTHING].sharpness.value
