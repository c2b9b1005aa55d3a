"""Frames of files and cameras: upright, timed, whatever is wrong with them."""

from __future__ import annotations

import builtins
import re
import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from portraitist.errors import BadData, UsageError
from portraitist.video import VideoSource, is_video
from portraitist.video.source import Frame

from .made_videos import RED, scene, walk, write_video


def frames(path: Path) -> list[Frame]:
    with VideoSource.open(path) as source:
        return list(source.frames())


def test_frames_come_in_order_with_their_times(tmp_path: Path) -> None:
    times = [0, 20, 35, 90, 91, 300]
    found = frames(write_video(tmp_path / "v.mkv", 6, times=times))
    with VideoSource.open(tmp_path / "v.mkv") as source:
        apart = np.diff([frame.time * float(source.tick) for frame in found])
        assert (source.width, source.height, source.sounds) == (96, 64, 0)
    assert np.allclose(apart, np.diff(times) / 600, atol=0.0011)  # Matroska counts milliseconds
    for frame in found:
        assert np.abs(frame.pixels.astype(int) - walk(frame.number)).mean() < 4


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_turned_video_comes_upright(tmp_path: Path, rotation: int) -> None:
    path = write_video(tmp_path / "v.mp4", 2, rotation=rotation)
    with VideoSource.open(path) as source:
        frame = next(source.frames())
        assert frame.pixels.shape == (source.height, source.width, 3)
    # 90 turns the picture a quarter against the clock: what was right is up.
    assert np.abs(frame.pixels.astype(int) - np.rot90(walk(0), rotation // 90)).mean() < 4


def test_it_goes_on_behind_a_place_however_it_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "v.mp4", 30)
    every = frames(path)
    sought: list[bool] = []
    reached = VideoSource._sought
    for can_seek in (True, False):

        def seek(self: VideoSource, mark: Any, can: bool = can_seek) -> bool:
            sought.append(can)
            return can and reached(self, mark)

        monkeypatch.setattr(VideoSource, "_sought", seek)
        with VideoSource.open(path) as source:
            rest = list(source.frames(every[17].mark))
        assert [frame.mark for frame in rest] == [frame.mark for frame in every[18:]]
    assert sought == [True, False]
    other = write_video(tmp_path / "w.mp4", 30, lambda k: walk(k + 5))
    with VideoSource.open(other) as source, pytest.raises(BadData, match="not the video that this run began with"):
        list(source.frames(every[17].mark))


def test_pictures_that_cannot_be_decoded_are_counted_and_the_others_come(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 24)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    at, size = packets[11]
    data[at : at + size] = struct.pack(">I", size - 4) + b"\xff" * (size - 4)
    path.write_bytes(data)
    with VideoSource.open(path) as source:
        found = list(source.frames())
        assert source.undecodable == 1 and source.complete
    assert len(found) == 23 and found[-1].number == 22
    assert np.abs(found[-1].pixels.astype(int) - walk(23)).mean() < 4


def test_a_file_that_breaks_off_gives_what_it_has(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "v.mkv", 30, lambda k: np.random.default_rng(k).integers(0, 255, (64, 96, 3), np.uint8)
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 5 < len(frames(path)) < 25


def test_what_is_no_video_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    write_video(tmp_path / "none.mp4", 0, sound="aac")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        tone: Any = container.add_stream("aac", rate=44100, layout="mono")
        piece = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        piece.sample_rate = 44100
        container.mux(tone.encode(piece))
        container.mux(tone.encode())
    locked = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "00" * 16, "encryption_kid": "11" * 16}
    write_video(tmp_path / "locked.mp4", 3, options=locked)
    reasons = {
        "text.mp4": "no video that can be read",
        "sound.mp4": "no video, only sound",
        "locked.mp4": "is encrypted",
    }
    for name, reason in reasons.items():
        with pytest.raises(BadData, match=reason):
            VideoSource.open(tmp_path / name)
    with pytest.raises(BadData, match=r"no video|no picture"):
        VideoSource.open(tmp_path / "none.mp4")
    for missing in (tmp_path / "missing.mp4", tmp_path):
        with pytest.raises(UsageError, match=re.escape(str(missing))):
            VideoSource.open(missing)


def test_a_playlist_does_not_reach_for_the_network(tmp_path: Path) -> None:
    list_ = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "v.mp4").write_text(list_)
    with pytest.raises(BadData):
        VideoSource.open(tmp_path / "v.mp4")
    for address in ("http://127.0.0.1:9/v.mp4", "concat:a.mp4|b.mp4"):
        with pytest.raises(UsageError, match="cannot be read"):
            VideoSource.open(address)


def test_high_dynamic_range_is_stated(tmp_path: Path) -> None:
    for transfer, name in ((16, "HDR10 (PQ)"), (18, "HLG"), (1, "")):
        with VideoSource.open(write_video(tmp_path / f"{transfer}.mp4", 2, transfer=transfer)) as source:
            assert source.hdr == name


def test_a_camera_is_read_like_a_file_and_refused_where_there_is_none(tmp_path: Path) -> None:
    path = write_video(tmp_path / "camera.mkv", 3, lambda k: scene([(40, 30, 12, RED)]), start=6000)
    with VideoSource.camera(str(path), format="matroska") as source:
        found = list(source.frames())
        assert source.live and source.count is None and len(found) == 3
        assert found[0].time == 0 and 0 < found[1].time * source.tick < 0.05
    with pytest.raises(UsageError, match=r"camera '77' cannot be opened .*--camera"):
        VideoSource.camera("77")


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "v.mp4", 1)
    imported = builtins.__import__

    def missing(name: str, *more: Any, **named: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return imported(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r"portraitist\[video\]"):
        VideoSource.open(path)


def test_videos_are_known_by_their_names() -> None:
    assert is_video("a/CLIP.MP4") and is_video(Path("b.webm")) and not is_video("me.jpg") and not is_video("clips")
