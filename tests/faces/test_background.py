"""The person is told from the background, and laid over a colour."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut

from portraitist.data.images import resize
from portraitist.errors import PortraitistError
from portraitist.faces.background import composite, person_mask


def test_the_astronaut_is_told_from_the_shuttle() -> None:
    pytest.importorskip("mediapipe")
    picture = resize(astronaut()[:300, 80:380], 256)
    mask = person_mask(picture)
    assert mask.shape == (256, 256) and 0 <= mask.min() and mask.max() <= 1
    assert mask[90:130, 100:140].mean() > 0.9  # her face
    assert mask[:40, 200:].mean() < 0.2  # the corner beside her
    person_mask(resize(astronaut(), 128))
    assert np.array_equal(person_mask(picture), mask)


def test_a_mask_mixes_with_white_and_is_resized() -> None:
    picture = np.full((4, 4, 3), 100, np.uint8)
    mask = np.zeros((2, 2), np.float32)
    assert (composite(picture, mask) == 255).all()
    assert (composite(picture, mask + 1) == 100).all()
    assert (composite(picture, mask + 0.5, (0, 0, 0)) == 50).all()


def test_other_layouts_are_refused() -> None:
    with pytest.raises(PortraitistError):
        person_mask(np.zeros((4, 4), np.uint8))
