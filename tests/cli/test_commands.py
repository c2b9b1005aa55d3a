from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from typer.main import get_command

from portraitist import Stylizer
from portraitist.cli import options
from portraitist.cli.main import app, main
from portraitist.data import read_image, write_image
from portraitist.errors import UsageError
from portraitist.io import catalogue, registry
from portraitist.io.codes import load_codes
from portraitist.io.formats import as_model
from portraitist.io.headers import read_header
from portraitist.io.model_file import Model, generator_digest, load_model, save_model, save_pack
from portraitist.io.rosinality import write_rosinality
from portraitist.recipes import compose
from portraitist.stylize import ByOptimisation
from portraitist.train.spec import Training
from tests.cli.bare import Answer, answers
from tests.conftest import restyled
from tests.io.foreign_files import make_networks


def named(command: object, name: str = "") -> Iterator[str]:
    """Yield the names of a command and of all below it."""
    yield name
    for below, each in getattr(command, "commands", {}).items():
        yield from named(each, f"{name} {below}".lstrip())


COMMANDS = list(named(get_command(app)))


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


class Program:
    """The command line in this process, through the same door as the console script."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capture = patch, capture

    def __call__(self, *words: object) -> Done:
        self.patch.setattr(sys, "argv", ["portraitist", *map(str, words)])
        self.capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capture.readouterr()
        code = ended.value.code
        return Done(0 if code is None else int(code), out, err)

    def refuses(self, code: int, *words: object) -> str:
        """Run what must fail: one line on stderr, no traceback, nothing on stdout."""
        done = self(*words)
        assert done.code == code, done
        lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and "Traceback" not in done.err and done.out == "", done
        return lines[0]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], models_folder: Path) -> Program:
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)
    return Program(monkeypatch, capsys)


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    """The tiny base and its style as models with names."""
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))


@pytest.fixture
def face(tmp_path: Path) -> Path:
    return write_image(tmp_path / "photos" / "me.png", np.asarray(astronaut())[40:200, 150:310])


@pytest.fixture
def exemplars(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for i in range(9):
        write_image(tmp_path / "drawings" / f"{i}.png", random.integers(0, 255, (16, 16, 3), dtype=np.uint8))
    (tmp_path / "drawings" / "broken.png").write_bytes(b"x")
    return tmp_path / "drawings"


@pytest.fixture(scope="module")
def help_of() -> dict[str, Answer]:
    return dict(zip(COMMANDS, answers([[*command.split(), "--help"] for command in COMMANDS]), strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_at_once_without_the_heavy_parts(help_of: dict[str, Answer], command: str) -> None:
    done = help_of[command]
    assert done.code == 0 and done.loaded == [] and done.err == ""
    assert done.out.startswith(f"Usage: portraitist {command}".rstrip())
    # The promise is half a second; a machine that is busy with other things may count a little more.
    assert done.seconds < 1.0


def test_the_page_of_commands_has_all_of_them_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "usage.md").read_text(encoding="utf-8")
    section = page.partition("\n## All commands\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    groups = {command.rpartition(" ")[0] for command in COMMANDS} - {"models"}  # which lists without a subcommand
    assert sorted(name.strip(" `") for row in rows for name in row.split(",")) == sorted(set(COMMANDS) - groups)


def test_the_package_itself_is_cheap_to_import() -> None:
    code = "import portraitist, sys; assert not {'torch', 'numpy', 'PIL'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version_and_the_help_without_a_command(program: Program) -> None:
    assert program("--version").out.startswith("portraitist 0.")
    done = program()
    assert done.code == 2 and done.out.startswith("Usage: portraitist") and done.err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["stylize"], "Missing argument"),
        (["stylize", "x.png", "--colour"], "No such option"),
        (["stylize", "x.png", "--strength", "9"], "--strength"),
        (["stylize", "missing.png"], "There is no file or folder missing.png"),
        (["stylize", "x" * 300], "There is no file or folder xxx"),
        (["stylize", "missing.png", "-s", "https://example.org/a.pt"], "https://example.org/a.pt is an address"),
        (["stylize", "https://example.org/me.jpg"], "https://example.org/me.jpg is an address, and nothing is"),
        (["train", "http://example.org/set.zip", "-o", "x"], "http://example.org/set.zip is an address"),
        (["convert", "file:///home/me/a.pt", "b.pt"], "is an address"),
        (["evaluate", "distance", "s3://bucket/a.pt", "faces"], "s3://bucket/a.pt is an address"),
        (["prepare", "*.jpg", "-o", "x"], "patterns are not filled in. Give the folder: ."),
        (["train", "drawing[12].png", "-o", "x"], "Give the folder: ."),
        (["prepare", ".", "-o", "-"], "Standard input and output are no files here"),
        (["sample", "tiny", "-o", "-"], "Standard input and output are no files here"),
        (["convert", "-", "a.pt"], "Standard input and output are no files here"),
        (["stylize", "missing.png", "-o", "-"], "There is no file or folder missing.png"),
        (["stylize", "*.png"], "No file matches *.png"),
        (["stylize", "-", "-"], "Give - once"),
        (["stylize", "-"], "-o OUT, or -o -"),
        (["stylize", ".", "-o", "-"], "takes the picture of one photo"),
        (["invert", "missing.png"], "There is no file or folder missing.png"),
        (["stylize", "missing.png", "--suffix", ".gif"], "cannot end in '.gif'"),
        (["stylize", "missing.png", "--face", "second"], "--face takes all, largest or a number"),
        (["stylize", "."], "Give -o OUT"),
        (["sample", "nobody", "-o", "x"], "There is no model 'nobody'"),
        (["sample", "nobody", "-o", "x", "--seeds", "5-3"], "does not list seeds"),
        (["train", ".", "-o", "x", "--licence", "MIT"], "Give --name"),
        (["train", ".", "-o", "x", "--from", "nobody"], "There is no model 'nobody'"),
        (["train", ".", "-o", "x", "--set", "colour=1"], "no setting 'colour'"),
        (["train", ".", "-o", "x", "--seed", "-1"], "--seed"),
        (["sample", "tiny", "-o", "x", "--seeds", str(2**64)], "The largest is 9223372036854775807"),
        (["stylize", ".", "-o", "x", "--seed", str(2**63)], "--seed"),
        (["stylize", "missing.png", "-o", "out.jpg"], "Give -o ., and --suffix .jpg for the format."),
        (["stylize", "missing.png", "-o", "out.tif"], "looks like a picture. Give -o .."),
        (["invert", "missing.png", "-o", "d/code.png"], "looks like a picture. Give -o d."),
        (["models", "show", "nobody"], "There is no model 'nobody'"),
        (["models", "add", "nobody"], "There is no file or folder nobody"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in program.refuses(2, *words)


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["prepare", "a.jpg", "b.jpg", "-o", "x"], "It takes one path: for several files give their folder"),
        (["train", "d/c.jpg", "d/e.jpg", "-o", "x"], "give the folder d. See"),
        (["train", "my", "photo.jpg", "-o", "x"], "names with spaces need quotes"),
        (["train", "-dash.jpg", "-o", "x"], "A file whose name begins with a dash is given as ./-dash.jpg."),
    ],
)
def test_what_cannot_be_parsed_comes_with_a_cure(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], cure: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    for name in ("a.jpg", "b.jpg", "d/c.jpg", "d/e.jpg", "-dash.jpg"):
        (tmp_path / name).touch()
    assert cure in program.refuses(2, *words)


def test_what_is_read_is_never_written_over(program: Program, known: None, tmp_path: Path, tiny_model: Model) -> None:
    source = save_model(tmp_path / "a.safetensors", tiny_model)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "b.safetensors").symlink_to(source)
    before = source.read_bytes()
    for target in (source, tmp_path / "d" / ".." / "a.safetensors", tmp_path / "d" / "b.safetensors"):
        told = program.refuses(2, "convert", source, target, "--overwrite")
        assert "would be written over what it is made of" in told
    told = program.refuses(2, "swap", "--low", "tiny", "--high", source, "--upto", "8", "-o", source, "--overwrite")
    assert "would be written over what it is made of" in told
    assert source.read_bytes() == before


def test_endings_may_be_in_capitals(program: Program, known: None, tmp_path: Path) -> None:
    target = tmp_path / "X.SAFETENSORS"
    assert program("convert", registry.find("tiny"), target, "--name", "mine").code == 0
    assert read_header(target).name == "mine"
    done = program("convert", target, tmp_path / "X.PKL")
    assert done.code == 0 and "a state dict under NVIDIA's names" in done.out
    assert program("convert", tmp_path / "X.PKL", tmp_path / "back.Pt").code == 0


def test_convert_tells_what_it_leaves_out(program: Program, tmp_path: Path) -> None:
    networks = make_networks()
    write_rosinality(tmp_path / "plain.pt", networks)
    tree = torch.load(tmp_path / "plain.pt", weights_only=False)
    torch.save({**tree, "g_optim": {}, "d_optim": None, "iter": 7}, tmp_path / "full.pt")
    done = program("convert", tmp_path / "full.pt", tmp_path / "new.safetensors")
    assert done.code == 0 and "Not read: g, g_optim, iter." in done.err


def test_convert_tells_of_a_clamp_that_a_layout_cannot_hold(program: Program, tmp_path: Path) -> None:
    save_model(tmp_path / "clamped.safetensors", as_model(make_networks(clamp=256)))
    done = program("convert", tmp_path / "clamped.safetensors", tmp_path / "x.pt")
    assert done.code == 0 and "The clamp of 256 is left out" in done.err
    assert "clamp" not in program("convert", tmp_path / "clamped.safetensors", tmp_path / "x.pkl").err
    save_model(tmp_path / "free.safetensors", as_model(make_networks()))
    assert "clamp" not in program("convert", tmp_path / "free.safetensors", tmp_path / "y.pt").err


def test_bad_input_is_exit_code_3(program: Program, known: None, tmp_path: Path, exemplars: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff no")
    assert "bad.jpg: the picture ends early" in program.refuses(3, "stylize", tmp_path / "bad.jpg", "--steps", "1")
    assert "bad.jpg is not a checkpoint" in program.refuses(3, "convert", tmp_path / "bad.jpg", tmp_path / "x.pt")
    (tmp_path / "empty").mkdir()
    assert "0 usable" in program.refuses(3, "train", tmp_path / "empty", "-o", tmp_path / "run")
    assert "48 pixels is not possible" in program.refuses(
        3, "train", exemplars, "-o", tmp_path / "run", "--resolution", "48"
    )
    assert "a model's name" in program.refuses(3, "train", exemplars, "-o", tmp_path / "run", "--name", "a b")


def test_training_asks_for_its_extra_before_it_begins(
    program: Program, known: None, tmp_path: Path, exemplars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    told = program.refuses(2, "train", exemplars, "-o", tmp_path / "run", "--from", "tiny")
    assert 'pip install "portraitist[train]"' in told and not (tmp_path / "run").exists()


def test_storage_is_exit_code_5_and_trust_7(program: Program, known: None, models_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "Cannot write" in program.refuses(5, "sample", "tiny", "-o", tmp_path / "file", "--seeds", "1")
    path = models_folder / "tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert "has changed" in program.refuses(7, "sample", "tiny", "-o", tmp_path / "out")


def test_a_bug_keeps_its_traceback(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(catalogue, "entries", lambda *a: broken())
    monkeypatch.setattr(sys, "argv", ["portraitist", "models"])
    with pytest.raises(KeyError, match="a bug"):
        main()


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 4, "not enough memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), 4, "memory"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_the_systems_own_troubles_have_codes(
    program: Program, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(catalogue, "entries", fail)
    done = program("models")
    assert done.code == code and (words in done.err or code == 130) and "Traceback" not in done.err


def test_stylize_writes_the_pictures_of_the_class(program: Program, known: None, face: Path, tmp_path: Path) -> None:
    done = program("stylize", face, "--aligned", "--steps", "2", "--seed", "5")
    target = face.with_name("me.wild.png")
    assert (done.code, done.out) == (0, f"{target}\n")
    stylizer = Stylizer.load(["wild"], inversion=ByOptimisation(options.projection(steps=2, seed=5)))
    picture = stylizer.stylize(face, aligned=True).faces[0].pictures["wild"]
    assert target.read_bytes() == write_image(tmp_path / "api.png", picture).read_bytes()
    assert "exists already" in program.refuses(2, "stylize", face, "--aligned", "--steps", "2")
    again = program("stylize", face, "--aligned", "--steps", "2", "--overwrite", "--sheet", "-o", tmp_path / "o")
    assert again.out.splitlines() == [str(tmp_path / "o" / "me.wild.png"), str(tmp_path / "o" / "me.sheet.png")]


def test_stylize_without_a_face_is_exit_code_3(program: Program, known: None, tmp_path: Path) -> None:
    wall = write_image(tmp_path / "wall.png", np.full((64, 64, 3), 99, np.uint8))
    assert "No face was found" in program.refuses(3, "stylize", wall, "--steps", "1")


def test_stylize_a_folder_lists_the_bad_and_goes_on(program: Program, known: None, face: Path, tmp_path: Path) -> None:
    (face.parent / "zz.jpg").write_bytes(b"\xff\xd8\xff no")
    out = tmp_path / "out"
    for count in ("1 done, 0 skipped, 1 failed", "0 done, 1 skipped, 1 failed"):
        done = program("stylize", face.parent, "-o", out, "--aligned", "--steps", "1")
        assert done.code == 3 and count in done.out and "zz.jpg: " in done.err and "Traceback" not in done.err
    assert [line["status"] for line in json.loads((out / "report.json").read_text())["photos"]] == ["done", "failed"]
    assert (out / "me.wild.png").is_file()


def test_train_checks_and_stops(program: Program, exemplars: Path, tmp_path: Path) -> None:
    done = program("train", exemplars, "-o", tmp_path / "run", "--resolution", "16", "--dry-run", "--set", "batch=2")
    assert done.code == 0 and "9 images, 1 left out" in done.out and "left out broken.png" in done.err
    settings = json.loads(done.out[: done.out.rindex("}") + 1])
    assert settings["batch"] == 2
    assert settings["r1_gamma"] == pytest.approx(0.0002 * 16**2 / 2)  # the rule looks at the batch that is asked for
    assert not (tmp_path / "run").exists()


def test_lpips_weights_need_their_network(program: Program, face: Path, tmp_path: Path) -> None:
    done = program("stylize", face, "--lpips", tmp_path / "heads.pth")
    assert done.code == 2 and "--features" in done.err


def test_train_a_base_then_a_style_then_draw(program: Program, exemplars: Path, face: Path, tmp_path: Path) -> None:
    small = ["--resolution", "16", "--channel-base", "128", "--channel-cap", "8", "--latent", "8"]
    base, style = tmp_path / "runs" / "base", tmp_path / "runs" / "my style"
    done = program("train", exemplars, "-o", base, *small, "--images", "8", "--set", "batch=4", "--set", "tick=4")
    assert done.code == 0 and done.out.splitlines()[0] == str(base / "model.safetensors")
    assert f"next: portraitist train DRAWINGS --from {base}" in done.out
    assert read_header(base / "model.safetensors").generator.resolution == 16
    done = program(
        *("train", exemplars, "-o", style, "--from", base, "--images", "8", "--set", "batch=4"),
        *("--recipe", "freeze_fc+structure", "--set", "patience=0", "--set", "held_out=0"),
        *("--name", "mine", "--licence", "CC0-1.0", "--credit", "Me"),
    )
    assert done.code == 0, done
    assert done.out.splitlines() == [
        str(style / "style.safetensors"),
        str(style / "report.html"),
        f"next: portraitist stylize me.jpg --style '{style}'",
    ]
    header = read_header(style / "style.safetensors")
    assert (header.kind, header.name, header.licence, header.credit) == ("style-pack", "mine", "CC0-1.0", "Me")
    done = program("stylize", face, "--aligned", "--steps", "1", "--style", style)
    assert (done.code, done.out) == (0, f"{face.with_name('me.my style.png')}\n")
    assert [p.name for p in face.parent.iterdir() if ".my style" in p.name] == ["me.my style.png"]
    again = ("train", exemplars, "-o", tmp_path / "again", "--from", base, "--dry-run")
    settings = json.loads(program(*again, "--config", style / "settings.json").out.rpartition("\n}")[0] + "}")
    assert settings["structure"] == json.loads((style / "settings.json").read_text())["structure"]
    few = program.refuses(3, "train", exemplars, "-o", tmp_path / "few", "--from", base)
    assert "9 exemplars are too few to hold 5 out" in few
    fixed = ("--recipe", "freeze_fc+structure", "--set", "patience=0", "--set", "held_out=0")
    refused = program.refuses(2, "train", exemplars, "-o", style, "--from", base, *fixed, "--set", "batch=2")
    assert "batch: 4 -> 2" in refused


def test_sample_draws_by_seed(program: Program, known: None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = program("sample", "tiny", "-o", out, "--seeds", "0-2,7")
    assert (done.code, done.out) == (0, f"{out / 'sheet.png'}\n")
    names = ["seed0000.png", "seed0001.png", "seed0002.png", "seed0007.png", "sheet.png"]
    assert sorted(p.name for p in out.iterdir()) == names
    program("sample", "tiny", "-o", tmp_path / "one", "--seeds", "7")
    assert (tmp_path / "one" / "seed0007.png").read_bytes() == (out / "seed0007.png").read_bytes()
    assert "exists already" in program.refuses(2, "sample", "tiny", "-o", out, "--seeds", "7")
    assert program("sample", "wild", "-o", out, "--seeds", "7", "--overwrite").code == 0
    assert (tmp_path / "one" / "seed0007.png").read_bytes() != (out / "seed0007.png").read_bytes()


def test_a_style_with_paths_asks_for_the_attribute(
    program: Program, known: None, face: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    paths = {"women": tiny_style, "men": restyled(tiny_model, "both", seed=5)}
    registry.add(save_pack(tmp_path / "both.safetensors", paths, tiny_model), name="both")
    assert "(--attribute women | men)" in program("models").out
    asks = "women, men"
    words = ("stylize", face, "--aligned", "--steps", "1", "-s", "both", "--overwrite")
    assert asks in program.refuses(2, *words)
    assert asks in program.refuses(2, *words, "--attribute", "kids")
    assert asks in program.refuses(2, "sample", "both", "-o", tmp_path / "no")
    drawn, target = {}, face.with_name("me.both.png")
    for attribute in paths:
        assert program(*words, "--attribute", attribute).out == f"{target}\n"
        out = tmp_path / attribute
        assert program("sample", "both", "-o", out, "--seeds", "1", "--attribute", attribute).code == 0
        drawn[attribute] = target.read_bytes(), (out / "seed0001.png").read_bytes()
    assert drawn["women"][0] != drawn["men"][0] and drawn["women"][1] != drawn["men"][1]
    native = tmp_path / "men.safetensors"
    pack = registry.find("both")
    assert asks in program.refuses(2, "convert", pack, native)
    assert program("convert", pack, native, "--attribute", "men").code == 0
    assert generator_digest(load_model(native)) == generator_digest(paths["men"])
    assert asks in program.refuses(2, "invert", face, "--aligned", "--base", "both", "-o", tmp_path / "no")
    assert "no path 'x'" in program.refuses(2, "sample", "wild", "-o", tmp_path / "no", "--attribute", "x")


def test_styles_are_mixed_by_weight(
    program: Program, known: None, face: Path, tmp_path: Path, tiny_model: Model
) -> None:
    registry.add(save_pack(tmp_path / "c.safetensors", restyled(tiny_model, "calm", seed=2), tiny_model))
    words = ("stylize", face, "--aligned", "--steps", "1", "--style")
    done = program(*words, "wild:0.6+calm:.25", "--style", "wild:0")
    assert done.out.splitlines() == [str(face.with_name(f"me.{x}.png")) for x in ("wild-0.6+calm-0.25", "wild-0")]
    program(*words, "wild", "--strength", "0")
    assert face.with_name("me.wild.png").read_bytes() == face.with_name("me.wild-0.png").read_bytes()
    assert "no model 'nobody'" in program.refuses(2, *words, "wild:1+nobody:1")
    assert "cannot have the weight 9" in program.refuses(2, *words, "wild:9")


def test_models_show_tells_whose_work_a_style_is(
    program: Program, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    data = {"digest": "ab" * 32, "count": 90}
    header = replace(tiny_style.header, lineage=[{"data": data, "images_seen": 8}], metrics={"kid": 0.5})
    save_model(tmp_path / "base.safetensors", tiny_model)
    pack = save_pack(tmp_path / "p.safetensors", replace(tiny_style, header=header), tiny_model)
    shown = json.loads(program("models", "show", pack).out)
    assert (shown["licence"], shown["credit"], shown["metrics"]) == ("CC-BY-4.0", "Nobody", {"kid": 0.5})
    assert shown["lineage"][0]["data"] == data and shown["base_digest"] == generator_digest(tiny_model)


def test_invert_writes_a_code_and_a_picture(program: Program, known: None, face: Path, tiny_model: Model) -> None:
    done = program("invert", face, "--base", "tiny", "--aligned", "--steps", "2", "--space", "w")
    files = [face.with_name(f"me.{end}") for end in ("code.safetensors", "inverted.png")]
    assert (done.code, done.out.splitlines()) == (0, [str(f) for f in files])
    code, generator = load_codes(files[0])
    assert tuple(code.data.shape) == (1, 6, 16) and generator == generator_digest(tiny_model)
    assert (code.data == code.data[:, :1]).all()  # one code for all rows, as asked
    assert read_image(files[1]).shape == (256, 256 * 2 + 8, 3)
    assert "exists already" in program.refuses(2, "invert", face, "--base", "tiny", "--aligned")
    assert "cannot be projected into" in program.refuses(
        2, "invert", face, "--base", "tiny", "--overwrite", "--space", "q"
    )


def test_invert_takes_a_folder(program: Program, known: None, face: Path, tmp_path: Path, tiny_model: Model) -> None:
    (face.parent / "zz.HEIC").write_bytes(b"x")
    out = tmp_path / "out"
    words = ("invert", face.parent, "--base", "tiny", "--aligned", "--steps", "2", "-o", out)
    for count in ("1 done, 0 skipped, 1 failed", "0 done, 1 skipped, 1 failed"):
        done = program(*words)
        assert done.code == 3 and count in done.out and "zz.HEIC: " in done.err
    assert sorted(p.name for p in out.iterdir()) == ["me.code.safetensors", "me.inverted.png", "report.json"]
    program("invert", face, "--base", "tiny", "--aligned", "--steps", "2", "-o", tmp_path / "one")
    for name in ("me.code.safetensors", "me.inverted.png"):
        assert (out / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert "1 done" in program(*words, "--seed", "1").out


@pytest.mark.parametrize(
    ("words", "one_row"),
    [
        (["--method", "stylegan2"], True),
        (["--method", "image2stylegan"], False),
        (["--method", "ui2i", "--rank", "4"], True),
        (["--method", "ui2i", "--space", "w+"], False),
        (["--method", "ui2i-released"], True),
    ],
)
def test_invert_knows_the_ways_of_the_papers(
    program: Program, known: None, face: Path, words: list[str], one_row: bool
) -> None:
    done = program("invert", face, "--base", "tiny", "--aligned", "--steps", "3", *words)
    assert done.code == 0, done.err
    code, _ = load_codes(face.with_name("me.code.safetensors"))
    assert code.data.isfinite().all()
    assert bool((code.data == code.data[:, :1]).all()) == one_row


def test_stylize_confines_a_code_to_a_few_directions(program: Program, known: None, face: Path, tmp_path: Path) -> None:
    def drawn(*words: str) -> bytes:
        out = tmp_path / "-".join(("out", *words))
        done = program("stylize", face, "--aligned", "--method", "ui2i", "--steps", "5", "-o", out, *words)
        assert done.code == 0, done.err
        return next(out.glob("*.png")).read_bytes()

    by_all = drawn()
    assert drawn("--rank", "16") == by_all != drawn("--rank", "2")
    words = ("stylize", face, "--aligned", "-o", tmp_path / "no", "--rank", "2")
    assert "A rank counts the directions of a basis" in program.refuses(2, *words)
    assert "--rank belongs to an optimisation" in program.refuses(2, *words, "--method", "encoder")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "magic"], "--method"),
        (["--method", "in-domain"], "No encoder of 'tiny' is known"),
        (["--rank", "4"], "A rank counts the directions of a basis"),
        (["--method", "ui2i", "--rank", "0"], "--rank"),
        (["--method", "ui2i", "--rank", "17"], "There are 16 directions, not 17."),
    ],
)
def test_invert_refuses_what_does_not_fit(
    program: Program, known: None, face: Path, words: list[str], message: str
) -> None:
    assert message in program.refuses(2, "invert", face, "--base", "tiny", "--aligned", "--steps", "1", *words)
    assert list(face.parent.iterdir()) == [face]


def test_convert_there_and_back_is_bit_equal(
    program: Program, tmp_path: Path, tiny_model: Model, tiny_style: Model, models_folder: Path
) -> None:
    source = save_model(tmp_path / "a.safetensors", tiny_model)
    there, back = tmp_path / "a.pt", tmp_path / "back.safetensors"
    assert program("convert", source, there).out == f"{there}\n"
    assert program("convert", there, back, "--name", "back", "--licence", "MIT").out == f"{back}\n"
    found = load_model(back)
    assert (found.header.name, found.header.licence) == ("back", "MIT")
    one, two = found.tensors(), tiny_model.tensors()
    assert one.keys() == two.keys()
    assert [k for k in one if not torch.equal(one[k], two[k])] == []
    assert "exists already" in program.refuses(2, "convert", source, there)
    assert "Only a native file" in program.refuses(2, "convert", source, tmp_path / "b.pt", "--half")
    assert program("convert", source, tmp_path / "half.safetensors", "--half").code == 0
    half = read_header(tmp_path / "half.safetensors")
    assert (half.name, half.licence) == ("tiny", "CC0-1.0")  # what it said stays said
    pack = save_pack(tmp_path / "run" / "style.safetensors", tiny_style, tiny_model)
    assert "is not known" in program.refuses(3, "convert", pack, tmp_path / "whole.safetensors")
    registry.add(source)
    assert program("convert", tmp_path / "run", tmp_path / "whole.safetensors").code == 0
    assert generator_digest(load_model(tmp_path / "whole.safetensors")) == generator_digest(tiny_style)


def test_models_lists_adds_and_shows(
    program: Program, models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    empty = program("models")
    assert empty.code == 0 and str(models_folder) in empty.out
    base = save_model(tmp_path / "b.safetensors", tiny_model)
    assert program("models", "add", base).out == f"tiny: {models_folder / 'tiny.safetensors'}\n"
    assert "exists already" in program.refuses(2, "models", "add", base)
    assert program("models", "add", base, "--overwrite").code == 0
    run = tmp_path / "mine"
    save_pack(run / "style.safetensors", tiny_style, tiny_model)
    assert program("models", "add", run, "--name", "mine").code == 0
    listed = program("models").out.splitlines()
    assert listed[0].split()[:3] == ["mine", "style", "of"] and "CC-BY-4.0" in listed[0]
    assert listed[1].split()[:3] == ["tiny", "base", "16"] and registry.file_sha256(base)[:12] in listed[1]
    entries = json.loads(program("models", "--json").out)["models"]
    assert [(e["name"], e["where"], e["header"]["kind"]) for e in entries] == [
        ("mine", "user", "style-pack"),
        ("tiny", "user", "model"),
    ]
    shown = json.loads(program("models", "show", "mine").out)
    assert shown["base_digest"] == generator_digest(tiny_model) and shown["name"] == "wild"
    (models_folder / "broken.safetensors").write_bytes(b"x")
    done = program("models")
    assert done.code == 0 and "broken.safetensors" in done.err and len(done.out.splitlines()) == len(listed)


def test_prepare_cuts_out_faces_and_says_what_it_left_out(program: Program, tmp_path: Path) -> None:
    source, out = tmp_path / "photos", tmp_path / "faces"
    write_image(source / "astronaut.png", np.asarray(astronaut()))
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    write_image(source / "noise.png", noise)
    done = program("prepare", source, "-o", out, "--size", "64")
    assert done.code == 0 and done.out.splitlines()[0].startswith("1 faces from 1 of 2 pictures")
    assert "left out noise.png (no-face)" in done.out
    with Image.open(out / "astronaut.png") as cut:
        assert cut.size == (64, 64)
    assert "(2 finished before)" in program("prepare", source, "-o", out, "--size", "64").out
    (source / "astronaut.png").unlink()
    assert program("prepare", source, "-o", tmp_path / "none", "--size", "64").code == 3


def test_prepare_checks_exemplars_and_writes_nothing_else(program: Program, exemplars: Path, tmp_path: Path) -> None:
    write_image(exemplars / "twin.png", read_image(exemplars / "3.png"))
    face = [[6, 7.6], [10, 7.6], [8, 9], [6.6, 11.6], [9.4, 11.6]]
    points = tmp_path / "points.json"
    points.write_text(json.dumps({path.name: face for path in exemplars.glob("*.png")}))
    before = {path: path.read_bytes() for path in exemplars.iterdir()}
    check = ("prepare", exemplars, "--check", "--size", "16", "--points", points)
    done = program(*check)
    assert done.code == 0 and done.out.startswith("11 pictures: 9 without findings, 9 usable.\n"), done.out
    assert "3.png" in next(line for line in done.out.splitlines() if line.startswith("twin.png") and "refuse" in line)
    findings = json.loads(program(*check, "--json").out)["findings"]
    assert findings["counts"] == {"duplicate": 1, "unreadable": 1}
    assert {path: path.read_bytes() for path in exemplars.iterdir()} == before
    points.write_text(points.read_text(), encoding="utf-16")
    cut = program("prepare", exemplars, "-o", tmp_path / "cut", "--size", "16", "--points", points)
    assert cut.code == 0 and "faces from" in cut.out
    for path in before:
        path.write_bytes(b"x")
    assert program(*check).code == 3
    assert "Leave out -o" in program.refuses(2, *check, "-o", tmp_path / "faces")
    assert "Give -o OUT" in program.refuses(2, "prepare", exemplars)


def test_settings_reach_into_settings() -> None:
    value = options.with_settings(
        compose("baseline", 16), ["batch=2", "frozen.mapping=false", "augment=none", "r1_gamma=1e-1", "mirror=no"]
    )
    assert (value.batch, value.frozen.mapping, value.augment, value.r1_gamma, value.mirror) == (
        2,
        False,
        "none",
        0.1,
        False,
    )
    for pair, words in (
        ("batch", "key=value"),
        ("batch=x", "batch=x: "),
        ("batch.x=1", "no setting 'x'"),
        ("frozen.x=1", "no setting 'x'.*mapping"),
        ("augment=some", "augment=some: "),
        ("batch=0", "at least 1"),
    ):
        with pytest.raises(UsageError, match=words):
            options.with_settings(Training(), [pair])


def test_seeds_are_ranges_and_numbers() -> None:
    assert options.seeds("0-2,85,7") == [0, 1, 2, 85, 7]
    for text in ("", "a", "1-", "-1", "3-1", "1,,2"):
        with pytest.raises(UsageError, match="does not list seeds"):
            options.seeds(text)
    assert options.seeds("9223372036854775807") == [2**63 - 1]
    for text, told in (
        ("18446744073709551616", "too large"),
        ("0-99999,5", "more than 100000"),
        ("0-99999999", "more"),
    ):
        with pytest.raises(UsageError, match=told):
            options.seeds(text)


def test_devices_are_named_plainly() -> None:
    assert options.device("cpu") == "cpu" and options.device("auto") in ("cpu", "cuda", "mps")
    for name in ("gpu", "cudaX", "cuda:", "cuda:99", "CPU"):
        with pytest.raises(UsageError, match="device"):
            options.device(name)


def test_the_console_script_reports_like_main(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "from portraitist.cli.main import main; main()"]
    environment = os.environ | {"PORTRAITIST_MODELS": str(tmp_path)}
    done = subprocess.run(
        [*program, "stylize", str(tmp_path)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "error: A folder of photos needs a folder for the pictures. Give -o OUT.\n"
    with subprocess.Popen([*program, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as cut:
        assert cut.stdout is not None and cut.stderr is not None
        cut.stdout.close()
        assert b"Traceback" not in cut.stderr.read()


def started(shell: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a shell does, with ``$PORTRAITIST`` in its command."""
    program = {"PORTRAITIST": f"{sys.executable} -m portraitist"}
    return subprocess.run(["sh", "-c", shell], env=os.environ | program | environment, capture_output=True, text=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_output_is_exit_code_5() -> None:
    run = started("$PORTRAITIST recipes > /dev/full")
    assert run.returncode == 5
    assert run.stderr.startswith("error: The output cannot be written") and run.stderr.count("\n") == 1


def test_closed_outputs_stop_nothing(tmp_path: Path) -> None:
    assert started("$PORTRAITIST recipes >&- 2>&-").returncode == 0
    assert started("$PORTRAITIST sample no-such-model -o out >&- 2>&-").returncode == 2


def test_no_home_folder_is_one_line() -> None:
    code = "import pwd, sys; pwd.getpwuid = lambda number: {}[number]; from portraitist.cli.main import main; main()"
    for variables, expected in (("", 5), ("XDG_DATA_HOME=/nowhere", 0)):
        run = started(f'unset HOME; {variables} {sys.executable} -c "{code}" models', PORTRAITIST_MODELS="")
        assert run.returncode == expected, run.stderr
        assert "Traceback" not in run.stderr
