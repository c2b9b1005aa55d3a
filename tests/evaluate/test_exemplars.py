from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from skimage.color import rgb2lab
from skimage.data import astronaut

from portraitist.data import write_image
from portraitist.errors import BadData
from portraitist.evaluate import exemplars
from portraitist.evaluate.exemplar_measures import lab_of
from portraitist.evaluate.exemplars import Checkup, Finding, examine
from portraitist.faces import BlazeFinder, FixedPoints, Landmarks, align

Pixels = npt.NDArray[np.uint8]
SIDE = 128
NOBODY = FixedPoints(())


def drawing(seed: int, side: int = SIDE) -> Pixels:
    """A head of its own colours and strokes before a wall."""
    random = np.random.default_rng(seed)
    base = np.array([(90, 110, 130), (90, 60, 50), (220, 180, 150)])
    wall, hair, skin = base + random.integers(-30, 30, (3, 3))
    image = Image.new("RGB", (side, side), tuple(wall.tolist()))
    pen = ImageDraw.Draw(image)
    for colour, box in ((hair, (0.2, 0.1, 0.8, 0.95)), (skin, (0.27, 0.24, 0.73, 0.9))):
        pen.ellipse([value * side for value in box], fill=tuple(colour.tolist()))
    for _ in range(60):
        x, y, dx, dy = random.uniform(0, 1, 2).tolist() + random.uniform(-0.15, 0.15, 2).tolist()
        shade = int(random.integers(20, 235))
        pen.line([x * side, y * side, (x + dx) * side, (y + dy) * side], fill=(shade, shade // 2, shade // 3), width=2)
    grain = random.normal(0, 6, (side, side, 1))
    return (np.asarray(image) + grain).clip(0, 255).astype(np.uint8)


def face(right: float = 0, down: float = 0, scale: float = 1, degrees: float = 0, side: int = SIDE) -> FixedPoints:
    """The mesh of a face where FFHQ has it, then moved (parts of the side), scaled and turned about the middle."""
    points = np.full((478, 2), 0.5)
    for rows, place in (
        ((33, 160, 158, 133, 153, 144), (0.376, 0.476)),
        ((362, 385, 387, 263, 373, 380), (0.625, 0.476)),
        ((61,), (0.41, 0.722)),
        ((291,), (0.59, 0.722)),
        ((10,), (0.5, 0.27)),
        ((152,), (0.5, 0.88)),
    ):
        points[list(rows)] = place
    angle = math.radians(degrees)
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return FixedPoints((Landmarks.from_points(((points - 0.5) @ turn.T + 0.5 + (right, down)) * side),))


def save(folder: Path, pictures: dict[str, Pixels]) -> Path:
    for name, picture in pictures.items():
        write_image(folder / f"{name}.png", picture)
    return folder


def kinds(checkup: Checkup) -> dict[str, set[str]]:
    return {Path(name).stem: {f.kind for f in found} for name, found in checkup.pictures.items() if found}


def resized(picture: Pixels, side: int, box: tuple[float, float, float, float] | None = None) -> Pixels:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC, box))


@pytest.fixture(scope="module")
def clean() -> dict[str, Pixels]:
    return {f"{seed:02}": drawing(seed) for seed in range(24)}


def test_a_sound_set_has_no_findings(tmp_path: Path, clean: dict[str, Pixels]) -> None:
    seen: list[str] = []
    checkup = examine(save(tmp_path, clean), face(), size=SIDE, on_picture=seen.append)
    assert (kinds(checkup), checkup.whole, checkup.counts) == ({}, (), {})
    assert checkup.usable == len(clean) and seen == sorted(checkup.pictures)
    assert checkup.lines() == ["24 pictures: 24 without findings, 24 usable."]


def test_doubles_name_their_twin_however_they_were_saved(tmp_path: Path, clean: dict[str, Pixels]) -> None:
    faults = {
        "resaved": resized(resized(clean["03"], 100), SIDE),
        "mirrored": np.ascontiguousarray(clean["05"][:, ::-1]),
        "cropped": resized(clean["07"], SIDE, (5, 0, SIDE, SIDE - 5)),
        "zoomed": resized(clean["09"], SIDE, (5, 5, SIDE - 5, SIDE - 5)),
    }
    checkup = examine(save(tmp_path, clean | faults), face(), size=SIDE)
    found = {Path(name).stem: f for name, all_ in checkup.pictures.items() for f in all_ if f.kind == "duplicate"}
    assert found.keys() == faults.keys()
    for name, twin in (("resaved", "03"), ("mirrored", "05"), ("cropped", "07"), ("zoomed", "09")):
        assert f"{twin}.png" in found[name].reason and found[name].severity == "refuse"
    assert "mirrored" in found["mirrored"].reason and "mirrored" not in found["cropped"].reason
    assert checkup.usable == len(clean)


@pytest.mark.parametrize(
    ("moved", "severity", "words"),
    [
        (face(right=0.08), "warn", "8% of the side too far right"),
        (face(down=-0.09), "warn", "9% too high"),
        (face(scale=1.3), "warn", "29% too large"),
        (face(scale=0.8), "warn", "20% too small"),
        (face(degrees=12), "warn", "turned by 12 degrees"),
        (face(degrees=90), "refuse", "turned by 90 degrees"),
    ],
)
def test_faces_off_the_template_are_misaligned(
    tmp_path: Path, clean: dict[str, Pixels], moved: FixedPoints, severity: str, words: str
) -> None:
    checkup = examine(save(tmp_path, clean), face(), size=SIDE, points={"11.png": moved})
    assert "misaligned" in kinds(checkup)["11"] and checkup.whole == ()
    finding = next(f for f in checkup.pictures["11.png"] if f.kind == "misaligned")
    assert finding.severity == severity and words in finding.reason and "prepare" in finding.cure


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(0.5, 2.0), st.floats(-60, 60), st.integers(16, 1024))
def test_the_misfit_is_the_movement(right: float, down: float, scale: float, degrees: float, side: int) -> None:
    # The template's own square differs a little from the unit square: movements are compared with it.
    still = exemplars._misfit(face(side=side).faces[0], side)
    moved = exemplars._misfit(face(right, down, scale, degrees, side).faces[0], side)
    assert still.grade() == 0
    assert moved.scale == pytest.approx(still.scale * scale, rel=1e-6)
    assert moved.turn == pytest.approx(still.turn + degrees, abs=1e-6)
    angle = math.radians(degrees)
    x, y = still.right * scale, still.down * scale
    assert moved.right == pytest.approx(x * math.cos(angle) - y * math.sin(angle) + right, abs=1e-6)
    assert moved.down == pytest.approx(x * math.sin(angle) + y * math.cos(angle) + down, abs=1e-6)


def test_hair_is_cut_where_the_head_leaves_the_picture(tmp_path: Path, clean: dict[str, Pixels]) -> None:
    points = {"01.png": face(down=-0.13), "02.png": face(down=-0.02)}
    found = kinds(examine(save(tmp_path, clean), face(), size=SIDE, points=points))
    assert "hair" in found["01"] and "02" not in found
    five = FixedPoints((Landmarks.from_points([(48, 61), (80, 61), (64, 78), (52, 92), (76, 92)]),))
    assert kinds(examine(tmp_path, five, size=SIDE)) == {}  # five points do not tell where the hair begins


def test_small_and_enlarged_pictures(tmp_path: Path, clean: dict[str, Pixels]) -> None:
    faults = {"small": resized(drawing(90), 60), "enlarged": resized(resized(drawing(91), 32), SIDE)}
    save(tmp_path, clean | faults)
    points = {"small.png": face(side=60)}
    found = kinds(examine(tmp_path, face(), size=SIDE, points=points))
    assert {"size"} <= found["small"] and {"enlarged"} <= found["enlarged"] and len(found) == 2
    assert "size" not in kinds(examine(tmp_path, face(), size=60, points=points)).get("small", set())


def test_no_face_is_a_warning_and_two_are_named(tmp_path: Path, clean: dict[str, Pixels]) -> None:
    two = FixedPoints(face().faces + face(right=0.5, scale=0.5).faces)
    checkup = examine(save(tmp_path, clean), face(), size=SIDE, points={"04.png": NOBODY, "06.png": two})
    assert kinds(checkup) == {"04": {"no-face"}, "06": {"faces"}}
    assert checkup.usable == len(clean) and "2 faces" in checkup.pictures["06.png"][0].reason


def test_another_style_and_a_cast_are_named(tmp_path: Path, clean: dict[str, Pixels]) -> None:
    grey = {
        name: np.repeat(np.asarray(Image.fromarray(p).convert("L"))[..., None], 3, axis=2) for name, p in clean.items()
    }
    coloured = examine(save(tmp_path / "grey", grey | {"colour": drawing(70)}), face(), size=SIDE)
    finding = next(f for f in coloured.pictures["colour.png"] if f.kind == "style")
    assert "colour" in finding.reason and coloured.counts["style"] == 1
    flat = np.full((SIDE, SIDE, 3), 200, np.uint8)
    blue = (drawing(71) * np.array([0.4, 0.7, 1.0])).astype(np.uint8)
    found = kinds(examine(save(tmp_path / "other", clean | {"flat": flat, "blue": blue}), face(), size=SIDE))
    assert "style" in found["flat"] and "cast" in found["blue"]
    assert {name for name, of in found.items() if of & {"style", "cast"}} == {"flat", "blue"}


def test_two_styles_in_one_folder_are_mixed(tmp_path: Path, clean: dict[str, Pixels]) -> None:
    other = {f"grey {name}": np.repeat(drawing(100 + int(name))[..., :1], 3, axis=2) for name in list(clean)[:12]}
    checkup = examine(save(tmp_path, clean | other), face(), size=SIDE)
    assert [f.kind for f in checkup.whole] == ["mixed"] and "33%" in checkup.whole[0].reason


def test_bad_files_are_listed_and_stop_nothing(tmp_path: Path, clean: dict[str, Pixels]) -> None:
    save(tmp_path, {name: clean[name] for name in ("00", "01")})
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    point = FixedPoints((Landmarks.from_points([(5, 5)] * 5),))
    checkup = examine(tmp_path, face(), size=SIDE, points={"01.png": point})
    assert kinds(checkup) == {"broken": {"unreadable"}, "01": {"unreadable"}} and checkup.usable == 1
    assert "span no area" in checkup.pictures["01.png"][0].reason
    assert [f.kind for f in checkup.whole] == ["few"] and any("broken.jpg" in line for line in checkup.lines())
    assert json.loads(json.dumps(checkup.as_json()))["counts"] == {"unreadable": 2}
    with pytest.raises(BadData, match="does not exist"):
        examine(tmp_path / "nowhere", face())


def test_an_empty_folder_has_nothing_usable(tmp_path: Path) -> None:
    checkup = examine(tmp_path, face())
    assert checkup.pictures == {} and checkup.usable == 0 and [f.kind for f in checkup.whole] == ["few"]


def test_photos_are_told_to_be_prepared_first_once(tmp_path: Path) -> None:
    photo = np.asarray(astronaut())
    save(tmp_path / "photos", {"whole": photo, "tall": photo[:, 60:440]})
    checkup = examine(tmp_path / "photos", size=SIDE)
    assert [f.kind for f in checkup.whole] == ["few", "unaligned"]
    assert all("misaligned" not in of for of in kinds(checkup).values())
    landmarks = BlazeFinder().find(photo)[0].landmarks
    save(tmp_path / "crops", {"crop": align(photo, landmarks, SIDE).image, "cut": photo[60:220, 145:305]})
    checkup = examine(tmp_path / "crops", size=SIDE)
    assert "crop" not in kinds(checkup) and [f.kind for f in checkup.whole] == ["few"]


def test_counts_are_of_pictures_and_refused_ones_are_not_usable() -> None:
    hair, twin = Finding("hair", "warn", "r.", "c."), Finding("duplicate", "refuse", "r.", "c.")
    checkup = Checkup({"a": (hair, twin), "b": (hair,), "c": ()}, ())
    assert checkup.counts == {"hair": 2, "duplicate": 1} and checkup.usable == 2
    assert checkup.lines()[0] == "3 pictures: 1 without findings, 2 usable."


def test_lab_is_what_others_compute() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture[0, :3] = [[0, 0, 0], [255, 255, 255], [1, 2, 3]]
    assert np.abs(lab_of(picture) - rgb2lab(picture)).max() < 0.02
