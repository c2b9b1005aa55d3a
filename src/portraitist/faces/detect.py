"""Find the faces of a photo: behind one protocol, MediaPipe by default, points given by hand as the other choice.

MediaPipe 0.10.14 carries its networks in the wheel (BlazeFace, arXiv 1907.05047; Face Mesh, arXiv 1907.06724), so
nothing is downloaded. Alone they miss faces below a fifteenth of the picture and misread faces on their head; here the
search goes from the whole picture to ever smaller tiles, and a face is turned upright before its points are read.

    faces = MediaPipeFinder().find(photo)        # largest first, [] where there is none
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from portraitist.errors import BadData, UsageError
from portraitist.faces.align import Pixels, check_photo, resample_square
from portraitist.faces.landmarks import Face, Landmarks, Points, transform
from portraitist.faces.wheel import silent_stderr, solutions
from portraitist.files import parse_json


class FaceFinder(Protocol):
    """Anything that finds faces in a photo."""

    def find(self, image: Pixels) -> list[Face]:
        """Find the faces of a uint8 H x W x 3 photo, largest first; the same photo always gives the same list."""
        ...


@dataclass(frozen=True)
class MediaPipeFinder:
    """Finds faces of any size, turned any way, with the networks inside the mediapipe wheel.

    First come the whole picture and its overlapping halves; if they show no face, the picture with a margin, for faces
    that fill it, and both turned by quarters. Quarters, eighths and sixteenths of the picture follow while no face is
    found, or while those found are so small that their neighbours may have been missed. So the faces of a group are
    found down to about a hundredth of the longer side; beside a large face, small ones down to about a twentieth.

    Attributes:
        confidence: Faces with lower scores are ignored, in [0, 1].
    """

    confidence: float = 0.5

    def find(self, image: Pixels) -> list[Face]:
        """Find the faces of a uint8 H x W x 3 photo, largest first.

        Raises:
            PortraitistError: mediapipe is not installed.
        """
        check_photo(image)
        search = _Search(_Pyramid(Image.fromarray(image)), _models_of(os.getpid(), self.confidence))
        height, width = image.shape[:2]
        return _largest_first(search.run(width, height))


@dataclass(frozen=True)
class FixedPoints:
    """Faces whose landmarks are known, for instance marked by hand, whatever the photo."""

    faces: tuple[Landmarks, ...]

    def find(self, image: Pixels) -> list[Face]:
        """Give the known faces, largest first."""
        check_photo(image)
        return _largest_first([Face.around(landmarks, 1.0) for landmarks in self.faces])


def read_points(path: str | Path) -> dict[str, FixedPoints]:
    """Read landmarks of pictures from a JSON file: file name -> a finder that gives them.

    The file is an object of file names; a value is one face as a list of 5, 68 or 478 (x, y) points, a list of such
    faces, or an object that has one of these under ``points5``. Names whose value is null are left out.

    Raises:
        BadData: The file cannot be read or is of another form; the message names the entry.
    """
    cure = 'Write {"name.jpg": [[x, y], ...]} with 5, 68 or 478 points per face, in pixels.'
    try:
        entries = parse_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadData(f"The landmarks in {path} cannot be read: {error}.", cure) from error
    if not isinstance(entries, dict):
        raise BadData(f"{path} holds no object of file names.", cure)
    finders = {}
    for name, value in entries.items():
        points = value.get("points5") if isinstance(value, dict) else value
        if points is None:
            continue
        try:
            finders[name] = FixedPoints(tuple(map(Landmarks.from_points, _as_faces(points))))
        except UsageError as error:
            raise BadData(f"{path}, entry {name}: {error.message}", error.cure or cure) from error
    return finders


def _as_faces(value: Any) -> Sequence[Any]:
    """Take one face or a list of faces as a list of faces; only the depth of the nesting tells them apart."""
    try:
        return [value] if isinstance(value[0][0], int | float) else value
    except (TypeError, IndexError, KeyError):
        raise UsageError("This is not a list of points.", "Give [[x, y], ...] in pixels.") from None


# Sides of the squares that the networks see, in pixels: the detectors' own input is 128 and 192. A face fills a third
# of its crop, which leaves the face mesh (input 192) all the detail it can use.
_SEARCH_SIDE = 256
_CROP_SIDE = 576
# Side of the crop around a detected box, in boxes.
_CROP_BOXES = 3.0
# Points this many eye distances apart, on average over eyes and mouth, belong to one face.
_SAME_FACE = 0.4
# The near detector's score above which no other quarter turn is tried: faces on their side or head stay below it.
_SURELY_UPRIGHT = 0.85
# Largest tilt in radians of a face that has just been turned upright.
_UPRIGHT = 0.35
# The finest search looks at tiles of a sixteenth. Tiles below this many pixels would add only faces of some 16 pixels,
# too small to redraw.
_TILINGS = (4, 8, 16)
_SMALLEST_TILE = 128.0
# The far detector may miss faces smaller than this part of a view.
_SMALL_FACE = 0.12


@dataclass(frozen=True)
class _View:
    """A square window on the photo: centre and side in pixels, turned clockwise by an angle in radians."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def matrix(self, size: int) -> Points:
        """Map pixel coordinates of the view, drawn at ``size`` pixels, to those of the photo."""
        scale = self.side / size
        cos, sin = scale * np.cos(self.angle), scale * np.sin(self.angle)
        half = size / 2
        return np.array(
            [
                [cos, -sin, self.x - half * (cos - sin)],
                [sin, cos, self.y - half * (sin + cos)],
                [0.0, 0.0, 1.0],
            ]
        )

    def turned(self, angle: float) -> _View:
        return _View(self.x, self.y, self.side, self.angle + angle)


_QUARTERS = (0.0, np.pi / 2, np.pi, -np.pi / 2)


class _Pyramid:
    """A photo and its halvings, so that a view costs what it shows and not what the photo holds."""

    def __init__(self, photo: Image.Image) -> None:
        self._levels = [photo]

    def square(self, view: _View, size: int) -> Pixels:
        """The view drawn at ``size`` x ``size`` pixels."""
        matrix = view.matrix(size)
        level = max(0, int(np.log2(view.side / size)))
        while len(self._levels) <= level and min(self._levels[-1].size) > 1:
            self._levels.append(self._levels[-1].reduce(2))
        image = self._levels[min(level, len(self._levels) - 1)]
        shrink = np.array(image.size) / np.array(self._levels[0].size)
        return resample_square(image, np.diag([*shrink, 1.0]) @ matrix, size)


def _tiles(width: int, height: int, count: int) -> list[_View]:
    """Square tiles that overlap by a fifth, ``count`` along the longer side.

    A face too large for the overlap is large enough to be seen in the tiles twice as wide.
    """
    side = 1.2 * max(width, height) / count
    return [_View(x, y, side) for y in _centres(height, side) for x in _centres(width, side)]


def _centres(length: int, side: float) -> list[float]:
    if length <= side:
        return [length / 2]
    count = int(np.ceil((length - 0.2 * side) / (0.8 * side)))
    return [float(centre) for centre in np.linspace(side / 2, length - side / 2, count)]


class _Models:
    """MediaPipe's graphs, made once per process; one picture at a time goes through them."""

    def __init__(self, confidence: float) -> None:
        found = solutions()
        self._lock = threading.Lock()
        with silent_stderr():
            detector = found.face_detection.FaceDetection
            self._far = detector(model_selection=1, min_detection_confidence=confidence)
            self._near = detector(model_selection=0, min_detection_confidence=confidence)
            self._mesh = found.face_mesh.FaceMesh(
                static_image_mode=True, max_num_faces=4, refine_landmarks=True, min_detection_confidence=confidence
            )
            # The graphs start, and talk, with the first picture.
            blank = np.zeros((64, 64, 3), dtype=np.uint8)
            for graph in (self._far, self._near, self._mesh):
                graph.process(blank)

    def boxes(self, square: Pixels) -> list[tuple[Points, float, float]]:
        """Far faces of a square picture: centre, side and score of each, in parts of the square."""
        with self._lock:
            result = self._far.process(square)
        return [_box(detection) for detection in result.detections or ()]

    def near_score(self, square: Pixels) -> float:
        """The best score of a near, upright face; 0 where there is none."""
        with self._lock:
            result = self._near.process(square)
        return max((float(detection.score[0]) for detection in result.detections or ()), default=0.0)

    def meshes(self, square: Pixels) -> list[Points]:
        """The 478 points of each face of a square picture, in its pixels."""
        with self._lock:
            result = self._mesh.process(square)
        side = square.shape[0]
        return [
            side * np.array([(point.x, point.y) for point in mesh.landmark], dtype=np.float64)
            for mesh in result.multi_face_landmarks or ()
        ]


def _models_of(process: int, confidence: float) -> _Models:
    """The models of a process: a forked child must not use its parent's, whose threads it lacks."""
    with _MAKING:
        return _made(process, confidence)


@functools.lru_cache(maxsize=2)
def _made(process: int, confidence: float) -> _Models:
    return _Models(confidence)


# Two threads at once would each take the other's silenced stderr for the real one.
_MAKING = threading.Lock()


def _box(detection: Any) -> tuple[Points, float, float]:
    box = detection.location_data.relative_bounding_box
    centre = np.array([box.xmin + box.width / 2, box.ymin + box.height / 2])
    return centre, max(box.width, box.height), float(detection.score[0])


class _Search:
    """The search of one photo: from the whole to ever smaller tiles."""

    def __init__(self, photo: _Pyramid, models: _Models) -> None:
        self._photo = photo
        self._models = models

    def run(self, width: int, height: int) -> list[Face]:
        """All faces of the photo, in the order in which they were found."""
        side = float(max(width, height))
        whole = _View(width / 2, height / 2, side)
        wide = _View(width / 2, height / 2, 1.8 * side)
        near = [whole, *_tiles(width, height, 2)]
        turned = [view.turned(angle) for angle in _QUARTERS[1:] for view in (*near, wide)]
        faces = self._among(near, []) or self._among([wide], []) or self._among(turned, [])
        for count in _TILINGS:
            tile = 1.2 * side / count
            if tile < _SMALLEST_TILE or (faces and min(map(_extent, faces)) > _SMALL_FACE * 2 * tile):
                break
            faces = self._among(_tiles(width, height, count), faces)
        return faces

    def _among(self, views: Iterable[_View], known: Sequence[Face]) -> list[Face]:
        """The known faces and those of some views that are new, surest first."""
        boxes = [box for view in views for box in self._boxes(view)]
        faces = list(known)
        for box, score in sorted(boxes, key=lambda found: -found[1]):
            if any(_covers(face, box) for face in faces):
                continue
            landmarks = self._read(box)
            if landmarks is not None and not any(_same(landmarks, face.landmarks) for face in faces):
                faces.append(Face.around(landmarks, score))
        return faces

    def _boxes(self, view: _View) -> Iterator[tuple[_View, float]]:
        """Box and score of each far face in a view; the box is turned like the view."""
        matrix = view.matrix(_SEARCH_SIDE)
        for centre, side, score in self._models.boxes(self._photo.square(view, _SEARCH_SIDE)):
            x, y = transform(matrix, _SEARCH_SIDE * centre[None])[0].tolist()
            yield _View(x, y, side * view.side, view.angle), score

    def _read(self, box: _View) -> Landmarks | None:
        """The points of the face in a box, or None where a closer look sees none.

        Upside down, the mesh gives plausible points with wrong angles. So the crop is first turned by the quarter at
        which the near detector is surest, then by the rest of the tilt that the mesh shows; the points count if they
        are upright there.
        """
        crop = self._upright_quarter(_View(box.x, box.y, _CROP_BOXES * box.side, box.angle))
        first = None if crop is None else self._central_mesh(crop)
        if crop is None or first is None:
            return None
        upright = crop.turned(first.tilt - crop.angle)
        second = self._central_mesh(upright)
        if second is None or abs(np.angle(np.exp(1j * (second.tilt - upright.angle)))) > _UPRIGHT:
            return None
        return second

    def _upright_quarter(self, crop: _View) -> _View | None:
        """The crop turned by the quarter at which the near detector is surest, or None if it sees no face in any."""
        best, best_score = None, 0.0
        for angle in _QUARTERS:
            turned = crop.turned(angle)
            score = self._models.near_score(self._photo.square(turned, _SEARCH_SIDE))
            if score > best_score:
                best, best_score = turned, score
            if score > _SURELY_UPRIGHT:
                break
        return best

    def _central_mesh(self, crop: _View) -> Landmarks | None:
        """The mesh nearest to the middle of a crop, in pixels of the photo."""
        meshes = self._models.meshes(self._photo.square(crop, _CROP_SIDE))
        if not meshes:
            return None
        central = min(meshes, key=lambda mesh: float(np.linalg.norm(mesh.mean(axis=0) - _CROP_SIDE / 2)))
        return Landmarks.from_points(transform(crop.matrix(_CROP_SIDE), central))


def _extent(face: Face) -> float:
    left, top, right, bottom = face.box
    return max(right - left, bottom - top)


def _covers(face: Face, box: _View) -> bool:
    """Tell whether a box shows a face that is known already."""
    left, top, right, bottom = face.box
    apart = max(abs(box.x - (left + right) / 2), abs(box.y - (top + bottom) / 2))
    extent = _extent(face)
    return apart < 0.35 * extent and 0.5 < box.side / extent < 2.0


def _same(one: Landmarks, other: Landmarks) -> bool:
    apart = np.linalg.norm(one.four - other.four, axis=1).mean()
    return bool(apart < _SAME_FACE * max(one.eye_distance, other.eye_distance))


def _largest_first(faces: Sequence[Face]) -> list[Face]:
    def order(face: Face) -> tuple[float, float, float]:
        left, top, right, bottom = face.box
        return -(right - left) * (bottom - top), left, top

    return sorted(faces, key=order)
