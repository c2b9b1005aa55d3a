"""Where the eyes and the mouth are: what every finder gives and all that alignment needs.

Coordinates are continuous picture coordinates in pixels, x to the right and y down: pixel (column i, row j) covers
[i, i+1) x [j, j+1), its centre is (i + 0.5, j + 0.5), and the picture ends at (width, height). Scaling a picture by s
therefore scales its landmarks by s. *Left* is the picture's left when the face is upright (the person's right).

    landmarks = Landmarks.from_points([(38, 52), (74, 52), (56, 74), (42, 92), (70, 92)])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from portraitist.errors import UsageError

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The four points of a face that alignment needs, and all points they were taken from.

    Attributes:
        left_eye: Centre of the eye on the picture's left, (x, y) in pixels.
        right_eye: Centre of the eye on the picture's right.
        mouth_left: Corner of the mouth on the picture's left.
        mouth_right: Corner of the mouth on the picture's right.
        full: All points of the finder, N x 2, in the finder's own order, or None.
    """

    left_eye: Points
    right_eye: Points
    mouth_left: Points
    mouth_right: Points
    full: Points | None = None

    @classmethod
    def from_points(cls, points: npt.ArrayLike) -> Landmarks:
        """Read 5, 68 or 478 points in their customary order.

        - 5 points: left eye, right eye, nose, left and right corner of the mouth (RetinaFace, MTCNN, ArcFace).
        - 68 points: the iBUG 300-W scheme (dlib, face-alignment); an eye is the mean of its six contour points.
        - 468 points, or 478 with the irises: the face mesh of MediaPipe; an eye is the mean of six contour points too.

        Raises:
            UsageError: The points are not numbers, or not N x 2 with one of these N.
        """
        full = _as_points(points)
        if len(full) not in _SCHEMES:
            known = ", ".join(map(str, _SCHEMES))
            raise UsageError(f"A face of {len(full)} points is of no known scheme.", f"Give one of {known} points.")
        left_eye, right_eye, mouth_left, mouth_right = (full[list(rows)].mean(axis=0) for rows in _SCHEMES[len(full)])
        return cls(left_eye, right_eye, mouth_left, mouth_right, full)

    @property
    def four(self) -> Points:
        """Left eye, right eye, left and right corner of the mouth as one 4 x 2 array."""
        return np.stack([self.left_eye, self.right_eye, self.mouth_left, self.mouth_right])

    @property
    def eye_distance(self) -> float:
        """Distance of the eye centres in pixels."""
        return float(np.linalg.norm(self.right_eye - self.left_eye))

    @property
    def tilt(self) -> float:
        """Angle in radians by which the line of the eyes is turned clockwise, as seen, from level; in (-pi, pi]."""
        dx, dy = self.right_eye - self.left_eye
        return float(np.arctan2(dy, dx))

    def transformed(self, matrix: npt.ArrayLike) -> Landmarks:
        """Map every point by a 3 x 3 homogeneous matrix."""
        left_eye, right_eye, mouth_left, mouth_right = transform(matrix, self.four)
        full = None if self.full is None else transform(matrix, self.full)
        return Landmarks(left_eye, right_eye, mouth_left, mouth_right, full)


@dataclass(frozen=True, eq=False)
class Face:
    """One face in a picture.

    Attributes:
        landmarks: Its points.
        box: Left, top, right, bottom of the points' extent in pixels; may reach beyond the picture.
        score: How sure the finder is, in [0, 1]; 1 for points given by hand.
    """

    landmarks: Landmarks
    box: tuple[float, float, float, float]
    score: float

    @classmethod
    def around(cls, landmarks: Landmarks, score: float) -> Face:
        """Make a face whose box is the extent of its landmarks."""
        points = landmarks.four if landmarks.full is None else landmarks.full
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return cls(landmarks, (float(left), float(top), float(right), float(bottom)), score)


def transform(matrix: npt.ArrayLike, points: npt.ArrayLike) -> Points:
    """Map N x 2 points by a 3 x 3 homogeneous matrix."""
    matrix = np.asarray(matrix, dtype=np.float64)
    moved = np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(moved[:, :2] / moved[:, 2:])


Rows = tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]

# Number of points -> the rows whose means are left eye, right eye, left and right corner of the mouth.
_MESH: Rows = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380), (61,), (291,))
_SCHEMES: dict[int, Rows] = {
    5: ((0,), (1,), (3,), (4,)),
    68: (range(36, 42), range(42, 48), (48,), (54,)),
    468: _MESH,
    478: _MESH,
}


def _as_points(points: npt.ArrayLike) -> Points:
    cure = "Give a list of (x, y) pairs in pixels."
    try:
        array = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError("The points of a face are not numbers.", cure) from error
    if array.ndim != 2 or array.shape[1] != 2:
        raise UsageError(f"The points of a face have the shape {array.shape}, not N x 2.", cure)
    if not np.isfinite(array).all():
        raise UsageError("The points of a face hold NaN or infinity.", cure)
    return array
