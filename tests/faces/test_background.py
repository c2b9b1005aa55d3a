"""The person is told from the background, and laid over a colour."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut

from portraitist.data.images import resize
from portraitist.errors import PortraitistError
from portraitist.faces.background import over, person_cover


def test_the_astronaut_is_told_from_the_shuttle() -> None:
    pytest.importorskip("mediapipe")
    picture = resize(astronaut()[:300, 80:380], 256)
    cover = person_cover(picture)
    assert cover.shape == (256, 256) and 0 <= cover.min() and cover.max() <= 1
    assert cover[90:130, 100:140].mean() > 0.9  # her face
    assert cover[:40, 200:].mean() < 0.2  # the corner beside her
    person_cover(resize(astronaut(), 128))
    assert np.array_equal(person_cover(picture), cover)


def test_a_cover_mixes_with_white_and_is_resized() -> None:
    picture = np.full((4, 4, 3), 100, np.uint8)
    cover = np.zeros((2, 2), np.float32)
    assert (over(picture, cover) == 255).all()
    assert (over(picture, cover + 1) == 100).all()
    assert (over(picture, cover + 0.5, (0, 0, 0)) == 50).all()


def test_other_layouts_are_refused() -> None:
    with pytest.raises(PortraitistError):
        person_cover(np.zeros((4, 4), np.uint8))
