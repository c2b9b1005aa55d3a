from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from portraitist.data.images import read_image
from portraitist.data.prepare import prepare
from portraitist.errors import BadData, BadImage, NoFaceFound, UsageError
from tests.data.made_files import encode, noise


@dataclass
class Face:
    image: npt.NDArray[np.uint8]


class Halves:
    """Stands for a face finder: dark pictures have no face, wide ones two (left and right), others one."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, picture: npt.NDArray[np.uint8], name: str) -> list[Face]:
        self.asked.append(name)
        if picture.max() == 0:
            return []
        if picture.max() == 1:
            raise BadImage(f"{name} is too dim.", kind="dim")
        side = picture.shape[0]
        return [Face(picture[:, start : start + side]) for start in range(0, picture.shape[1], side)]


def write(folder: Path, **pictures: npt.NDArray[np.uint8] | bytes) -> Path:
    for stem, picture in pictures.items():
        path = folder / (stem.replace("__", "/") + ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture if isinstance(picture, bytes) else encode(picture, "PNG"))
    return folder


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    dark = np.zeros((8, 8, 3), np.uint8)
    return write(tmp_path / "in", one=noise(8, 8), women__two=noise(8, 16), dark=dark, dim=dark + 1, cut=b"\x89PNG")


def test_every_face_becomes_a_file_and_every_failure_a_line(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    report = prepare(source, out, 8, Halves())
    assert files(out) == ["one.png", "report.json", "women/two.png", "women/two_2.png"]
    assert np.array_equal(read_image(out / "women" / "two_2.png"), noise(8, 16)[:, 8:])
    assert {entry.name: entry.kind for entry in report.left_out} == {
        "cut.png": "truncated",
        "dark.png": NoFaceFound("").kind,
        "dim.png": "dim",
    }
    lines = report.lines()
    assert lines[0] == "3 faces from 2 of 5 pictures (0 finished before)."
    assert len(lines) == 4 and all(entry.reason in line for entry, line in zip(report.left_out, lines[1:], strict=True))
    written = json.loads((out / "report.json").read_text())
    assert [entry["name"] for entry in written["pictures"]] == [entry.name for entry in report.entries]


def test_a_second_run_does_nothing_and_says_the_same(tmp_path: Path, source: Path) -> None:
    first = prepare(source, tmp_path / "out", 8, Halves())
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}
    again = Halves()
    second = prepare(source, tmp_path / "out", 8, again)
    assert again.asked == [] and second.skipped == 5 and second.entries == first.entries
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")} == before


def test_only_what_changed_is_done_again(tmp_path: Path, source: Path) -> None:
    prepare(source, tmp_path / "out", 8, Halves())
    write(source, women__two=noise(8, 8, 5), new=noise(8, 8, 6))
    (tmp_path / "out" / "one.png").unlink()
    again = Halves()
    report = prepare(source, tmp_path / "out", 8, again)
    assert again.asked == ["new.png", "one.png", "women/two.png"] and report.skipped == 3
    # The second face of the old picture is gone with it.
    assert files(tmp_path / "out") == ["new.png", "one.png", "report.json", "women/two.png"]


@pytest.mark.parametrize("change", [{"size": 4}, {"settings": {"finder": "other"}}, {"matte": (0, 0, 0)}])
def test_other_settings_redo_everything(tmp_path: Path, source: Path, change: dict[str, object]) -> None:
    options: dict[str, object] = {"size": 8, "settings": {"finder": "halves"}}
    prepare(source, tmp_path / "out", aligner=Halves(), **options)
    report = prepare(source, tmp_path / "out", aligner=Halves(), **{**options, **change})
    assert report.skipped == 0 and report.faces == 3
    assert read_image(tmp_path / "out" / "one.png").shape[0] == {**options, **change}["size"]


def test_an_interrupted_run_is_continued(tmp_path: Path, source: Path) -> None:
    class Stops(Halves):
        def __call__(self, picture: npt.NDArray[np.uint8], name: str) -> list[Face]:
            if name == "one.png":
                raise KeyboardInterrupt
            return super().__call__(picture, name)

    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out", 8, Stops())
    again = Halves()
    report = prepare(source, tmp_path / "out", 8, again)
    assert again.asked == ["one.png", "women/two.png"] and report.skipped == 3


def test_names_that_would_collide_are_kept_apart(tmp_path: Path) -> None:
    source = write(tmp_path / "in", a=noise(8, 16), a_2=noise(8, 8, 2), b=noise(8, 8, 3))
    (source / "b.jpg").write_bytes(encode(noise(8, 8, 4), "PNG"))
    for _ in range(2):
        report = prepare(source, tmp_path / "out", 8, Halves())
        assert {entry.name: entry.outputs for entry in report.entries} == {
            "a.png": ("a.png", "a_2_.png"),
            "a_2.png": ("a_2.png",),
            "b.jpg": ("b.jpg.png",),
            "b.png": ("b.png.png",),
        }
        assert np.array_equal(read_image(tmp_path / "out" / "a_2.png"), noise(8, 8, 2))
    assert report.skipped == 4


def test_faces_of_vanished_pictures_are_reported_not_deleted(tmp_path: Path, source: Path) -> None:
    prepare(source, tmp_path / "out", 8, Halves())
    (source / "one.png").unlink()
    for _ in range(2):
        report = prepare(source, tmp_path / "out", 8, Halves())
        assert [entry.name for entry in report.gone] == ["one.png"]
        assert report.lines()[-1].startswith("1 faces come from") and (tmp_path / "out" / "one.png").is_file()


def test_an_output_folder_in_the_source_is_refused(tmp_path: Path, source: Path) -> None:
    for out in (source, source / "aligned"):
        with pytest.raises(UsageError):
            prepare(source, out, 8, Halves())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"settings": {}, "pictures": [{"name": 1}]}'])
def test_a_foreign_report_is_refused(tmp_path: Path, source: Path, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text(text)
    with pytest.raises(BadData):
        prepare(source, tmp_path / "out", 8, Halves())


def test_a_report_cannot_name_files_outside(tmp_path: Path, source: Path) -> None:
    victim = tmp_path / "victim.png"
    victim.write_bytes(b"")
    entry = {"name": "one.png", "digest": "", "outputs": ["../victim.png"], "kind": "", "reason": ""}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text(json.dumps({"settings": {}, "pictures": [entry]}))
    with pytest.raises(BadData):
        prepare(source, tmp_path / "out", 8, Halves())
    assert victim.exists()


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path, source: Path) -> None:
    """Fault I-2."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "one.png").write_bytes(b"precious")
    for _ in range(2):  # nor does the report of the first run vouch for it
        report = prepare(source, out, 8, Halves())
        assert {entry.name: entry.kind for entry in report.left_out}["one.png"] == "exists"
        assert (out / "one.png").read_bytes() == b"precious" and (out / "women" / "two.png").is_file()
    assert prepare(source, out, 8, Halves(), overwrite=True).faces == 3
    assert np.array_equal(read_image(out / "one.png"), noise(8, 8))
    assert prepare(source, out, 8, Halves()).skipped == 5


def test_a_name_of_any_bytes_is_reported(tmp_path: Path) -> None:
    """Fault I-3."""
    name = os.fsdecode(b"bad\xff.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(encode(noise(8, 8), "PNG"))
    for skipped in (0, 1):
        report = prepare(tmp_path / "in", tmp_path / "out", 8, Halves())
        assert (report.faces, report.skipped) == (1, skipped)
    assert json.loads((tmp_path / "out" / "report.json").read_text("ascii"))["pictures"][0]["name"] == name


def test_one_long_name_does_not_end_the_set(tmp_path: Path, source: Path) -> None:
    """Faults I-12 and II-2."""
    (source / ("x" + "\u9854" * 83 + ".png")).write_bytes(encode(noise(8, 16), "PNG"))  # no room for _2
    report = prepare(source, tmp_path / "out", 8, Halves())
    assert {e.kind for e in report.left_out} == {"name", "truncated", "no-face", "dim"}
    assert files(tmp_path / "out") == ["one.png", "report.json", "women/two.png", "women/two_2.png"]
