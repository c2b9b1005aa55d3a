from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data import ImageSet, write_image
from portraitist.errors import BadModel, UsageError
from portraitist.io import registry
from portraitist.io.model_file import Header, Model, generator_digest, load_model, read_header, save_model
from portraitist.networks import DiscriminatorAnatomy, GeneratorAnatomy
from portraitist.recipes.run import ImageBatches, Settings, Source, train
from portraitist.train.spec import Rests, Training
from tests.conftest import make_model

CHANNELS = (8, 8, 8)
SCRATCH = Source(generator=GeneratorAnatomy(16, CHANNELS, 8, 8, 2), discriminator=DiscriminatorAnatomy(16, CHANNELS))
TRAINING = Training(images=24, batch=4, tick=8, snapshot=12, r1_every=2, path_every=3, seed=3)


def draw_exemplars(folder: Path, count: int = 10) -> Path:
    random = np.random.default_rng(0)
    for i in range(count):
        write_image(folder / f"{i:02d}.png", random.integers(0, 255, (16, 16, 3), dtype=np.uint8))
    return folder


@pytest.fixture(scope="module")
def exemplars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_exemplars(tmp_path_factory.mktemp("exemplars"))


@pytest.fixture(scope="module")
def images(exemplars: Path) -> ImageSet:
    return ImageSet.open(exemplars, 16, mirror=True)


def test_a_run_leaves_a_model_that_tells_how_it_was_made(images: ImageSet, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "Zoë 1"
    about = Header(SCRATCH.generator, name="drawn", licence="CC0-1.0", credit="Zoë")  # type: ignore[arg-type]
    path = train(images, out, SCRATCH, TRAINING, Settings(about=about, quiet=True))
    model = load_model(path)
    header = model.header
    assert (header.kind, header.name, header.licence, header.credit) == ("model", "drawn", "CC0-1.0", "Zoë")
    assert header.recipe["batch"] == 4 and header.recipe["networks"]["generator"]["channels"] == list(CHANNELS)
    (line,) = header.lineage
    assert line["data"] == {"digest": images.digest, "count": 10} and line["images_seen"] == 24 and line["base"] == ""
    assert model.discriminator is not None and model.generator.w_mean.abs().sum() > 0
    z = torch.randn(10_000, 8, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(model.generator.mapping(z).mean(0), model.generator.w_mean, atol=0.1)
    lines = [json.loads(text) for text in (out / "stats.jsonl").read_text().splitlines()]
    assert [x["images"] for x in lines] == [8, 16, 24] and {"loss_d", "loss_g", "r1", "ada_p"} <= lines[0].keys()
    assert [p.name for p in sorted((out / "samples").iterdir())] == [
        f"images-{n:09d}.png" for n in (0, 12, 24)
    ]
    assert [p.name for p in sorted((out / "snapshots").iterdir())] == [
        "snapshot-000000012.safetensors",
        "snapshot-000000024.safetensors",
    ]
    assert any(p.name.startswith("events.out") for p in (out / "tensorboard").iterdir())
    assert json.loads((out / "settings.json").read_text())["images"] == 24
    assert not (out / "lock.json").exists() and not (out / "style.safetensors").exists()


def test_fine_tuning_leaves_a_style_and_what_it_needs(
    images: ImageSet, tmp_path: Path, models_folder: Path, tiny_model: Model
) -> None:
    before = tiny_model.digest
    training = replace(TRAINING, images=8, rests=Rests(mapping=True, discriminator_from=16))
    about = Header(tiny_model.generator.anatomy, name="drawn", licence="CC0-1.0")
    train(images, tmp_path / "run", Source(base=tiny_model), training, Settings(about=about, quiet=True))
    pack = read_header(tmp_path / "run" / "style.safetensors")
    assert (pack.kind, pack.name, pack.base_name) == ("style-pack", "drawn", "tiny")
    assert pack.base_digest == generator_digest(tiny_model) == pack.lineage[-1]["base"]
    style, whole = registry.load(tmp_path / "run"), load_model(tmp_path / "run" / "model.safetensors")
    assert generator_digest(style) == generator_digest(whole) != generator_digest(tiny_model)
    assert all(
        torch.equal(p, q)
        for p, q in zip(style.generator.mapping.parameters(), tiny_model.generator.mapping.parameters(), strict=True)
    )
    assert tiny_model.digest == before
    assert load_model(tmp_path / "run" / "base.safetensors").digest == before  # it has no name to be found by
    registry.add(save_model(tmp_path / "tiny.safetensors", tiny_model))
    train(images, tmp_path / "known", Source(base=tiny_model), training, Settings(about=about, quiet=True))
    assert not (tmp_path / "known" / "base.safetensors").exists()
    assert generator_digest(registry.load(tmp_path / "known")) == generator_digest(whole)


def test_the_lineage_grows(images: ImageSet, tmp_path: Path, models_folder: Path) -> None:
    first = load_model(train(images, tmp_path / "a", SCRATCH, replace(TRAINING, images=4), Settings(quiet=True)))
    second = load_model(train(images, tmp_path / "b", Source(base=first), replace(TRAINING, images=8), Settings(quiet=True)))
    assert [x["images_seen"] for x in second.header.lineage] == [4, 8]
    assert second.header.lineage[1]["base"] == generator_digest(first)


def test_a_finished_run_gives_the_same_model_again_and_can_be_prolonged(images: ImageSet, tmp_path: Path) -> None:
    short = train(images, tmp_path / "a", SCRATCH, replace(TRAINING, images=12), Settings(quiet=True))
    before = load_model(short).digest
    assert load_model(train(images, tmp_path / "a", SCRATCH, replace(TRAINING, images=12), Settings(quiet=True))).digest == before
    longer = load_model(train(images, tmp_path / "a", SCRATCH, TRAINING, Settings(quiet=True)))
    at_once = load_model(train(images, tmp_path / "b", SCRATCH, TRAINING, Settings(quiet=True)))
    assert longer.digest == at_once.digest != before
    ticks = [json.loads(text)["images"] for text in (tmp_path / "a" / "stats.jsonl").read_text().splitlines()]
    assert ticks == [8, 16, 24]


def test_other_settings_data_and_sizes_are_refused_by_name(images: ImageSet, tmp_path: Path, exemplars: Path) -> None:
    def go(pictures: ImageSet = images, source: Source = SCRATCH, training: Training = TRAINING) -> None:
        train(pictures, tmp_path / "run", source, replace(training, images=4), Settings(quiet=True))

    go()
    with pytest.raises(UsageError, match="batch: 4 -> 2"):
        go(training=replace(TRAINING, batch=2))
    with pytest.raises(UsageError, match=r"rests.mapping: False -> True"):
        go(training=replace(TRAINING, rests=Rests(mapping=True)))
    with pytest.raises(UsageError, match=r"data.count: 10 -> 9.*data.digest"):
        go(images.subset(range(9)))
    wide = replace(SCRATCH, generator=GeneratorAnatomy(16, (8, 8, 9), 8, 8, 2))
    with pytest.raises(UsageError, match=r"networks.generator.channels: \[8, 8, 8\] -> \[8, 8, 9\]"):
        go(source=wide)
    with pytest.raises(UsageError, match="base:  -> "):
        go(source=Source(base=make_model()))
    go(training=replace(TRAINING, tick=4, snapshot=4))


def test_mirroring_is_the_setting_of_the_training(exemplars: Path) -> None:
    images = ImageSet.open(exemplars, 16, mirror=False)
    plain = {bytes(images[i].numpy()) for i in range(len(images))}
    for mirror in (False, True):
        batches = ImageBatches([images], replace(TRAINING, mirror=mirror))
        seen = torch.cat([batches.at(i) for i in range(0, 40, TRAINING.batch)]).add(1).mul(127.5).round().byte()
        assert any(bytes(x.numpy()) not in plain for x in seen) == mirror


def test_what_cannot_end_well_is_refused_before_the_first_step(images: ImageSet, tmp_path: Path) -> None:
    base = make_model()
    with pytest.raises(UsageError, match="no discriminator"):
        Source(base=Model(base.generator, None, base.header))
    with pytest.raises(BadModel, match="cannot be a model's name"):
        train(images, tmp_path / "run", SCRATCH, TRAINING, Settings(about=Header(base.generator.anatomy, name="a b")))
    anatomies = GeneratorAnatomy(32, (*CHANNELS, 8), 8, 8, 2), DiscriminatorAnatomy(32, (*CHANNELS, 8))
    with pytest.raises(UsageError, match="images have 16 pixels and the networks 32"):
        train(images, tmp_path / "run", Source(generator=anatomies[0], discriminator=anatomies[1]), TRAINING)
    assert not (tmp_path / "run").exists()


def test_logs_and_samples_never_end_a_training(
    images: ImageSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reference = train(images, tmp_path / "whole", SCRATCH, TRAINING, Settings(quiet=True))
    run = tmp_path / "run"
    run.mkdir()
    (run / "stats.jsonl").mkdir()  # whatever is written there fails
    (run / "samples").write_text("in the way")
    (run / "tensorboard").write_text("in the way")
    path = train(images, run, SCRATCH, TRAINING, Settings(quiet=True))
    assert load_model(path).digest == load_model(reference).digest
    for words in ("log of an earlier run", "statistics of 8 images", "samples of 12 images"):
        assert words in caplog.text


def test_leftovers_of_a_killed_writer_are_swept(images: ImageSet, tmp_path: Path) -> None:
    left = [tmp_path / "run" / part / ".x.png.part" for part in ("", "samples", "snapshots")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    train(images, tmp_path / "run", SCRATCH, replace(TRAINING, images=4), Settings(quiet=True))
    assert not any(path.exists() for path in left)


# What follows kills real trainers.

SETTINGS = [
    *("--resolution", "16", "--channel-base", "128", "--channel-cap", "8", "--latent", "8", "--mapping-layers", "2"),
    *("--set", "batch=4", "--set", "snapshot=20", "--set", "tick=8", "--set", "r1_every=2", "--seed", "3"),
]


def trainer(exemplars: Path, out: Path, images: int, *more: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", "from portraitist.cli.main import main; main()"]
    command = [*program, "train", str(exemplars), "-o", str(out), "--images", str(images)]
    return subprocess.Popen(
        [*command, *SETTINGS, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, words = process.communicate()
    return process.returncode, out, words


def wait_for(found: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not found():
        if process.poll() is not None:
            raise AssertionError(finish(process))
        assert time.monotonic() < deadline
        time.sleep(0.02)


def steps(run: Path) -> int:
    try:
        return len((run / "stats.jsonl").read_text().splitlines())
    except FileNotFoundError:
        return 0


IMAGES = 600


@pytest.fixture(scope="module")
def undisturbed(exemplars: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    code, _, words = finish(trainer(exemplars, run, IMAGES))
    assert code == 0, words
    return (run / "model.safetensors").read_bytes()


@pytest.mark.recipe
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_writes_a_snapshot_and_the_run_continues_bit_for_bit(
    exemplars: Path, tmp_path: Path, undisturbed: bytes, number: signal.Signals, code: int
) -> None:
    run = tmp_path / "run"
    first = trainer(exemplars, run, IMAGES)
    wait_for(lambda: steps(run) >= 3, first)
    first.send_signal(number)
    ended, _, words = finish(first)
    assert ended == code and f"error: stopped by {number.name}" in words and "Traceback" not in words
    assert list((run / "snapshots").iterdir()) and not (run / "model.safetensors").exists()
    assert not (run / "lock.json").exists()
    ended, out, words = finish(trainer(exemplars, run, IMAGES))
    assert ended == 0 and "continuing from snapshot-" in words and out.strip().endswith("model.safetensors")
    assert (run / "model.safetensors").read_bytes() == undisturbed


@pytest.mark.recipe
def test_a_second_trainer_is_refused_while_the_first_lives(exemplars: Path, tmp_path: Path) -> None:
    first = trainer(exemplars, tmp_path / "run", 1_000_000)
    wait_for((tmp_path / "run" / "lock.json").exists, first)
    code, _, words = finish(trainer(exemplars, tmp_path / "run", 1_000_000))
    first.kill()
    assert finish(first)[0] == -signal.SIGKILL
    assert code == 2 and "error: Another process trains" in words and "Traceback" not in words


@pytest.mark.recipe
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(
    exemplars: Path, tmp_path: Path, undisturbed: bytes
) -> None:
    run, kills = tmp_path / "run", 0
    random = np.random.default_rng(int.from_bytes(os.urandom(4), "big"))
    for _ in range(3):
        process = trainer(exemplars, run, IMAGES)
        seen = steps(run)
        wait_for(lambda: steps(run) != seen, process)  # noqa: B023
        time.sleep(float(random.uniform(0, 0.5)))
        process.kill()
        kills += finish(process)[0] == -signal.SIGKILL
    assert kills > 0
    code, _, words = finish(trainer(exemplars, run, IMAGES))
    assert code == 0, words
    assert (run / "model.safetensors").read_bytes() == undisturbed
    assert [p for p in run.rglob("*") if p.name.endswith(".part")] == []
