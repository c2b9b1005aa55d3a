"""Flicker: motion does not count, what changes beyond it does."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from portraitist.evaluate import Flicker
from portraitist.faces import Landmarks
from portraitist.faces.landmarks import transform

POINTS = np.array([(62.0, 60), (98, 60), (80, 76), (66, 98), (94, 98)])
SMOOTH = np.asarray(
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)).resize(
        (160, 160), Image.Resampling.BICUBIC
    )
)


def frame(k: int) -> tuple[np.ndarray, Landmarks]:
    """A picture that is moved, turned and zoomed."""
    zoom, turn = 1 + 0.02 * k, 0.05 * k
    cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
    centre = np.array([80.0, 80])
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    matrix[:2, 2] = centre + np.array([4 * k, -2 * k]) - matrix[:2, :2] @ centre
    back = tuple(np.linalg.inv(matrix)[:2].ravel())
    moved = Image.fromarray(SMOOTH).transform((160, 160), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
    return np.asarray(moved), Landmarks.from_points(transform(matrix, POINTS))


def test_motion_alone_is_hardly_any_difference() -> None:
    compensated, plain = Flicker(), []
    for k in range(4):
        picture, landmarks = frame(k)
        compensated.add(picture, picture, landmarks)
        plain.append(picture.astype(float))
    moved = np.abs(np.diff(plain, axis=0))[:, 50:110, 50:110].mean()
    assert len(compensated.source) == 3 and np.mean(compensated.source) < 0.15 * moved
    assert compensated.ratio == 1


def test_drawings_that_change_from_frame_to_frame_flicker() -> None:
    def ratio(change: float) -> float:
        flicker, random = Flicker(), np.random.default_rng(1)
        for k in range(4):
            picture, landmarks = frame(k)
            noisy = np.clip(picture + random.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
            drawn = np.clip(noisy.astype(float) + change * (-1) ** k, 0, 255).astype(np.uint8)
            flicker.add(noisy, drawn, landmarks)
        return flicker.ratio

    assert 0.9 < ratio(0) < 1.1 < ratio(3) < ratio(9)


def test_frames_without_the_face_are_left_out() -> None:
    flicker = Flicker()
    assert np.isnan(flicker.ratio)
    for k, seen in enumerate((True, True, False, True, True)):
        picture, landmarks = frame(k)
        flicker.add(picture, picture, landmarks if seen else None)
    assert len(flicker.source) == len(flicker.drawing) == 2
    away = Landmarks.from_points(POINTS + 1000)
    flicker.add(frame(0)[0], frame(0)[0], away)
    assert len(flicker.source) == 2


def test_the_difference_is_in_grey_levels() -> None:
    flicker = Flicker()
    for k in range(2):
        flat = np.full((160, 160, 3), 100 + 10 * k, np.uint8)
        flicker.add(flat, flat, frame(0)[1])
    assert flicker.source == [pytest.approx(10, abs=0.01)]
