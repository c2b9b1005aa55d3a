"""A training of an encoder in a folder: what it leaves, that it continues, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from portraitist.data import ImageSet, to_array, write_image
from portraitist.errors import BadModel, UsageError
from portraitist.io.encoder_files import load_encoder
from portraitist.io.headers import EncoderHeader
from portraitist.io.model_file import Model, generator_digest
from portraitist.losses.perceptual import default_perceptual
from portraitist.networks.encoder_anatomy import EncoderAnatomy
from portraitist.networks.identity import DiscriminatorIdentity
from portraitist.runs.encoder import EncoderOptions, measured, train_encoder
from portraitist.train.encoder import EncoderLoss, EncoderTraining
from portraitist.train.signals import Interrupted
from tests.conftest import make_model
from tests.recipes.tiny_runs import Waves

TRAINING = EncoderTraining(images=32, batch=4, seed=2, samples=0.25, held_out=0.4, tick=8, snapshot=16)
QUIET = EncoderOptions(quiet=True)


@pytest.fixture(scope="module")
def base() -> Model:
    return make_model(seed=5, name="tiny")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder = tmp_path_factory.mktemp("photos")
    for k in range(20):
        write_image(folder / f"{k:02d}.png", to_array(Waves(1).at(k))[0])
    return ImageSet.open(folder, 16)


@pytest.fixture(scope="module")
def sizes(base: Model) -> EncoderAnatomy:
    anatomy = base.generator.anatomy
    split = (1, 1, anatomy.rows - 2)
    return EncoderAnatomy("hvae", 16, split, anatomy.z_dim, widths=(8,) * 5, units=(1,) * 4, head_width=8)


@pytest.fixture(scope="module")
def run(base: Model, photos: ImageSet, sizes: EncoderAnatomy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "e"
    about = EncoderHeader(sizes, name="mine", licence="CC0-1.0", credit="Nobody")
    train_encoder(photos, out, base, sizes, TRAINING, replace(QUIET, about=about))
    return out


def test_what_a_run_leaves(run: Path, base: Model, photos: ImageSet) -> None:
    stored = load_encoder(run / "encoder.safetensors", base=base)
    header = stored.header
    assert (header.name, header.licence, header.credit) == ("mine", "CC0-1.0", "Nobody")
    assert (header.base_name, header.base_digest) == ("tiny", generator_digest(base))
    assert header.lineage[-1]["images_seen"] == 32 and header.lineage[-1]["data"]["digest"] == photos.digest
    assert header.training["kl_weight"] == TRAINING.kl_weight and header.training["persons"]["name"]
    told = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert [t["images"] for t in told] == [8, 16, 24, 32]
    wanted = {"loss", "pixels", "perceptual", "identity", "kl", "held_out_loss", "held_out_pixels"}
    assert all(wanted <= t.keys() for t in told)
    assert told[-1]["held_out_loss"] == pytest.approx(header.metrics["held_out"]["held_out_loss"], rel=1e-5)
    assert sorted(p.name for p in (run / "samples").iterdir()) == ["images-000000016.png", "images-000000032.png"]


def test_held_out_photos_are_measured_alike_in_parts(
    run: Path, base: Model, photos: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert base.discriminator is not None
    identity = DiscriminatorIdentity.of_base(base.generator, base.discriminator)
    loss = EncoderLoss(base.generator, TRAINING, default_perceptual(base.discriminator), identity)
    encoder, held = load_encoder(run / "encoder.safetensors").encoder.eval(), photos.all()[:7]
    seen: list[int] = []
    encoder.register_forward_hook(lambda _, arguments, __: seen.append(len(arguments[0])))
    whole = measured(encoder, loss, held)
    assert whole == {f"held_out_{k}": float(v.detach()) for k, v in loss(encoder, held, None).items()}
    monkeypatch.setattr("portraitist.runs.encoder.MOST_HELD_OUT", 3)
    assert measured(encoder, loss, held) == pytest.approx(whole, rel=1e-4, abs=1e-6)
    assert seen == [7, 7, 3, 3, 1]


def test_it_goes_on_where_it_was(
    run: Path, base: Model, photos: ImageSet, sizes: EncoderAnatomy, tmp_path: Path
) -> None:
    half = replace(TRAINING, images=16)
    train_encoder(photos, tmp_path / "e", base, sizes, half, QUIET)
    train_encoder(photos, tmp_path / "e", base, sizes, TRAINING, QUIET)
    mine, theirs = (load_encoder(f / "encoder.safetensors").tensors() for f in (tmp_path / "e", run))
    assert all(torch.equal(v, theirs[k]) for k, v in mine.items())
    told = (tmp_path / "e" / "stats.jsonl").read_text().splitlines()
    assert [json.loads(t)["images"] for t in told] == [8, 16, 24, 32]


def test_other_settings_are_refused(run: Path, base: Model, photos: ImageSet, sizes: EncoderAnatomy) -> None:
    with pytest.raises(UsageError, match=r"kl_weight: 0\.0005 -> 0\.1"):
        train_encoder(photos, run, base, sizes, replace(TRAINING, kl_weight=0.1), QUIET)
    with pytest.raises(UsageError, match="base: "):
        train_encoder(photos, run, make_model(seed=6), sizes, TRAINING, QUIET)


def test_it_goes_on_from_another(
    run: Path, base: Model, photos: ImageSet, sizes: EncoderAnatomy, tmp_path: Path
) -> None:
    first = load_encoder(run / "encoder.safetensors")
    told, short = replace(QUIET, start=first), replace(TRAINING, images=4, learning_rate=1e-9, ema_ramp=0.0)
    found = load_encoder(train_encoder(photos, tmp_path / "e", base, sizes, short, told))
    torch.testing.assert_close(found.encoder.fc_mu.weight, first.encoder.fc_mu.weight)
    assert [step["images_seen"] for step in found.header.lineage] == [32, 4]
    assert found.header.training["start"] == first.digest
    with pytest.raises(UsageError, match="other sizes"):
        train_encoder(photos, tmp_path / "f", base, replace(sizes, head_width=16), short, told)
    other, standard = make_model(seed=6), replace(sizes, standardised=True)
    moved = load_encoder(train_encoder(photos, tmp_path / "g", other, standard, short, told))
    torch.testing.assert_close(moved.encoder.fc_mu.weight, first.encoder.fc_mu.weight)
    assert moved.header.base_digest == generator_digest(other) and moved.encoder.anatomy.standardised


def test_it_stops_by_itself_keeps_the_best_and_stays_ended(
    base: Model, photos: ImageSet, sizes: EncoderAnatomy, tmp_path: Path
) -> None:
    # An average that does not move never gains on the first tick.
    still = replace(TRAINING, learning_rate=1e-30, ema_images=1e12, ema_ramp=0.0, patience=2)
    path = train_encoder(photos, tmp_path / "e", base, sizes, still, QUIET)
    first = load_encoder(path)
    assert first.header.lineage[-1]["images_seen"] == 16  # two ticks without a gain
    told = (tmp_path / "e" / "stats.jsonl").read_text()
    again = load_encoder(train_encoder(photos, tmp_path / "e", base, sizes, replace(still, images=400), QUIET))
    assert (tmp_path / "e" / "stats.jsonl").read_text() == told and again.digest == first.digest


def test_a_signal_leaves_a_snapshot(
    base: Model, photos: ImageSet, sizes: EncoderAnatomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    from portraitist.runs import encoder

    before = encoder.measured

    def kill(*arguments: object) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        return before(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder, "measured", kill)
    with pytest.raises(Interrupted):
        train_encoder(photos, tmp_path / "e", base, sizes, TRAINING, QUIET)
    assert [p.name for p in (tmp_path / "e" / "snapshots").iterdir()] == ["snapshot-000000008.safetensors"]
    assert not (tmp_path / "e" / "encoder.safetensors").exists()
    monkeypatch.setattr(encoder, "measured", before)
    assert train_encoder(photos, tmp_path / "e", base, sizes, TRAINING, QUIET).exists()


def test_what_does_not_fit_is_refused(base: Model, photos: ImageSet, sizes: EncoderAnatomy, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="32"):
        train_encoder(
            photos,
            tmp_path,
            make_model(resolution=32),
            replace(sizes, resolution=32, levels=(1, 1, 6)),
            TRAINING,
            QUIET,
        )
    with pytest.raises(BadModel, match="rows"):
        train_encoder(photos, tmp_path, base, replace(sizes, levels=(9, 9, 9)), TRAINING, QUIET)
    bare = Model(base.generator, None, replace(base.header, discriminator=None))
    with pytest.raises(UsageError, match="discriminator"):
        train_encoder(photos, tmp_path, bare, sizes, TRAINING, QUIET)
    assert list(tmp_path.iterdir()) == []
