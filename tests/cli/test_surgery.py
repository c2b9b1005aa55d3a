"""``portraitist swap`` and ``blend``, and what `stylize` does with them, with appearances and between styles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist import Stylizer
from portraitist.cli import options
from portraitist.data import read_image, write_image
from portraitist.io import registry
from portraitist.io.headers import Header, read_header
from portraitist.io.model_file import Model, generator_digest, load_model, save_model, save_pack
from portraitist.spaces import WPlus
from portraitist.stylize import Appearance, ByOptimisation, Reference
from portraitist.surgery import blend, hard, smooth, swap
from tests.cli.conftest import Run
from tests.conftest import make_model, restyled

CODES = WPlus(torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0)))
QUICK = ("--aligned", "--steps", "2")


@pytest.fixture
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> Model:
    """The tiny base and two styles of it as models with names; the second style."""
    calm = restyled(tiny_model, "calm", seed=2)
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    registry.add(save_pack(tmp_path / "c.safetensors", calm, tiny_model))
    return calm


@pytest.fixture
def face(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    return write_image(tmp_path / "photos" / "me.png", random.integers(0, 255, (16, 16, 3), dtype=np.uint8))


def loaded(path: Path, base: Model) -> Model:
    def find_base(header: Header) -> Model:
        return base

    return load_model(path, find_base=find_base, supports_feature_swap=True)


def test_swap_writes_a_style_that_stylize_takes(
    run: Run,
    known: Model,
    tiny_model: Model,
    tiny_style: Model,
    face: Path,
    tmp_path: Path,
) -> None:
    drawn = {}
    for by in ("features", "weights"):
        out = tmp_path / f"{by}.safetensors"
        words = ("swap", "--low", "tiny", "--high", "wild", "--upto", 8, "--by", by, "-o", out)
        assert run(*words)[:2] == (0, [str(out)])
        header = read_header(out)
        assert (header.kind, header.name, header.base_name) == ("style-pack", by, "tiny")
        assert header.swap_upto == (8 if by == "features" else 0)
        assert header.recipe["low"]["name"] == "tiny" and header.recipe["upto"] == 8
        assert run("stylize", face, "--style", out, *QUICK)[:2] == (0, [str(face.with_name(f"me.{by}.png"))])
        drawn[by] = face.with_name(f"me.{by}.png").read_bytes()
        assert run(*words)[0] == 2  # the file is kept
        assert run(*words, "--overwrite")[0] == 0
    fly = tmp_path / "fly"
    for by, more in (("features", ()), ("weights", ("--swap-by", "weights"))):
        assert run("stylize", face, "-s", "wild", "--swap", 8, *more, *QUICK, "-o", fly, "--overwrite")[0] == 0
        assert (fly / "me.wild.png").read_bytes() == drawn[by]
    assert drawn["features"] != drawn["weights"]
    picture = Stylizer.load(["wild"], swap=8, inversion=ByOptimisation(options.projection(steps=2))).stylize(
        face, aligned=True
    )
    assert np.array_equal(picture.faces[0].pictures["wild"], read_image(face.with_name("me.features.png")))


@pytest.mark.parametrize("text", ["16", "cartoon-stylegan:2", "ui2i:3"])
def test_a_papers_number_is_taken_too(
    run: Run,
    known: Model,
    tmp_path: Path,
    text: str,
) -> None:
    out = tmp_path / "x.safetensors"
    assert run("swap", "--low", "tiny", "--high", "wild", "--upto", text, "-o", out)[0] == 0
    assert read_header(out).swap_upto == 16


def test_two_styles_of_one_base_are_swapped_and_blended_by_weights(
    run: Run,
    known: Model,
    tiny_model: Model,
    tiny_style: Model,
    tmp_path: Path,
) -> None:
    wild, calm = tiny_style.generator, known.generator
    anatomy = wild.anatomy
    made = {
        ("swap", "--upto", "8", "--by", "weights"): swap(wild, calm, 8, "weights"),
        ("swap", "--upto", "8", "--by", "weights", "--mapping", "high"): swap(wild, calm, 8, "weights", "high"),
        ("blend", "--middle", "8"): blend(wild, calm, smooth(anatomy, 8, 1)),
        ("blend", "--middle", "11.3", "--width", "0.01"): blend(wild, calm, smooth(anatomy, 11.3, 0.01)),
        ("blend", "--alpha", "4:0,8:0.2,16:1"): blend(wild, calm, {4: 0, 8: 0.2, 16: 1}),
        ("blend", "--alpha", "4:0,8:0,16:0"): wild,
        ("blend", "--alpha", "4:1,8:1,16:1", "--mapping", "high"): calm,
    }
    for k, (words, wanted) in enumerate(made.items()):
        out = tmp_path / f"{k}.safetensors"
        assert run(*words, "--low", "wild", "--high", "calm", "-o", out)[0] == 0
        found = loaded(out, tiny_model)
        assert found.header.kind == "style-pack"
        assert generator_digest(found) == generator_digest(Model(wanted, None, found.header))  # type: ignore[arg-type]


def test_a_swap_of_unrelated_models_is_made_with_a_warning(
    run: Run,
    known: Model,
    tiny_model: Model,
    models_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stranger = make_model(seed=7, name="stranger")
    registry.add(save_model(tmp_path / "s.safetensors", stranger))
    out = tmp_path / "ruin.safetensors"
    words = ("swap", "--low", "stranger", "--high", "tiny", "--upto", 8, "-o", out)
    code, _, err = run(*words)
    assert code == 2 and "'tiny' is no style of 'stranger'. Swap them --by weights" in err and not out.exists()
    with caplog.at_level("INFO", "portraitist"):
        assert run(*words, "--by", "weights")[:2] == (0, [str(out)])
    assert "'stranger' and 'tiny' have no common base" in caplog.text and "Their distance over" in caplog.text
    assert "is a full model" in caplog.text
    generator = load_model(out).generator
    with torch.no_grad():
        wanted = blend(stranger.generator, tiny_model.generator, hard(generator.anatomy, 8))
        assert torch.equal(generator.synthesize(CODES), wanted.synthesize(CODES))
    caplog.clear()
    with caplog.at_level("INFO", "portraitist"):
        assert run("swap", "--low", "tiny", "--high", "wild", "--upto", 8, "-o", tmp_path / "ok.safetensors")[0] == 0
    assert "no common base" not in caplog.text and "full model" not in caplog.text


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (2, ("swap", "--high", "wild", "--upto", "8"), "Missing option '--low'"),
        (2, ("swap", "--low", "nobody", "--high", "wild", "--upto", "8"), "There is no model 'nobody'"),
        (2, ("swap", "--low", "tiny", "--high", "wild", "--upto", "12"), "Use one of 4, 8, 16, or 0"),
        (2, ("swap", "--low", "tiny", "--high", "wild", "--upto", "half"), "names no resolution"),
        (
            2,
            ("swap", "--low", "tiny", "--high", "wild", "--upto", "8", "--by", "layers"),
            "Invalid value for '--by': 'layers' is not one of",
        ),
        (2, ("swap", "--low", "wild", "--high", "calm", "--upto", "8"), "--by weights"),
        (3, ("swap", "--low", "tiny", "--high", "large", "--upto", "8"), "different sizes"),
        (3, ("blend", "--low", "large", "--high", "wild", "--middle", "8"), "two styles of one base"),
        (2, ("blend", "--low", "tiny", "--high", "wild"), "needs --middle (with --width) or --alpha"),
        (
            2,
            ("blend", "--low", "tiny", "--high", "wild", "--middle", "8", "--alpha", "4:1"),
            "needs --middle (with --width) or --alpha",
        ),
        (
            2,
            ("blend", "--low", "tiny", "--high", "wild", "--width", "8", "--alpha", "4:1"),
            "needs --middle (with --width) or --alpha",
        ),
        (2, ("blend", "--low", "tiny", "--high", "wild", "--middle", "0"), "must be positive"),
        (2, ("blend", "--low", "tiny", "--high", "wild", "--alpha", "4:1"), "one share for each resolution"),
        (2, ("blend", "--low", "tiny", "--high", "wild", "--alpha", "4:1,8:2,16:1"), "outside [0, 1]"),
        (2, ("blend", "--low", "tiny", "--high", "wild", "--alpha", "4:1,4:0,16:1"), "does not list shares"),
        (2, ("blend", "--low", "tiny", "--high", "wild", "--alpha", "4=1"), "does not list shares"),
    ],
)
def test_wrong_use_says_the_cure(
    run: Run,
    known: Model,
    models_folder: Path,
    tmp_path: Path,
    code: int,
    words: tuple[str, ...],
    message: str,
) -> None:
    save_model(models_folder / "large.safetensors", make_model(resolution=32, name="large"))
    out = tmp_path / "out.safetensors"
    found, lines, err = run(*words, "-o", out)
    assert (found, lines) == (code, []) and message in err and err.count("error: ") == 1
    assert not out.exists()


def test_a_swap_that_others_cannot_draw_is_refused(
    run: Run,
    known: Model,
    face: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "soft.safetensors"
    run("swap", "--low", "tiny", "--high", "wild", "--upto", 8, "-o", out)
    for words in (
        ("sample", out, "-o", tmp_path / "s"),
        ("swap", "--low", "tiny", "--high", out, "--upto", 8, "-o", tmp_path / "again.safetensors"),
        ("invert", face, "--base", out, "--aligned"),
    ):
        code, _, err = run(*words)
        assert code == 3 and "is a feature swap" in err and "--by weights" in err
    assert run("models", "add", out)[0] == 0
    assert any(line.startswith("soft") and "style of tiny" in line for line in run("models")[1])
    assert run("stylize", face, "-s", "soft", *QUICK)[0] == 0


def test_appearances_are_written_beside_the_picture(
    run: Run,
    known: Model,
    face: Path,
    tmp_path: Path,
) -> None:
    look = write_image(tmp_path / "sunset.png", np.random.default_rng(5).integers(0, 255, (16, 16, 3), dtype=np.uint8))
    one, out = tmp_path / "one", tmp_path / "out"
    words = ("stylize", face, "-s", "wild", *QUICK, "--appearance-from", 8, "--seed", 4, "-o", one)
    code, lines, _ = run(*words, "--appearance", "random:2", "--reference", look, "--reference-aligned")
    ends = ("", ".random1", ".random2", ".sunset")
    assert (code, lines) == (0, [str(one / f"me.wild{end}.png") for end in ends])
    stylizer = Stylizer.load(
        ["wild"],
        inversion=ByOptimisation(options.projection(steps=2, seed=4)),
        appearance=Appearance(2, (Reference.read(look, aligned=True),), 8),
        seed=4,
    )
    portrait = stylizer.stylize(face, aligned=True).faces[0]
    for sample in portrait.samples:
        assert np.array_equal(sample.pictures["wild"], read_image(one / f"me.wild.{sample.name}.png"))
    for told in ("1 done, 0 skipped", "0 done, 1 skipped"):
        folder = ("stylize", face.parent, "-o", out, "-s", "wild", *QUICK, "--appearance", "random:1")
        assert told in run(*folder, "--appearance-from", 16, "--suffix", ".webp")[1][0]
    (line,) = json.loads((out / "report.json").read_text())["photos"]
    assert line["outputs"] == ["me.wild.webp", "me.wild.random1.webp"]


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (2, ("--appearance", "8"), "--appearance takes random:N"),
        (2, ("--appearance", "random:some"), "--appearance takes random:N"),
        (2, ("--appearance", "random:1000"), "not possible"),
        (2, ("--appearance", "random:2"), "(--appearance-from)"),  # this base ends at 16 pixels
        (3, ("--reference", "missing.png"), "does not exist"),
        (2, ("--swap", "12"), "Use one of 4, 8, 16, or 0"),
        (2, ("--swap", "half"), "names no resolution"),
        (2, ("--from-style", "nobody"), "There is no model 'nobody'"),
        (2, ("--from-style", "calm", "--method", "encoder", "--refine", "3"), "is inverted by optimisation"),
    ],
)
def test_wrong_use_of_stylize_says_the_cure(
    run: Run,
    known: Model,
    face: Path,
    code: int,
    words: tuple[str, ...],
    message: str,
) -> None:
    found, lines, err = run("stylize", face, "-s", "wild", "--aligned", *words)
    assert (found, lines) == (code, []) and message in err


def test_any_style_to_any_other(
    run: Run,
    known: Model,
    tiny_model: Model,
    face: Path,
) -> None:
    words = ("stylize", face, *QUICK, "--from-style", "wild", "--to-style", "calm", "--to-style", "tiny")
    assert run(*words)[:2] == (0, [str(face.with_name(f"me.{name}.png")) for name in ("calm", "tiny")])
    stylizer = Stylizer.load(["calm", "tiny"], source="wild", inversion=ByOptimisation(options.projection(steps=2)))
    for name, picture in stylizer.stylize(face, aligned=True).faces[0].pictures.items():
        assert np.array_equal(picture, read_image(face.with_name(f"me.{name}.png")))
