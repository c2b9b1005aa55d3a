from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from portraitist.data import ImageBatches, ImageSet, read_image, write_image
from portraitist.errors import BadData, BadModel, NothingLearned, PortraitistError, UsageError
from portraitist.evaluate.held_out import parts_of
from portraitist.io import registry
from portraitist.io.headers import Header, read_header
from portraitist.io.model_file import Model, generator_digest, load_model, save_model
from portraitist.networks import DiscriminatorAnatomy, GeneratorAnatomy
from portraitist.recipes import compose
from portraitist.runs.finetune import Exemplars, TrainOptions, train
from portraitist.runs.source import Source
from portraitist.train.source_losses import Structure
from portraitist.train.spec import Freeze, Training
from tests.conftest import make_model
from tests.runs.trainers import Trainer

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
    return ImageSet.open(exemplars, 16)


def test_a_run_leaves_a_model_that_tells_how_it_was_made(images: ImageSet, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "Zoë 1"
    about = Header(SCRATCH.generator, name="drawn", licence="CC0-1.0", credit="Zoë")  # type: ignore[arg-type]
    path = train(images, out, SCRATCH, TRAINING, TrainOptions(about=about, quiet=True))
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
    assert [p.name for p in sorted((out / "samples").iterdir())] == [f"images-{n:09d}.png" for n in (0, 12, 24)]
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
    training = replace(TRAINING, images=8, frozen=Freeze(mapping=True, discriminator_from=16))
    about = Header(tiny_model.generator.anatomy, name="drawn", licence="CC0-1.0")
    train(images, tmp_path / "run", Source(base=tiny_model), training, TrainOptions(about=about, quiet=True))
    pack = read_header(tmp_path / "run" / "style.safetensors")
    assert (pack.kind, pack.name, pack.base_name) == ("style-pack", "drawn", "tiny")
    assert pack.base_digest == generator_digest(tiny_model) == pack.lineage[-1]["base"]
    known = parts_of(pack, images.subset([2, 5, 7]))
    assert known.trained is not None and len(known.trained) == 3 and "trained on 3 of these 3" in known.warning
    style, whole = registry.load(tmp_path / "run"), load_model(tmp_path / "run" / "model.safetensors")
    assert generator_digest(style) == generator_digest(whole) != generator_digest(tiny_model)
    assert all(
        torch.equal(p, q)
        for p, q in zip(style.generator.mapping.parameters(), tiny_model.generator.mapping.parameters(), strict=True)
    )
    assert tiny_model.digest == before
    assert load_model(tmp_path / "run" / "base.safetensors").digest == before  # it has no name to be found by
    registry.add(save_model(tmp_path / "tiny.safetensors", tiny_model))
    train(images, tmp_path / "known", Source(base=tiny_model), training, TrainOptions(about=about, quiet=True))
    assert not (tmp_path / "known" / "base.safetensors").exists()
    assert generator_digest(registry.load(tmp_path / "known")) == generator_digest(whole)


def test_the_lineage_grows(images: ImageSet, tmp_path: Path, models_folder: Path) -> None:
    first = load_model(train(images, tmp_path / "a", SCRATCH, replace(TRAINING, images=4), TrainOptions(quiet=True)))
    second = load_model(
        train(images, tmp_path / "b", Source(base=first), replace(TRAINING, images=8), TrainOptions(quiet=True))
    )
    assert [x["images_seen"] for x in second.header.lineage] == [4, 8]
    assert second.header.lineage[1]["base"] == generator_digest(first)


def test_a_finished_run_gives_the_same_model_again_and_can_be_prolonged(images: ImageSet, tmp_path: Path) -> None:
    short = train(images, tmp_path / "a", SCRATCH, replace(TRAINING, images=12), TrainOptions(quiet=True))
    before = load_model(short).digest
    assert (
        load_model(
            train(images, tmp_path / "a", SCRATCH, replace(TRAINING, images=12), TrainOptions(quiet=True))
        ).digest
        == before
    )
    longer = load_model(train(images, tmp_path / "a", SCRATCH, TRAINING, TrainOptions(quiet=True)))
    at_once = load_model(train(images, tmp_path / "b", SCRATCH, TRAINING, TrainOptions(quiet=True)))
    assert longer.digest == at_once.digest != before
    ticks = [json.loads(text)["images"] for text in (tmp_path / "a" / "stats.jsonl").read_text().splitlines()]
    assert ticks == [8, 16, 24]


def test_other_settings_data_and_sizes_are_refused_by_name(images: ImageSet, tmp_path: Path, exemplars: Path) -> None:
    def go(pictures: ImageSet = images, source: Source = SCRATCH, training: Training = TRAINING) -> None:
        train(pictures, tmp_path / "run", source, replace(training, images=4), TrainOptions(quiet=True))

    go()
    with pytest.raises(UsageError, match="batch: 4 -> 2"):
        go(training=replace(TRAINING, batch=2))
    with pytest.raises(UsageError, match=r"frozen.mapping: False -> True"):
        go(training=replace(TRAINING, frozen=Freeze(mapping=True)))
    with pytest.raises(UsageError, match=r"data.count: 10 -> 9.*data.digest"):
        go(images.subset(range(9)))
    wide = replace(SCRATCH, generator=GeneratorAnatomy(16, (8, 8, 9), 8, 8, 2))
    with pytest.raises(UsageError, match=r"networks.generator.channels: \[8, 8, 8\] -> \[8, 8, 9\]"):
        go(source=wide)
    with pytest.raises(UsageError, match="base:  -> "):
        go(source=Source(base=make_model()))
    go(training=replace(TRAINING, tick=4, snapshot=4))


def test_mirroring_is_the_setting_of_the_training(exemplars: Path) -> None:
    images = ImageSet.open(exemplars, 16)
    plain = {bytes(images[i].numpy()) for i in range(len(images))}
    for mirror in (False, True):
        batches = ImageBatches([images], TRAINING.batch, TRAINING.seed, mirror)
        seen = torch.cat([batches.at(i) for i in range(0, 40, TRAINING.batch)]).add(1).mul(127.5).round().byte()
        assert any(bytes(x.numpy()) not in plain for x in seen) == mirror


def test_what_cannot_end_well_is_refused_before_the_first_step(images: ImageSet, tmp_path: Path) -> None:
    base = make_model()
    with pytest.raises(UsageError, match="no discriminator"):
        Source(base=Model(base.generator, None, base.header))
    with pytest.raises(BadModel, match="cannot be a model's name"):
        train(
            images, tmp_path / "run", SCRATCH, TRAINING, TrainOptions(about=Header(base.generator.anatomy, name="a b"))
        )
    anatomies = GeneratorAnatomy(32, (*CHANNELS, 8), 8, 8, 2), DiscriminatorAnatomy(32, (*CHANNELS, 8))
    with pytest.raises(UsageError, match="images have 16 pixels and the networks 32"):
        train(images, tmp_path / "run", Source(generator=anatomies[0], discriminator=anatomies[1]), TRAINING)
    assert not (tmp_path / "run").exists()


def test_logs_and_samples_never_end_a_training(
    images: ImageSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reference = train(images, tmp_path / "whole", SCRATCH, TRAINING, TrainOptions(quiet=True))
    run = tmp_path / "run"
    run.mkdir()
    (run / "stats.jsonl").mkdir()  # whatever is written there fails
    (run / "samples").write_text("in the way")
    (run / "tensorboard").write_text("in the way")
    path = train(images, run, SCRATCH, TRAINING, TrainOptions(quiet=True))
    assert load_model(path).digest == load_model(reference).digest
    for words in ("log of an earlier run", "statistics of 8 images", "samples of 12 images"):
        assert words in caplog.text


@pytest.fixture(scope="module")
def of_forty(images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run of forty images leaves that nothing has cut."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(images, run, SCRATCH, replace(TRAINING, images=40), TrainOptions(quiet=True))
    return left(run)


@pytest.mark.parametrize("stop", [4, 12, 16, 20])
def test_the_log_and_the_sheets_of_a_continued_run_are_those_of_a_whole_one(
    images: ImageSet, tmp_path: Path, of_forty: dict[str, Any], stop: int
) -> None:
    for count in (stop, 40):
        train(images, tmp_path / "run", SCRATCH, replace(TRAINING, images=count), TrainOptions(quiet=True))
    whole, continued = of_forty, left(tmp_path / "run")
    assert [line["images"] for line in whole["log"]] == [8, 16, 24, 32, 40] and len(whole["sheets"]) == 4
    assert (continued["log"], continued["sheets"]) == (whole["log"], whole["sheets"])


def test_leftovers_of_a_killed_writer_are_swept(images: ImageSet, tmp_path: Path) -> None:
    left = [tmp_path / "run" / part / ".x.png.part" for part in ("", "samples", "snapshots")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    train(images, tmp_path / "run", SCRATCH, replace(TRAINING, images=4), TrainOptions(quiet=True))
    assert not any(path.exists() for path in left)


# What follows fine-tunes with recipes.


def coloured(folder: Path, count: int, colours: Sequence[str]) -> Path:
    """Draw exemplars into a sub-folder per colour: all that is in them is that colour's channel."""
    random = np.random.default_rng(1)
    for channel, colour in enumerate(colours):
        for i in range(count):
            picture = np.zeros((16, 16, 3), np.uint8)
            picture[..., channel] = random.integers(60, 255, (16, 16))
            write_image(folder / colour / f"{i:02d}.png", picture)
    return folder


COLOURS = ("red", "green")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured(tmp_path_factory.mktemp("coloured"), 12, COLOURS)


def short(names: str, paths: tuple[str, ...] = (), **changes: Any) -> Training:
    training = compose(names, 16, paths=paths, start=Training(batch=4, seed=3))
    return replace(training, **{"images": 16, "tick": 8, "snapshot": 8, "r1_every": 2} | changes)


def test_held_out_exemplars_are_never_trained_on(folders: Path) -> None:
    images = ImageSet.open(folders, 16)
    training = short("multipath", COLOURS, held_out=0.2, mirror=False)
    exemplars = Exemplars.of(images, training)
    for colour, rest, held in zip(COLOURS, exemplars.train, exemplars.held_out, strict=True):
        assert len(held) == 5 and len(rest) == 7  # a fifth, but 5 at least
        assert not set(rest.names) & set(held.names)
        assert {*rest.names, *held.names} == {n for n in images.names if n.startswith(colour)}
    held_pixels = {bytes(part[i].numpy()) for part in exemplars.held_out for i in range(len(part))}
    trained = {bytes(part[i].numpy()) for part in exemplars.train for i in range(len(part))}
    batches = ImageBatches(exemplars.train, training.batch, training.seed, training.mirror)
    shown = [batches.at(position) for position in range(0, 120, 4)]
    pixels = {bytes(x.numpy()) for batch in shown for x in batch.add(1).mul(127.5).round().byte()}
    assert pixels == trained and not pixels & held_pixels
    # Half of each batch is of each path, in their order.
    for batch in shown:
        channel = batch.add(1).sum((2, 3)).argmax(1)
        assert channel.tolist() == [0, 0, 1, 1]
    assert Exemplars.of(images, training).held_out[0].names == exemplars.held_out[0].names
    assert Exemplars.of(images, replace(training, seed=4)).held_out[0].names != exemplars.held_out[0].names


@pytest.fixture(scope="module")
def multipath_run(folders: Path, tmp_path_factory: pytest.TempPathFactory, tiny_model: Model) -> Path:
    out = tmp_path_factory.mktemp("multipath") / "run"
    about = Header(tiny_model.generator.anatomy, name="colours", licence="CC0-1.0", credit="Zoë")
    told = TrainOptions(recipe="multipath (paper)", about=about, quiet=True)
    training = short("multipath", COLOURS, learning_rate=0.01)
    path = train(ImageSet.open(folders, 16), out, Source(base=tiny_model), training, told)
    assert path == out / "style.safetensors" and not (out / "model.safetensors").exists()
    return out


def test_a_run_with_paths_leaves_a_pack_of_all_of_them(multipath_run: Path, tiny_model: Model) -> None:
    header = read_header(multipath_run / "style.safetensors")
    assert (header.kind, header.name, header.paths, header.credit) == ("style-pack", "colours", COLOURS, "Zoë")
    assert header.base_digest == generator_digest(tiny_model)
    found = {
        colour: load_model(multipath_run / "style.safetensors", find_base=lambda h: tiny_model, attribute=colour)
        for colour in COLOURS
    }
    base, first, second = (dict(m.generator.named_parameters()) for m in (tiny_model, found["red"], found["green"]))
    own = {n for n in base if (tiny_model.generator.anatomy.place(n) or 0) == 8}
    assert {n for n in base if not torch.equal(first[n], second[n])} == own
    assert all(not torch.equal(first[n], base[n]) for n in own)
    with pytest.raises(UsageError, match="red, green"):
        load_model(multipath_run / "style.safetensors", find_base=lambda h: tiny_model)


def test_a_run_leaves_a_report_a_sheet_and_its_figures(multipath_run: Path) -> None:
    side, gap, shown = 16, 2, 8
    sheet = read_image(multipath_run / "style.png")
    assert sheet.shape == (2 * side + gap, shown * (side + gap) - gap, 3)  # a row for each path
    heroes = re.findall(r'alt="A sample"', (multipath_run / "report.html").read_text(encoding="utf-8"))
    assert len(heroes) >= 6
    card = (multipath_run / "README.md").read_text(encoding="utf-8")
    assert 'license: "cc0-1.0"' in card and "--attribute red" in card and "Zoë" in card
    page = (multipath_run / "report.html").read_text(encoding="utf-8")
    assert "colours" in page and "multipath (paper)" in page and "CC0-1.0" in page
    metrics = read_header(multipath_run / "style.safetensors").metrics
    lines = [json.loads(text) for text in (multipath_run / "stats.jsonl").read_text().splitlines()]
    assert [x["images"] for x in lines] == [8, 16] and all(0 < x["likeness"] <= 1 for x in lines)
    assert {"held_out", "held_out_spread", "likeness", "images", "features", "copies"} == metrics.keys()
    if metrics["images"]:
        (kept,) = [x for x in lines if x["images"] == metrics["images"]]
        assert metrics["held_out"] == pytest.approx(kept["held_out"], abs=1e-5)
    assert metrics["features"].startswith("discriminator ") and metrics["copies"].keys() == {
        "below",
        "threshold",
        "alarm",
    }


def test_toonify_gives_the_high_resolutions_back_to_the_base(images: ImageSet, tmp_path: Path) -> None:
    base = make_model(seed=5, name="tiny")
    training = short("toonify", held_out=0.0, patience=0)
    assert training.blend_upto == 8
    train(images, tmp_path / "run", Source(base=base), training, TrainOptions(quiet=True))
    model = load_model(tmp_path / "run" / "model.safetensors")
    start = base.generator.state_dict()
    for name, value in model.generator.state_dict().items():
        resolution = model.generator.anatomy.place(name)
        if (resolution or 0) > 8:
            assert torch.equal(value, start[name]), name
        elif name in dict(base.generator.named_parameters()):
            assert not torch.equal(value, start[name]), name
    assert model.header.metrics == {}  # nothing was held out


def test_few_exemplars_are_told(images: ImageSet, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base = make_model(seed=5, name="tiny")
    out = tmp_path / "run"
    with pytest.raises(BadData, match="10 exemplars are too few to hold 5 out") as refused:
        train(images, out, Source(base=base), short("baseline"), TrainOptions(quiet=True))
    assert "--set held_out=0" in refused.value.cure and "10 exemplars are few; from 20 on" in caplog.text
    assert refused.value.exit_code == 3 and not out.exists()


@pytest.mark.parametrize(
    ("paths", "changes", "message"),
    [
        ((), {"blend_upto": 24}, "blend_upto is 24"),
        ((), {"terms": (Structure(first=32, last=64),)}, "first resolution"),
        ((), {"frozen": Freeze(mapping=True, generator_upto=16)}, "Every generator layer"),
        ((), {"frozen": Freeze(discriminator_from=4)}, "Every discriminator layer"),
        (COLOURS, {"split_upto": 64}, "split_upto is 64"),
        (("red", "dark green"), {}, "'dark green' cannot be a path"),
        (("red", "blue"), {}, "'blue' is no attribute of these images"),
    ],
)
def test_a_fine_tuning_that_cannot_end_well_is_refused_before_the_first_step(
    folders: Path, tmp_path: Path, paths: tuple[str, ...], changes: dict[str, Any], message: str
) -> None:
    source = Source(base=make_model(seed=5, name="tiny"))
    training = short("multipath" if paths else "baseline", paths, **changes)
    with pytest.raises(PortraitistError, match=message):
        train(ImageSet.open(folders, 16), tmp_path / "run", source, training, TrainOptions(quiet=True))
    assert not (tmp_path / "run").exists()


def test_other_labels_are_other_exemplars(folders: Path, tmp_path: Path) -> None:
    """Held-out exemplars of one path would else be trained on by another after a change of the label file."""
    labels = tmp_path / "labels.csv"
    source = Source(base=make_model(seed=5, name="tiny"))
    training = short("multipath", ("a", "b"), images=4)

    def go(swapped: bool) -> None:
        rows = [(f"{c}/{i:02d}.png", "ab"[(c == "green") ^ (swapped and i == 0)]) for c in COLOURS for i in range(12)]
        labels.write_text("file,kind\n" + "".join(f"{name},{value}\n" for name, value in rows))
        pictures = ImageSet.open(folders, 16, labels=labels)
        with suppress(NothingLearned):
            train(pictures, tmp_path / "run", source, training, TrainOptions(attribute="kind", quiet=True))

    go(swapped=False)
    with pytest.raises(UsageError, match=r"attributes\.a"):
        go(swapped=True)


def test_a_log_in_the_way_does_not_cost_the_report(images: ImageSet, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "stats.jsonl").mkdir(parents=True)
    (run / "samples").write_text("in the way")
    training = short("baseline", held_out=0.0, patience=0, images=8)
    train(images, run, Source(base=make_model(seed=5, name="tiny")), training, TrainOptions(quiet=True))
    assert (run / "report.html").exists() and (run / "style.safetensors").exists()


# What follows kills real trainers.

SETTINGS = [
    *("--resolution", "16", "--channel-base", "128", "--channel-cap", "8", "--latent", "8", "--mapping-layers", "2"),
    *("--set", "batch=4", "--set", "snapshot=20", "--set", "tick=8", "--set", "r1_every=2", "--seed", "3"),
]


def trainer(exemplars: Path, out: Path, images: int) -> Trainer:
    words = ["train", str(exemplars), "-o", str(out), "--images", str(images), *SETTINGS]
    return Trainer(words, out.parent / "printed")


def steps(run: Path) -> int:
    try:
        return len((run / "stats.jsonl").read_text().splitlines())
    except FileNotFoundError:
        return 0


IMAGES = 240


def left(run: Path) -> dict[str, Any]:
    """What a run leaves: its model, its log but for the speed, its sheets."""
    log = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    return {
        "model": (run / "model.safetensors").read_bytes(),
        "log": [{k: v for k, v in line.items() if k not in ("images_per_second", "cpu_seconds")} for line in log],
        "sheets": {sheet.name: sheet.read_bytes() for sheet in (run / "samples").iterdir()},
    }


@pytest.fixture(scope="module")
def undisturbed(exemplars: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    code, _, words = trainer(exemplars, run, IMAGES).finish()
    assert code == 0, words
    return left(run)


@pytest.mark.recipe
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_writes_a_snapshot_and_the_run_continues_bit_for_bit(
    exemplars: Path, tmp_path: Path, undisturbed: dict[str, Any], number: signal.Signals, code: int
) -> None:
    run = tmp_path / "run"
    first = trainer(exemplars, run, IMAGES)
    first.wait_for(lambda: steps(run) >= 3)
    first.send_signal(number)
    ended, _, words = first.finish()
    assert ended == code and f"error: stopped by {number.name}" in words and "Traceback" not in words
    assert list((run / "snapshots").iterdir()) and not (run / "model.safetensors").exists()
    assert not (run / "lock.json").exists()
    ended, out, words = trainer(exemplars, run, IMAGES).finish()
    assert ended == 0 and "continuing from snapshot-" in words and "model.safetensors" in out
    assert left(run) == undisturbed


@pytest.mark.recipe
def test_a_second_trainer_is_refused_while_the_first_lives(exemplars: Path, tmp_path: Path) -> None:
    first = trainer(exemplars, tmp_path / "run", 1_000_000)
    first.wait_for((tmp_path / "run" / "lock.json").exists)
    second = Trainer(["train", str(exemplars), "-o", str(tmp_path / "run"), *SETTINGS], tmp_path / "second")
    code, _, words = second.finish()
    first.send_signal(signal.SIGKILL)
    assert first.finish()[0] == -signal.SIGKILL
    assert code == 2 and "error: Another process trains" in words and "Traceback" not in words


@pytest.mark.recipe
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(
    exemplars: Path, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    run, kills = tmp_path / "run", 0
    random = np.random.default_rng(int.from_bytes(os.urandom(4), "big"))
    for _ in range(3):
        process = trainer(exemplars, run, IMAGES)
        seen = steps(run)
        process.wait_for(lambda: steps(run) != seen)  # noqa: B023
        time.sleep(float(random.uniform(0, 0.5)))
        process.send_signal(signal.SIGKILL)
        kills += process.finish()[0] == -signal.SIGKILL
    assert kills > 0
    code, _, words = trainer(exemplars, run, IMAGES).finish()
    assert code == 0, words
    assert left(run) == undisturbed
    assert [p for p in run.rglob("*") if p.name.endswith(".part")] == []


def test_sheets_that_are_no_samples_are_left_out_of_the_report(
    images: ImageSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base, out = make_model(seed=5, name="tiny"), tmp_path / "run"
    training = short("baseline", held_out=0.0, patience=0, images=8)
    train(images, out, Source(base=base), training, TrainOptions(quiet=True))
    report = (out / "report.html").read_bytes()
    (sheet,) = (out / "samples").glob("images-*8.png")
    shutil.copy(sheet, sheet.with_name("images-000000008-crop.png"))
    sheet.with_name("images-000000004.png").write_bytes(b"torn")
    train(images, out, Source(base=base), training, TrainOptions(quiet=True))
    assert (out / "report.html").read_bytes() == report and "images-000000004.png out of the report" in caplog.text
