"""What the words of a command mean: several photos, folders, patterns, standard input and output."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from portraitist.cli.inputs import Inputs
from portraitist.data import read_image, write_image
from portraitist.errors import UsageError
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.stylize.discovery import photos
from portraitist.stylize.names import end_of, planned_ends
from tests.cli.bare import PYTORCH, answers
from tests.cli.conftest import Run

FACE = np.asarray(astronaut())[40:200, 150:310]


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in: photos of one stem in two folders and in two formats."""
    folder = tmp_path / "work"
    for name in ("a/me.png", "b/me.png", "b/me.jpg", "b/you.png"):
        write_image(folder / name, FACE)
    monkeypatch.chdir(folder)
    return folder


def stems(*words: str, out: str | None = "out") -> list[str]:
    return [photo.stem for photo in Inputs.of(words, None if out is None else Path(out)).photos]


def test_photos_of_one_stem_get_names_of_their_own(pictures: Path) -> None:
    assert stems("a/me.png", "b/you.png") == ["me", "you"]
    assert stems("a/me.png", "b/me.png") == ["a/me", "b/me"]
    assert stems("b/me.png", "b/me.jpg") == ["me.png", "me.jpg"]
    assert stems("a", "b") == ["a/me", "me", "b/me", "you"]
    assert stems("a/me.png", "a/me.png", str(pictures / "a" / "me.png")) == ["me"]
    assert stems("a/me.png", "b/you.png", out=None) == ["a/me", "b/you"]
    assert Inputs.of(["a/me.png", "b/you.png"], None).out == Path()
    assert Inputs.of(["b/me.png", "b/you.png"], None).out == Path("b")


def test_patterns_are_those_of_shells(pictures: Path) -> None:
    assert stems("*/me.png") == ["a/me", "b/me"]
    assert sorted(stems("**/*.png")) == ["a/me", "b/me", "you"]
    write_image(pictures / "odd[1].png", FACE)
    assert stems("odd[1].png") == ["odd[1]"]
    with pytest.raises(UsageError, match=r"No file matches \*\.gif"):
        Inputs.of(["*.gif"], Path("out"))


def test_a_folder_skips_no_picture_in_silence(pictures: Path, caplog: pytest.LogCaptureFixture) -> None:
    (pictures / "b" / "gone.jpg").symlink_to("nowhere.jpg")
    (pictures / "b" / "from a camera").write_bytes((pictures / "b" / "me.png").read_bytes())
    (pictures / "b" / "raw.NEF").write_bytes(b"raw")
    (pictures / "b" / "notes.txt").write_text("no picture")
    (pictures / "b" / "linked").symlink_to(pictures / "a")
    names = [photo.name for photo in photos(pictures / "b", pictures / "out")]
    assert names == ["from a camera", "gone.jpg", "me.jpg", "me.png", "raw.NEF", "you.png"]
    assert "passed over the linked folder" in caplog.text


def test_names_say_what_was_chosen() -> None:
    assert end_of("oil") == ".oil.png"
    assert end_of("oil", "sample1", face=2, suffix=".jpg") == ".face2.oil.sample1.jpg"
    assert end_of("oil", pasted=True) == ".oil.pasted.png"
    assert end_of("oil", pasted=True, alone=True) == ".face1.oil.pasted.png"
    assert planned_ends(["oil"], [""], which="largest", sheet=True) == [".oil.png", ".sheet.png"]
    assert planned_ends(["oil"], [""], which=2, sheet=True) == [".face2.oil.png", ".face2.sheet.png"]
    every = [
        tuple(planned_ends(["oil"], [""], which=which, pasted=pasted, sheet=sheet))
        for which, pasted, sheet in (
            ("all", False, False),
            ("all", True, False),
            (2, False, False),
            (2, True, False),
            (1, True, True),
            ("all", True, True),
        )
    ]
    assert len({end for ends in every for end in ends}) == 7  # only the pasted photos of the last share a name


def test_runs_into_one_folder_do_not_meet(
    run: Run, known: None, pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("stylize", "b/you.png", "--aligned", "--steps", "1")
    for more in ((), ("--paste-back",), ("--face", "1", "--paste-back")):
        assert run(*words, *more)[0] == 0
    assert sorted(p.name for p in (pictures / "b").glob("you.*")) == [
        "you.face1.wild.pasted.png",
        "you.png",
        "you.wild.pasted.png",
        "you.wild.png",
    ]
    with caplog.at_level(logging.INFO):
        assert stems("b/*.png") == ["me", "you"]
    assert "left out 3 pictures that earlier runs have drawn" in caplog.text


def test_several_photos_and_a_bad_one(run: Run, known: None, pictures: Path) -> None:
    (pictures / "b" / "bad.png").write_bytes(b"no picture")
    words = ("stylize", "a/me.png", "b/bad.png", "b/you.png", "--aligned", "--steps", "1")
    code, out, err = run(*words, "-o", "out")
    assert code == 3 and "2 done, 0 skipped, 1 failed" in out[-1] and "bad.png: " in err
    assert sorted(p.name for p in Path("out").iterdir()) == ["me.wild.png", "report.json", "you.wild.png"]
    code, out, _ = run(*words, "-o", "out")
    assert code == 3 and "0 done, 2 skipped, 1 failed" in out[-1]


def test_a_photo_through_the_shell(run: Run, known: None, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("stylize", "-", "--aligned", "--steps", "1")

    class Given:
        buffer = io.BytesIO((pictures / "b" / "you.png").read_bytes())

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdin", Given())
    assert run(*words, "-o", "out")[:2] == (0, ["out/stdin.wild.png"])
    Given.buffer.seek(0)
    piped = io.TextIOWrapper(io.BytesIO())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", piped)
        assert run(*words, "-o", "-")[0] == 0
    picture = piped.buffer.getvalue()
    assert picture == Path("out/stdin.wild.png").read_bytes() and read_image(picture).shape == (256, 256, 3)
    assert "-o OUT, or -o -" in run(*words)[2]


LISTS = (["models"], ["models", "--json"], ["recipes"], ["encoder", "list"])


def test_lists_need_no_pytorch() -> None:
    for words, done in zip(LISTS, answers(LISTS), strict=True):
        assert done.code == 0 and done.out and not PYTORCH & set(done.loaded), (words, done)


def test_what_exists_is_refused_before_anything_is_loaded(pictures: Path) -> None:
    """Half a second is promised; a machine that is busy with other things may count a little more."""
    Path("a/me.toon3d.png").touch()
    Path("a/me.inverted.png").touch()
    drawn, inverted = answers([["stylize", "a/me.png", "--style", "toon3d"], ["invert", "a/me.png"]])
    assert drawn.code == 2 and "a/me.toon3d.png exists already" in drawn.err and not PYTORCH & set(drawn.loaded)
    assert drawn.seconds < 1.0
    assert inverted.code == 2 and not PYTORCH & set(inverted.loaded)
