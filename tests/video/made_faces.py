"""Faces that are discs with a face mesh: red where they are, and greener the wider their mouth is open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portraitist.data.images import Pixels
from portraitist.detail.measure import photo_population
from portraitist.faces import Face, Landmarks
from portraitist.faces.landmarks import Points

MESH: Points = photo_population().points.double().numpy()
"""The mean face mesh of photos, in parts of the side of the aligned square."""
RADIUS = 0.3
"""Of a disc, in parts of that side."""
OPEN = 0.1
"""Parts of the side that all below the upper lip goes down when the mouth is wide open."""
_MIDDLE = np.array([0.5, 0.6])


def face(x: float, y: float, radius: float, mouth: float = 0.0, width: int = 96, height: int = 96) -> Pixels:
    """Draw a disc on grey whose mouth is open by a part of the most, in [0, 1]."""
    frame = np.full((height, width, 3), 110, np.uint8)
    down, across = np.mgrid[:height, :width] + 0.5
    frame[(across - x) ** 2 + (down - y) ** 2 < radius**2] = (230, round(30 + 60 * mouth), 20)
    return frame


def mesh(x: float, y: float, side: float, mouth: float = 0.0) -> Points:
    """Return the points of such a face whose aligned square has this side, in pixels."""
    points = MESH.copy()
    below = points[:, 1] > (points[13, 1] + points[14, 1]) / 2
    points[below, 1] += OPEN * mouth
    return np.array([x, y]) + (points - _MIDDLE) * side


@dataclass(frozen=True)
class MeshFinder:
    """Finds the disc, or one each in both halves of a wide picture; the larger first."""

    def find(self, image: Pixels) -> list[Face]:
        halves = [(0, image)]
        if image.shape[1] > 1.5 * image.shape[0]:
            middle = image.shape[1] // 2
            halves = [(0, image[:, :middle]), (middle, image[:, middle:])]
        found = [self._read(part, left) for left, part in halves]
        return sorted((f for f in found if f is not None), key=lambda f: f.box[0] - f.box[2])

    def _read(self, image: Pixels, left: int) -> Face | None:
        rows, columns = np.nonzero((image[..., 0] > 170) & (image[..., 1] < 130) & (image[..., 2] < 90))
        if len(rows) < 60:
            return None
        mouth = (float(np.median(image[rows, columns, 1])) - 30) / 60
        side = float(np.sqrt(len(rows) / np.pi)) / RADIUS
        points = mesh(left + columns.mean() + 0.5, rows.mean() + 0.5, side, mouth)
        return Face.around(Landmarks.from_points(points), 1.0)
