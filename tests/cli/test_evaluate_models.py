"""``portraitist evaluate distance``, ``quality``, ``report`` and ``reproduce`` on tiny models, end to end."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from portraitist.cli.main import main
from portraitist.data import ImageSet, write_image
from portraitist.io import registry
from portraitist.io.model_file import Model, save_model, save_pack
from tests.stylize.tiny_encoders import make_encoder

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    models_folder: Path,
    tmp_path: Path,
    tiny_model: Model,
    tiny_style: Model,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """The command line in this process, in a folder with the base ``tiny``, its style ``wild`` and exemplars."""
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)
    monkeypatch.chdir(tmp_path)
    registry.add(save_model(tmp_path / "tiny.safetensors", tiny_model))
    random = np.random.default_rng(0)
    for folder, count in (("style_dots", 40), ("style_waves", 40), ("photos", 6), ("few", 4)):
        for k in range(count):
            picture = np.kron(random.integers(0, 255, (4, 4, 3)), np.ones((4, 4, 1)))
            write_image(tmp_path / folder / f"{k:02}.png", picture.astype(np.uint8))
    data = {"digest": ImageSet.open(tmp_path / "style_dots", 16).digest, "count": 40}
    recipe = {"data": data, "held_out": 0.25, "seed": 1, "recipe": "baseline"}
    lineage = [{"data": data, "images_seen": 100}]
    metrics = {"held_out": 0.2, "held_out_spread": 0.01, "likeness": 0.9, "features": "discriminator 0", "copies": {}}
    header = replace(tiny_style.header, recipe=recipe, lineage=lineage, metrics=metrics)
    registry.add(save_pack(tmp_path / "wild.safetensors", replace(tiny_style, header=header), tiny_model))

    def go(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["portraitist", "evaluate", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return go


def test_distances_are_a_matrix_of_models_and_swaps(run: Run, tmp_path: Path) -> None:
    models = ("tiny", "wild", "tiny+wild@8", "tiny+wild@0")
    code, out, err = run("distance", *models, "--samples", 20, "-o", "matrix.json")
    assert code == 0, err
    found = json.loads((tmp_path / "matrix.json").read_text())
    value = {tuple(pair["models"]): pair["value"] for pair in found["pairs"]}
    assert len(value) == 6 and found["samples"] == 20 and found["distance"] == "discriminator distance"
    # A swap of nothing is the style itself; one up to 8 pixels is neither side.
    assert value["wild", "tiny+wild@0"] == 0 < value["tiny", "wild"] == value["tiny", "tiny+wild@0"]
    assert value["tiny", "tiny+wild@8"] > 0 < value["wild", "tiny+wild@8"]
    assert f"sha256:{found['digest'][:8]}" in out and out.count("| tiny+wild@8 |") == 2
    assert run("distance", *models, "--samples", 20, "-o", "matrix.json")[0] == 2
    again = run("distance", *models, "--samples", 20, "-o", "matrix.json", "--overwrite")
    assert again[:2] == (0, out)


def test_a_style_is_measured_on_what_its_training_held_out(run: Run, tmp_path: Path) -> None:
    words = ("quality", "wild", "--exemplars", "style_dots", "--samples", 16, "-o", "out")
    code, out, err = run(*words)
    assert code == 0, err
    assert "warning" not in err
    (samples,) = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert [row["name"] for row in samples["rows"]] == ["wild", "do nothing", "mean colour", "memoriser"]
    assert samples["settings"]["exemplars scored on"] == 10 and samples["settings"]["exemplars trained on"] == 30
    measures = set(samples["rows"][0]["values"])
    assert {"frechet", "kernel", "precision", "coverage", "diversity", "change", "identity", "path_length"} <= measures
    assert samples["rows"][1]["values"]["change"]["value"] == 0
    assert samples["rows"][3]["alarm"] and not samples["rows"][0]["alarm"]
    assert "Fréchet distance (discriminator sha256:" in (tmp_path / "out" / "quality.md").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "quality.png").exists() and "quality.md" in out
    before = (tmp_path / "out" / "quality.json").read_bytes()
    assert run(*words)[0] == 2
    assert run(*words, "--overwrite")[0] == 0 and (tmp_path / "out" / "quality.json").read_bytes() == before


def test_photos_are_redrawn_by_the_encoder_of_the_base(run: Run, tmp_path: Path, tiny_model: Model) -> None:
    registry.add_encoder(make_encoder(tiny_model))
    words = ("quality", "wild", "--exemplars", "style_dots", "--samples", 16, "-o", "out", "--photos", "photos")
    code, _, err = run(*words)
    assert code == 0, err
    _, photos = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert [row["name"] for row in photos["rows"]] == ["wild", "the base", "do nothing", "mean colour", "memoriser"]
    assert photos["settings"]["way"] == "the encoder hvae"
    changes = {row["name"]: row["values"]["change"]["value"] for row in photos["rows"]}
    assert changes["do nothing"] == 0 < changes["the base"] != changes["wild"]


def test_exemplars_that_may_have_been_trained_on_are_warned_of(run: Run, tmp_path: Path) -> None:
    code, _, err = run("quality", "wild", "--exemplars", "style_waves", "--samples", 16, "-o", "out")
    assert code == 0 and "warning: The file of the style does not tell" in err
    assert "**The file of the style does not tell" in (tmp_path / "out" / "quality.md").read_text(encoding="utf-8")
    both = ("quality", "wild", "--exemplars", "style_dots", "--trained", "style_dots", "--samples", 16, "-o", "both")
    code, _, err = run(*both)
    assert code == 0 and "40 exemplars are both scored on and trained on" in err


def test_styles_and_numbers_stand_side_by_side(run: Run, tmp_path: Path) -> None:
    assert run("quality", "wild", "--exemplars", "style_dots", "--samples", 16, "-o", "out")[0] == 0
    assert run("report", "tiny", "wild", "out", "-o", "page.md")[0] == 0
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "What the files say" in text and "0.200 ± 0.020" in text and "| wild | baseline | tiny |" in text
    assert "Measured on samples, Fréchet distance (discriminator sha256:" in text and "wild: memoriser" in text
    assert run("report", "tiny", "wild", "out", "-o", "page.html")[0] == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2 and "<script" not in page and "http" not in page.split("<body>")[1]
    # Numbers of another network never stand in the same table.
    (tmp_path / "other").mkdir()
    numbers = (tmp_path / "out" / "quality.json").read_text(encoding="utf-8")
    told = json.loads(numbers)[0]["settings"]["distance"]
    assert text.count("Measured on") == 1
    (tmp_path / "other" / "quality.json").write_text(numbers.replace(told, "LPIPS (VGG16)"), encoding="utf-8")
    assert run("report", "out", "other", "-o", "two.md")[0] == 0
    assert (tmp_path / "two.md").read_text(encoding="utf-8").count("Measured on") == 2
    (tmp_path / "out" / "quality.json").write_text("{", encoding="utf-8")
    code, _, err = run("report", "out", "-o", "other.md")
    assert code == 3 and "quality.json cannot be read" in err


def test_a_header_with_strange_metrics_is_no_bug(run: Run, tmp_path: Path, tiny_model: Model) -> None:
    strange = replace(tiny_model, header=replace(tiny_model.header, metrics={"likeness": "high"}))
    save_model(tmp_path / "strange.safetensors", strange)
    code, _, err = run("report", "strange.safetensors", "-o", "page.md")
    assert (
        code == 3
        and "strange.safetensors has a malformed training record" in err
        and not (tmp_path / "page.md").exists()
    )


@pytest.mark.recipe
def test_a_paper_is_reproduced_and_goes_on_where_it_stopped(run: Run, tmp_path: Path) -> None:
    words = ("reproduce", "agilegan", "-o", "repro", "--data", ".", "--base", "tiny", "--photos", "photos")
    words += ("--images", 8, "--samples", 16, "--seeds", "0", "--steps", 2, "--limit", 3, "--set", "batch=4")  # type: ignore[assignment]
    code, out, err = run(*words, "--styles", "dots")
    assert code == 0, err
    text = (tmp_path / "repro" / "reproduction.md").read_text(encoding="utf-8")
    assert out.strip() == "repro/reproduction.md" and "| dots | optimisation, W |" in text
    kept = tmp_path / "repro" / "runs" / "dots-agilegan-0" / "kept.safetensors"
    written = kept.stat().st_mtime_ns
    assert run(*words)[0] == 0
    assert kept.stat().st_mtime_ns == written
    assert "| waves | optimisation, W |" in (tmp_path / "repro" / "reproduction.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("distance", "tiny"), 2, "needs two models"),
        (("distance", "tiny", "tiny"), 2, "named twice"),
        (("distance", "tiny", "tiny+wild@7", "--samples", "4"), 2, "7"),
        (("distance", "tiny", "nobody", "--samples", "4"), 2, "There is no model 'nobody'"),
        (("distance", "tiny", "wild", "-o", "matrix.txt"), 2, "takes a .md or .json file"),
        (("quality", "wild", "--exemplars", "nowhere", "-o", "out"), 2, "nowhere"),
        (("quality", "wild", "--exemplars", "few", "-o", "out", "--samples", "16"), 3, "cannot be scored on"),
        (("quality", "wild", "--exemplars", "style_dots", "-o", "out", "--photos", "few"), 3, "4 photos are too few"),
        (("quality", "wild", "--exemplars", "style_dots", "-o", "out", "--refine", "5"), 2, "Give --photos too"),
        (("report", "tiny", "-o", "page.pdf"), 2, "takes a .html or .md file"),
        (("reproduce", "toonify", "-o", "out", "--data", "."), 2, "There is no paper 'toonify'"),
        (("reproduce", "ui2i", "-o", "out", "--data", ".", "--styles", "x", "--base", "tiny"), 2, "no exemplars of x"),
        (("reproduce", "agilegan", "-o", "out", "--data", ".", "--base", "tiny"), 2, "table is of photos"),
        (("reproduce", "ui2i", "-o", "out", "--data", ".", "--encoder", "x=y"), 2, "--encoder has no part in ui2i"),
        (("reproduce", "ui2i", "-o", "out", "--data", ".", "--pairs", "few"), 2, "--pairs has no part in ui2i"),
        (("reproduce", "ui2i", "-o", "out", "--data", ".", "--learn-from", "few"), 2, "draw --photos"),
        (("reproduce", "agilegan", "-o", "out", "--data", ".", "--pairs", "few"), 2, "Name one with --identity"),
        (
            ("reproduce", "cartoon-stylegan", "-o", "out", "--data", ".", "--learn-from", "few"),
            2,
            "--learn-from has no part in",
        ),
        (
            ("reproduce", "cartoon-stylegan", "-o", "out", "--data", ".", "--photos", "few"),
            2,
            "--photos has no part in",
        ),
        (
            ("reproduce", "agilegan", "-o", "out", "--data", ".", "--base", "tiny", "--encoder", "x"),
            2,
            "takes NAME=FILE",
        ),
    ],
)
def test_wrong_use_is_one_line(run: Run, tmp_path: Path, words: tuple[str, ...], code: int, message: str) -> None:
    found, _, err = run(*words)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert found == code and len(errors) == 1 and message in errors[0], err
    assert not (tmp_path / "out").exists()
