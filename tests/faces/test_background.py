"""The person is told from the background, and laid over a colour."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut

from portraitist.data.images import resize
from portraitist.errors import PortraitistError
from portraitist.faces import background
from portraitist.faces.background import composite, person_mask, portrait_mask


def test_the_astronaut_is_told_from_the_shuttle() -> None:
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


def test_the_face_of_an_aligned_portrait_is_the_person_whatever_is_found() -> None:
    picture = resize(astronaut()[20:220, 125:325], 128)
    mask, found = portrait_mask(picture), person_mask(picture)
    assert mask.shape == (128, 128) and mask.dtype == np.float32 and mask.max() <= 1
    assert (mask >= found).all() and mask[74, 64] == 1
    assert np.array_equal(mask[:4], found[:4])  # above the face only what is found
    wall = portrait_mask(np.full((128, 128, 3), 90, np.uint8))
    assert wall[74, 64] == 1 and wall[:40, :10].max() < 0.2


def test_where_nothing_is_found_the_oval_of_the_face_is_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "person_mask", lambda face: np.zeros(face.shape[:2], np.float32))
    small, large = (portrait_mask(np.zeros((side, side, 3), np.uint8)) for side in (64, 256))
    assert set(np.unique(small[[0, -1]])) == {0} and small[37, 32] == 1
    assert np.abs(resize_plane(large) - small).max() < 0.05
    middle = [float((large.sum(axis=k) * (np.arange(256) + 0.5)).sum() / large.sum() / 256) for k in (0, 1)]
    assert middle == pytest.approx([0.5, 0.58], abs=0.005)


def resize_plane(plane: np.ndarray) -> np.ndarray:
    return plane.reshape(64, 4, 64, 4).mean(axis=(1, 3))
