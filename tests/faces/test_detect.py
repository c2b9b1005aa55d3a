from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage import data

from portraitist.errors import BadData
from portraitist.faces import BlazeFinder, Face, FixedPoints, Landmarks, align, read_points

Photo = npt.NDArray[np.uint8]
FIVE = [[38, 52], [74, 51], [56, 74], [42, 92], [70, 93]]
# By eye, to about two pixels.
ASTRONAUT = [(204, 102), (247, 104), (203, 139), (245, 141)]


@pytest.fixture(scope="module")
def finder() -> BlazeFinder:
    return BlazeFinder()


@pytest.fixture
def astronaut() -> Image.Image:
    return Image.fromarray(data.astronaut())


def pixels(image: Image.Image) -> Photo:
    return np.asarray(image)


def same(one: list[Face], other: list[Face]) -> bool:
    return len(one) == len(other) and all(
        a.box == b.box and a.score == b.score and np.array_equal(a.landmarks.four, b.landmarks.four)
        for a, b in zip(one, other, strict=True)
    )


def test_the_astronaut_has_one_face_where_one_sees_it(finder: BlazeFinder, astronaut: Image.Image) -> None:
    (face,) = finder.find(pixels(astronaut))
    assert np.linalg.norm(face.landmarks.four - ASTRONAUT, axis=1).max() < 4
    left, top, right, bottom = face.box
    assert 80 < right - left < 110 and 95 < bottom - top < 125 and 0.5 <= face.score <= 1
    assert face.landmarks.full is not None and face.landmarks.full.shape == (468, 2)


@pytest.mark.parametrize("degrees", range(30, 360, 30))
def test_a_face_turned_any_way_is_read_alike(finder: BlazeFinder, astronaut: Image.Image, degrees: int) -> None:
    (upright,) = finder.find(pixels(astronaut))
    (face,) = finder.find(pixels(astronaut.rotate(degrees, Image.Resampling.BICUBIC)))
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    back = [[cos, -sin, 256 - 256 * (cos - sin)], [sin, cos, 256 - 256 * (sin + cos)], [0, 0, 1]]
    apart = np.linalg.norm(face.landmarks.transformed(back).four - upright.landmarks.four, axis=1)
    assert apart.max() < 0.06 * upright.landmarks.eye_distance


@pytest.mark.parametrize("side", [1024, 2048, 4096])
def test_a_small_face_in_a_large_photo_is_found(finder: BlazeFinder, astronaut: Image.Image, side: int) -> None:
    (alone,) = finder.find(pixels(astronaut))
    photo = Image.new("RGB", (side, side), (90, 110, 130))
    at = (side // 10, side // 3)
    photo.paste(astronaut, at)
    (face,) = finder.find(pixels(photo))
    apart = np.linalg.norm(face.landmarks.four - at - alone.landmarks.four, axis=1)
    assert apart.max() < 0.05 * alone.landmarks.eye_distance


def test_faces_come_largest_first_and_once_each(finder: BlazeFinder, astronaut: Image.Image) -> None:
    photo = Image.new("RGB", (1400, 700), (200, 200, 200))
    photo.paste(astronaut.resize((256, 256)), (30, 40))
    photo.paste(astronaut, (850, 100))
    photo.paste(astronaut.resize((384, 384)), (330, 200))
    faces = finder.find(pixels(photo))
    assert [round(face.landmarks.eye_distance / 43.6 * 512, -1) for face in faces] == pytest.approx(
        [512, 384, 256], abs=16
    )


def test_every_face_of_a_group_is_found(finder: BlazeFinder, astronaut: Image.Image) -> None:
    head = astronaut.crop((100, 0, 350, 250)).resize((150, 150))
    photo = Image.new("RGB", (1600, 800), (200, 200, 200))
    places = [(20 + 195 * column, 20 + 195 * row) for row in range(4) for column in range(8)]
    for place in places:
        photo.paste(head, place)
    faces = finder.find(pixels(photo))
    found = sorted(tuple((face.landmarks.left_eye // 195).astype(int).tolist()) for face in faces)
    assert found == sorted((x // 195, y // 195) for x, y in places)


@pytest.mark.parametrize("box", [(179, 70, 272, 178), (210, 0, 512, 512), (0, 84, 512, 512)])
def test_faces_at_the_border_and_filling_the_photo(
    finder: BlazeFinder, astronaut: Image.Image, box: tuple[int, int, int, int]
) -> None:
    (whole,) = finder.find(pixels(astronaut))
    (face,) = finder.find(pixels(astronaut.crop(box)))
    apart = np.linalg.norm(face.landmarks.four + box[:2] - whole.landmarks.four, axis=1)
    assert apart.max() < 0.25 * whole.landmarks.eye_distance


@pytest.mark.parametrize("side", [1, 7, 400])
def test_where_there_is_no_face_the_list_is_empty(finder: BlazeFinder, side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (side, side + 3, 3), dtype=np.uint8)
    assert finder.find(noise) == []
    assert finder.find(np.full((side, side, 3), 128, dtype=np.uint8)) == []


def test_animals_and_things_are_no_faces(finder: BlazeFinder) -> None:
    for photo in (data.chelsea(), data.coffee(), data.rocket()):
        assert finder.find(photo) == []


def test_a_photo_gives_the_same_faces_whatever_came_before(finder: BlazeFinder, astronaut: Image.Image) -> None:
    photo, other = pixels(astronaut), pixels(astronaut.rotate(40).resize((333, 333)))
    first = finder.find(photo)
    finder.find(other)
    assert same(finder.find(photo), first)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(finder.find, [photo, other, photo, other, photo]))
    assert all(same(result, first) for result in results[::2])


def test_finding_is_silent_and_importing_loads_no_network() -> None:
    code = (
        "import sys, numpy as np; from portraitist import faces; heavy = {'torch', 'scipy'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "from concurrent.futures import ThreadPoolExecutor as Pool; finder = faces.BlazeFinder();"
        "list(Pool(3).map(finder.find, [np.zeros((64, 64, 3), np.uint8)] * 3)); print('done', flush=True);"
        "print('heard', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "heard\n")


def test_points_given_by_hand_come_largest_first() -> None:
    small = Landmarks.from_points(FIVE)
    large = Landmarks.from_points(np.array(FIVE) * 3)
    faces = FixedPoints((small, large)).find(np.zeros((9, 9, 3), dtype=np.uint8))
    assert [face.landmarks for face in faces] == [large, small]
    assert {face.score for face in faces} == {1.0}


def test_points_are_read_from_json(tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    path.write_text(json.dumps({"a": FIVE, "b": [FIVE, FIVE], "c": {"points5": FIVE}, "d": {"points5": None}}))
    finders = read_points(path)
    assert {name: len(finder.faces) for name, finder in finders.items()} == {"a": 1, "b": 2, "c": 1}
    assert finders["c"].faces[0].mouth_right.tolist() == [70, 93]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": 3}', '{"a": [[1, 2]]}', '{"a": [["x", 2]]}', '{"a": {"x": 1.5}, "b": []}']
)
def test_unusable_points_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "points.json"
    path.write_text(text)
    with pytest.raises(BadData, match=r"points\.json"):
        read_points(path)


def test_pictures_as_people_have_them(finder: BlazeFinder, shared: Path) -> None:
    """Every picture has its one face, near the given points, and its crop has eyes and mouth where FFHQ has them."""
    folder = shared / "data" / "test_unaligned"
    known = read_points(folder / "points.json")
    errors, places = [], []
    for number, path in enumerate(sorted(folder.glob("*.jpg"))):
        photo = pixels(Image.open(path).convert("RGB"))
        (face,) = finder.find(photo)
        if path.name in known:
            truth = known[path.name].faces[0]
            errors.append(np.linalg.norm(face.landmarks.four - truth.four, axis=1) / truth.eye_distance)
        if number % 3 == 0:
            (again,) = finder.find(align(photo, face.landmarks, 256).image)
            places.append(again.landmarks.four / 256)
    assert len(places) == 16 and len(errors) == 40
    assert np.median(errors) < 0.03 and np.percentile(errors, 95) < 0.06
    mean = np.mean(places, axis=0)
    np.testing.assert_allclose(mean[:2], [(0.376, 0.476), (0.625, 0.476)], atol=0.005)
    np.testing.assert_allclose(mean[2:].mean(axis=0), (0.50, 0.73), atol=0.01)
