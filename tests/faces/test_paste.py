from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from portraitist.errors import UsageError
from portraitist.faces import AlignedFace, Landmarks, align, paste
from portraitist.faces.landmarks import transform
from portraitist.faces.paste import paste_all

ASTRONAUT = Landmarks.from_points([(204, 102), (247, 104), (226, 122), (203, 139), (245, 141)])


@pytest.fixture
def photo() -> npt.NDArray[np.uint8]:
    return np.asarray(data.astronaut())


def cover(photo: npt.NDArray[np.uint8], aligned: AlignedFace, inset: float) -> npt.NDArray[np.bool_]:
    """Which pixels' centres lie in the quad by more than a part of its side."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    size = aligned.image.shape[0]
    place = transform(np.linalg.inv(aligned.matrix), np.stack([x.ravel(), y.ravel()], axis=1)) / size
    return ((place > inset) & (place < 1 - inset)).all(axis=1).reshape(height, width)


@pytest.mark.parametrize(("size", "bound"), [(173, 2.0), (350, 1.6), (1024, 1.5)])
def test_what_was_cut_out_and_pasted_back_is_the_photo(photo: npt.NDArray[np.uint8], size: int, bound: float) -> None:
    aligned = align(photo, ASTRONAUT, size)
    pasted = paste(photo, aligned.image, aligned)
    inside = cover(photo, aligned, 0.1)
    error = np.abs(pasted.astype(int) - photo)[inside]
    assert inside.sum() > 15_000 and error.mean() < bound and np.percentile(error, 99) <= 10


@pytest.mark.parametrize("feather", [0.0, 0.1, 0.5])
def test_pixels_outside_the_quad_keep_their_bytes(photo: npt.NDArray[np.uint8], feather: float) -> None:
    aligned = align(photo, ASTRONAUT, 64)
    red = np.zeros((64, 64, 3), dtype=np.uint8) + np.uint8([255, 0, 0])
    before = photo.copy()
    pasted = paste(photo, red, aligned, feather=feather)
    outside = ~cover(photo, aligned, 0.0)
    np.testing.assert_array_equal(pasted[outside], photo[outside])
    np.testing.assert_array_equal(photo, before)
    assert (pasted[cover(photo, aligned, feather)] == (255, 0, 0)).all()


def test_the_seam_rises_from_nothing_to_all(photo: npt.NDArray[np.uint8]) -> None:
    black = np.zeros((400, 400, 3), dtype=np.uint8)
    landmarks = Landmarks.from_points([(180, 190), (220, 190), (200, 210), (184, 228), (216, 228)])
    aligned = align(black, landmarks, 100)
    white = np.full((100, 100, 3), 255, dtype=np.uint8)
    row = paste(black, white, aligned, feather=0.2)[200, :, 0].astype(int)
    left = round(aligned.quad[0, 0])
    assert row[:left].max() == 0 and row[left + 33 : left + 127].min() == 255
    steps = np.diff(row[left : left + 33])
    assert (steps >= 0).all() and steps.max() < 16


def test_a_mask_is_multiplied_with_the_seam(photo: npt.NDArray[np.uint8]) -> None:
    aligned = align(photo, ASTRONAUT, 64)
    red = np.zeros((64, 64, 3), dtype=np.uint8) + np.uint8([255, 0, 0])
    np.testing.assert_array_equal(paste(photo, red, aligned, mask=np.zeros((8, 8))), photo)
    whole = paste(photo, red, aligned, mask=np.ones((200, 200)))
    np.testing.assert_array_equal(whole, paste(photo, red, aligned))
    left = np.zeros((64, 64))
    left[:, :32] = 1
    half = paste(photo, red, aligned, mask=left) != photo
    assert half[:, : int(ASTRONAUT.left_eye[0])].any() and not half[:, 250:].any()


def test_a_square_finer_than_the_photo_is_averaged(photo: npt.NDArray[np.uint8]) -> None:
    aligned = align(photo, ASTRONAUT, 64)
    checks = (np.indices((1600, 1600)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pasted = paste(photo, np.repeat(checks[..., None], 3, axis=2), aligned)
    inside = cover(photo, aligned, 0.1)
    assert np.abs(pasted[inside].astype(float) - 127.5).max() < 4


@settings(deadline=None, max_examples=40)
@given(st.floats(-60, 160), st.floats(-60, 160), st.floats(2, 60), st.floats(-4, 4), st.integers(1, 70))
def test_any_square_over_any_edge_changes_only_what_it_covers(
    x: float, y: float, scale: float, angle: float, size: int
) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (90, 110, 3), dtype=np.uint8)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1]])
    quad = transform(matrix, [(0, 0), (0, 1), (1, 1), (1, 0)])
    square = np.full((size, size, 3), 77, dtype=np.uint8)
    aligned = AlignedFace(square, quad, matrix @ np.diag([1 / size, 1 / size, 1]))
    pasted = paste(photo, square, aligned)
    outside = ~cover(photo, aligned, 0.0)
    np.testing.assert_array_equal(pasted[outside], photo[outside])
    assert (pasted[cover(photo, aligned, 0.1001)] == 77).all()


def test_wrong_shapes_and_seams_are_refused(photo: npt.NDArray[np.uint8]) -> None:
    aligned = align(photo, ASTRONAUT, 16)
    with pytest.raises(UsageError, match="not square"):
        paste(photo, aligned.image[:8], aligned)
    with pytest.raises(UsageError, match="feather"):
        paste(photo, aligned.image, aligned, feather=0.6)
    with pytest.raises(UsageError, match="mask"):
        paste(photo, aligned.image, aligned, mask=np.ones((3, 4)))


def test_only_what_the_whole_photo_shows_of_a_person_changes(photo: npt.NDArray[np.uint8]) -> None:
    aligned = align(photo, ASTRONAUT, 64)
    red = np.zeros((64, 64, 3), dtype=np.uint8) + np.uint8([255, 0, 0])
    inside = cover(photo, aligned, 0.0)
    known = np.array(inside, dtype=np.float32)
    left = np.flatnonzero(inside.any(axis=0))[0]
    known[:, : left + 20] = 0
    pasted = paste(photo, red, aligned, within=known)
    np.testing.assert_array_equal(pasted[known == 0], photo[known == 0])
    assert (pasted[cover(photo, aligned, 0.2) & (known == 1)] == (255, 0, 0)).all()
    # Where the segmentation of the whole photo misses the person, it has no say.
    missed = np.zeros(photo.shape[:2], dtype=np.float32)
    np.testing.assert_array_equal(paste(photo, red, aligned, within=missed), paste(photo, red, aligned))
    np.testing.assert_array_equal(
        paste_all(photo, [(red, aligned, None)], within=known), paste(photo, red, aligned, within=known)
    )
