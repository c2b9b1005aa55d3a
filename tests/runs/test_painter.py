"""Painters in run folders: what a run leaves, that it continues at any moment, what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from portraitist.data import ImageSet, read_image
from portraitist.data.images import Pixels
from portraitist.data.teacher import TeacherPictures
from portraitist.errors import BadData, UsageError
from portraitist.io.painter_files import PainterHeader, load_painter
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.painter import PainterAnatomy
from portraitist.networks.translator_anatomy import PanelAnatomy
from portraitist.runs.painter import SHEET, TEACHER, PainterOptions, PainterRun, distill
from portraitist.train.painter import PainterTraining
from portraitist.train.painter_terms import AdversarialTerm, ColourTerm, FeatureTerm, PerceptualTerm
from portraitist.train.signals import Asked, Interrupted
from tests.train.test_painter_training import Colours

pytestmark = pytest.mark.recipe
ANATOMY = PainterAnatomy((4, 4, 8), 1, 4.0)
TINY = PainterTraining(
    images=16,
    batch=2,
    side=32,
    panel=PanelAnatomy((3,), 4),
    perceptual=PerceptualTerm(crop=16),
    adversarial=AdversarialTerm(crop=16),
    feature_discriminator=FeatureTerm(crop=16),
    held_out=0.1,
    tick=8,
    snapshot=8,
)
ABOUT = PainterHeader(ANATOMY, name="mine", licence="CC0-1.0", style_name="wild", style_digest="ab", lineage=[{"a": 1}])
OPTIONS = PainterOptions(quiet=True, perceptual=PerceptualDistance(Colours()), identity=Colours(), about=ABOUT)


class Negative:
    """Draws the negative; sends itself a signal at a picture."""

    digest = "negative"

    def __init__(self, stop_at: int = 0) -> None:
        self.stop_at, self.drawn = stop_at, 0

    def draw(self, photo: Pixels) -> Pixels:
        self.drawn += 1
        if self.drawn == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return 255 - photo


@pytest.fixture(scope="module")
def done(photos: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "p"
    distill(photos, photos, out, Negative(), ANATOMY, TINY, OPTIONS)
    return out


def test_what_a_run_leaves(done: Path) -> None:
    header = load_painter(done).header
    assert (header.name, header.licence, header.style_name, header.teacher_digest) == (
        "mine",
        "CC0-1.0",
        "wild",
        "negative",
    )
    assert header.painter == ANATOMY and header.side == 32 and header.training["data"]["count"] == 10
    assert (
        header.lineage[0] == {"a": 1} and header.lineage[1]["images_seen"] == 16 and header.lineage[1]["base"] == "ab"
    )
    lines = [json.loads(line) for line in (done / "stats.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [8, 16]
    measured = {"held_out", "held_out_spread", "held_out_pixels", "held_out_perceptual", "held_out_identity"}
    assert measured <= lines[0].keys() and header.metrics.keys() == measured
    assert header.metrics["held_out_pixels"] == pytest.approx(lines[-1]["held_out_pixels"], abs=1e-6)
    assert len(list((done / TEACHER).glob("*.png"))) == 10
    # Eight held-out photos, a row each: photo, teacher, painter.
    assert read_image(done / SHEET).shape == (8 * 34 - 2, 3 * 34 - 2, 3)
    assert [p.name for p in sorted((done / "samples").iterdir())] == ["images-000000008.png", "images-000000016.png"]


def test_the_sheet_shows_the_teacher_beside_the_photo(done: Path) -> None:
    sheet = read_image(done / SHEET).astype(int)
    photo, teacher, painter = (sheet[:32, x : x + 32] for x in (0, 34, 68))
    assert abs(photo + teacher - 255).max() == 0 and abs(painter - photo).max() > 0


def test_it_goes_on_where_it_was(done: Path, photos: ImageSet, tmp_path: Path) -> None:
    steady = replace(TINY, decay_from=1.0)
    distill(photos, photos, tmp_path / "a", Negative(), ANATOMY, steady, OPTIONS)
    distill(photos, photos, tmp_path / "b", Negative(), ANATOMY, replace(steady, images=8), OPTIONS)
    again = Negative()
    path = distill(photos, photos, tmp_path / "b", again, ANATOMY, steady, OPTIONS)
    assert load_painter(path).digest == load_painter(tmp_path / "a").digest and again.drawn == 0
    # The learning rate falls towards the last image, so that one cannot be moved.
    with pytest.raises(UsageError, match="images: 16 -> 32"):
        distill(photos, photos, done, Negative(), ANATOMY, replace(TINY, images=32), OPTIONS)


def test_a_run_that_an_earlier_version_began_goes_on(done: Path, photos: ImageSet, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "p")
    settings = tmp_path / "p" / "settings.json"
    told = json.loads(settings.read_text())
    del told["colour"], told["painter"]["grey"]
    settings.write_text(json.dumps(told))
    path = distill(photos, photos, tmp_path / "p", Negative(), ANATOMY, TINY, OPTIONS)
    assert load_painter(path).digest == load_painter(done).digest
    with pytest.raises(UsageError, match="colour"):
        coloured = replace(TINY, colour=ColourTerm(1.0))
        distill(photos, photos, tmp_path / "p", Negative(), ANATOMY, coloured, OPTIONS)


def test_a_signal_among_the_teacher_s_pictures_loses_none(done: Path, photos: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        distill(photos, photos, tmp_path / "c", Negative(stop_at=4), ANATOMY, TINY, OPTIONS)
    teacher = Negative()
    path = distill(photos, photos, tmp_path / "c", teacher, ANATOMY, TINY, OPTIONS)
    assert teacher.drawn == 6 and load_painter(path).digest == load_painter(done).digest


class Two:
    """The process group of one of two threads."""

    def __init__(self, rank: int, meeting: threading.Barrier) -> None:
        self.rank, self.size, self.meeting = rank, 2, meeting

    def barrier(self) -> None:
        self.meeting.wait(60)

    def all_reduce_max(self, number: int) -> int:
        self.meeting.wait(60)
        return number


def test_processes_share_what_the_teacher_has_to_draw(photos: ImageSet, tmp_path: Path) -> None:
    meeting, teachers = threading.Barrier(2), [Negative(), Negative()]

    def draw(rank: int) -> None:
        run = PainterRun(
            photos, photos, tmp_path / "g", teachers[rank], ANATOMY, TINY, OPTIONS, PerceptualDistance(Colours())
        )
        run.prepare(run.start("cpu"), Two(rank, meeting), Asked())  # type: ignore[arg-type]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(draw, (0, 1)))
    assert [teacher.drawn for teacher in teachers] == [5, 5]
    pairs = TeacherPictures(tmp_path / "g" / TEACHER, 32, Negative()).pairs(photos)
    assert torch.equal(pairs.drawings, 255 - torch.stack([photos[k] for k in range(10)]))


def test_the_teacher_draws_no_more_photos_than_it_may(photos: ImageSet, tmp_path: Path) -> None:
    teacher = Negative()
    few = replace(TINY, photos=9, images=2, held_out=0.0)
    path = distill(photos, photos, tmp_path / "d", teacher, ANATOMY, few, OPTIONS)
    assert teacher.drawn == 9 and load_painter(path).header.training["data"]["count"] == 9
    assert load_painter(path).header.metrics == {}


def test_it_stops_when_held_out_exemplars_come_no_nearer(photos: ImageSet, tmp_path: Path) -> None:
    calm = replace(TINY, images=400, learning_rate=1e-9, patience=2)
    path = distill(photos, photos, tmp_path / "e", Negative(), ANATOMY, calm, OPTIONS)
    assert load_painter(path).header.lineage[-1]["images_seen"] == 16  # two ticks that gained nothing


def test_it_starts_from_a_painter_of_another_style(done: Path, photos: ImageSet, tmp_path: Path) -> None:
    first = load_painter(done)
    still = replace(TINY, images=2, learning_rate=1e-12)
    told = replace(OPTIONS, start=first, about=replace(ABOUT, licence="CC-BY-4.0", credit="her drawings"))
    path = distill(photos, photos, tmp_path / "s", Negative(), ANATOMY, still, told)
    after = load_painter(path)
    for name, tensor in first.painter.state_dict().items():
        assert torch.allclose(after.painter.state_dict()[name], tensor, atol=1e-8), name
    assert after.header.training["start"] == {"name": "mine", "digest": first.digest}
    # Its weights come of both.
    assert (after.header.licence, after.header.credit) == ("CC0-1.0 AND CC-BY-4.0", "her drawings")
    unknown = replace(told, about=replace(ABOUT, licence=""))
    path = distill(photos, photos, tmp_path / "u", Negative(), ANATOMY, still, unknown)
    assert load_painter(path).header.licence == ""
    with pytest.raises(UsageError, match=r"start\.digest: .* -> "):
        distill(photos, photos, tmp_path / "s", Negative(), ANATOMY, still, OPTIONS)
    with pytest.raises(UsageError, match="Take its own sizes"):
        larger = PainterAnatomy((4, 4, 8), 2, 4.0)
        distill(photos, photos, tmp_path / "f", Negative(), larger, still, replace(OPTIONS, start=first))


def test_what_cannot_be_trained_on_is_refused(photos: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exemplars have 32 pixels and the training 64"):
        large = replace(photos, resolution=64)
        distill(large, photos, tmp_path / "f", Negative(), ANATOMY, replace(TINY, side=64), OPTIONS)
    with pytest.raises(UsageError, match="perceptual distance"):
        distill(photos, photos, tmp_path / "f", Negative(), ANATOMY, TINY, replace(OPTIONS, perceptual=None))
    with pytest.raises(UsageError, match=r"embedder is given, and identity.weight is 0"):
        idle = replace(TINY, identity=replace(TINY.identity, weight=0.0))
        distill(photos, photos, tmp_path / "f", Negative(), ANATOMY, idle, OPTIONS)
    with pytest.raises(BadData, match="Cannot hold out 8 of 6"):
        distill(photos.subset(range(6)), photos, tmp_path / "f", Negative(), ANATOMY, TINY, OPTIONS)
    assert not (tmp_path / "f").exists()


def test_a_folder_of_another_kind_of_run_is_told(photos: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "settings.json").write_text(json.dumps({"paths": [], "batch": 8}))
    with pytest.raises(UsageError, match="batch: 8 -> "):
        distill(photos, photos, tmp_path / "r", Negative(), ANATOMY, TINY, OPTIONS)


def test_without_patience_the_last_painter_counts(photos: ImageSet, tmp_path: Path) -> None:
    few = replace(TINY, images=400, patience=1, learning_rate=1e-9)
    stopped = load_painter(distill(photos, photos, tmp_path / "p", Negative(), ANATOMY, few, OPTIONS))
    assert stopped.header.lineage[-1]["images_seen"] < 40
    on = replace(few, patience=0)
    last = load_painter(distill(photos, photos, tmp_path / "p", Negative(), ANATOMY, on, OPTIONS))
    assert last.header.lineage[-1]["images_seen"] == 400
    *_, path = sorted((tmp_path / "p" / "snapshots").glob("*.safetensors"))
    with safe_open(path, "pt") as file:
        for name, tensor in last.painter.state_dict().items():
            assert torch.equal(file.get_tensor(f"average.{name}"), tensor), name
