"""``portraitist edit``: directions found, learned and applied, words, videos, and wrong use."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portraitist import edit_photo
from portraitist.data import read_image, to_array, write_image
from portraitist.data.sheet import ungrid
from portraitist.edit import learn_direction, moved, rows_of, sefa_directions
from portraitist.io import registry
from portraitist.io.codes import load_codes, save_codes
from portraitist.io.directions import load_directions, save_directions
from portraitist.io.model_file import Model, generator_digest, save_model, save_pack
from portraitist.spaces import W, WPlus, Z
from tests.cli.conftest import Run
from tests.io.tiny_clip import save_clip
from tests.stylize.tiny_encoders import make_encoder


@pytest.fixture
def run(run: Run) -> Run:
    """The command line below ``portraitist edit``."""
    return partial(run, "edit")


@pytest.fixture(autouse=True)
def known(models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model) -> None:
    """The tiny base, its style and its encoder as models with names."""
    registry.add(save_model(tmp_path / "b.safetensors", tiny_model))
    registry.add(save_pack(tmp_path / "w.safetensors", tiny_style, tiny_model))
    registry.add_encoder(make_encoder(tiny_model))


@pytest.fixture
def face(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    return write_image(tmp_path / "me.png", random.integers(0, 255, (16, 16, 3), dtype=np.uint8))


@pytest.fixture
def sefa(run: Run, tmp_path: Path) -> Path:
    path = tmp_path / "sefa.safetensors"
    code, lines, _ = run("directions", "tiny", "-o", path, "--count", 3, "--resolutions", "4-8")
    assert code == 0 and lines[0].startswith("sefa01 ") and lines[-1] == str(path)
    return path


@pytest.fixture
def code(tmp_path: Path, tiny_model: Model) -> Path:
    """One latent of the prior as a file."""
    z = Z.sample(1, 16, torch.Generator().manual_seed(4))
    save_codes(tmp_path / "one.code.safetensors", z, generator_digest(tiny_model))
    return tmp_path / "one.code.safetensors"


def mapped(code: Path, model: Model) -> WPlus:
    z, _ = load_codes(code)
    assert isinstance(z, Z)
    return model.generator.map(z)


def drawing(model: Model, code: WPlus) -> np.ndarray:
    with torch.no_grad():
        picture = to_array(model.generator.synthesize(code)[0])
    return np.asarray(Image.fromarray(picture).resize((256, 256), Image.Resampling.LANCZOS))


def test_directions_of_sefa_with_a_preview(run: Run, tmp_path: Path, tiny_model: Model) -> None:
    out, preview = tmp_path / "d.safetensors", tmp_path / "d.png"
    words = ("directions", "tiny", "-o", out, "--count", 2, "--resolutions", "4,16", "--normalise")
    assert run(*words, "--preview", preview)[0] == 0
    stored = load_directions(out)
    for mine, expected in zip(
        stored.directions.values(), sefa_directions(tiny_model.generator, [4, 16], normalise=True, count=2), strict=True
    ):
        assert torch.equal(mine.vector, expected.vector) and mine.rows == expected.rows and mine.found == expected.found
    header = stored.header
    assert header.base_digest == generator_digest(tiny_model) and header.base_name == "tiny"
    assert header.licence == "CC0-1.0" and header.credit == "Nobody"
    assert read_image(preview).shape == (2 * 18 - 2, 7 * 18 - 2, 3)
    before = out.read_bytes()
    for free in (tmp_path / "e.safetensors", out):  # either file alone stops it
        preview_too = () if free == out else ("--preview", preview)
        assert run("directions", "tiny", "-o", free, *preview_too)[0] == 2
    assert out.read_bytes() == before and not (tmp_path / "e.safetensors").exists()
    assert run(*words, "--overwrite")[0] == 0


def test_directions_of_a_style_hold_for_codes_of_its_base(
    run: Run, tmp_path: Path, code: Path, tiny_model: Model
) -> None:
    out = tmp_path / "d.safetensors"
    assert run("directions", "wild", "-o", out, "--count", 1)[0] == 0
    header = load_directions(out).header
    assert header.base_digest == generator_digest(tiny_model) and header.base_name == "tiny"
    assert header.licence == "CC-BY-4.0"
    assert run("apply", code, "-d", out, "-o", tmp_path / "out", "-s", "wild")[0] == 0


def test_light_is_learned_from_samples(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "light.safetensors"
    code, lines, _ = run("directions", "tiny", "-o", out, "--method", "light", "--samples", 60)
    assert code == 0 and lines[0].startswith("light ") and "60 codes" in lines[0]
    assert list(load_directions(out).directions) == ["light"]


def test_a_strength_draws_every_style_and_leaves_a_code_for_more(
    run: Run, tmp_path: Path, sefa: Path, code: Path, tiny_model: Model, tiny_style: Model
) -> None:
    out = tmp_path / "out"
    done, lines, _ = run("apply", code, "-d", f"{sefa}:sefa02", "--strength", -1.5, "-o", out, "-s", "wild")
    picture, saved = out / "one.sefa02-1.5.wild.png", out / "one.sefa02-1.5.code.safetensors"
    assert done == 0 and lines == [str(picture), str(saved)]
    expected = moved(mapped(code, tiny_model), load_directions(sefa).named("sefa02"), -1.5)
    found, digest = load_codes(saved)
    assert torch.equal(found.data, expected.data) and digest == generator_digest(tiny_model)
    assert np.array_equal(read_image(picture), drawing(tiny_style, expected))
    assert run("apply", code, "-d", f"{sefa}:sefa02", "--strength", -1.5, "-o", out, "-s", "wild")[0] == 2
    # Back again: the edit of an edit.
    assert run("apply", saved, "-d", f"{sefa}:sefa02", "--strength", 1.5, "-o", out, "-s", "wild")[0] == 0
    back, _ = load_codes(out / "one.sefa02-1.5.sefa02+1.5.code.safetensors")
    torch.testing.assert_close(back.data, mapped(code, tiny_model).data, rtol=1e-4, atol=1e-5)


def test_strengths_draw_a_sheet_with_the_base_above(
    run: Run, tmp_path: Path, sefa: Path, code: Path, tiny_model: Model, tiny_style: Model
) -> None:
    out = tmp_path / "out"
    words = ("apply", code, "-d", f"{sefa}:sefa01", "--strengths", "-2:2:3", "-o", out, "-s", "wild")
    assert run(*words)[:2] == (0, [str(out / "one.sefa01.png")])
    tiles = ungrid(read_image(out / "one.sefa01.png"), 256)
    direction, start = load_directions(sefa).named("sefa01"), mapped(code, tiny_model)
    for k, model in enumerate((tiny_model, tiny_style)):
        for i, strength in enumerate((-2, 0, 2)):
            assert np.array_equal(tiles[3 * k + i], drawing(model, moved(start, direction, strength)))
    assert [p.name for p in out.iterdir()] == ["one.sefa01.png"] and run(*words)[0] == 2


def test_a_photo_is_inverted_first_and_rows_can_be_narrowed(
    run: Run, tmp_path: Path, sefa: Path, face: Path, tiny_model: Model
) -> None:
    words = ("apply", face, "--aligned", "-d", f"{sefa}:sefa01", "-s", "wild", "--resolutions", "8", "-o")
    assert run(*words, tmp_path / "0", "--strength", 0)[0] == 0
    assert run(*words, tmp_path / "2", "--strength", 2)[0] == 0
    start, _ = load_codes(tmp_path / "0/me.sefa01+0.code.safetensors")
    end, _ = load_codes(tmp_path / "2/me.sefa01+2.code.safetensors")
    changed = (start.data != end.data).any(2)[0].nonzero().flatten().tolist()
    assert changed == list(rows_of(tiny_model.generator.anatomy, [8]))


def test_a_direction_is_learned_from_rated_photos(run: Run, tmp_path: Path, tiny_model: Model) -> None:
    random = np.random.default_rng(0)
    lines = ["file,age,hair colour,note"]
    for k in range(24):
        write_image(tmp_path / f"rated/{k:02d}.png", random.integers(0, 255, (16, 16, 3), dtype=np.uint8))
        lines.append(f"{k:02d}.png,{random.normal():.3f},{random.normal():.3f},x")
    lines[1] = "00.png,,1,x"
    (tmp_path / "r.csv").write_text("\n".join(lines))
    words = ("learn", tmp_path / "rated", tmp_path / "r.csv", "--base", "tiny")
    assert run(*words, "-o", tmp_path / "a.safetensors", "--preview", tmp_path / "a.png")[0] == 0
    stored = load_directions(tmp_path / "a.safetensors")
    assert list(stored.directions) == ["age", "hair-colour"] and "23 codes" in stored.named("age").found
    done = run(*words, "-o", tmp_path / "two.safetensors", "--by", "age", "--without", "hair colour")
    assert done[0] == 0, done
    (age,) = load_directions(tmp_path / "two.safetensors").directions.values()
    assert abs(float(age.vector @ stored.named("hair-colour").vector)) < 1e-5
    stays = ("--without", "hair colour")
    assert run(*words, "-o", tmp_path / "rest.safetensors", *stays, *stays, "--ridge", 0)[0] == 0
    assert list(load_directions(tmp_path / "rest.safetensors").directions) == ["age"]
    # What the library finds on the encoder's own codes.
    encoder = make_encoder(tiny_model).encoder
    pictures = [read_image(tmp_path / f"rated/{k:02d}.png") for k in range(24)]
    images = torch.stack([torch.tensor(p.transpose(2, 0, 1)).float() / 127.5 - 1 for p in pictures])
    with torch.no_grad():
        codes = WPlus(encoder.styles_of(encoder(images).mu, tiny_model.generator))
    ratings = [float(line.split(",")[1] or "nan") for line in lines[1:]]
    expected = learn_direction("age", codes, ratings, rows=rows_of(tiny_model.generator.anatomy))
    torch.testing.assert_close(stored.named("age").vector, expected.vector, rtol=1e-3, atol=1e-4)
    for wrong, message in ((("--by", "height"), "no column 'height'"), (("--by", "note"), "else than numbers")):
        done, _, err = run(*words, "-o", tmp_path / "c.safetensors", *wrong)
        assert done == 2 and message in err
    assert not (tmp_path / "c.safetensors").exists()


def test_words_change_a_face_in_every_style(run: Run, tmp_path: Path, code: Path, tiny_model: Model) -> None:
    clip, out = save_clip(tmp_path / "clip"), tmp_path / "out"
    words = ("text", code, "--clip", clip, "--text", "a smile", "--steps", 4, "-s", "wild", "-o")
    done, lines, _ = run(*words, out, "--strength", 1.5)
    names = ["one.text.wild.png", "one.text.code.safetensors", "one.text.png"]
    assert done == 0 and lines == [str(out / name) for name in names]
    assert read_image(out / names[2]).shape == (2 * 258 - 2, 3 * 258 - 2, 3)
    start = mapped(code, tiny_model).data
    found, _ = load_codes(out / names[1])
    assert run(*words, tmp_path / "one", "--strength", 1)[0] == 0
    optimised, _ = load_codes(tmp_path / "one" / names[1])
    torch.testing.assert_close(found.data, start + 1.5 * (optimised.data - start))
    assert run(*words, tmp_path / "zero", "--strength", 0)[0] == 0
    assert torch.equal(load_codes(tmp_path / "zero" / names[1])[0].data, start)
    for option in (("--from-text", "a face"), ("--preset", "released")):
        assert run(*words, tmp_path / option[0], "--strength", 1, *option)[0] == 0
        other, _ = load_codes(tmp_path / option[0] / names[1])
        assert not torch.equal(other.data, optimised.data)
    assert run(*words, out)[0] == 2
    done, _, err = run("text", code, "--clip", tmp_path / "none", "--text", "a smile", "-o", tmp_path / "new")
    assert done == 2 and "no folder" in err and not (tmp_path / "new").exists()


@pytest.fixture
def learned(models_folder: Path, tiny_model: Model) -> Path:
    """A file of words of the tiny base, in the user's folder: one of them weak."""
    codes = WPlus(torch.randn(60, 6, 16, generator=torch.Generator().manual_seed(5)))
    rows = rows_of(tiny_model.generator.anatomy)
    smile = learn_direction("smile", codes, codes.data[:, 1, 3], rows=rows, per_row=True)
    noise = learn_direction("noise", codes, torch.randn(60, generator=torch.Generator().manual_seed(6)), rows=rows)
    assert noise.accuracy is not None and noise.accuracy < 0.3 < (smile.accuracy or 0)
    path = models_folder / "words" / "tiny.safetensors"
    path.parent.mkdir(parents=True)
    return save_directions(path, [smile, noise], base=generator_digest(tiny_model), licence="CC0-1.0")


def test_words_that_the_base_knows_move_a_face(
    run: Run, tmp_path: Path, code: Path, learned: Path, caplog: pytest.LogCaptureFixture
) -> None:
    status, lines, _ = run("words", "tiny")
    stored = load_directions(learned)
    smile, noise = stored.named("smile"), stored.named("noise")
    assert status == 0 and lines[1].split()[:2] == ["smile", f"{smile.accuracy:.2f}"] and "CC0-1.0" in lines[-1]
    status, lines, err = run(
        "apply", code, "--word", "smile=2", "-w", "noise=-1.5", "-o", tmp_path / "out", "--style", "wild"
    )
    assert status == 0, err
    assert "'noise' is weak: its accuracy is" in caplog.text
    assert lines[-1] == str(tmp_path / "out" / "one.smile+2.noise-1.5.code.safetensors")
    before, after = load_codes(code)[0], load_codes(Path(lines[-1]))[0]
    assert isinstance(before, Z) and isinstance(after, WPlus)
    base = registry.load("tiny").generator
    assert torch.allclose(after.data, moved(moved(base.map(before), smile, 2.0), noise, -1.5).data)
    status, lines, _ = run("apply", code, "-w", "smile", "--strengths", "-2:2:3", "-o", tmp_path / "out", "-s", "wild")
    assert status == 0 and lines == [str(tmp_path / "out" / "one.smile.png")]
    assert run("video", code, "-w", "smile", "-o", tmp_path / "s.gif", "--frames", 2, "-s", "wild")[0] == 0


def test_a_word_moves_a_photo_in_python_as_its_file_does(face: Path, learned: Path) -> None:
    by_word = edit_photo(face, "smile", strength=2.0, style="wild", aligned=True)
    by_file = edit_photo(face, f"{learned}:smile", strength=2.0, style="wild", aligned=True)
    still = edit_photo(face, "smile", strength=0.0, style="wild", aligned=True)
    assert torch.equal(by_word.code.data, by_file.code.data) and not torch.equal(by_word.code.data, still.code.data)


def test_a_base_without_words_says_how_to_learn_them(run: Run, tmp_path: Path, code: Path) -> None:
    for words in (["words", "tiny"], ["apply", code, "-w", "smile", "-o", tmp_path / "out", "-s", "wild"]):
        status, lines, err = run(*words)
        assert status == 2 and not lines and "'tiny' knows no words" in err and "portraitist edit learn" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "needs a --direction, or --word"),
        (["-w", "smile", "-d", "x.safetensors"], "needs a --direction, or --word"),
        (["-w", "glasses"], "There is no direction 'glasses'. Known: smile, noise."),
        (["-w", "smile=much"], "is no word with a strength"),
        (["-w", "smile=nan"], "out of range"),
        (["-w", "smile=1", "--strength", "2"], "both say how far"),
        (["-w", "smile", "-w", "smile=2"], "given twice"),
        (["-w", "smile", "-w", "noise", "--strengths", "-1:1:3"], "of one word"),
    ],
)
def test_words_that_cannot_be_meant_are_told(
    run: Run, tmp_path: Path, code: Path, learned: Path, words: list[str], told: str
) -> None:
    status, _, err = run("apply", code, *words, "-o", tmp_path / "out", "-s", "wild")
    assert status == 2 and told in " ".join(err.split()) and not (tmp_path / "out").exists()


def test_a_video_goes_from_face_to_face(
    run: Run, tmp_path: Path, code: Path, face: Path, sefa: Path, tiny_model: Model, tiny_style: Model
) -> None:
    av = pytest.importorskip("av")
    other = tmp_path / "w.code.safetensors"
    save_codes(other, W(torch.randn(1, 16, generator=torch.Generator().manual_seed(1))), generator_digest(tiny_model))
    out = tmp_path / "v.mp4"
    words = ("video", code, other, face, "--aligned", "-o", out, "-s", "wild", "--frames", 7, "--size", 32, "--fps", 10)
    assert run(*words)[:2] == (0, [str(out)])
    with av.open(str(out)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert float(container.streams.video[0].average_rate) == 10
    assert len(frames) == 7 and frames[0].shape == (32, 32, 3)
    assert run(*words)[0] == 2
    gif = tmp_path / "v.gif"
    assert (
        run("video", code, "-d", f"{sefa}:sefa01", "-o", gif, "--frames", 4, "--loop", "-s", "wild", "-s", "wild:0.5")[
            0
        ]
        == 0
    )
    with Image.open(gif) as image:
        assert image.size == (512, 256) and image.n_frames == 4  # type: ignore[attr-defined]
        first = np.asarray(image.convert("RGB"))[:, :256]
    expected = drawing(tiny_style, moved(mapped(code, tiny_model), load_directions(sefa).named("sefa01"), -2))
    assert np.abs(first.astype(float) - expected).mean() < 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["apply", "{code}", "-d", "{sefa}:sefa09", "-o", "x"], "no direction 'sefa09'"),
        (["apply", "{code}", "-d", "{sefa}", "-o", "x"], "several directions"),
        (["apply", "{code}", "-d", "none:age", "-o", "x"], "no file of directions none"),
        (
            ["apply", "{code}", "-d", "{sefa}:sefa01", "--strength", "1", "--strengths", "0:1:2", "-o", "x"],
            "cannot be combined",
        ),
        (["apply", "{code}", "-d", "{sefa}:sefa01", "--strengths", "0:1", "-o", "x"], "does not list strengths"),
        (["apply", "{code}", "-d", "{sefa}:sefa01", "--strengths", "0:nan:3", "-o", "x"], "does not list strengths"),
        (["apply", "{code}", "-d", "{sefa}:sefa01", "--strengths", "0:1:1", "-o", "x"], "whole number from 2"),
        (
            ["apply", "{code}", "-d", "{sefa}:sefa01", "--strength", "nan", "-o", "x"],
            "nan is out of range for a strength",
        ),
        (
            ["text", "{code}", "--clip", "c", "--text", "a", "--strength", "inf", "-o", "x"],
            "inf is out of range for a strength",
        ),
        (["directions", "tiny", "-o", "x.png", "--preview", "x.png"], "cannot be two files"),
        (["apply", "{code}", "-d", "{sefa}:sefa01", "--resolutions", "16", "-o", "x"], "is left"),
        (["apply", "{code}", "-d", "{sefa}:sefa01", "--resolutions", "5", "-o", "x"], "no blocks"),
        (["directions", "tiny", "-o", "x", "--resolutions", "low"], "does not list resolutions"),
        (["directions", "tiny", "-o", "x", "--resolutions", "5-6"], "does not list resolutions"),
        (["directions", "nobody", "-o", "x"], "no model 'nobody'"),
        (["directions", "tiny", "-o", "x", "--count", "17"], "There are 16 directions"),
        (["video", "{code}", "-o", "x.mp4"], "needs two or more faces"),
        (["video", "{code}", "{code}", "-d", "{sefa}:sefa01", "-o", "x.mp4"], "needs two or more faces"),
        (["video", "{code}", "{code}", "-o", "x.avi"], "video format"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sefa: Path, code: Path, words: list[str], message: str
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    done, lines, err = run(*(word.format(code=code, sefa=sefa) for word in words))
    assert done == 2 and message in err and lines == [] and not list(work.iterdir())


def test_codes_and_directions_of_another_base_are_refused(
    run: Run, tmp_path: Path, sefa: Path, code: Path, tiny_model: Model
) -> None:
    foreign = tmp_path / "foreign.code.safetensors"
    save_codes(foreign, load_codes(code)[0], "another digest")
    done, _, err = run("apply", foreign, "-d", f"{sefa}:sefa01", "-o", tmp_path / "out", "-s", "wild")
    assert done == 3 and "codes of another base" in err
    many = tmp_path / "many.code.safetensors"
    save_codes(many, W(torch.zeros(2, 16)), generator_digest(tiny_model))
    done, _, err = run("apply", many, "-d", f"{sefa}:sefa01", "-o", tmp_path / "out", "-s", "wild")
    assert done == 3 and "holds 2 codes" in err and not (tmp_path / "out").exists()
