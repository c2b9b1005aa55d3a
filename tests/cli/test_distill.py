"""``portraitist distill``: from a style and two folders to a painter's file."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portraitist.data import ImageSet, write_image
from portraitist.evaluate import Interval, PictureMeasures
from portraitist.evaluate.held_out import EXEMPLARS
from portraitist.io import registry
from portraitist.io.headers import read_header
from portraitist.io.measured import add_metrics
from portraitist.io.model_file import Model, save_model, save_pack
from portraitist.io.painter_files import load_painter
from portraitist.runs.painter_pack import Compared, save_with_painter
from tests.cli.conftest import Run
from tests.conftest import smooth_pictures
from tests.stylize.tiny_encoders import make_encoder

pytestmark = pytest.mark.recipe
SMALL = ("--size", 32, "--widths", "4,4,8", "--blocks", 1, "--images", 2, "--device", "cpu")
SETTINGS = ("batch=2", "panel.channels=4", "perceptual.crop=16", "adversarial.crop=16", "feature_discriminator.crop=16")


@pytest.fixture
def data(tmp_path: Path, models_folder: Path, tiny_model: Model, tiny_style: Model) -> Path:
    save_model(models_folder / "faces.safetensors", tiny_model)
    save_pack(models_folder / "wild.safetensors", tiny_style, tiny_model)
    registry.add_encoder(make_encoder(tiny_model))
    for name in ("photos", "exemplars"):
        smooth_pictures(tmp_path / name)
    return tmp_path


def words(data: Path, *more: object) -> tuple[object, ...]:
    sets = [word for setting in SETTINGS for word in ("--set", setting)]
    given = ("--photos", data / "photos", "--exemplars", data / "exemplars", "-o", data / "run")
    return ("distill", "wild", *given, *SMALL, *sets, *more)


def test_from_a_style_to_a_painter(run: Run, data: Path) -> None:
    code, lines, _ = run(*words(data, "--name", "mine"))
    assert (code, lines) == (0, [str(data / "run" / "painter.safetensors")])
    header = load_painter(data / "run").header
    assert (header.name, header.style_name, header.licence, header.credit) == ("mine", "wild", "CC-BY-4.0", "Nobody")
    assert header.painter.widths == (4, 4, 8) and header.painter.blocks == 1 and header.side == 32
    assert len(header.style_digest) == len(header.teacher_digest) == 64
    assert header.training["looks"]["name"].startswith("discriminator") and header.training["persons"] is None
    assert len(list((data / "run" / "teacher").glob("*.png"))) == 10
    # Once more: nothing is left to do, and the teacher is the same.
    before = (data / "run" / "teacher" / "index.jsonl").read_text()
    assert run(*words(data, "--name", "mine"))[0] == 0
    assert (data / "run" / "teacher" / "index.jsonl").read_text() == before
    starts_from_another(run, data)
    goes_into_the_pack(run, data)
    starts_from_the_painter_of_a_style(run, data)
    code, _, told = run(*words(data, "--seed", 1))
    assert code == 2 and "seed: 0 -> 1" in told and "new folder" in told


def starts_from_another(run: Run, data: Path) -> None:
    shutil.copytree(data / "run" / "teacher", data / "second" / "teacher")  # its pictures are the same
    sizes = words(data, "--from", data / "run")
    code, _, told = run(*sizes)
    assert code == 2 and "Leave out --widths and --blocks" in told
    first = sizes.index("--widths")
    alone = [data / "second" if word == data / "run" else word for word in sizes[:first] + sizes[first + 4 :]]
    alone[-1] = data / "run"
    assert run(*alone)[0] == 0
    assert load_painter(data / "second").header.training["start"]["name"] == "mine"


def starts_from_the_painter_of_a_style(run: Run, data: Path) -> None:
    plain = words(data, "--dry-run")
    first = plain.index("--widths")
    alone = plain[:first] + plain[first + 4 :]
    code, lines, told = run(*alone, "--from", data / "packed.safetensors")
    sizes = load_painter(data / "run").header.painter.widths
    assert code == 0 and tuple(json.loads("\n".join(lines[:-1]))["painter"]["widths"]) == sizes, told
    code, _, told = run(*alone, "--from", "wild")
    assert code == 2 and "wild carries no painter" in told


def goes_into_the_pack(run: Run, data: Path) -> None:
    pack = data / "packed.safetensors"
    # What was measured of people holds for the style as it drew before.
    add_metrics(registry.find("wild"), {"people": [], "people_by": {"photos": 3}, "checked_by": "Zoë"})
    code, lines, told = run(*words(data, "--name", "mine", "--pack", pack))
    assert code == 0, told
    path, painter, by_code, written = lines
    assert path.endswith("painter.safetensors") and painter.startswith("painter ") and by_code.startswith("code ")
    header = read_header(pack)
    assert header.metrics["checked_by"] == "Zoë" and not {"people", "people_by"} & set(header.metrics)
    assert written == str(pack) and header.painter is not None and header.painter.side == 32
    measured = header.painter.metrics
    assert f"identity {measured['painter']['identity']['value']:.3f}" in painter
    assert f"style {measured['code']['style']['value']:.2f}" in by_code
    assert header.painter.is_default == painter.endswith("<- default") != by_code.endswith("<- default")
    assert header.licence == load_painter(data / "run").header.licence == "CC-BY-4.0"
    stored = load_painter(data / "run")
    same = PictureMeasures(*[Interval(1.0, 0.1)] * 9)
    found = Compared(same, same, is_grey=False)
    other = replace(stored, header=replace(stored.header, licence="MIT", credit="the photographer"))
    by_both = read_header(save_with_painter(registry.find("wild"), other, found, data / "both.safetensors"))
    assert by_both.licence == "MIT AND CC-BY-4.0" and "the photographer" in by_both.credit
    code, _, told = run(*words(data, "--pack", pack))
    assert code == 2 and "exists" in told
    code, _, told = run(*words(data, "--overwrite"))
    assert code == 2 and "--overwrite is for --pack" in told
    write_image(data / "me.png", np.zeros((64, 64, 3), np.uint8))
    drawing = ("stylize", data / "me.png", "--aligned", "--style", pack, "--steps", "1", "-o")
    assert run(*drawing, data / "a", "--method", "portrait")[0] == 0
    code, _, told = run(*drawing, data / "b", "--method", "painter")
    assert code == 2 and "is for codes" in told


def test_a_dry_run_writes_nothing(run: Run, data: Path) -> None:
    code, lines, _ = run(*words(data, "--dry-run", "--set", "consistency.views.shift=5"))
    assert code == 0 and lines[-1] == "10 photos, 10 exemplars"
    shown = json.loads("\n".join(lines[:-1]))
    assert shown["painter"]["widths"] == [4, 4, 8] and shown["consistency"]["views"]["shift"] == 5
    assert not (data / "run").exists()


def test_the_painter_of_a_grey_style_is_grey(run: Run, data: Path) -> None:
    def grey(*more: object) -> bool:
        code, lines, _ = run(*words(data, "--dry-run", *more))
        assert code == 0
        return bool(json.loads("\n".join(lines[:-1]))["painter"]["grey"])

    assert not grey()
    for path in sorted((data / "exemplars").iterdir()):
        with Image.open(path) as picture:
            picture.convert("L").convert("RGB").save(path)
    assert grey()
    assert run(*words(data))[0] == 0
    assert load_painter(data / "run").painter.anatomy.grey
    with_start = [word for word in words(data, "--dry-run", "--from", data / "run") if word not in SMALL[2:6]]
    code, lines, _ = run(*with_start)
    assert code == 0 and json.loads("\n".join(lines[:-1]))["painter"]["grey"]


def test_exemplars_that_the_style_held_out_are_not_trained_on(run: Run, data: Path, tiny_style: Model) -> None:
    images = ImageSet.open(data / "exemplars", tiny_style.header.generator.resolution)
    header = replace(tiny_style.header, recipe={EXEMPLARS: [images.picture_digests[k] for k in (0, 2, 3, 5, 8)]})
    save_pack(data / "known.safetensors", replace(tiny_style, header=header), registry.load("faces"))
    known = ("distill", data / "known.safetensors", *words(data)[2:])
    code, lines, _ = run(*known, "--dry-run")
    assert code == 0 and lines[-1] == "10 photos, 5 exemplars, 5 more that the style has not seen"
    assert run(*known)[0] == 0
    whole = ImageSet.open(data / "exemplars", 32)
    seen, unseen = whole.subset((0, 2, 3, 5, 8)), whole.subset((1, 4, 6, 7, 9))
    settings = json.loads((data / "run" / "settings.json").read_text())
    assert settings["exemplars"] == {"digest": seen.digest, "count": 5}
    assert settings["unseen"] == {"digest": unseen.digest, "count": 5}


def test_exemplars_are_balanced_by_an_attribute(run: Run, data: Path) -> None:
    labels = data / "labels.csv"
    names = ImageSet.open(data / "exemplars", 32).names
    labels.write_text("file,side\n" + "\n".join(f"{n},{'a' if k < 8 else 'b'}" for k, n in enumerate(names)))
    balanced = words(data, "--labels", labels, "--balance", "side", "--set", "held_out=0")
    code, lines, _ = run(*balanced, "--dry-run")
    assert code == 0 and json.loads("\n".join(lines[:-1]))["balance"] == ["a", "b"]
    assert run(*balanced)[0] == 0
    settings = json.loads((data / "run" / "settings.json").read_text())
    parts = ImageSet.open(data / "exemplars", 32, labels=labels)
    assert settings["attributes"] == {value: parts.select(value).digest for value in "ab"}
    code, _, told = run(*words(data, "--labels", labels, "--dry-run"))
    assert code == 2 and "--labels are for --balance" in told
    code, _, told = run(*words(data, "--balance", "age", "--dry-run"))
    assert code == 2 and "The attribute is not clear" in told


def test_what_is_wrong_is_said_with_its_cure(run: Run, data: Path) -> None:
    for more, parts in {
        ("--pack", data / "packed.safetensors", "--set", "held_out=0"): (
            "Nothing is held out",
            "Leave held_out above 0",
        ),
        ("--widths", "4,4"): ("three numbers", "24,48,96"),
        ("--size", 60): ("60 pixels", "multiple of 8"),
        ("--set", "pixels=1"): ("pixels",),
        ("--set", "pixels.weight=-1"): ("cannot be negative",),
        ("--set", "strokes.weight=1"): ("no setting 'strokes'", "adversarial"),
        ("--identity", data / "no.pt"): ("no.pt",),
        ("--identity", data / "no.pt", "--set", "identity.weight=0"): ("identity.weight is 0", "Leave it out"),
        ("--set", "identity.weight=2"): ("for a face embedder", "--identity FILE"),
        ("--photos", data / "nowhere"): ("nowhere",),
        ("--licence", "a\x07b"): ("control characters", "plain text"),
    }.items():
        code, _, told = run(*words(data, *more))
        assert code in (2, 3) and all(part in told for part in parts), (more, told)
    code, _, told = run("distill", "unheard", *words(data)[2:])
    assert code == 2 and "unheard" in told
    code, _, told = run("distill", "faces", *words(data)[2:])
    assert code == 2 and "full model, not a style" in told
    assert not (data / "run").exists()
