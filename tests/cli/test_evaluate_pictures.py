"""``portraitist evaluate pictures`` on tiny models, end to end."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data import ImageSet, read_image, write_image
from portraitist.io import registry
from portraitist.io.headers import read_header
from portraitist.io.model_file import Model, load_model, save_model, save_pack
from tests.cli.conftest import Run
from tests.stylize.tiny_encoders import make_encoder

STYLES = ("--style", "wild", "--exemplars", "wild=dots")
ROWS = ["wild", "the base", "nothing", "smoothed", "base's size"]


@pytest.fixture(autouse=True)
def workplace(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with photos and exemplars; the base ``tiny``, its encoder and its style ``wild`` are known."""
    monkeypatch.chdir(tmp_path)
    registry.add(save_model(tmp_path / "tiny.safetensors", tiny_model))
    registry.add_encoder(make_encoder(tiny_model))
    random = np.random.default_rng(0)
    for folder, count in (("dots", 20), ("photos", 5), ("few", 2)):
        for k in range(count):
            picture = np.kron(random.integers(0, 255, (8, 8, 3)), np.ones((4, 4, 1)))
            write_image(tmp_path / folder / f"{k:02}.png", picture.astype(np.uint8))
    data = {"digest": ImageSet.open(tmp_path / "dots", 16).digest, "count": 20}
    header = replace(tiny_style.header, recipe={"data": data, "held_out": 0.25, "seed": 1})
    registry.add(save_pack(tmp_path / "wild.safetensors", replace(tiny_style, header=header), tiny_model))


def test_photos_become_a_table_a_page_and_a_sheet(run: Run, tmp_path: Path) -> None:
    words = ("evaluate", "pictures", "photos", "--aligned", *STYLES, "-o", "out")
    code, lines, err = run(*words)
    assert code == 0, err
    assert lines[-3:] == ["out/pictures.md", "out/pictures.json", "out/pictures.png"]
    shown = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")]
    assert shown[1:] == [*ROWS, "exemplars of wild"] and "style: wild" in "".join(lines)
    found = json.loads((tmp_path / "out" / "pictures.json").read_text())
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == ROWS and found["settings"]["people"] == 5 and found["warnings"] == []
    # A quarter of the exemplars was held out, as the style's file says.
    assert found["settings"]["exemplars"] == {"wild": 5}
    nothing = rows["nothing"]["values"]
    assert nothing["rank1"]["value"] == 1 and nothing["identity"]["value"] == pytest.approx(1, abs=1e-5)
    assert (
        nothing["mirror_bias"]["value"] == pytest.approx(0, abs=1e-9) != rows["wild"]["values"]["mirror_bias"]["value"]
    )
    assert set(rows["wild"]["style_distances"]) == set(rows["nothing"]["style_distances"]) == {"wild"}
    assert rows["wild"]["values"]["identity"]["value"] < 1 and found["exemplar_sharpness"]["wild"]["value"] > 0
    page = (tmp_path / "out" / "pictures.md").read_text(encoding="utf-8")
    assert "](pictures.png)" in page and page.splitlines()[:4] == lines[:4]
    side, gap, heads = 160, 2, 24
    sheet = read_image(tmp_path / "out" / "pictures.png")
    assert sheet.shape == (heads + 5 * (side + gap) - gap, 3 * (side + gap) - gap, 3)
    before = (tmp_path / "out" / "pictures.json").read_bytes()
    assert run(*words)[0] == 2
    assert run(*words, "--overwrite")[0] == 0 and (tmp_path / "out" / "pictures.json").read_bytes() == before


def test_groups_are_measured_and_recorded_for_the_card(run: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "file,kind\n" + "".join(f"{k:02}.png,{'a' if k < 3 else 'b'}\n" for k in range(5))
    )
    words = ("evaluate", "pictures", "photos", "--aligned", "--labels", "labels.csv", "--style")
    code, lines, err = run(*words, "wild.safetensors", "--record", "--json")
    assert code == 0, err
    groups = json.loads(lines[-1])["measured"]["groups"]["wild"]
    kinds = [(g["attribute"], g["value"], g["people"]) for g in groups if g["attribute"] == "kind"]
    assert kinds == [("kind", "a", 3)]  # two people are too few
    header = read_header(tmp_path / "wild.safetensors")
    assert header.metrics["people"] == groups and header.metrics["people_by"]["photos"] == 5
    kept = load_model(tmp_path / "wild.safetensors", find_base=lambda h: registry.load("tiny"))
    known = registry.load("wild")
    assert all(torch.equal(v, known.generator.state_dict()[k]) for k, v in kept.generator.state_dict().items())
    assert header.recipe == known.header.recipe
    code, lines, _ = run("models", "show", "wild.safetensors", "--card")
    assert code == 0 and any(line.startswith("| kind: a | 3 | ") for line in lines)
    code, lines, _ = run(*words, "wild")
    assert code == 0 and "## wild, by group" in lines
    for wrong, message in (((*words, "wild", "--record"), "not a file"), ((*words[:4], "--record"), "Add --labels")):
        code, _, err = run(*wrong)
        assert code == 2 and message in err


def test_a_bad_photo_is_left_out_and_some_are_chosen_by_the_seed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos" / "02.png").write_bytes(b"x")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for file in sorted((tmp_path / "photos").iterdir()):
            archive.write(file, file.name)
    words = ("evaluate", "pictures", "photos.zip", "--aligned", "--style", "wild", "--json")
    code, lines, err = run(*words)
    found = json.loads(lines[-1])["measured"]
    assert code == 3 and "02.png" in err and list(found["left_out"]) == ["02.png"]
    assert found["settings"]["photos"] == ["00.png", "01.png", "03.png", "04.png"]
    assert [row["name"] for row in found["rows"]] == ROWS and found["rows"][0]["style_distances"] == {}
    chosen = []
    for seed in (0, 1, 2):
        _, lines, _ = run(*words, "--count", 3, "--seed", seed)
        chosen.append(json.loads(lines[-1])["measured"]["settings"]["photos"])
    # The broken one does not count.
    assert all(len(set(names)) == 3 and "02.png" not in names for names in chosen) and chosen[0] != chosen[1]


def test_exemplars_that_nobody_knows_are_warned_of(run: Run) -> None:
    words = ("evaluate", "pictures", "photos", "--aligned", "--style", "wild", "--exemplars", "wild=photos")
    code, lines, _ = run(*words)
    assert code == 0 and any(line.startswith("**wild: The file of the style does not tell") for line in lines)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("photos", "--exemplars", "dots"), 2, "takes STYLE=FOLDER, not 'dots'"),
        (("photos", "--exemplars", "wild=dots", "--exemplars", "wild=photos"), 2, "names 'wild' twice"),
        (("photos", "--exemplars", "oil=dots"), 2, "names 'oil', which is not drawn"),
        (("photos", "--exemplars", "wild=few"), 3, "2 exemplars are too few"),
        (("photos", "--exemplars", "wild=nowhere"), 3, "nowhere does not exist"),
        (("photos", "--style", "nobody"), 2, "There is no model 'nobody'"),
        (("few",), 3, "2 photos could be drawn, 3 are needed"),
        (("nowhere",), 2, "There is no file or folder nowhere"),
        (("photos", "--identity", "photos/00.png"), 3, "00.png"),
    ],
)
def test_wrong_use_is_one_line(run: Run, tmp_path: Path, words: tuple[str, ...], code: int, message: str) -> None:
    found, _, err = run("evaluate", "pictures", *words, "--aligned", "-o", "out")
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert found == code and len(errors) == 1 and message in errors[0], err
    assert not (tmp_path / "out").exists()
