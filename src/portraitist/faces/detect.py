"""Find the faces of a photo: behind one protocol, by networks of this package or as points given by hand.

The networks (BlazeFace, arXiv 1907.05047; Face Mesh, arXiv 1907.06724) alone miss faces below a fifteenth of the
picture and misread faces on their head; here the search goes from the whole picture to ever smaller tiles, and a face
is turned upright before its points are read.

    faces = BlazeFinder().find(photo)        # largest first, [] where there is none
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from portraitist.errors import BadData, UsageError
from portraitist.faces.align import Pixels, check_photo, resample_square
from portraitist.faces.landmarks import Face, Landmarks, Points, transform
from portraitist.files import parse_json, read_regular

if TYPE_CHECKING:
    from portraitist.faces.blaze import Box


class FaceFinder(Protocol):
    """Anything that finds faces in a photo."""

    def find(self, image: Pixels) -> list[Face]:
        """Find the faces of a uint8 H x W x 3 photo, largest first; the same photo always gives the same list."""
        ...


@dataclass(frozen=True)
class BlazeFinder:
    """Finds faces of any size, turned any way, by BlazeFace, and reads their 468 points by Face Mesh.

    First come the whole picture and its overlapping halves; if they show no face, the picture with a margin, for faces
    that fill it, and both turned by quarters. Quarters, eighths and sixteenths of the picture follow while no face is
    found, or while those found are so small that their neighbours may have been missed. So the faces of a group are
    found down to about a hundredth of the longer side; beside a large face, small ones down to about a twentieth.

    Attributes:
        confidence: Faces with lower scores are ignored, in [0, 1].
    """

    confidence: float = 0.5

    def find(self, image: Pixels) -> list[Face]:
        """Find the faces of a uint8 H x W x 3 photo, largest first."""
        check_photo(image)
        search = _Search(_Pyramid(Image.fromarray(image)), self.confidence)
        height, width = image.shape[:2]
        return _largest_first(search.run(width, height))

    def follow(self, image: Pixels, near: Landmarks) -> Landmarks | None:
        """Read the points of a face again that lies about where ``near`` says, as in the next frame of a video.

        Nothing is searched: the mesh looks once. None where it sees no face there.
        """
        check_photo(image)
        return _Search(_Pyramid(Image.fromarray(image)), self.confidence).again(near)


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
        entries = parse_json(read_regular(Path(path)))
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


# Side of the crop around a detected box, in boxes.
_CROP_BOXES = 3.0
# Side of the square whose points the mesh reads, in boxes of the near detector: what Face Mesh learned from.
_MESH_BOXES = 1.5
# Points this many eye distances apart, on average over eyes and mouth, belong to one face.
_SAME_FACE = 0.4
# The near detector's score above which no other quarter turn is tried: faces on their side or head stay below it.
_SURELY_UPRIGHT = 0.85
# Largest tilt in radians of a face that has just been turned upright, and of one that need not be turned.
_UPRIGHT = 0.35
_LEVEL = 0.1
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

    def part(self, centre: Points, side: float) -> _View:
        """A square inside the view; centre and side in parts of this one's side."""
        x, y = transform(self.matrix(1), centre[None])[0].tolist()
        return _View(x, y, side * self.side, self.angle)

    def turned(self, angle: float) -> _View:
        return _View(self.x, self.y, self.side, self.angle + angle)


_QUARTERS = (0.0, np.pi / 2, np.pi, -np.pi / 2)


class _Pyramid:
    """A photo and its halvings, so that a view costs what it shows and not what the photo holds."""

    def __init__(self, photo: Image.Image) -> None:
        self._levels = [photo]

    def square(self, view: _View, size: int) -> Pixels:
        """The view drawn at ``size`` x ``size`` pixels; what lies outside the photo is black."""
        level = max(0, int(np.log2(view.side / size)))
        while len(self._levels) <= level and min(self._levels[-1].size) > 1:
            self._levels.append(self._levels[-1].reduce(2))
        image = self._levels[min(level, len(self._levels) - 1)]
        shrink = np.array(image.size) / np.array(self._levels[0].size)
        quarters = round(view.angle / (np.pi / 2))
        if abs(view.angle - quarters * np.pi / 2) < 1e-9:
            return np.ascontiguousarray(np.rot90(_upright_square(image, view, shrink, size), quarters))
        return resample_square(image, np.diag([*shrink, 1.0]) @ view.matrix(size), size)


def _upright_square(image: Image.Image, view: _View, shrink: Points, size: int) -> Pixels:
    """A view that is not turned, drawn from a picture that is ``shrink`` times the photo's width and height."""
    centre, half = np.array([view.x, view.y]) * shrink, view.side / 2 * shrink
    low, high = np.floor(centre - half), np.ceil(centre + half)
    patch = image.crop((int(low[0]), int(low[1]), int(high[0]), int(high[1])))
    left, top, right, bottom = (*(centre - half - low), *(centre + half - low))
    return np.asarray(patch.resize((size, size), Image.Resampling.BICUBIC, (left, top, right, bottom)))


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


class _Search:
    """The search of one photo: from the whole to ever smaller tiles."""

    def __init__(self, photo: _Pyramid, confidence: float) -> None:
        from portraitist.faces.networks import network_named  # loads PyTorch

        self._photo = photo
        self._confidence = confidence
        self._far, self._near, self._mesh = (network_named(name) for name in ("far", "near", "mesh"))

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

    def again(self, near: Landmarks) -> Landmarks | None:
        """The points of a face about whose place much is known, or None."""
        points = near.four if near.full is None else near.full
        low, high = points.min(axis=0), points.max(axis=0)
        x, y = ((low + high) / 2).tolist()
        found = self._points(_View(x, y, _MESH_BOXES * float((high - low).max()), near.tilt))
        apart = 0.0 if found is None else abs(np.angle(np.exp(1j * (found.tilt - near.tilt))))
        return None if apart > _UPRIGHT else found

    def _among(self, views: Iterable[_View], known: Sequence[Face]) -> list[Face]:
        """The known faces and those of some views that are new, surest first."""
        boxes = list(self._boxes(list(views)))
        faces = list(known)
        for box, score in sorted(boxes, key=lambda found: -found[1]):
            if any(_covers(face, box) for face in faces):
                continue
            landmarks = self._read(box)
            if landmarks is not None and not any(_same(landmarks, face.landmarks) for face in faces):
                faces.append(Face.around(landmarks, score))
        return faces

    def _boxes(self, views: Sequence[_View]) -> Iterator[tuple[_View, float]]:
        """Box and score of each far face in some views; a box is turned like its view."""
        from portraitist.faces.blaze import boxes_of

        squares = [self._photo.square(view, self._far.side) for view in views]
        for view, boxes in zip(views, boxes_of(self._far, squares, self._confidence), strict=True):
            for box in boxes:
                yield view.part(box.centre, box.side), box.score

    def _near_boxes(self, view: _View) -> list[Box]:
        """The upright faces of a view that fill a good part of it, surest first."""
        from portraitist.faces.blaze import boxes_of

        return boxes_of(self._near, [self._photo.square(view, self._near.side)], self._confidence)[0]

    def _read(self, box: _View) -> Landmarks | None:
        """The points of the face in a box, or None where a closer look sees none.

        Upside down, the mesh gives plausible points with wrong angles. So the crop is first turned by the quarter at
        which the near detector is surest, then by the rest of the tilt that the mesh shows, if there is any; the points
        count if they are upright there.
        """
        crop, boxes = self._upright_quarter(_View(box.x, box.y, _CROP_BOXES * box.side, box.angle))
        first = self._central_mesh(crop, boxes)
        if first is None:
            return None
        if abs(_apart(first.tilt, crop.angle)) < _LEVEL:
            return first
        upright = crop.turned(first.tilt - crop.angle)
        second = self._central_mesh(upright, self._near_boxes(upright))
        return None if second is None or abs(_apart(second.tilt, upright.angle)) > _UPRIGHT else second

    def _upright_quarter(self, crop: _View) -> tuple[_View, list[Box]]:
        """The crop turned by the quarter at which the near detector is surest, and the faces it sees there, if any."""
        best: tuple[_View, list[Box]] = crop, []
        for angle in _QUARTERS:
            turned = crop.turned(angle)
            boxes = self._near_boxes(turned)
            if boxes and (not best[1] or boxes[0].score > best[1][0].score):
                best = turned, boxes
            if boxes and boxes[0].score > _SURELY_UPRIGHT:
                break
        return best

    def _central_mesh(self, crop: _View, boxes: Sequence[Box]) -> Landmarks | None:
        """The points of the face nearest to the middle of a crop, in pixels of the photo; None if there is none."""
        if not boxes:
            return None
        central = min(boxes, key=lambda box: float(np.linalg.norm(box.centre - 0.5)))
        return self._points(crop.part(central.centre, _MESH_BOXES * central.side).turned(central.tilt))

    def _points(self, view: _View) -> Landmarks | None:
        """The points of the one upright face in a view, in pixels of the photo; None if there is none."""
        from portraitist.faces.blaze import outputs_of

        points, logit = outputs_of(self._mesh, [self._photo.square(view, self._mesh.side)])
        if float(logit.sigmoid()) < self._confidence:
            return None
        flat = points[0, :, :2].numpy().astype(np.float64)
        return Landmarks.from_points(transform(view.matrix(self._mesh.side), flat))


def _apart(one: float, other: float) -> float:
    """By how much angles differ, in (-pi, pi]."""
    return float(np.angle(np.exp(1j * (one - other))))


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
