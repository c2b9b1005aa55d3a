r"""What is wrong with a set of exemplars, picture by picture, each with the reason and the cure.

Checked are what can be read and what is large enough (``size``, ``enlarged``), doubles (``duplicate``), where the face
lies in the crop (``misaligned``, ``hair``, ``no-face``), and what differs from the rest of the set (``style``,
``cast``). Every measure is ours; the faces come from a finder of ``faces``. Differences from the set are counted in
robust deviations: distances from the median in units of 1.4826 MAD (Hampel, "The Influence Curve and its Role in
Robust Estimation", 1974). How often each finding is right is measured in docs/exemplars.md.

Example::

    checkup = examine(Path("my-drawings/"), size=64)
    print("\\n".join(checkup.lines()))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ..data.images import crop_square, read_image, resize
from ..data.sources import ImageSource, open_source
from ..errors import BadImage
from ..faces import BlazeFinder, FaceFinder, Landmarks, align, ffhq_quad
from .exemplar_measures import (
    FLOOR,
    STYLE,
    Plane,
    Print,
    correlation,
    lab_of,
    robust_deviations,
    sharpness_of,
    smaller_group,
    style_statistics,
    thumbnail,
    tones_of,
)

Severity = Literal["warn", "refuse"]

FEW = 20
"""Sets of fewer usable pictures are said to be too few."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a picture or with the whole set."""

    kind: str
    """``unreadable``, ``size``, ``enlarged``, ``duplicate``, ``no-face``, ``faces``, ``misaligned``, ``hair``,
    ``style`` or ``cast``; of sets ``few``, ``unaligned`` or ``mixed``."""
    severity: Severity
    """``refuse``: leave the picture out; ``warn``: look at it."""
    reason: str
    cure: str


@dataclass(frozen=True)
class Checkup:
    """All findings of a set of exemplars."""

    pictures: Mapping[str, tuple[Finding, ...]]
    """By the name of the picture, sorted; empty where nothing is wrong."""
    whole: tuple[Finding, ...]
    """Findings of the set."""

    @property
    def usable(self) -> int:
        """The number of pictures that nothing speaks against using."""
        return sum(all(f.severity == "warn" for f in found) for found in self.pictures.values())

    @property
    def counts(self) -> dict[str, int]:
        """How many pictures have each kind of finding, the most frequent first."""
        kinds = Counter(kind for found in self.pictures.values() for kind in {finding.kind for finding in found})
        return dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))

    def lines(self) -> list[str]:
        """Return the report for people: a sum, the set's findings, then a line for each finding of a picture."""
        fine = sum(not found for found in self.pictures.values())
        lines = [f"{len(self.pictures)} pictures: {fine} without findings, {self.usable} usable."]
        if self.counts:
            lines.append(", ".join(f"{kind} {count}" for kind, count in self.counts.items()))
        lines += [f"set: {finding.kind:<10}  {finding.reason} {finding.cure}" for finding in self.whole]
        width = max((len(name) for name, found in self.pictures.items() if found), default=0)
        for name, found in self.pictures.items():
            lines += [f"{name:<{width}}  {f.severity:<6}  {f.kind:<10}  {f.reason} {f.cure}" for f in found]
        return lines

    def as_json(self) -> dict[str, object]:
        """Return the report for programs."""
        return {
            "usable": self.usable,
            "counts": self.counts,
            "set": [asdict(finding) for finding in self.whole],
            "pictures": {name: [asdict(finding) for finding in found] for name, found in self.pictures.items()},
        }


def examine(
    source: Path,
    finder: FaceFinder | None = None,
    *,
    size: int = 256,
    points: Mapping[str, FaceFinder] | None = None,
    on_picture: Callable[[str], None] = lambda name: None,
) -> Checkup:
    """Examine the exemplars of a folder, zip or LMDB; nothing is written.

    Pictures that are square with the face about where FFHQ has it count as aligned crops and are held against that
    template; of others the face is cut out first, so that they can be compared all the same.

    Args:
        source: The exemplars.
        finder: Finds their faces; ``BlazeFinder`` by default.
        size: Side at which they will be used, pixels.
        points: Finders of single pictures, by name (``faces.read_points``).
        on_picture: Told of each picture when it has been read.

    Raises:
        BadData: The source cannot be opened.
    """
    pictures, finder = open_source(source, size), finder or BlazeFinder()
    found: dict[str, list[Finding]] = {name: [] for name in (*pictures.names, *(r[0] for r in pictures.refused))}
    for name, _, reason in pictures.refused:
        found[name].append(_unreadable(reason, ""))
    portraits = []
    for name in pictures.names:
        try:
            portraits.append(_portrait(pictures, name, (points or {}).get(name, finder)))
        except BadImage as error:
            found[name].append(_unreadable(error.message, error.cure))
        on_picture(name)
    unaligned = _mostly_unaligned(portraits)
    for portrait in portraits:
        found[portrait.name] += _of_one(portrait, size, unaligned)
    for name, finding in (*_duplicates(portraits), *_of_styles(portraits), *_of_casts(portraits)):
        found[name].append(finding)
    whole = _of_set(portraits, found, unaligned)
    return Checkup({name: tuple(found[name]) for name in sorted(found)}, whole)


# Side at which pictures are compared with each other.
_SIDE = 128
_PREPARE = "Run `portraitist prepare` on the pictures they were cut from."

# Deviations from the FFHQ template that curated crops never show: of the centre and size in parts of the side, of the
# turn in degrees. Beyond the second value the crop is no aligned face at all.
_SHIFT = (0.04, 0.15)
_SCALE = (1.17, 1.5)
_TURN = (5.0, 25.0)
# The top of the head lies this part of the distance from chin to hairline above the hairline; it must keep that part
# of the side to the edge.
_SKULL = 0.25
_HEADROOM = 0.03
# Below this ratio of the finest two octaves of detail a picture was enlarged from half its size or less.
_SHARP = 0.65
# Robust deviations beyond which a picture is an outlier of style.
_STYLE_LIMIT = 3.8
# A tint is an outlier beyond this multiple of what nine tenths of the set stay below, and beyond these robust
# deviations at the least: of the face's brightest parts, and of its most neutral parts. Sets of few colours have short
# tails, colourful ones long ones.
_CAST_TAIL = (1.45, 1.8)
_CAST_LEAST = (2.9, 3.5)
# Correlation of the details of two registered pictures above which they are one picture.
_SAME = 0.88
# Which pairs are registered at all: the nearest few of each picture, by their coarse luminance.
_CANDIDATES = 8
_ALIKE = 0.75


@dataclass(frozen=True, eq=False)
class _Portrait:
    """What is kept of a picture: a few numbers, never its pixels."""

    name: str
    width: int
    height: int
    faces: int
    landmarks: Landmarks | None
    """Of the largest face, in pixels of the centred square."""
    side: int
    """Of the centred square."""
    aligned: bool
    """Whether the face is roughly where FFHQ has it."""
    sharpness: float
    """Detail of the finest octave over that of the next, at the picture's own size."""
    style: Plane
    """Statistics named in ``STYLE``."""
    tones: Plane
    """Lab (a, b) of the face's brightest and of its most neutral tenth: [4]."""
    thumb: Image.Image
    """Luminance, 64 pixels wide."""


def _portrait(pictures: ImageSource, name: str, finder: FaceFinder) -> _Portrait:
    picture = read_image(pictures.read(name), name=name)
    height, width = picture.shape[:2]
    faces = finder.find(picture)
    square = crop_square(picture)
    side = square.shape[0]
    shift = np.array([[1, 0, -((width - side) // 2)], [0, 1, -((height - side) // 2)], [0, 0, 1.0]])
    landmarks = faces[0].landmarks.transformed(shift) if faces else None
    aligned = landmarks is None or _misfit(landmarks, side).grade() < 2
    if landmarks is not None and not aligned:
        span = float(np.linalg.norm(np.diff(ffhq_quad(landmarks)[[0, 3]], axis=0)))
        square = align(square, landmarks, max(8, min(round(span), side))).image
    lab = lab_of(resize(square, _SIDE, method="area"))
    return _Portrait(
        name, width, height, len(faces), landmarks, side, aligned,
        sharpness_of(square), style_statistics(lab), tones_of(lab), thumbnail(square),
    )  # fmt: skip


def _unreadable(reason: str, cure: str) -> Finding:
    return Finding("unreadable", "refuse", reason, cure or "Save it again as PNG, JPEG or WebP.")


@dataclass(frozen=True)
class _Misfit:
    """How a crop differs from the one that FFHQ's rule would have cut: parts of the side, degrees."""

    right: float
    down: float
    scale: float
    """Size of the face over that of FFHQ's crop."""
    turn: float

    def grade(self) -> int:
        """0: as it should be, 1: off, 2: no aligned crop."""
        shift, scale = float(np.hypot(self.right, self.down)), max(self.scale, 1 / self.scale)
        off = ((shift, _SHIFT), (scale, _SCALE), (abs(self.turn), _TURN))
        return max(int(value > warn) + int(value > refuse) for value, (warn, refuse) in off)

    def __str__(self) -> str:
        parts = []
        if abs(self.right) > _SHIFT[0] / 2:
            parts.append(f"{abs(self.right):.0%} of the side too far {'right' if self.right > 0 else 'left'}")
        if abs(self.down) > _SHIFT[0] / 2:
            parts.append(f"{abs(self.down):.0%} too {'low' if self.down > 0 else 'high'}")
        if max(self.scale, 1 / self.scale) > 1 + (_SCALE[0] - 1) / 2:
            parts.append(f"{abs(self.scale - 1):.0%} too {'large' if self.scale > 1 else 'small'}")
        if abs(self.turn) > _TURN[0] / 2:
            parts.append(f"turned by {abs(self.turn):.0f} degrees")
        return ", ".join(parts)


def _misfit(landmarks: Landmarks, side: int) -> _Misfit:
    quad = ffhq_quad(landmarks)
    right, down = quad.mean(axis=0) / side - 0.5
    x, y = quad[3] - quad[0]
    return _Misfit(float(right), float(down), float(np.hypot(x, y)) / side, float(np.degrees(np.arctan2(y, x))))


def _mostly_unaligned(portraits: list[_Portrait]) -> bool:
    faces = [portrait.aligned and portrait.width == portrait.height for portrait in portraits if portrait.landmarks]
    return 2 * sum(faces) < len(faces)


def _of_one(portrait: _Portrait, size: int, unaligned: bool) -> list[Finding]:
    found = []
    if portrait.side < size:
        reason = f"It is {portrait.width}x{portrait.height}; {size}x{size} is wanted."
        found.append(Finding("size", "warn", reason, f"Find a larger copy, or train at {portrait.side} or less."))
    elif portrait.sharpness < _SHARP:
        reason = "It holds no more detail than a picture of half its size: it was enlarged or is out of focus."
        found.append(Finding("enlarged", "warn", reason, "Find the original, or train at half the resolution."))
    if portrait.landmarks is None:
        reason = "No face was found; drawings often defeat the finder."
        found.append(Finding("no-face", "warn", reason, "See whether it shows one face, upright and in the middle."))
        return found
    if portrait.faces > 1:
        reason = f"It shows {portrait.faces} faces."
        found.append(Finding("faces", "warn", reason, "Crop it to one of them." if not unaligned else ""))
    return found + _of_placement(portrait, portrait.landmarks, unaligned)


def _of_placement(portrait: _Portrait, landmarks: Landmarks, unaligned: bool) -> list[Finding]:
    found = []
    misfit = _misfit(landmarks, portrait.side)
    grade = misfit.grade()
    if grade and not unaligned:
        severity: Severity = "refuse" if grade == 2 else "warn"
        found.append(Finding("misaligned", severity, f"Against the FFHQ crop, the face is {misfit}.", _PREPARE))
    room = _headroom(landmarks, portrait, unaligned)
    if room is not None and room < _HEADROOM:
        where = "lies beyond" if room < 0 else "touches"
        reason = f"The top of the head {where} the picture's upper edge: hair is cut off."
        found.append(Finding("hair", "warn", reason, "Use a picture with room above the hair, or leave it out."))
    return found


# Rows of the face mesh: middle of the hairline, tip of the chin.
_HAIRLINE, _CHIN = 10, 152


def _headroom(landmarks: Landmarks, portrait: _Portrait, unaligned: bool) -> float | None:
    """Room above the head in parts of the crop's side; None where the points do not reach the hairline."""
    if landmarks.full is None or len(landmarks.full) < 468:
        return None
    hairline, chin = landmarks.full[_HAIRLINE], landmarks.full[_CHIN]
    top = hairline + _SKULL * (hairline - chin)
    # Of pictures that `prepare` will cut, all rows count; of crops only those of the centred square, as in training.
    above = (portrait.height - portrait.side) // 2 if unaligned else 0
    side = portrait.side * (_misfit(landmarks, portrait.side).scale if unaligned else 1)
    return float(top[1] + above) / side


def _duplicates(portraits: list[_Portrait]) -> list[tuple[str, Finding]]:
    """Name the twin of each picture that shows what an earlier one shows, mirrored or a little cropped or not."""
    if len(portraits) < 2:
        return []
    prints = [Print(portrait.thumb) for portrait in portraits]
    views = {
        flip: np.stack([p.coarse[:, ::-1].ravel() if flip else p.coarse.ravel() for p in prints]) for flip in (0, 1)
    }
    twins: dict[tuple[int, int], tuple[float, int]] = {}
    for index in range(len(prints)):
        for flip, others in views.items():
            alike = others @ prints[index].coarse.ravel()
            alike[index] = -1
            for other in map(int, np.argsort(-alike)[:_CANDIDATES]):
                pair = (min(index, other), max(index, other))
                if alike[other] > _ALIKE and (score := correlation(prints[index], prints[other], bool(flip))) > _SAME:
                    twins[pair] = max(twins.get(pair, (0.0, 0)), (score, flip))
    named = {}
    for (first, second), (score, flip) in sorted(twins.items()):
        same = "mirrored, the same as" if flip else "the same as"
        reason = f"It is {same} {portraits[first].name}, or nearly (correlation {score:.2f})."
        named[portraits[second].name] = Finding("duplicate", "refuse", reason, "Keep the better of the two.")
    return list(named.items())


_CAP = 8.0


def _of_styles(portraits: list[_Portrait]) -> list[tuple[str, Finding]]:
    """Name the pictures whose statistics lie far from the rest of the set."""
    if len(portraits) < _COMPARABLE:
        return []
    deviations = np.clip(robust_deviations(np.stack([p.style for p in portraits]), FLOOR), -_CAP, _CAP)
    distance = np.sqrt((deviations**2).mean(axis=1))
    far = robust_deviations(distance[:, None], np.array([0.15]))[:, 0]
    found = []
    for portrait, own, how_far in zip(portraits, deviations, far, strict=True):
        if how_far > _STYLE_LIMIT:
            reason = f"Its style differs from the set's ({how_far:.0f} robust deviations), most in {_most(own)}."
            found.append((portrait.name, Finding("style", "warn", reason, "Leave it out if it is of another style.")))
    return found


def _most(deviations: Plane) -> str:
    """Name the two groups of statistics that deviate most."""
    worst: dict[str, float] = {}
    for group, value in zip(STYLE, deviations, strict=True):
        worst[group] = max(worst.get(group, 0.0), abs(float(value)))
    return " and ".join(sorted(worst, key=lambda group: -worst[group])[:2])


# Fewer pictures have no typical style to differ from.
_COMPARABLE = 8


def _of_casts(portraits: list[_Portrait]) -> list[tuple[str, Finding]]:
    """Name the pictures whose face is tinted as hardly any other of the set."""
    if len(portraits) < _COMPARABLE:
        return []
    tones = np.stack([portrait.tones for portrait in portraits])
    deviations = robust_deviations(tones, np.full(tones.shape[1], 2.5))
    # The brightest parts betray a filter, the most neutral ones a veil.
    far = np.stack([np.linalg.norm(deviations[:, columns], axis=1) for columns in (slice(0, 2), slice(2, 4))], axis=1)
    excess = far / np.maximum(np.array(_CAST_TAIL) * np.percentile(far, 90, axis=0), _CAST_LEAST)
    found = []
    for portrait, own, beyond, how_far in zip(portraits, tones - np.median(tones, axis=0), excess, far, strict=True):
        if beyond.max() > 1:
            part = int(beyond.argmax())
            hue = _hue(own[2 * part : 2 * part + 2])
            reason = f"The face is tinted {hue} against the set ({how_far[part]:.0f} robust deviations)."
            found.append(
                (portrait.name, Finding("cast", "warn", reason, "Correct the white balance, or leave it out."))
            )
    return found


_HUES = ("red", "orange", "yellow", "green", "turquoise", "blue", "violet", "magenta")


def _hue(shift: Plane) -> str:
    """Name the direction of a shift in Lab's plane (a, b)."""
    return _HUES[round(float(np.arctan2(shift[1], shift[0])) / (np.pi / 4)) % 8]


def _of_set(portraits: list[_Portrait], found: Mapping[str, list[Finding]], unaligned: bool) -> tuple[Finding, ...]:
    whole = []
    usable = sum(all(f.severity == "warn" for f in findings) for findings in found.values())
    if usable < FEW:
        reason = f"{usable} pictures can be used; styles are learned from {FEW} or more."
        whole.append(Finding("few", "warn", reason, "Add pictures."))
    if unaligned:
        reason = "Most pictures are no aligned faces."
        whole.append(Finding("unaligned", "warn", reason, "Run `portraitist prepare` first."))
    if len(portraits) >= FEW and (share := smaller_group(np.stack([p.style for p in portraits]))):
        reason = f"The pictures fall into two groups of different looks; the smaller is {share:.0%} of the set."
        whole.append(Finding("mixed", "warn", reason, "Train one style from one group."))
    return tuple(whole)
