from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.errors import BadImage, UsageError
from portraitist.faces import Landmarks, align, ffhq_quad
from portraitist.faces.align import photo2cartoon_quad
from portraitist.faces.landmarks import transform

# Eyes level, one unit apart, mouth 0.96 below them: the proportions of the average FFHQ face.
AVERAGE = Landmarks.from_points([(-0.5, 0), (0.5, 0), (0, 0.5), (-0.4, 0.96), (0.4, 0.96)])


def similarity(scale: float, angle: float, x: float, y: float) -> npt.NDArray[np.float64]:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y], [0.0, 0.0, 1.0]])


def ramp(height: int, width: int, per_pixel: float) -> npt.NDArray[np.uint8]:
    """A photo whose red is the column and whose green is the row."""
    y, x = np.mgrid[:height, :width]
    return np.rint(np.stack([x, y, 0 * x], axis=-1) * per_pixel).astype(np.uint8)


def test_the_average_face_lands_where_ffhq_has_it() -> None:
    quad = ffhq_quad(AVERAGE)
    np.testing.assert_allclose(quad, [(-2, -1.904), (-2, 2.096), (2, 2.096), (2, -1.904)])
    eyes_and_mouth = (AVERAGE.four - quad[0]) / 4
    np.testing.assert_allclose(eyes_and_mouth[:2], [(0.375, 0.476), (0.625, 0.476)])
    np.testing.assert_allclose(eyes_and_mouth[2:, 1], 0.716)


def test_a_long_face_sets_the_scale_by_its_mouth() -> None:
    long = Landmarks.from_points([(-0.5, 0), (0.5, 0), (0, 1), (-0.4, 2), (0.4, 2)])
    side = np.linalg.norm(ffhq_quad(long)[3] - ffhq_quad(long)[0])
    assert side == pytest.approx(3.6 * 2)


@given(st.floats(0.01, 1000), st.floats(-4, 4), st.floats(-500, 500), st.floats(-500, 500))
def test_the_quad_moves_with_the_face(scale: float, angle: float, x: float, y: float) -> None:
    matrix = similarity(scale, angle, x, y)
    moved = ffhq_quad(AVERAGE.transformed(matrix))
    np.testing.assert_allclose(moved, transform(matrix, ffhq_quad(AVERAGE)), rtol=1e-6, atol=1e-6 * scale)


@settings(deadline=None, max_examples=40)
@given(st.floats(5, 25), st.floats(-4, 4), st.integers(1, 90))
def test_every_pixel_shows_what_lies_at_its_place(scale: float, angle: float, size: int) -> None:
    photo = ramp(200, 220, 1.0)
    aligned = align(photo, AVERAGE.transformed(similarity(scale, angle, 110, 100)), size)
    rows, columns = np.mgrid[:size, :size] + 0.5
    place = transform(aligned.matrix, np.stack([columns.ravel(), rows.ravel()], axis=1)).reshape(size, size, 2)
    margin = 3 * max(1.0, 4 * scale / size)
    inside = ((place > margin) & (place < np.array([220, 200]) - margin)).all(axis=-1)
    if (aligned.quad < 0).any() or (aligned.quad > (220, 200)).any():
        # Within a tenth of the square the edge is blurred on purpose.
        inside &= ((place > 0.5 * 4 * scale) & (place < np.array([220, 200]) - 0.5 * 4 * scale)).all(axis=-1)
    error = np.abs(aligned.image[..., :2] + 0.5 - place)[inside]
    # One grey level of rounding, and what Pillow's cubic misses of a slope between samples.
    assert error.size == 0 or error.max() <= 1.4 + 0.04 * 4 * scale / size


def test_the_matrix_maps_the_crops_corners_to_the_quad() -> None:
    aligned = align(ramp(50, 60, 4.0), AVERAGE.transformed(similarity(8, 0.3, 30, 25)), 33)
    np.testing.assert_allclose(transform(aligned.matrix, [(0, 0), (0, 33), (33, 33), (33, 0)]), aligned.quad)


@pytest.mark.parametrize("scale", [40.0, 100.0, 170.0])
def test_detail_finer_than_the_crop_is_averaged_away(scale: float) -> None:
    checks = (np.indices((800, 800)).sum(axis=0) % 2 * 255).astype(np.uint8)
    photo = np.repeat(checks[..., None], 3, axis=2)
    aligned = align(photo, AVERAGE.transformed(similarity(scale, 0.2, 400, 400)), 64)
    assert np.abs(aligned.image.astype(float) - 127.5).max() < 12


@pytest.mark.parametrize("scale", [9.0, 22.0, 40.0, 45.0])
def test_a_zone_plate_agrees_with_brute_force_sampling(scale: float) -> None:
    def plate(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        radius = ((points - 150) ** 2).sum(axis=-1)
        return 127.5 + 100 * np.cos(radius / 150)

    y, x = np.mgrid[:300, :300] + 0.5
    photo = np.repeat(np.rint(plate(np.stack([x, y], axis=-1)))[..., None], 3, axis=2).astype(np.uint8)
    aligned = align(photo, AVERAGE.transformed(similarity(scale, 0.35, 150, 150)), 90)
    ticks = (np.arange(90 * 8) + 0.5) / 8
    fine = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    exact = plate(transform(aligned.matrix, fine)).reshape(90, 8, 90, 8).mean(axis=(1, 3))
    error = np.abs(aligned.image[..., 0] - exact)
    assert np.sqrt((error**2).mean()) < 0.035 * 100


def test_beyond_the_edge_the_photo_is_reflected_then_fades_to_the_median() -> None:
    photo = np.full((200, 200, 3), 80, dtype=np.uint8)
    photo[:, :30] = 240
    aligned = align(photo, AVERAGE.transformed(similarity(25, 0, 20, 100)), 100)
    row = aligned.image[50, :, 0].astype(int)
    edge = round(-aligned.quad[0, 0])  # One pixel of the photo is one of the crop.
    assert abs(row[edge + 20] - 240) <= 2
    assert abs(row[edge - 3] - 240) <= 25
    assert abs(row[0] - 80) < abs(row[edge - 3] - 80)
    inside = align(np.pad(photo, ((0, 0), (100, 0), (0, 0))), AVERAGE.transformed(similarity(25, 0, 120, 100)), 100)
    np.testing.assert_array_equal(aligned.image[:, edge + 12 :], inside.image[:, edge + 12 :])


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 500), (30, 30)])
@pytest.mark.parametrize("scale", [0.3, 5.0, 300.0])
def test_photos_smaller_than_the_crop_are_continued_in_their_colour(shape: tuple[int, int], scale: float) -> None:
    photo = np.full((*shape, 3), (10, 100, 200), dtype=np.uint8)
    landmarks = AVERAGE.transformed(similarity(scale, 1.0, shape[1] / 2, shape[0] / 2))
    aligned = align(photo, landmarks, 16)
    assert aligned.image.shape == (16, 16, 3) and aligned.image.dtype == np.uint8
    assert (np.abs(aligned.image.astype(int) - (10, 100, 200)) <= 1).all()


def test_landmarks_elsewhere_or_without_area_are_refused() -> None:
    photo = ramp(20, 20, 5.0)
    with pytest.raises(BadImage, match="outside"):
        align(photo, AVERAGE.transformed(similarity(5, 0, 500, 10)), 8)
    with pytest.raises(BadImage, match="no area"):
        align(photo, Landmarks.from_points([(3, 3)] * 5), 8)
    with pytest.raises(UsageError):
        align(photo.astype(np.float32), AVERAGE, 8)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        align(photo, AVERAGE, 0)


def theirs(points: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    """Corners of photo2cartoon's crop of a photo, by the steps of its program: turn, extent, margins, square."""
    left, right = points[36], points[45]
    angle = np.arctan((left[1] - right[1]) / (left[0] - right[0]))
    cos, sin, middle = np.cos(angle), np.sin(angle), np.array([width / 2, height / 2])
    turn = np.array([[cos, sin], [-sin, cos]])
    level = (points - middle) @ turn.T
    (x0, y0), (x1, y1) = level.min(0), level.max(0)
    top, bottom, first, last = y0 - 0.8 * (y1 - y0), y1 + 0.3 * (y1 - y0), x0 - 0.3 * (x1 - x0), x1 + 0.3 * (x1 - x0)
    more = ((bottom - top) - (last - first)) / 2
    first, last, top, bottom = first - max(more, 0), last + max(more, 0), top + min(more, 0), bottom - min(more, 0)
    corners = np.array([(first, top), (first, bottom), (last, bottom), (last, top)])
    return np.asarray(corners @ turn + middle)


@pytest.mark.parametrize("wide", [0.6, 3.0])
def test_photo2cartoons_crop_is_that_of_its_program(wide: float) -> None:
    random = np.random.default_rng(1)
    points = random.uniform(-20, 20, (68, 2)) * (wide, 1)
    points[36], points[45] = (-9, -4), (9, -2)
    points = transform(similarity(1.9, 0.3, 90, 50), points)
    face = Landmarks.from_points(points)
    np.testing.assert_allclose(photo2cartoon_quad(face), theirs(points, 160, 200), atol=1e-9)
    white = np.zeros((160, 200, 3), np.uint8)
    crop = align(white, face, 64, "photo2cartoon")
    rows, columns = np.mgrid[:64, :64] + 0.5
    place = transform(crop.matrix, np.stack([columns.ravel(), rows.ravel()], axis=1)).reshape(64, 64, 2)
    inside = ((place > 4) & (place < (196, 156))).all(-1)
    outside = ((place < -4) | (place > (204, 164))).any(-1)
    assert (crop.image[inside] == 0).all() and (crop.image[outside] == 255).all() and outside.any() and inside.any()


def test_photo2cartoons_crop_needs_the_outline() -> None:
    with pytest.raises(BadImage, match="outline"):
        photo2cartoon_quad(AVERAGE)
    with pytest.raises(BadImage, match="no area"):
        photo2cartoon_quad(Landmarks.from_points(np.zeros((68, 2))))
    mesh = np.random.default_rng(0).uniform(0, 10, (478, 2))
    mesh[10] = (5, -1000)  # the forehead, which the 68 points do not have
    assert photo2cartoon_quad(Landmarks.from_points(mesh)).min() > -50


def test_a_crop_knows_where_its_face_lies() -> None:
    known = AVERAGE.transformed(similarity(20, 0.3, 110, 100))
    for size in (16, 64):
        crop = align(ramp(200, 220, 1.0), known, size)
        assert crop.landmarks is not None and crop.landmarks.full is not None and crop.closeup is None
        np.testing.assert_allclose(crop.landmarks.four[:2] / size, [(0.375, 0.476), (0.625, 0.476)], atol=1e-9)
        np.testing.assert_allclose(transform(crop.matrix, crop.landmarks.full), known.full, atol=1e-9)
