from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from portraitist.data.images import Pixels
from portraitist.data.video import write_video
from portraitist.errors import UsageError


def frames(count: int, height: int = 32, width: int = 48) -> Iterator[Pixels]:
    for k in range(count):
        frame = np.full((height, width, 3), 40, np.uint8)
        frame[:, k * width // count : (k + 1) * width // count] = (200, 120, 90)
        yield frame


def decoded(path: Path) -> tuple[list[Pixels], float]:
    if path.suffix == ".mp4":
        av = pytest.importorskip("av")
        with av.open(str(path)) as container:
            rate = float(container.streams.video[0].average_rate)
            return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)], rate
    with Image.open(path) as image:
        found = []
        for k in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(k)
            found.append(np.asarray(image.convert("RGB")))
        return found, 1000 / image.info["duration"]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_frames_come_back_in_number_size_order_and_speed(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"v{suffix}", frames(6), fps=20)
    found, rate = decoded(path)
    assert len(found) == 6 and {f.shape for f in found} == {(32, 48, 3)} and rate == 20
    for drawn, wanted in zip(found, frames(6), strict=True):
        assert np.abs(drawn.astype(float) - wanted).mean() < 6
    again, _ = decoded(write_video(path, frames(6), fps=20, overwrite=True))
    assert np.array_equal(found, again)


def test_an_mp4_of_odd_sides_gains_a_row_and_a_column(tmp_path: Path) -> None:
    found, _ = decoded(write_video(tmp_path / "v.mp4", frames(2, 31, 47)))
    assert found[0].shape == (32, 48, 3)
    assert decoded(write_video(tmp_path / "v.gif", frames(2, 31, 47)))[0][0].shape == (31, 47, 3)


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    for suffix in (".mp4", ".gif"):
        path = write_video(tmp_path / f"v{suffix}", frames(1))
        with Image.open(path) if suffix == ".gif" else path.open("rb") as file:
            assert file is not None
    assert len(decoded(tmp_path / "v.mp4")[0]) == 1


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_an_existing_file_stays_and_a_failure_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    path.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        write_video(path, frames(2))
    assert path.read_bytes() == b"mine"

    def growing() -> Iterator[Pixels]:
        yield from frames(3)
        yield np.zeros((8, 8, 3), np.uint8)

    with pytest.raises(UsageError, match="does not fit"):
        write_video(tmp_path / f"bad{suffix}", growing())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "count", "fps", "message"),
    [("v.avi", 2, 30, "video format"), ("v.gif", 0, 30, "needs a frame"), ("v.gif", 2, 0, "cannot be shown")],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str, count: int, fps: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_video(tmp_path / name, frames(count), fps=fps)
    assert not list(tmp_path.iterdir())


def test_without_av_the_error_names_the_cure_and_a_gif_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "av", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install \"portraitist\[video\]\""):
        write_video(tmp_path / "v.mp4", frames(2))
    assert write_video(tmp_path / "v.gif", frames(2)).is_file()
