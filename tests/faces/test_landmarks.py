from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.errors import UsageError
from portraitist.faces import Face, Landmarks

FIVE = [(38.0, 52.0), (74.0, 51.0), (56.0, 74.0), (42.0, 92.0), (70.0, 93.0)]


def test_five_points_are_taken_in_order() -> None:
    landmarks = Landmarks.from_points(FIVE)
    assert landmarks.four.tolist() == [list(FIVE[row]) for row in (0, 1, 3, 4)]
    assert landmarks.full is not None and landmarks.full.tolist() == [list(point) for point in FIVE]


@pytest.mark.parametrize(
    ("count", "left", "right", "corners"),
    [
        (68, range(36, 42), range(42, 48), (48, 54)),
        (468, (33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380), (61, 291)),
        (478, (33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380), (61, 291)),
    ],
)
def test_eyes_are_means_of_their_contours(count: int, left: range, right: range, corners: tuple[int, int]) -> None:
    points = np.zeros((count, 2))
    points[list(left)] += (10, 20)
    points[left[0]] += (6, -6)
    points[list(right)] += (30, 21)
    points[corners[0]], points[corners[1]] = (12, 40), (28, 41)
    landmarks = Landmarks.from_points(points)
    np.testing.assert_allclose(landmarks.four, [(11, 19), (30, 21), (12, 40), (28, 41)])


@pytest.mark.parametrize("points", [[(1, 2)] * 6, [1, 2, 3], [(1, 2, 3)] * 5, [("a", 2)] * 5, [(np.nan, 2)] * 5])
def test_other_points_are_refused(points: list[object]) -> None:
    with pytest.raises(UsageError):
        Landmarks.from_points(points)  # type: ignore[arg-type]


@given(st.floats(0.1, 10), st.floats(-np.pi, np.pi), st.floats(-100, 100))
def test_a_similarity_scales_the_eye_distance_and_turns_the_tilt(scale: float, angle: float, shift: float) -> None:
    landmarks = Landmarks.from_points(FIVE)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    moved = landmarks.transformed([[cos, -sin, shift], [sin, cos, -shift], [0, 0, 1]])
    assert moved.eye_distance == pytest.approx(scale * landmarks.eye_distance)
    turn = np.angle(np.exp(1j * (moved.tilt - landmarks.tilt - angle)))
    assert turn == pytest.approx(0, abs=1e-6)
    assert moved.full is not None and np.array_equal(moved.full[3], moved.mouth_left)


def test_a_face_is_as_large_as_its_points() -> None:
    assert Face.around(Landmarks.from_points(FIVE), 1.0).box == (38, 51, 74, 93)
