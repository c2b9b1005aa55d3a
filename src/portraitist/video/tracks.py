"""Who is who from frame to frame: a track per person, with steady landmarks.

The whole frame is searched now and then; in between, each face is read again where its track says that it must be.
What was found goes to the tracks so that the sum of all differences (place, overlap, size, looks) is least. A person
who is hidden for a moment is waited for, where their motion takes them; one who stays away is let go.

    tracker = Tracker(finder)
    for frame in frames:
        for track in tracker.step(frame.pixels, seconds):
            track.number, track.landmarks
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ..data.images import Pixels
from ..errors import BadImage
from ..faces import FaceFinder, Landmarks, align
from ..faces.landmarks import Points
from .one_euro import LEAST_CUTOFF, OneEuro

Arrays = dict[str, npt.NDArray[np.generic]]
"""What a part of a run remembers, by name; it is stored with each segment."""

SEARCH_EVERY = 5
"""Frames from one search of the whole frame to the next, while all faces are in view."""
PATIENCE = 1.0
"""Seconds that a person who cannot be seen is waited for."""
SHOWN = 0.15
"""Seconds for which a face that was not found is still drawn where its motion takes it."""
_SAME_FACE = 0.4
"""Points that are so many eye distances apart on average belong to one face."""
_REACH = 1.5
"""Eye distances from where a face is expected to where it may be found; a lost one may be farther with every second."""
_THUMB = 16
_INNER = slice(5, 14), slice(4, 12)
"""The face itself within its thumb, without hair and background."""
_LOOKS = 40.0
"""Grey levels (rms) by which the thumbs of two people differ."""
_UNLIKE = 1.7
"""The largest difference, of all kinds together, at which a face may still belong to a track."""


@runtime_checkable
class Follows(Protocol):
    """A finder that reads a face again near where it was, for less than a search costs."""

    def follow(self, image: Pixels, near: Landmarks) -> Landmarks | None:
        """Return the points of the face that lies about there, or None."""
        ...


@dataclass(eq=False)
class Track:
    """One person.

    Attributes:
        number: From 1, in the order in which people came.
        points: All points as measured last or, while the face is lost, as expected, N x 2.
        steady: The same, filtered.
        drift: Motion of the face's centre, pixels a second.
        lost: Seconds since the face was seen.
        thumb: What the face looks like, float32 [16, 16, 3] in grey levels.
        memory: What the one who draws remembers of this person.
    """

    number: int
    points: Points
    filter: OneEuro
    steady: Points
    thumb: npt.NDArray[np.float32]
    drift: Points = field(default_factory=lambda: np.zeros(2))
    lost: float = 0.0
    memory: Arrays = field(default_factory=dict)

    @property
    def landmarks(self) -> Landmarks:
        """The filtered points, as the drawing takes them."""
        return _landmarks(self.steady)

    @property
    def measured(self) -> Landmarks | None:
        """The points as read in the last frame; None where the face was not found in it."""
        return _landmarks(self.points) if self.lost == 0 else None

    @property
    def shown(self) -> float:
        """How much of the drawing is shown, in [0, 1]: it fades while the face is lost."""
        return max(0.0, 1.0 - self.lost / SHOWN)

    @property
    def size(self) -> float:
        """Extent of the points in pixels."""
        return _extent(self.points)

    def expected(self, seconds: float) -> Points:
        """Return where the points will be after some time."""
        return self.points + self.drift * seconds

    def seen(self, points: Points, thumb: npt.NDArray[np.float32], seconds: float) -> None:
        """Take up what was found in this frame."""
        astray = (points.mean(axis=0) - self.expected(seconds).mean(axis=0)) / (seconds + self.lost)
        if self.lost > SHOWN:
            self.filter = OneEuro(self.filter.least)
        self.points, self.drift, self.lost = points, self.drift + 0.5 * astray, 0.0
        self.steady = self.filter.step(points, seconds, _landmarks(points).eye_distance)
        self.thumb = self.thumb + np.float32(0.1) * (thumb - self.thumb)

    def missed(self, seconds: float) -> None:
        """Move on without having been seen."""
        self.points, self.steady = self.expected(seconds), self.steady + self.drift * seconds
        self.filter.value = self.steady
        self.lost += seconds

    def state(self) -> Arrays:
        """Return all that a resumed run needs."""
        assert self.filter.speed is not None
        own: Arrays = {
            "points": self.points,
            "steady": self.steady,
            "speed": self.filter.speed,
            "thumb": self.thumb,
            "drift": self.drift,
            "lost": np.array([self.lost]),
        }
        return own | {f"memory.{name}": value for name, value in self.memory.items()}

    @classmethod
    def of_state(cls, number: int, state: Mapping[str, npt.NDArray[np.generic]], least_cutoff: float) -> Track:
        """Return the track that such a state describes."""
        points, steady, speed, drift, lost = (
            np.asarray(state[name], dtype=np.float64) for name in ("points", "steady", "speed", "drift", "lost")
        )
        memory = {name[7:]: value for name, value in state.items() if name.startswith("memory.")}
        thumb = np.asarray(state["thumb"], dtype=np.float32)
        return cls(
            number,
            points,
            OneEuro(least_cutoff, value=steady, speed=speed),
            steady,
            thumb,
            drift,
            float(lost[0]),
            memory,
        )


@dataclass(frozen=True, eq=False)
class _Found:
    """A face of this frame."""

    points: Points
    thumb: npt.NDArray[np.float32]


class Tracker:
    """Finds the people of a video and tells them apart.

    Args:
        finder: Finds faces; one that also has ``follow`` is much faster.
        least_cutoff: Of the filter, in Hz; infinity leaves landmarks as they were read.
    """

    def __init__(self, finder: FaceFinder, least_cutoff: float = LEAST_CUTOFF) -> None:
        self.finder, self.least_cutoff = finder, least_cutoff
        self.tracks: list[Track] = []
        self.count = 0
        self._since_search = SEARCH_EVERY

    def step(self, frame: Pixels, seconds: float) -> list[Track]:
        """Take one more frame, uint8 [H, W, 3].

        Args:
            frame: The picture.
            seconds: Since the frame before, above 0.

        Returns:
            The people in it, the largest first; also those whose face is lost for a moment (``shown`` below 1).
        """
        found = self._read_again(frame, seconds)
        self._since_search += 1
        if self._is_due(found):
            found = _distinct([*found, *self._searched(frame)])
            self._since_search = 0
        pairs = self._paired(found, seconds)
        for track in self.tracks:
            if (face := pairs.get(track.number)) is None:
                track.missed(seconds)
            else:
                track.seen(face.points, face.thumb, seconds)
        self.tracks = [track for track in self.tracks if track.lost <= PATIENCE]
        taken = {id(face) for face in pairs.values()}
        for face in found:
            if id(face) not in taken:
                self._born(face, seconds)
        return sorted((t for t in self.tracks if t.shown > 0), key=lambda track: (-track.size, track.number))

    def state(self) -> Arrays:
        """Return all that a resumed run needs."""
        state: Arrays = {"tracker": np.array([self.count, self._since_search], dtype=np.int64)}
        for track in self.tracks:
            state |= {f"{track.number}.{name}": value for name, value in track.state().items()}
        return state

    def resume(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Go on where a run stood that gave this state."""
        self.count, self._since_search = (int(value) for value in np.asarray(state["tracker"], dtype=np.int64))
        of_tracks: dict[int, Arrays] = {}
        for key, value in state.items():
            number, _, name = key.partition(".")
            if name:
                of_tracks.setdefault(int(number), {})[name] = value
        self.tracks = [Track.of_state(number, own, self.least_cutoff) for number, own in sorted(of_tracks.items())]

    def _is_due(self, found: Sequence[_Found]) -> bool:
        """Tell whether to search: it is time, or a face that was in view a moment ago is not where it should be."""
        astray = any(track.lost <= SHOWN for track in self.tracks) and len(found) < sum(
            track.lost <= SHOWN for track in self.tracks
        )
        return self._since_search >= SEARCH_EVERY or astray

    def _read_again(self, frame: Pixels, seconds: float) -> list[_Found]:
        """Read the face of each track where it is expected."""
        if not isinstance(self.finder, Follows):
            return []
        found = []
        for track in self.tracks:
            near = _landmarks(track.expected(seconds))
            again = self.finder.follow(frame, near) if _meets(near, frame) else None
            face = None if again is None else _face_of(frame, again)
            if face is not None:
                found.append(face)
        return _distinct(found)

    def _searched(self, frame: Pixels) -> list[_Found]:
        faces = [_face_of(frame, face.landmarks) for face in self.finder.find(frame)]
        return [face for face in faces if face is not None]

    def _paired(self, found: Sequence[_Found], seconds: float) -> dict[int, _Found]:
        """Give each track at most one face, so that the sum of the differences is least."""
        from scipy.optimize import linear_sum_assignment

        if not found or not self.tracks:
            return {}
        unlike = np.array([[_difference(track, face, seconds) for face in found] for track in self.tracks])
        # What cannot be a pair costs more than all pairs, so that it is chosen where nothing else is left, and dropped.
        rows, columns = linear_sum_assignment(np.where(unlike > _UNLIKE, 1e3, unlike))
        return {self.tracks[r].number: found[c] for r, c in zip(rows, columns, strict=True) if unlike[r, c] <= _UNLIKE}

    def _born(self, face: _Found, seconds: float) -> None:
        self.count += 1
        filter = OneEuro(self.least_cutoff)
        steady = filter.step(face.points, seconds, _landmarks(face.points).eye_distance)
        self.tracks.append(Track(self.count, face.points, filter, steady, face.thumb))


def overlap(one: Points, other: Points) -> float:
    """Return the intersection over union of the boxes around two sets of points, in [0, 1]."""
    low = np.maximum(one.min(axis=0), other.min(axis=0))
    high = np.minimum(one.max(axis=0), other.max(axis=0))
    both = float(np.prod(np.clip(high - low, 0, None)))
    every = sum(float(np.prod(points.max(axis=0) - points.min(axis=0))) for points in (one, other)) - both
    return both / every if every > 0 else 0.0


def _difference(track: Track, face: _Found, seconds: float) -> float:
    """How much speaks against a face being that of a track: place, overlap, size and looks, each about 0 to 1."""
    expected = track.expected(seconds)
    unit = _landmarks(expected).eye_distance
    apart = np.linalg.norm(_landmarks(expected).four - _landmarks(face.points).four, axis=1).mean() / max(unit, 1e-6)
    place = apart / (_REACH * (1 + 2 * track.lost))
    if place > 1:
        return np.inf
    size = abs(np.log(max(_extent(face.points), 1e-6) / max(track.size, 1e-6)))
    looks = float(np.sqrt(np.mean((face.thumb - track.thumb)[_INNER] ** 2)))
    # Whatever half hides a face changes its looks much; still, the more it is unlike, the less it is that one.
    unlike = 1.5 * looks / (looks + _LOOKS)
    return float(0.6 * place + 0.3 * (1 - overlap(expected, face.points)) + 0.3 * size + unlike)


def _distinct(found: Sequence[_Found]) -> list[_Found]:
    """Keep one of those that are the same face."""
    kept: list[_Found] = []
    for face in found:
        if not any(_is_same(face.points, other.points) for other in kept):
            kept.append(face)
    return kept


def _is_same(one: Points, other: Points) -> bool:
    a, b = _landmarks(one), _landmarks(other)
    apart = float(np.linalg.norm(a.four - b.four, axis=1).mean())
    return apart < _SAME_FACE * max(a.eye_distance, b.eye_distance)


def _face_of(frame: Pixels, landmarks: Landmarks) -> _Found | None:
    """The face with these points; None where they span none."""
    try:
        crop = align(frame, landmarks, _THUMB)
    except BadImage:
        return None
    points = landmarks.four if landmarks.full is None else landmarks.full
    return _Found(np.asarray(points, dtype=np.float64), crop.image.astype(np.float32))


def _landmarks(points: Points) -> Landmarks:
    return Landmarks(*points) if len(points) == 4 else Landmarks.from_points(points)


def _extent(points: Points) -> float:
    return float((points.max(axis=0) - points.min(axis=0)).max())


def _meets(landmarks: Landmarks, frame: Pixels) -> bool:
    height, width = frame.shape[:2]
    four = landmarks.four
    return bool((four.max(axis=0) > 0).all() and (four.min(axis=0) < (width, height)).all())
