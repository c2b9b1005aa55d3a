"""``portraitist look``, and looks where styles are trained and photos redrawn."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.cli import look
from portraitist.cli.look import _best
from portraitist.data import ImageSet, read_image, write_image
from portraitist.data.images import to_array
from portraitist.detail import MEDIA, measure_look, photo_population
from portraitist.detail.look import TENSORS
from portraitist.errors import BadData
from portraitist.evaluate import PictureMeasures, pictures
from portraitist.evaluate.kernel import Interval
from portraitist.faces import BlazeFinder
from portraitist.io import registry
from portraitist.io.headers import read_header
from portraitist.io.model_file import Model, generator_digest, load_model, save_model, save_pack
from portraitist.runs.looks import ENOUGH, levelled, look_of, population
from tests.cli.conftest import Run
from tests.conftest import REPOSITORY
from tests.detail.test_look import full, same
from tests.io.test_model_file import paths_of
from tests.stylize.tiny_encoders import make_encoder


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces that the bundled base draws."""
    base = load_model(REPOSITORY / "src/portraitist/models/faces.safetensors").generator
    folder = tmp_path_factory.mktemp("people")
    codes = torch.randn(6, base.anatomy.z_dim, generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        for k, face in enumerate(to_array(base(codes))):
            write_image(folder / f"{k}.png", face)
    return folder


@pytest.fixture(autouse=True)
def workplace(
    models_folder: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base ``tiny``, its encoder and its style ``wild`` are known; ``dots`` holds pictures without faces."""
    monkeypatch.chdir(tmp_path)
    registry.add(save_model(tmp_path / "tiny.safetensors", tiny_model))
    registry.add_encoder(make_encoder(tiny_model))
    registry.add(save_pack(tmp_path / "wild.safetensors", tiny_style, tiny_model))
    random = np.random.default_rng(0)
    for k in range(10):
        picture = np.kron(random.integers(0, 255, (8, 8, 3)), np.ones((4, 4, 1)))
        write_image(tmp_path / "dots" / f"{k:02}.png", picture.astype(np.uint8))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("tiny", "--overwrite"), 2, "is a base, and looks are of styles. Name a style."),
        (("nobody", "--overwrite"), 2, "There is no model 'nobody'"),
        (("wild", "--medium", "crayon"), 2, "no medium 'crayon'. Use smooth, paint, brush, dry, auto."),
        (("wild", "--medium", "auto"), 2, "--medium auto and --photos belong together. Give both, or neither."),
        (("wild", "--photos", "dots"), 2, "--medium auto and --photos belong together"),
        (("wild", "--identity", "x.onnx"), 2, "--identity is for --medium auto"),
        (("wild", "--features", "x.pt"), 2, "--features is for --medium auto"),
        (("wild",), 2, "exists already"),
        (("wild", "-o", "tiny.safetensors"), 2, "exists already"),
        (("wild", "-o", "new.safetensors", "--detector", "haar"), 2, "no face detector 'haar'"),
        (("wild", "-o", "new.safetensors", "--shape", "4"), 2, "--shape"),
        (("wild", "-o", "new.safetensors", "--exemplars", "nowhere"), 2, "There is no file or folder nowhere"),
        (("wild", "-o", "new.safetensors"), 3, "A look cannot be measured of 8 pictures with 0 faces. Give at least"),
    ],
)
def test_wrong_use_says_what_to_do(run: Run, tmp_path: Path, words: tuple[str, ...], code: int, message: str) -> None:
    before = (tmp_path / "user models" / "wild.safetensors").read_bytes()
    more = () if "--exemplars" in words else ("--exemplars", "dots")
    found, lines, err = run("look", *words, *more)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert found == code and lines == [] and len(errors) == 1 and message in errors[0], err
    assert (tmp_path / "user models" / "wild.safetensors").read_bytes() == before
    assert not (tmp_path / "new.safetensors").exists()


def test_a_look_is_measured_and_stored(run: Run, people: Path, tmp_path: Path, tiny_model: Model) -> None:
    code, lines, err = run(
        "look", "wild", "--exemplars", people, "--medium", "brush", "--shape", 1.5, "-o", "w.safetensors"
    )
    assert code == 0 and lines == ["brush-1.5: w.safetensors"], err
    found = load_model(tmp_path / "w.safetensors", find_base=lambda h: tiny_model)
    before = registry.load("wild")
    assert found.look is not None and found.look.medium == MEDIA["brush"] and before.look is None
    assert generator_digest(found) == generator_digest(before)
    assert replace(found.header, medium=None) == before.header
    pictures = list(ImageSet.open(people, 16).decoded_at(256))
    raw = look_of(pictures, MEDIA["brush"], BlazeFinder(), shape=1.5)
    wanted = levelled(raw, tiny_model, [before], make_encoder(tiny_model))
    for name in TENSORS:
        assert torch.allclose(found.look.tensors()[name], wanted.tensors()[name], atol=1e-5), name
    seen = population(pictures, BlazeFinder())
    assert seen.count == 6 and same(raw, measure_look(seen, photo_population(), MEDIA["brush"], shape=1.5))
    # Faces of people: their parts lie near those of the photos, and they are coloured.
    assert float((seen.points - photo_population().points).norm(dim=1).mean()) < 0.05
    assert not seen.is_colourless
    # Beside photos of as many women and men.
    table = tmp_path / "labels.csv"
    genders = ["female", "male", "female", "unknown", "female", "female"]
    rows = [f"{name},{g}" for name, g in zip(ImageSet.open(people, 16).names, genders, strict=True)]
    table.write_text("\n".join(["file,gender", *rows]))
    words = ("look", "wild", "--exemplars", people, "--shape", 1.5, "--medium", "brush", "--labels", table)
    code, _, err = run(*words, "-o", "mixed.safetensors")
    assert code == 0, err
    mixed = load_model(tmp_path / "mixed.safetensors", find_base=lambda h: tiny_model).look
    like = photo_population({"female": 4, "male": 1})
    level = levelled(
        measure_look(seen, like, MEDIA["brush"], shape=1.5), tiny_model, [before], make_encoder(tiny_model)
    )
    assert mixed is not None and same(mixed, level) and not same(mixed, wanted)
    table.write_text("\n".join(["file,gender", *(f"{row.partition(',')[0]},unknown" for row in rows)]))
    code, _, err = run(*words, "-o", "none.safetensors")
    assert code == 2 and "labels.csv calls no exemplar female or male in a column gender" in err
    # In place, where that is allowed; the digest that the registry keeps follows.
    code, lines, err = run("look", "wild", "--exemplars", people, "--overwrite")
    assert code == 0 and lines[0].startswith("smooth-1: "), err
    again = registry.load("wild").look
    assert again is not None and again.medium == MEDIA["smooth"]
    entry = next(e for e in registry.entries() if e.name == "wild")
    assert registry.file_sha256(entry.path) == entry.sha256


def test_every_path_of_a_style_is_kept(run: Run, people: Path, tmp_path: Path, tiny_model: Model) -> None:
    models = paths_of(tiny_model)
    save_pack(tmp_path / "both.safetensors", models, tiny_model)
    code, _, err = run("look", tmp_path / "both.safetensors", "--exemplars", people, "--overwrite")
    assert code == 0 and read_header(tmp_path / "both.safetensors").paths == ("women", "men"), err
    for name, model in models.items():
        found = load_model(tmp_path / "both.safetensors", find_base=lambda h: tiny_model, attribute=name)
        assert found.look is not None and generator_digest(found) == generator_digest(model)


def test_after_some_pictures_without_a_face_no_other_is_looked_at() -> None:
    looked: list[int] = []

    class Blind:
        def find(self, image: object) -> list[object]:
            looked.append(1)
            return []

    with pytest.raises(BadData, match=f"of {ENOUGH} pictures with 0 faces"):
        population([np.full((256, 256, 3), 100, np.uint8)] * 20, Blind())  # type: ignore[arg-type]
    assert len(looked) == ENOUGH


def measured(identity: float, style: float, sharp: float) -> PictureMeasures:
    value = Interval(0.0, 0.1)
    named = {"identity": Interval(identity, 0.1), "style": Interval(style, 0.1), "sharpness": Interval(4 * sharp, 0.1)}
    others = dict.fromkeys(("strangers", "rank1", "layout", "eye_difference", "mirror_bias"), value)
    return PictureMeasures(**named, **others, exemplar_sharpness=Interval(4.0, 0.1))


def test_the_nearest_look_that_keeps_people_and_is_sharp_is_taken() -> None:
    found = {
        "lost": measured(0.45, 1.0, 1.0),
        "soft": measured(0.9, 1.1, 0.6),
        "rough": measured(0.9, 1.2, 1.3),
        "far": measured(0.9, 3.0, 1.0),
        "near": measured(0.5, 2.0, 1.2),
    }
    assert _best(found, False) == "near"
    assert _best(found, True) == "lost"  # grey drawings of a person are less alike
    bad = {name: found[name] for name in ("lost", "soft", "rough")}
    with pytest.raises(BadData, match=r"No look keeps people.*soft  identity 0\.900.*--medium"):
        _best(bad, False)


def test_media_are_tried_on_photos(run: Run, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "SHAPES", (1.6,))  # for speed
    monkeypatch.setattr(pictures, "SHARPNESS", (0.1, 9.0))  # faces of 64 pixels, enlarged, are no measure
    words = ("--medium", "auto", "--photos", people, "--count", 3)
    code, lines, err = run("look", "wild", "--exemplars", people, *words, "-o", "w.safetensors")
    assert code == 0, err
    assert [line.split()[0] for line in lines[:-1]] == [f"{medium}-1.6" for medium in MEDIA]
    found = {line.split()[0]: float(line.partition("  style ")[2].split()[0]) for line in lines[:-1]}
    (taken,) = (line.split()[0] for line in lines if line.endswith("<- taken"))
    assert lines[-1] == f"{taken}: w.safetensors" and found[taken] == min(found.values())
    assert all("  rank-1 1.00  " in line for line in lines[:-1])


def test_photos_take_as_much_of_the_photo_as_is_asked_for(
    run: Run, people: Path, tmp_path: Path, tiny_model: Model, tiny_style: Model
) -> None:
    seen = replace(tiny_style, look=full(), header=replace(tiny_style.header, name="seen"))
    registry.add(save_pack(tmp_path / "seen.safetensors", seen, tiny_model))
    drawn = {}
    for detail in ((), ("--detail", 0), ("--detail", 0.5), ("--detail", 1)):
        words = (
            "stylize",
            people / "0.png",
            "--aligned",
            "--style",
            "seen",
            "--size",
            64,
            "-o",
            "out",
            "--overwrite",
        )
        code, _, err = run(*words, *detail)
        assert code == 0, err
        drawn[detail] = read_image(tmp_path / "out" / "0.seen.png").astype(float)
    whole, none, half = (drawn[k] for k in ((), ("--detail", 0), ("--detail", 0.5)))
    assert np.array_equal(drawn[("--detail", 1)], whole)
    run("stylize", people / "0.png", "--aligned", "--style", "wild", "--size", 64, "-o", "out", "--overwrite")
    assert np.array_equal(none, read_image(tmp_path / "out" / "0.wild.png"))
    photo = read_image(people / "0.png").astype(float)
    apart = [np.abs(picture - photo).mean() for picture in (whole, half, none)]
    assert apart[0] < apart[1] < apart[2]
    code, _, err = run("stylize", people / "0.png", "--detail", 1.1)
    assert code == 2 and "--detail" in err


@pytest.mark.parametrize("faces", [False, True])
def test_training_measures_a_look_where_it_finds_faces(
    run: Run, people: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, faces: bool
) -> None:
    exemplars = people if faces else tmp_path / "dots"
    with caplog.at_level(logging.WARNING, "portraitist"):
        code, _, err = run(
            *("train", exemplars, "-o", "run", "--from", "tiny", "--images", 4, "--set", "batch=2"),
            *("--recipe", "freeze_fc", "--set", "patience=0", "--set", "held_out=0"),
        )
    assert code == 0 and (tmp_path / "run" / "style.safetensors").exists(), err
    told = [r.getMessage() for r in caplog.records if "gets no look" in r.getMessage()]
    found = registry.load(tmp_path / "run" / "style.safetensors")
    assert (found.look is not None) == faces and bool(told) != faces
    if faces:
        assert found.look is not None and found.look.medium == MEDIA["smooth"]
        assert load_model(tmp_path / "run" / "model.safetensors").look is None
    else:
        assert "A look cannot be measured of 8 pictures with 0 faces" in told[0]
