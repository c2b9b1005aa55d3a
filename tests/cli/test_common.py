"""What every command takes: --json, --verbose, --quiet, --config."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from portraitist.cli.config import _of_run
from portraitist.data import write_image
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.train.signals import Interrupted
from tests.cli.bare import PYTORCH, answers
from tests.cli.conftest import Run


@pytest.fixture
def photo(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> Path:
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    return write_image(tmp_path / "photos" / "me.png", np.asarray(astronaut())[40:200, 150:310])


def drawn(photo: Path, *more: object) -> tuple[object, ...]:
    return ("stylize", photo, "--aligned", "--steps", "1", *more)


def test_json_is_the_one_object_on_stdout(run: Run, photo: Path) -> None:
    code, out, _ = run(*drawn(photo, "--json"))
    (line,) = out
    found = json.loads(line)
    file = str(photo.with_name("me.wild.png"))
    assert code == found["exit_code"] == 0 and found["command"] == "stylize" and found["files"] == [file]
    assert found["photos"][0]["status"] == "done" and found["lines"] == []
    code, out, err = run(*drawn(photo, "--json"))
    found = json.loads(out[-1])
    assert code == found["exit_code"] == 2 and "exists already" in found["error"] and found["cure"]
    assert err.startswith("error: ")
    found = json.loads(run("sample", "tiny", "-o", photo.parent / "s", "--seeds", "1", "--json")[1][-1])
    assert found["command"] == "sample" and found["files"] == [str(photo.parent / "s" / "sheet.png")]


def test_a_folder_with_a_bad_photo_says_so_in_json(run: Run, photo: Path, tmp_path: Path) -> None:
    (photo.parent / "zz.jpg").write_bytes(b"no picture")
    code, out, _ = run(*drawn(photo.parent, "-o", tmp_path / "out", "--json"))
    found = json.loads(out[-1])
    assert code == found["exit_code"] == 3 and [p["status"] for p in found["photos"]] == ["done", "failed"]


@pytest.mark.parametrize("command", [["encoder", "list"], ["recipes"], ["models"]])
def test_lists_are_one_object_too(run: Run, photo: Path, command: list[str]) -> None:
    code, out, _ = run(*command, "--json")
    (line,) = out
    assert code == 0 and json.loads(line)["command"] == " ".join(command)


def test_how_much_is_said(run: Run, photo: Path, tmp_path: Path) -> None:
    logger = logging.getLogger("portraitist")
    before = logger.level
    quiet = run(*drawn(photo.parent, "-o", tmp_path / "a", "-q"))
    assert quiet[0] == 0 and quiet[2] == ""
    assert "photos" in run(*drawn(photo.parent, "-o", tmp_path / "b"))[2]
    plain, verbose = (run(*drawn(photo, "-o", tmp_path / f"c{more}", *more)) for more in ((), ("-v",)))
    assert plain[2] == "" and verbose[2].splitlines()[0] == "loading the models ..." and "drawing" in verbose[2]
    assert logger.level == before
    assert "cannot be combined" in run(*drawn(photo, "-v", "-q"))[2]


def test_options_come_from_a_file_and_typed_ones_count_more(run: Run, photo: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("style: [wild]\naligned: true\nsteps: 1\nsuffix: .webp\nsheet: true\npaste_back: false\n")
    assert run("stylize", photo, "--config", file)[0] == 0
    assert run("stylize", photo, "--config", file, "--suffix", ".jpg", "-o", tmp_path / "o")[0] == 0
    assert sorted(p.name for p in photo.parent.iterdir()) == ["me.png", "me.sheet.webp", "me.wild.webp"]
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["me.sheet.jpg", "me.wild.jpg"]


def doubling(levels: int) -> str:
    """Return YAML of a few lines that holds 2 ** levels settings."""
    lines = ["set:", "  k0: &k0 {a: 1}"]
    return "\n".join([*lines, *(f"  k{i}: &k{i} {{a: *k{i - 1}, b: *k{i - 1}}}" for i in range(1, levels))])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("styel: wild", "names 'styel', which this command does not know"),
        ("style: wild\nstyle: oil", "names 'style' twice"),
        ("set:\n  a: 1\n  a: 2", "names 'a' twice"),
        ('{"style": "wild", "style": "oil"}', "names 'style' twice"),
        ("seed: true", "it is no switch"),
        ("style: [[wild]]", "lists within a list"),
        ("style: &a [*a]", "aliases"),
        (doubling(34), "aliases"),
        ("config: other.yaml", "names 'config'"),
        ("strength: [1, 2]", "more than one value"),
        ("strength: heavy", "--strength"),
        ("[1, 2]", "holds no options"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_bad_file_of_options_is_refused(run: Run, photo: Path, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / ("run.json" if text.startswith("{") else "run.yaml")
    file.write_text(text)
    code, _, err = run(*drawn(photo, "--config", file))
    assert code == 2 and message in err and len(err.splitlines()) == 1
    os.mkfifo(tmp_path / "pipe.yaml")
    for name in ("none.yaml", "pipe.yaml", "."):
        assert "cannot be read" in run(*drawn(photo, "--config", tmp_path / name))[2]


def test_shells_complete_commands() -> None:
    program = [sys.executable, "-c", "from portraitist.cli.main import main; main()"]
    words = {"_PORTRAITIST_COMPLETE": "complete_bash", "COMP_WORDS": "portraitist mod", "COMP_CWORD": "1"}

    done = subprocess.run(program, env=os.environ | words, capture_output=True, text=True)
    assert "models" in done.stdout.split()


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("structure+freeze_fc (paper)", {"recipe": "structure+freeze_fc", "preset": "paper"}),
        ("baseline (default)", {"recipe": "baseline", "preset": "default"}),
        ("from_scratch (default)", {}),  # a training without a recipe takes no preset either
        ("grow (default)", {}),
    ],
)
def test_the_settings_of_a_run_name_its_recipe_and_preset(recipe: str, options: dict[str, str]) -> None:
    names = dict.fromkeys(("recipe", "preset", "set", "images"))
    found = {"recipe": recipe, "images": 8, "batch": 4, "version": "1", "data": {}, "libraries": {"torch": "2"}}
    assert _of_run(found | {"allowed": ["batch"]}, names) == {**options, "images": 8, "set": {"batch": 4}}


def test_every_command_has_the_common_options() -> None:
    import inspect

    import typer

    from portraitist.cli.main import app

    def commands(of: typer.Typer) -> list[tuple[str, set[str]]]:
        found = [
            (c.callback, set(inspect.signature(c.callback).parameters)) for c in of.registered_commands if c.callback
        ]
        below = [
            each for group in of.registered_groups if group.typer_instance for each in commands(group.typer_instance)
        ]
        return [*((callback.__qualname__, names) for callback, names in found), *below]

    found = commands(app)
    assert len(found) > 30
    assert [name for name, has in found if not has >= {"as_json", "verbose", "quiet", "config"}] == []


def test_what_cannot_work_is_refused_before_pytorch_loads(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo.parent)
    Path("text.jpg").write_text("no photo")
    Path("me.toon3d.png").touch()
    wrong = [
        ("stylize", "nothing.jpg"),
        ("stylize", "text.jpg"),
        ("stylize", "me.png", "--style", "toon3d"),
        ("stylize", "me.png", "--style", "nobody"),
        ("invert", "text.jpg"),
        ("train", "nothing", "-o", "run"),
        ("evaluate", "inversion", "nothing", "-o", "out"),
        ("encoder", "train", "nothing", "-o", "out"),
        ("serve", "--style", "nobody"),
    ]
    for words, done in zip(wrong, answers(wrong), strict=True):
        assert done.code in (2, 3) and done.err.startswith("error: ") and done.out == "", (words, done)
        assert not PYTORCH & set(done.loaded), words


def test_a_terminal_shows_stages_and_ends_with_the_picture(photo: Path) -> None:
    pty, termios = (pytest.importorskip(name, reason="needs a terminal of POSIX") for name in ("pty", "termios"))

    program = [sys.executable, "-c", "from portraitist.cli.main import main; main()"]
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (24, 80))
    done = subprocess.Popen(
        [*program, *map(str, drawn(photo, "-s", "toon3d"))], stdin=subprocess.DEVNULL, stdout=inner, stderr=inner
    )
    os.close(inner)
    said = b""
    with contextlib.suppress(OSError):  # how a terminal ends on Linux
        while part := os.read(outer, 4096):
            said += part
    os.close(outer)
    assert done.wait() == 0
    text = said.decode()
    assert "loading the models" in text and "drawing: 100%" in text and "0 steps" not in text
    *_, last = filter(None, _seen(text))
    assert last == str(photo.with_name("me.toon3d.png"))


def _seen(text: str) -> list[str]:
    """Return the lines that a terminal shows in the end: a return goes back, and what follows is written over."""
    lines = []
    for line in text.split("\r\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part.removeprefix("\x1b[2K") if part.startswith("\x1b[2K") else part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


def test_what_cannot_be_parsed_is_json_too(run: Run, photo: Path) -> None:
    for words, command in (
        (["stylize", photo, "--nope"], "stylize"),
        (["stylize", photo, "-v", "-q"], "stylize"),
        (["models", "show"], "models show"),
        (["stylize", photo, "--config", "none.yaml"], "stylize"),
    ):
        code, out, err = run(*words, "--json")
        (found,) = map(json.loads, out)
        assert code == found["exit_code"] == 2 and found["error"] and found["cure"] and found["command"] == command
        assert err.startswith("error: ")


def test_json_that_nobody_takes_changes_no_exit_code(photo: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "portraitist", "stylize", photo, "--nope", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2 and done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


def test_what_a_file_leaves_as_it_is_asks_for_nothing(run: Run, photo: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("reference-aligned: false\nappearance-from: 64\nstyle: [wild]\n")
    assert run(*drawn(photo, "--config", file))[0] == 0
    file.write_text("reference-aligned: true\n")
    assert "is for --reference" in run(*drawn(photo, "--config", file, "-o", tmp_path / "o"))[2]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (MemoryError(), 4),
        (Interrupted(signal.SIGTERM), 143),
    ],
)
def test_json_has_the_exit_code_of_the_program(
    run: Run, photo: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fails(*given: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(registry, "load", fails)
    found, out, _ = run("sample", "tiny", "-o", photo.parent / "s", "--json")
    told = json.loads(out[-1])
    assert found == told["exit_code"] == code and told["error"]


def test_standard_output_takes_one_thing(run: Run, photo: Path) -> None:
    assert "takes the picture or the JSON" in run(*drawn(photo, "-o", "-", "--json"))[2]
    assert "has no report" in run(*drawn(photo, "-o", "-", "--report", photo.parent / "r.json"))[2]
