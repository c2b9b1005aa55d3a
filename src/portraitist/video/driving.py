"""What the face of a driving video does, relative to its first frame.

driver = Driver(finder)
driver.step(frame, seconds)              # the first frame: Movement.is_first
driver.step(frame, seconds).now          # where the points of the face are by now
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..data.images import Pixels
from ..edit.expressions import EXPRESSIONS, SPREADS, expression, mesh_of
from ..errors import NoFaceFound
from ..faces import FaceFinder, Landmarks
from ..faces.align import ffhq_quad, resample_square, square_to_quad
from ..faces.landmarks import Points, transform
from .one_euro import OneEuro
from .tracks import Arrays, Track, Tracker

CROP = 256
"""Side of the square that is cut out of each frame."""
_BETA = 1.0
"""Of the filter of expressions: Hz that its cutoff grows by with a change of one deviation a second."""


@dataclass(frozen=True, eq=False)
class Movement:
    """One frame, beside the first; places are in parts of the square that was aligned with the first frame's face."""

    first: Points
    """The points of the face in the first frame, [N, 2]."""
    now: Points
    """The same points in this frame."""
    change: Points
    """What has been added to each number of ``EXPRESSIONS``, [6]; zeros where they are not read."""
    first_crop: Pixels
    """The square of the first frame, uint8 [256, 256, 3]."""
    crop: Pixels
    """The same place of this frame."""
    is_first: bool = False


class Driver:
    """Follows one face of a video.

    Args:
        finder: Finds faces.
        number: Which face of the first frame: 1 is the largest.
        reads: Whether expressions are read, which takes the face mesh.
    """

    def __init__(self, finder: FaceFinder, number: int = 1, *, reads: bool = True) -> None:
        self.tracker = Tracker(finder)
        self.number, self.reads = number, reads
        self._track, self._known = 0, 0
        self._matrix: Points = np.eye(3)
        self._first: Points = np.zeros((0, 2))
        self._numbers: Points = np.zeros(len(EXPRESSIONS))
        self._first_crop: Pixels = np.zeros((CROP, CROP, 3), np.uint8)
        self._filter = OneEuro(beta=_BETA)

    def step(self, frame: Pixels, seconds: float) -> Movement | None:
        """Take one more frame, uint8 [H, W, 3].

        Args:
            frame: The picture.
            seconds: Since the frame before, above 0.

        Returns:
            What the face does; None where it is not seen.

        Raises:
            NoFaceFound: The first frame shows no face, or none of that number.
            UsageError: Expressions are to be read, and the finder gives no mesh.
        """
        tracks = self.tracker.step(frame, seconds)
        if not self._track:
            return self._begin(frame, tracks)
        track = self._mine(tracks)
        if track is None or track.measured is None:
            return None
        crop, now = self._seen(frame, track)
        return Movement(self._first, now, self._change(crop, now, seconds), self._first_crop, crop)

    def state(self) -> Arrays:
        """Return all that a resumed run needs."""
        assert self._filter.value is not None and self._filter.speed is not None
        return {
            **self.tracker.state(),
            "driver": np.array([self._track, self._known], dtype=np.int64),
            "square": self._matrix,
            "first": self._first,
            "numbers": self._numbers,
            "crop": self._first_crop,
            "change": self._filter.value,
            "speed": self._filter.speed,
        }

    def resume(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Go on where a run stood that gave this state."""
        self.tracker.resume(state)
        self._track, self._known = (int(value) for value in np.asarray(state["driver"], dtype=np.int64))
        self._matrix, self._first, self._numbers, value, speed = (
            np.array(state[name], dtype=np.float64) for name in ("square", "first", "numbers", "change", "speed")
        )
        self._first_crop = np.array(state["crop"], dtype=np.uint8)
        self._filter = OneEuro(beta=_BETA, value=value, speed=speed)

    def _begin(self, frame: Pixels, tracks: list[Track]) -> Movement:
        if not tracks:
            raise NoFaceFound(
                "The first frame shows no face, and all motion is counted from it.",
                "Cut the video so that it begins with a face.",
            )
        if not 1 <= self.number <= len(tracks):
            raise NoFaceFound(
                f"The first frame shows no face {self.number}; {len(tracks)} were found.", "1 is the largest."
            )
        track = tracks[self.number - 1]
        if self.reads:
            mesh_of(track.landmarks)
        self._track, self._known = track.number, self.tracker.count
        self._matrix = square_to_quad(ffhq_quad(track.landmarks), 1)
        self._first_crop, self._first = self._seen(frame, track)
        if self.reads:
            self._numbers = np.nan_to_num(self._read(self._first_crop, self._first))
        self._filter.step(np.zeros((len(EXPRESSIONS), 1)), 1.0)
        still = np.zeros(len(EXPRESSIONS))
        return Movement(self._first, self._first, still, self._first_crop, self._first_crop, is_first=True)

    def _mine(self, tracks: list[Track]) -> Track | None:
        """Return the track of the face; one that was let go is taken up by the largest face that came since."""
        alive = {track.number for track in self.tracker.tracks}
        if self._track in alive:
            self._known = self.tracker.count
            return next((track for track in tracks if track.number == self._track), None)
        new = [track for track in tracks if track.number > self._known]
        if new:
            self._track = new[0].number
        return new[0] if new else None

    def _seen(self, frame: Pixels, track: Track) -> tuple[Pixels, Points]:
        """Return the square of a frame, and where the points of the face are in it."""
        crop = resample_square(Image.fromarray(frame), self._matrix @ np.diag([1 / CROP, 1 / CROP, 1]), CROP)
        return crop, transform(np.linalg.inv(self._matrix), track.steady)

    def _change(self, crop: Pixels, now: Points, seconds: float) -> Points:
        if not self.reads:
            return np.zeros(len(EXPRESSIONS))
        assert self._filter.value is not None
        change = ((self._read(crop, now) - self._numbers) / SPREADS)[:, None]
        held = np.where(np.isfinite(change), change, self._filter.value)  # closed eyes look where they looked
        return np.asarray(self._filter.step(held, seconds)[:, 0] * SPREADS)

    def _read(self, crop: Pixels, points: Points) -> Points:
        return expression(crop, Landmarks.from_points(points * CROP))
