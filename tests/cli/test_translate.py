"""``portraitist translate``: from folders of groups to pictures, and files of other programs."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from portraitist.data import read_image, write_image
from portraitist.data.images import resize
from portraitist.io.model_file import Model, save_model
from portraitist.io.translator_files import load_translator
from tests.cli.conftest import Run

pytestmark = pytest.mark.recipe
SMALL = ("--preset", "ugatit", "--light", "--size", "16", "--channels", "4")


@pytest.fixture
def run(run: Run) -> Run:
    """The command line below ``portraitist translate``."""
    return partial(run, "translate")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for group, photos, drawings in (("women", 6, 5), ("men", 4, 3), ("kids", 3, 3)):
        for side, count in (("photos", photos), ("drawings", drawings)):
            for k in range(count):
                coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                (tmp_path / "data" / side / group).mkdir(parents=True, exist_ok=True)
                write_image(tmp_path / "data" / side / group / f"{k}.png", coarse.repeat(6, 0).repeat(6, 1))
    return tmp_path / "data"


@pytest.fixture
def basic(run: Run, data: Path, tmp_path: Path) -> Path:
    assert (
        run("train", data, "-o", tmp_path / "basic", *SMALL, "--images", 2, "--name", "mine", "--device", "cpu")[0] == 0
    )
    return tmp_path / "basic"


def test_from_folders_to_pictures(run: Run, data: Path, basic: Path, tmp_path: Path) -> None:
    header = load_translator(basic).header
    assert header.groups == ("women",) and header.name == "mine"  # the group with the most drawings
    assert (header.translator.kind, header.translator.channels, header.translator.light) == ("ugatit", 4, True)
    out = tmp_path / "all"
    options = ("--preset", "ugatit", "--images", 6, "--set", "batch=2", "--device", "cpu")
    code, lines, told = run("extend", data, "-t", basic, "-o", out, *options)
    assert (code, lines) == (0, [str(out / "translator.safetensors")]) and "drawings/kids holds only 3" in told
    assert load_translator(out).header.groups == ("women", "kids", "men")
    write_image(tmp_path / "me.png", resize(astronaut()[:300, 80:380], 64))
    one = ("run", tmp_path / "me.png", "-t", out, "--aligned", "--keep-background", "--device", "cpu")
    code, _, told = run(*one)
    assert code == 2 and "women, kids, men, or auto" in told
    code, lines, _ = run(*one, "--group", "kids", "--sheet")
    assert code == 0 and lines == [str(tmp_path / "me.all.png"), str(tmp_path / "me.sheet.png")]
    assert read_image(lines[0]).shape == (256, 256, 3)
    code, _, told = run(*one, "--group", "kids")
    assert code == 2 and "exists" in told
    code, _, told = run(*one, "--group", "kids", "-o", tmp_path / "new.jpg")
    assert code == 2 and f"-o {tmp_path}, and --suffix .jpg" in told and not (tmp_path / "new.jpg").exists()


def test_a_run_of_an_earlier_version_draws_already(run: Run, data: Path, basic: Path) -> None:
    settings = json.loads((basic / "settings.json").read_text())
    assert settings.pop("initial_share") == 0
    (basic / "settings.json").write_text(json.dumps(settings))
    again = ("train", data, "-o", basic, *SMALL, "--images", 4, "--name", "mine", "--device", "cpu")
    code, _, told = run(*again, "--set", "initial_share=0.5", "--set", "decay_from=1")
    assert code == 2 and "initial_share" in told


def test_munit_draws_in_many_appearances(run: Run, data: Path, tmp_path: Path) -> None:
    words = ("--preset", "munit", "--size", 16, "--channels", 4, "--images", 1, "--device", "cpu")
    assert run("train", data, "-o", tmp_path / "m", *words, "--framing", "photo2cartoon")[0] == 0
    header = load_translator(tmp_path / "m").header
    assert (header.translator.kind, header.framing, header.training["content_weight"]) == ("munit", "photo2cartoon", 1)
    write_image(tmp_path / "me.png", resize(astronaut()[:300, 80:380], 64))
    one = ("run", tmp_path / "me.png", "-t", tmp_path / "m", "--aligned", "--keep-background", "--device", "cpu")
    look = ("--appearance", "random:1", "--reference", data / "drawings" / "men" / "0.png", "--reference-aligned")
    code, lines, _ = run(*one, *look)
    ends = ("m", "m.random1", "m.0")
    assert code == 0 and lines == [str(tmp_path / f"me.{end}.png") for end in ends]
    assert len({read_image(line).tobytes() for line in lines}) == 3
    for wrong, part in ((("--appearance", "2"), "random:N"), (("--reference-aligned",), "is for --reference")):
        code, _, told = run(*one, *wrong, "--overwrite")
        assert code == 2 and part in told
    code, _, told = run("train", data, "-o", tmp_path / "x", *words, "--set", "identity_weight=1")
    assert code == 2 and "munit have no loss for identity_weight" in told and not (tmp_path / "x").exists()
    code, _, told = run("extend", data, "-t", tmp_path / "m", "-o", tmp_path / "x")
    assert code == 2 and "no loss for attention_weight and identity_weight" in told and "take the preset" in told
    code, _, told = run("train", data, "-o", tmp_path / "x", *words, "--framing", "square")
    assert code == 2 and "no framing 'square'" in told


def test_weights_of_photo2cartoon_keep_its_framing(run: Run, shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / "photo2cartoon.pt"
    assert run("import", golden, "-o", tmp_path / "a.safetensors", "--size", 64)[0] == 0
    assert run("import", golden, "-o", tmp_path / "b.safetensors", "--size", 64, "--framing", "ffhq")[0] == 0
    found = [load_translator(tmp_path / f"{name}.safetensors").header.framing for name in "ab"]
    assert found == ["photo2cartoon", "ffhq"]


def test_a_dry_run_writes_nothing(run: Run, data: Path, basic: Path, tmp_path: Path) -> None:
    code, lines, _ = run("train", data, "-o", tmp_path / "x", "--group", "men", "--group", "kids", "--dry-run")
    assert code == 0 and lines[-2:] == ["men: 4 photos, 3 drawings", "kids: 3 photos, 3 drawings"]
    shown = json.loads("\n".join(lines[:-2]))
    assert (shown["translator"]["kind"], shown["translator"]["resolution"]) == ("cyclegan", 128)
    assert (shown["training"]["cycle_weight"], shown["training"]["initial_share"]) == (10, 0.25)
    code, lines, _ = run("train", data, "-o", tmp_path / "x", "--group", "men", "--own", "1,2", "--dry-run")
    assert code == 0 and json.loads("\n".join(lines[:-1]))["translator"]["own_first"] == 1
    code, lines, _ = run("extend", data, "-t", basic, "-o", tmp_path / "x", "--group", "men", "--dry-run")
    assert code == 0 and lines[-2:] == ["women: 6 photos, 5 drawings", "men: 4 photos, 3 drawings"]
    assert json.loads("\n".join(lines[:-2]))["initial_share"] == 0  # it draws already
    code, _, told = run("extend", data, "-t", basic, "-o", tmp_path / "x", "--dry-run", "--device", "gpu")
    assert code == 2 and "Unknown device" in told
    code, _, told = run("extend", data, "-t", basic, "-o", tmp_path / "x", "--dry-run", "--identity", data / "no.pt")
    assert code == 3 and "no.pt" in told
    assert not (tmp_path / "x").exists()


def test_what_is_wrong_is_said(run: Run, data: Path, basic: Path, tmp_path: Path) -> None:
    for words, part in {
        ("train", data, "-o", tmp_path / "x", "--group", "elderly"): "'elderly' has no folder",
        ("train", tmp_path, "-o", tmp_path / "x"): "There is no folder",
        ("train", data, "-o", tmp_path / "x", "--preset", "pix2pix"): "no preset 'pix2pix'",
        ("train", data, "-o", tmp_path / "x", "--size", "50"): "50 pixels",
        ("train", data, "-o", tmp_path / "x", "--own", "4"): "two whole numbers",
        ("train", data, "-o", tmp_path / "x", "--own", "9,9"): "cannot own 9",
        ("train", data, "-o", tmp_path / "x", "--full"): "cyclegan have no style",
        ("train", data, "-o", tmp_path / "x", "--set", "cycle=1"): "no setting 'cycle'",
        ("extend", data, "-t", data, "-o", tmp_path / "x"): "holds no trained translator",
        ("run", data, "-t", basic): "Give -o OUT",
        ("train", data, "-o", tmp_path / "x", *SMALL, "--set", "beta1=2"): "beta1",
    }.items():
        code, _, told = run(*words)
        assert code in (2, 3) and part in told, words
    for k in range(6, 9):
        write_image(data / "drawings" / "men" / f"{k}.png", np.zeros((8, 8, 3), np.uint8))
    write_image(data / "drawings" / "women" / "9.png", np.zeros((8, 8, 3), np.uint8))
    code, _, told = run("train", data, "-o", tmp_path / "x")
    assert code == 2 and "men and women have as many drawings" in told


def test_the_base_tells_persons_apart_where_nothing_else_does(
    run: Run, data: Path, tmp_path: Path, models_folder: Path, tiny_model: Model
) -> None:
    save_model(models_folder / "faces.safetensors", tiny_model)
    words = ("--size", 32, "--channels", 4, "--images", 1, "--device", "cpu")
    assert run("train", data, "-o", tmp_path / "p", *words)[0] == 0
    assert load_translator(tmp_path / "p").header.training["persons"]["name"] == "discriminator identity"
    told = json.loads((tmp_path / "p" / "settings.json").read_text())
    assert told["init"] == "normal" and told["person_weight"] == 1


def test_faces_are_put_on_white(run: Run, tmp_path: Path) -> None:
    for side in ("photos", "drawings"):
        (tmp_path / "raw" / side / "women").mkdir(parents=True)
        write_image(tmp_path / "raw" / side / "women" / "a.png", astronaut())
    code, lines, _ = run("prepare", tmp_path / "raw", "-o", tmp_path / "white", "--size", 64)
    assert code == 0 and lines[0].startswith("2 faces from 2 of 2 pictures")
    face = read_image(tmp_path / "white" / "drawings" / "women" / "a.png")
    assert face.shape == (64, 64, 3) and (face[:8, -8:] > 240).mean() > 0.7 and face[28:40, 24:40].mean() < 230
    write_image(tmp_path / "raw" / "photos" / "women" / "wall.png", np.full((64, 64, 3), 90, np.uint8))
    code, lines, _ = run("prepare", tmp_path / "raw", "-o", tmp_path / "cut", "--size", 64, "--aligned")
    assert code == 0 and "2 faces from 2 of 3" in lines[0] and "wall.png (no-face): No person stands out" in lines[1]
    assert not (tmp_path / "cut" / "photos" / "women" / "wall.png").exists()
    assert read_image(tmp_path / "cut" / "photos" / "women" / "a.png").shape == (64, 64, 3)
