"""Videos on the command line: where they go, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from portraitist.errors import UsageError
from portraitist.faces import registry as finders
from portraitist.io.painter_files import PainterHeader, StoredPainter, save_painter
from portraitist.networks.painter import PainterAnatomy, new_painter
from portraitist.stylize import PhotoPainter
from portraitist.video import PainterArtist, redraw_video

from ..video.made_videos import FollowingFinder, frames_of, scene, write_video
from .conftest import Run


@pytest.fixture
def painter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a small painter; discs are found as faces."""
    monkeypatch.setitem(finders.FINDERS, next(iter(finders.FINDERS)), FollowingFinder)
    anatomy = PainterAnatomy((4, 6, 8), 1, 5.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stored = StoredPainter(new_painter(anatomy).eval(), PainterHeader(anatomy, side=32, name="dark"))
    save_painter(tmp_path / "painter.safetensors", stored)
    return tmp_path / "painter.safetensors"


def test_a_video_is_drawn_to_where_it_is_wanted(tmp_path: Path, painter: Path, run: Run) -> None:
    clip = write_video(tmp_path / "clip.mov", 3)
    for words, place in (
        ([], tmp_path / "clip.dark.mov"),
        (["-o", tmp_path / "out.mp4"], tmp_path / "out.mp4"),
        (["-o", tmp_path / "folder"], tmp_path / "folder" / "clip.dark.mov"),
    ):
        assert run("stylize", clip, "--painter", painter, *words)[:2] == (0, [str(place)])
        assert len(frames_of(place)) == 3
    code, _, error = run("stylize", clip, "--painter", painter)
    assert code == 2 and "exists already" in error
    assert run("stylize", clip, "--painter", painter, "--overwrite")[0] == 0


def test_a_photo_is_painted_too(tmp_path: Path, painter: Path, run: Run) -> None:
    from portraitist.data import write_image

    write_image(tmp_path / "me.png", scene([(40, 30, 14, (220, 40, 40))]))
    assert run("stylize", tmp_path / "me.png", "--painter", painter)[:2] == (0, [str(tmp_path / "me.dark.png")])


@pytest.mark.parametrize(
    "words, reason",
    [
        (["clip.mp4", "--sheet"], "--sheet has no meaning for a video"),
        (["clip.mp4", "--size", 300], "--size has no meaning for a video"),
        (["clip.mp4", "--face", "2"], "no numbers"),
        (["clip.mp4", "--style", "toon3d"], "--style belongs to styles"),
        (["clip.mp4", "--seconds", 3], "--seconds is for a camera"),
        (["clip.mp4", "--camera", "0", "-o", "o.mp4"], "one after the other"),
        (["--camera", "0"], "needs a name"),
        (["--camera", "77", "-o", "o.mp4"], "camera '77' cannot be opened"),
        (["missing.mp4"], "cannot be read"),
        (["clip.mp4", "-o", "o.avi"], "End it in .mp4"),
        (["clip.mp4", "-o", "clip.mp4", "--overwrite"], "written over what it is made of"),
        (["clip.mp4", "-o", "-"], "cannot be written to standard output"),
        (["clip.mp4", "--config", "sized.yaml"], "--size has no meaning for a video"),
        ([], "nothing to draw"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, painter: Path, run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = write_video(tmp_path / "clip.mp4", 2).read_bytes()
    (tmp_path / "sized.yaml").write_text("size: 300\n")
    code, _, error = run("stylize", *words, "--painter", painter)
    assert code == 2 and reason in error, error
    assert (tmp_path / "clip.mp4").read_bytes() == before and not (tmp_path / "-").exists()


def test_a_video_without_a_face_fails(tmp_path: Path, painter: Path, run: Run) -> None:
    clip = write_video(tmp_path / "clip.mp4", 2, lambda k: scene([]))
    code, _, error = run("stylize", clip, "--painter", painter)
    assert code == 3 and "shows a face" in error and not (tmp_path / "clip.dark.mp4").exists()


def test_videos_that_share_a_stem_keep_apart(tmp_path: Path, painter: Path, run: Run) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    clips = [write_video(tmp_path / name, 2) for name in ("clip.mp4", "clip.mov", "a/other.mp4", "b/other.mp4")]
    for out, places in (
        ([], ["clip.mp4.dark.mp4", "clip.mov.dark.mov", "a/other.dark.mp4", "b/other.dark.mp4"]),
        (
            ["-o", tmp_path / "o"],
            ["o/clip.mp4.dark.mp4", "o/clip.mov.dark.mov", "o/a/other.dark.mp4", "o/b/other.dark.mp4"],
        ),
    ):
        code, told, error = run("stylize", *clips, clips[0], "--painter", painter, *out)
        assert (code, told) == (0, [str(tmp_path / place) for place in places]), error


def test_one_folder_may_be_spelled_in_two_ways(
    tmp_path: Path, painter: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4", 2)
    shutil.copy("clip.mp4", "clip.mov")
    code, told, error = run("stylize", "clip.mp4", tmp_path / "clip.mov", "--painter", painter)
    assert (code, told) == (0, ["clip.mp4.dark.mp4", str(tmp_path / "clip.mov.dark.mov")]), error


def test_a_source_is_not_written_over_from_python_either(tmp_path: Path, painter: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", 2)
    before = clip.read_bytes()
    (tmp_path / "same.mp4").hardlink_to(clip)
    artist = PainterArtist(PhotoPainter.load(painter, finder=FollowingFinder(), device="cpu"))
    for out in (clip, tmp_path / "same.mp4"):
        with pytest.raises(UsageError, match="written over what it is made of"):
            redraw_video(clip, out, artist, finder=FollowingFinder(), overwrite=True)
    assert clip.read_bytes() == before
