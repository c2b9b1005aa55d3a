"""Whole videos: what is drawn, what stays as it was, and runs that are stopped."""

from __future__ import annotations

import gc
import logging
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data.images import Pixels
from portraitist.detail.look import Look
from portraitist.errors import BadImage, NoFaceFound, UsageError
from portraitist.faces import Landmarks, align
from portraitist.io.model_file import Model
from portraitist.io.painter_files import PainterHeader, StoredPainter
from portraitist.networks.painter import PainterAnatomy, new_painter
from portraitist.stylize import ByEncoder, PhotoPainter, Stylizer
from portraitist.video import PainterArtist, StyleArtist, VideoSource, record_camera, redraw, redraw_video
from portraitist.video.artists import DrawnFace
from portraitist.video.tracks import Arrays

from ..stylize.tiny_encoders import make_encoder
from .made_videos import BLUE, RED, FollowingFinder, frames_of, scene, sound_of, times_of, walk, write_video

FINDER = FollowingFinder()


@pytest.fixture(scope="module")
def artist() -> PainterArtist:
    """A painter that makes everything much darker."""
    anatomy = PainterAnatomy((4, 6, 8), 1, 5.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        painter = new_painter(anatomy).eval()
        torch.nn.init.constant_(painter.paint.bias, -1.0)
    return PainterArtist(PhotoPainter(StoredPainter(painter, PainterHeader(anatomy, side=32, style_name="dark"))))


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redraw, "SEGMENT", 6)


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_faces_are_redrawn_and_sound_times_and_background_stay(tmp_path: Path, artist: PainterArtist) -> None:
    times = [k * 20 + (k % 3) * 6 for k in range(14)]
    source = write_video(tmp_path / "v.mp4", 14, times=times, sound="aac")
    told: list[tuple[int, int | None]] = []
    report = redraw_video(
        source, tmp_path / "o.mp4", artist, finder=FINDER, on_frame=lambda done, all_: told.append((done, all_))
    )
    assert (report.frames, report.drawn, report.people, report.undecodable, report.resumed) == (14, 14, 1, 0, 0)
    assert told == [(k, 14) for k in range(1, 15)] and leftovers(tmp_path) == []
    assert times_of(tmp_path / "o.mp4") == times_of(source) and sound_of(tmp_path / "o.mp4") == sound_of(source)
    before, after = (np.array(frames_of(path)).astype(int) for path in (source, tmp_path / "o.mp4"))
    face = before[..., 0] > 180
    changed = np.abs(after - before).mean(axis=3)
    assert changed[face].mean() > 25 and changed[:, :, :8].mean() < 2


@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_colours_keep_their_meaning(tmp_path: Path, artist: PainterArtist, matrix: int) -> None:
    wall = np.array([150, 60, 90], np.uint8)
    source = write_video(tmp_path / "v.mp4", 2, lambda k: np.where(walk(k) == 110, wall, walk(k)), matrix=matrix)
    redraw_video(source, tmp_path / "o.mp4", artist, finder=FINDER)
    with VideoSource.open(tmp_path / "o.mp4") as out:
        assert out.colour.matrix == matrix
    before, after = (frames_of(path)[0][:, :8].astype(int) for path in (source, tmp_path / "o.mp4"))
    assert np.abs(after - before).mean() < 2.5 and np.abs(before - wall).mean() < 2.5


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_other_containers_keep_sound_and_times(tmp_path: Path, artist: PainterArtist, suffix: str) -> None:
    source = write_video(tmp_path / f"v{suffix}", 7, sound="aac")
    redraw_video(source, tmp_path / f"o{suffix}", artist, finder=FINDER)
    assert times_of(tmp_path / f"o{suffix}") == times_of(source)
    assert sound_of(tmp_path / f"o{suffix}") == sound_of(source)


def test_what_begins_late_begins_at_once_with_its_sound(tmp_path: Path, artist: PainterArtist) -> None:
    source = write_video(tmp_path / "v.ts", 7, sound="aac", start=1200)
    redraw_video(source, tmp_path / "o.mp4", artist, finder=FINDER)
    pictures, sound = times_of(tmp_path / "o.mp4"), sound_of(tmp_path / "o.mp4")
    shift = times_of(source)[0] - pictures[0]
    assert 1 < shift and 0 <= pictures[0] < 0.2
    assert abs((sound_of(source)[0][0] - sound[0][0]) - shift) < 1e-3
    # Each packet of a transport stream has a header of its own, which an mp4 has once.
    assert all(before.endswith(after) for (_, after), (_, before) in zip(sound, sound_of(source), strict=True))


def test_a_turned_video_is_written_upright(tmp_path: Path, artist: PainterArtist) -> None:
    source = write_video(tmp_path / "v.mp4", 2, lambda k: np.ascontiguousarray(np.rot90(walk(k), -1)), rotation=90)
    redraw_video(source, tmp_path / "o.mp4", artist, finder=FINDER)
    with VideoSource.open(tmp_path / "o.mp4") as out:
        assert (out.width, out.height) == (96, 64)
    assert np.abs(frames_of(tmp_path / "o.mp4")[0][:, :8].astype(int) - 110).mean() < 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, artist: PainterArtist) -> tuple[Path, bytes]:
    """A video of 20 frames, and what a run that is not stopped makes of it."""
    folder = tmp_path_factory.mktemp("whole")
    source = write_video(folder / "v.mp4", 20, sound="aac")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redraw, "SEGMENT", 6)
        redraw_video(source, folder / "o.mp4", artist, finder=FINDER)
    return source, (folder / "o.mp4").read_bytes()


@pytest.mark.parametrize("stop", [1, 13, 20])
def test_a_stopped_run_goes_on_and_gives_the_same_bytes(
    tmp_path: Path, artist: PainterArtist, whole: tuple[Path, bytes], stop: int
) -> None:
    source, wanted = whole

    def stopping(done: int, every: int | None) -> None:
        if done == stop:
            raise KeyboardInterrupt

    out = tmp_path / "o.mp4"
    with pytest.raises(KeyboardInterrupt):
        redraw_video(source, out, artist, finder=FINDER, on_frame=stopping)
    assert not out.exists()
    kept = {path: path.read_bytes() for path in tmp_path.glob(".o.mp4.*/*")}
    assert len(kept) == (stop - 1) // 6
    (tmp_path / ".o.mp4.0123.parts").mkdir()  # of a run with other settings
    seen: list[int] = []

    def watching(done: int, every: int | None) -> None:
        seen.append(done)
        assert all(path.read_bytes() == data for path, data in kept.items())

    report = redraw_video(source, out, artist, finder=FINDER, on_frame=watching)
    assert report.resumed == len(kept) * 6 and seen == list(range(report.resumed + 1, 21))
    assert out.read_bytes() == wanted and leftovers(tmp_path) == []
    assert (report.frames, report.drawn, report.people) == (20, 20, 1)


def test_a_damaged_segment_is_made_anew(tmp_path: Path, artist: PainterArtist, whole: tuple[Path, bytes]) -> None:
    (source, wanted), out = whole, tmp_path / "o.mp4"

    def stopping(done: int, every: int | None) -> None:
        if done == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        redraw_video(source, out, artist, finder=FINDER, on_frame=stopping)
    second = sorted(tmp_path.glob(".o.mp4.*/*"))[1]
    second.write_bytes(second.read_bytes()[:-7])
    assert redraw_video(source, out, artist, finder=FINDER).resumed == 6
    assert out.read_bytes() == wanted


def test_memory_does_not_grow_with_the_length(tmp_path: Path, artist: PainterArtist) -> None:
    held: list[int] = []

    def watching(done: int, every: int | None) -> None:
        if done in (8, 32):  # both two frames into a segment
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])

    source = write_video(tmp_path / "v.mp4", 34, lambda k: walk(min(k, 34 - k)))
    redraw_video(write_video(tmp_path / "w.mp4", 2), tmp_path / "first.mp4", artist, finder=FINDER)
    tracemalloc.start()
    redraw_video(source, tmp_path / "o.mp4", artist, finder=FINDER, on_frame=watching)
    tracemalloc.stop()
    assert held[1] - held[0] < 96 * 64 * 3  # not even one of 24 frames


def test_a_face_that_cannot_be_drawn_leaves_its_frame_as_it_is(tmp_path: Path) -> None:
    @dataclass
    class Leaving:
        name: str = "leaving"

        @property
        def settings(self) -> dict[str, object]:
            return {}

        def draw(self, frame: Pixels, landmarks: Landmarks, memory: Arrays) -> DrawnFace:
            memory["count"] = np.array([int(memory.get("count", np.zeros(1))[0]) + 1])
            if memory["count"][0] == 3:
                raise BadImage("The landmarks lie outside the picture.", kind="landmarks")
            return DrawnFace(np.zeros((16, 16, 3), np.uint8), align(frame, landmarks, 16), None)

    source = write_video(tmp_path / "v.mp4", 5)
    report = redraw_video(source, tmp_path / "o.mp4", Leaving(), finder=FINDER)
    assert (report.drawn, report.undrawn, report.frames) == (4, 1, 5)
    black = [bool((frame.max(axis=2) < 40).mean() > 0.1) for frame in frames_of(tmp_path / "o.mp4")]
    assert black == [True, True, False, True, True]


def test_the_largest_alone_is_drawn_where_that_is_asked_for(tmp_path: Path, artist: PainterArtist) -> None:
    source = write_video(tmp_path / "v.mp4", 3, lambda k: scene([(26, 32, 12, RED), (68, 32, 18, BLUE)]))
    redraw_video(source, tmp_path / "o.mp4", artist, finder=FINDER, which="largest")
    before, after = (np.array(frames_of(path)).astype(int) for path in (source, tmp_path / "o.mp4"))
    changed = np.abs(after - before).mean(axis=3)
    assert changed[before[..., 2] > 180].mean() > 20 and changed[:, 28:36, 22:30].mean() < 4


def test_what_cannot_be_made_is_refused_before_work(tmp_path: Path, artist: PainterArtist) -> None:
    source = write_video(tmp_path / "v.mp4", 3)
    (tmp_path / "there.mp4").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        redraw_video(source, tmp_path / "there.mp4", artist, finder=FINDER)
    with pytest.raises(UsageError, match=r"End it in \.mp4, \.mov, \.mkv"):
        redraw_video(source, tmp_path / "o.avi", artist, finder=FINDER)
    loud = write_video(tmp_path / "loud.mov", 3, sound="pcm_mulaw")
    with pytest.raises(UsageError, match=r"cannot be copied into a file of \.mp4. Write a \.mkv or a \.mov"):
        redraw_video(loud, tmp_path / "o.mp4", artist, finder=FINDER)
    redraw_video(loud, tmp_path / "o.mov", artist, finder=FINDER)
    with pytest.raises(NoFaceFound, match="No frame"):
        redraw_video(write_video(tmp_path / "w.mp4", 3, lambda k: scene([])), tmp_path / "n.mp4", artist, finder=FINDER)
    assert (tmp_path / "there.mp4").read_bytes() == b"mine" and leftovers(tmp_path) == []
    assert not (tmp_path / "n.mp4").exists()


def test_a_camera_is_recorded_until_it_is_interrupted_or_time_is_up(tmp_path: Path, artist: PainterArtist) -> None:
    path = write_video(tmp_path / "camera.mkv", 20)

    def stopping(done: int, every: int | None) -> None:
        assert every is None
        if done == 8:
            raise KeyboardInterrupt

    wanted: list[tuple[float | None, Callable[[int, int | None], None] | None, int]] = [
        (None, stopping, 8),
        (0.3, None, 9),
        (None, None, 20),
    ]
    for seconds, on_frame, count in wanted:
        with VideoSource.camera(str(path), format="matroska") as camera:
            out = tmp_path / f"{count}.mp4"
            report = record_camera(camera, out, artist, finder=FINDER, seconds=seconds, on_frame=on_frame)
        assert report.frames == count == len(frames_of(out))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("has_look", [True, False])
def test_a_style_holds_a_persons_code_where_the_frame_brings_the_motion(
    tmp_path: Path, tiny_model: Model, tiny_style: Model, has_look: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    style = replace(tiny_style, look=Look.neutral()) if has_look else tiny_style
    stylizer = Stylizer(tiny_model, {"wild": style}, inversion=ByEncoder(make_encoder(tiny_model)), finder=FINDER)
    codes: list[np.ndarray] = []
    draw = stylizer.redraw
    monkeypatch.setattr(
        stylizer, "redraw", lambda crop, code: codes.append(code.data.numpy().copy()) or draw(crop, code=code)
    )
    source = write_video(tmp_path / "v.mp4", 12)
    report = redraw_video(source, tmp_path / "o.mp4", StyleArtist(stylizer), finder=FINDER)
    moves = [float(np.abs(b - a).mean()) for a, b in pairwise(codes)]
    assert report.drawn == 12 and all(move > 0 for move in moves[:7])
    assert (max(moves[7:]) == 0) == has_look


def test_a_video_takes_one_style_and_no_further_pictures(tiny_model: Model, tiny_style: Model) -> None:
    both = Stylizer(tiny_model, {"a": tiny_style, "b": tiny_style})
    with pytest.raises(UsageError, match="one style, not in a, b"):
        StyleArtist(both)
    varied = Stylizer(tiny_model, {"a": tiny_style}, inversion=ByEncoder(make_encoder(tiny_model), samples=2))
    with pytest.raises(UsageError, match="no samples"):
        StyleArtist(varied)


def test_what_is_lost_is_said(tmp_path: Path, artist: PainterArtist, caplog: pytest.LogCaptureFixture) -> None:
    source = write_video(tmp_path / "v.mp4", 2, transfer=16)
    with caplog.at_level(logging.WARNING, "portraitist"):
        redraw_video(source, tmp_path / "o.mp4", artist, finder=FINDER)
    assert "HDR10 (PQ)" in caplog.text
    with VideoSource.open(tmp_path / "o.mp4") as out:
        assert out.hdr == "HDR10 (PQ)"
