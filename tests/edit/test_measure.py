from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from portraitist.data.images import Pixels
from portraitist.edit import light, measured_direction, moved, on_faces, smile, turn
from portraitist.edit.measure import drawn
from portraitist.errors import UsageError
from portraitist.faces import FixedPoints, Landmarks
from portraitist.io.model_file import Model
from portraitist.spaces import Z

FRONT = [(40, 50), (80, 50), (60, 75), (45, 95), (75, 95)]


def face(nose: tuple[float, float] = (60, 75), corners: float = 0) -> Landmarks:
    points = [*FRONT[:2], nose, (45 - corners, 95), (75 + corners, 95)]
    return Landmarks.from_points(points)


def test_a_turned_head_is_known_by_its_nose() -> None:
    assert (
        turn(face()) == 0
        and turn(face((70, 80))) == pytest.approx(0.25)
        and turn(face((50, 70))) == pytest.approx(-0.25)
    )


def test_tilt_and_size_do_not_count_as_a_turn() -> None:
    angle = math.radians(30)
    matrix = np.array([[math.cos(angle), -math.sin(angle), 7], [math.sin(angle), math.cos(angle), -3], [0, 0, 0.5]])
    assert turn(face((66, 70)).transformed(matrix)) == pytest.approx(turn(face((66, 70))))
    assert smile(face(corners=4).transformed(matrix)) == pytest.approx(smile(face(corners=4)))


def test_a_smile_widens_the_mouth() -> None:
    assert smile(face()) == pytest.approx(0.75) and smile(face(corners=5)) == pytest.approx(1.0)


def test_a_finder_without_a_nose_cannot_tell_a_turn() -> None:
    known = face()
    with pytest.raises(UsageError, match="no nose"):
        turn(Landmarks(known.left_eye, known.right_eye, known.mouth_left, known.mouth_right))


def test_light_compares_the_halves_of_the_face_alone() -> None:
    picture = np.full((64, 64, 3), 100, np.uint8)
    assert light(picture) == 0
    picture[:, :8] = 255  # background
    assert light(picture) == 0
    picture[:, 32:] = 200
    assert light(picture) == pytest.approx(1 / 3) and light(picture[:, ::-1]) == pytest.approx(-1 / 3)
    assert light(np.zeros((16, 16, 3), np.uint8)) == 0


def test_the_largest_face_is_measured_on_an_enlarged_picture() -> None:
    seen: list[int] = []

    class Finder(FixedPoints):
        def find(self, image: Pixels) -> list:  # type: ignore[type-arg]
            seen.append(len(image))
            return super().find(image)

    assert on_faces(Finder((face((70, 80)),)), turn)(np.zeros((64, 64, 3), np.uint8)) == pytest.approx(0.25)
    assert math.isnan(on_faces(Finder(()), turn)(np.zeros((300, 300, 3), np.uint8))) and seen == [256, 300]


def test_a_measured_direction_changes_what_was_measured(tiny_model: Model) -> None:
    def red(picture: Pixels) -> float:
        return float(picture[..., 0].mean())

    generator, told = tiny_model.generator, []
    direction = measured_direction(
        "red", generator, red, rows=range(6), count=120, progress=lambda done, total: told.append((done, total))
    )
    code = generator.map(Z.sample(20, 16, torch.Generator().manual_seed(77)))
    changes = [
        red(drawn(generator, moved(code[k], direction, 2))) - red(drawn(generator, moved(code[k], direction, -2)))
        for k in range(20)
    ]
    assert np.mean(np.array(changes) > 0) > 0.9 and told[-1] == (120, 120)
    again = measured_direction("red", generator, red, rows=range(6), count=120)
    assert torch.equal(again.vector, direction.vector)


def test_pictures_that_cannot_be_measured_are_too_few(tiny_model: Model) -> None:
    with pytest.raises(UsageError, match="0 ratings"):
        measured_direction("x", tiny_model.generator, lambda picture: math.nan, rows=range(6), count=20)
