"""A portrait that moves as another face does: its code along learned directions, and its picture by a warp.

Directions of the base (``edit.expressions``) say which way codes go when a head turns, a mouth opens or eyes close. How
this portrait answers to them is measured on its own drawings; so each frame's numbers become steps along them, and what
the code then does not hold of the motion of the points, and of the head as a whole, is left to the warp. With p the
portrait, d and d' what the style draws from its code and from the moved code, W the whole warp and V that of what is
left, a frame is

    W(p) + W(face) * (V(d') - W(d))

so that the portrait keeps what the detail stage gave it, and takes from the code what no warp can make: the inside of a
mouth, lids, shades. Without any motion it is the portrait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..data.images import Pixels, resize
from ..detail.filters import blur
from ..detail.shape import carried, displacement, warp
from ..edit.expressions import EXPRESSIONS, MESH, SPREADS, expression
from ..errors import UsageError
from ..faces import FaceFinder, Landmarks
from ..faces.landmarks import Points
from ..networks.digest import tensors_digest
from ..spaces import WPlus
from ..spaces.direction import Direction, moved
from .driving import Movement

Draw = Callable[[WPlus], Pixels]
"""Draws a code [1, rows, w_dim]."""

MOST_STEPS = 2.5
"""Units along a direction that a code goes at most: beyond, drawings leave the base's faces."""
_PROBE = 1.5
"""Units along a direction at which a portrait's answer is measured."""
_RESTRAINT = 0.4
"""Penalty on the steps along directions, beside the squared deviations of the numbers."""
_LARGEST = {"angle": 0.35, "size": 0.2, "place": 0.12, "point": 0.1}
"""What a head turns (radians), grows (logarithm) and goes at most, and a point beside it, in parts of the side."""
_MOST_CHANGE = 3.0
"""Deviations of a number that the code is asked for at most."""
SLACK = 3e-4
"""How far the warp may miss its points for being smoother: less than a look's, so that lids come down."""
_REACH = (0.5, 2.0)
"""Least and largest ratio of an eye's or a mouth's motion to that of the driving face."""
# Rows of the mesh: what hardly moves with an expression, the oval, and each part that has a size of its own.
_BONES = (6, 8, 9, 10, 33, 127, 133, 151, 168, 197, 263, 356, 362)
_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
_LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
_RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
_MOUTH = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409)
_SHAPE = tuple(sorted({
    *_OVAL, *_LEFT_EYE, *_RIGHT_EYE, *_MOUTH, 1, 4, 5, 6, 8, 9, 168, 195, 197, 98, 327, 48, 278, 50, 280, 205, 425, 70,
    63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285, 200, 199, 175, 18, 151,
}))  # fmt: skip
"""Points that the warp goes by: without the inner lips, which lie on each other where a mouth is shut."""


class Puppet(Protocol):
    """What a movement moves."""

    @property
    def still(self) -> Pixels:
        """The portrait itself, uint8 [S, S, 3]: the first frame."""
        ...

    @property
    def reads(self) -> bool:
        """Whether it goes by expressions, which take the face mesh."""
        ...

    @property
    def settings(self) -> dict[str, object]:
        """What determines the frames, beside the movement; plain JSON."""
        ...

    def move(self, movement: Movement) -> Pixels:
        """Return the frame that a movement gives, uint8 [S, S, 3]."""
        ...


@dataclass(frozen=True, eq=False)
class Answers:
    """How a drawing answers to steps along directions, a row per direction."""

    numbers: Points
    """What one unit adds to each number, [K, 6]."""
    points: Points
    """Where one unit moves each point, [K, 468, 2] in parts of the side."""


class CodePuppet:
    """A portrait whose code is moved and whose picture is warped.

    Args:
        still: The portrait, uint8 [S, S, 3].
        code: Its code, [1, rows, w_dim].
        draw: Draws a code in the portrait's style.
        base: Draws a code as the base does; there the points of the face are found where drawings hide them.
        directions: Those of the base, named as ``EXPRESSIONS``; some or all.
        finder: Finds the face mesh.
        expected: Where the points of the face lie if the finder sees no face in the portrait, [468, 2] in parts of its
            side; None where that is not known.

    Raises:
        UsageError: Directions have other names, or no face can be found in the portrait.
    """

    reads = True

    def __init__(
        self,
        still: Pixels,
        code: WPlus,
        draw: Draw,
        *,
        base: Draw,
        directions: Sequence[Direction],
        finder: FaceFinder,
        expected: Points | None = None,
    ) -> None:
        if unknown := [d.name for d in directions if d.name not in EXPRESSIONS]:
            raise UsageError(
                f"'{unknown[0]}' is no direction of an expression.", f"Give some of {', '.join(EXPRESSIONS)}."
            )
        self.still, self.code, self.directions, self._draw = still, code, tuple(directions), draw
        side = len(still)
        points = _found(still, finder)
        if points is None:
            points = expected
        if points is None:
            raise UsageError(
                "No face is found in the portrait, whose parts are to move.", "Use another photo or style."
            )
        self.points: Points = points
        self.answers = self._measured(draw, base, finder)
        self._still, self._drawn = _levels(still), _levels(resize(draw(code), side))
        self._face = _oval(points, side)

    @property
    def settings(self) -> dict[str, object]:
        """What determines the frames, beside the movement."""
        tensors = {"still": torch.from_numpy(np.array(self.still)), "code": self.code.data.cpu().contiguous()}
        tensors |= {d.name: d.vector * d.unit for d in self.directions}
        return {"kind": "code", "digest": tensors_digest(tensors), "rows": [list(d.rows) for d in self.directions]}

    def move(self, movement: Movement) -> Pixels:
        """Return the frame that a movement gives, uint8 [S, S, 3]."""
        if movement.is_first:
            return self.still
        turn, parts = parted(movement)
        steps = self.steps(movement.change)
        target = self.points + self._scaled(parts, movement)
        made = self.points + np.tensordot(steps, self.answers.points, axes=1)
        side, back = len(self.still), torch.from_numpy(np.linalg.inv(turn)[:2])
        whole, left = (
            carried(displacement(_chosen(start), _chosen(target), side, SLACK), back) for start in (self.points, made)
        )
        code = self.code
        for direction, step in zip(self.directions, steps, strict=True):
            code = moved(code, direction, float(step))
        drawn = _levels(resize(self._draw(code), side))
        own = warp(drawn, left) - warp(self._drawn, whole)
        return _pixels(warp(self._still, whole) + warp(self._face, whole).clamp(0, 1) * own)

    def steps(self, change: Points) -> Points:
        """Return how many units the code goes along each direction for a change of the numbers, [K].

        The least squares of what the numbers then lack, in their deviations among faces, with a penalty on the steps.
        """
        a, b = self.answers.numbers / SPREADS, _MOST_CHANGE * np.tanh(change / SPREADS / _MOST_CHANGE)
        wanted = np.linalg.solve(a @ a.T + _RESTRAINT * np.eye(len(a)), a @ b)
        return np.asarray(MOST_STEPS * np.tanh(wanted / MOST_STEPS))

    def _measured(self, draw: Draw, base: Draw, finder: FaceFinder) -> Answers:
        """Measure how the drawing answers to each direction; as the base's does where it shows no face."""
        numbers = np.zeros((len(self.directions), len(EXPRESSIONS)))
        points = np.zeros((len(self.directions), MESH, 2))
        for k, direction in enumerate(self.directions):
            codes = [moved(self.code, direction, step) for step in (_PROBE, -_PROBE)]
            for drawer in (draw, base):
                ends = [_read(resize(drawer(code), len(self.still)), finder) for code in codes]
                if all(end is not None for end in ends):
                    (up, high), (down, low) = (end for end in ends if end is not None)
                    numbers[k] = np.nan_to_num(up - down) / (2 * _PROBE)
                    points[k] = (high - low) / (2 * _PROBE)
                    break
        return Answers(numbers, points)

    def _scaled(self, parts: Points, movement: Movement) -> Points:
        """Return where points of this portrait go: eyes and mouth move in proportion to their own size."""
        scaled = parts.copy()
        for rows, size in ((_LEFT_EYE, _height), (_RIGHT_EYE, _height), (_MOUTH, _width)):
            ratio = size(self.points[list(rows)]) / max(size(movement.first[list(rows)]), 1e-6)
            mean = parts[list(rows)].mean(axis=0)
            scaled[list(rows)] = mean + np.clip(ratio, *_REACH) * (parts[list(rows)] - mean)
        return _limited(scaled, _LARGEST["point"])


def parted(movement: Movement) -> tuple[Points, Points]:
    """Return the motion of the head as a whole, 3 x 3, and that of each point beside it, [468, 2].

    The whole is the similarity nearest to what happened to the points that hardly move with an expression (Umeyama
    1991), within limits; all that it leaves is in the points.
    """
    before, after = movement.first[list(_BONES)], movement.now[list(_BONES)]
    centre, went = before.mean(axis=0), after.mean(axis=0)
    one, other = ((points - points.mean(axis=0)) @ [1, 1j] for points in (before, after))
    factor = complex((one.conj() * other).sum() / (one.conj() * one).sum())
    exact = _similarity(centre, went, factor)
    back = np.linalg.inv(exact)
    parts = movement.now[:MESH] @ back[:2, :2].T + back[:2, 2] - movement.first[:MESH]
    angle = _LARGEST["angle"] * np.tanh(np.angle(factor) / _LARGEST["angle"])
    size = _LARGEST["size"] * np.tanh(np.log(abs(factor)) / _LARGEST["size"])
    place = _limited((went - centre)[None], _LARGEST["place"])[0]
    return _similarity(centre, centre + place, np.exp(size + 1j * angle)), parts


def _similarity(centre: Points, went: Points, factor: complex) -> Points:
    """Return the 3 x 3 matrix that turns and scales about a centre by a complex factor and takes it to a place."""
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn, went - turn @ centre
    return matrix


def _limited(moves: Points, largest: float) -> Points:
    """Shorten moves [N, 2] so that none is longer than the largest, and short ones stay as they are."""
    length = np.linalg.norm(moves, axis=1, keepdims=True)
    return np.asarray(moves * np.tanh(length / largest) / np.maximum(length / largest, 1e-9))


def _found(picture: Pixels, finder: FaceFinder) -> Points | None:
    """Return where the mesh of the largest face lies, [468, 2] in parts of the side; None where there is none."""
    found = finder.find(picture)
    full = found[0].landmarks.full if found else None
    return None if full is None or len(full) < MESH else full[:MESH] / len(picture)


def _read(picture: Pixels, finder: FaceFinder) -> tuple[Points, Points] | None:
    """Return the numbers and the points of the face in a picture; None where there is none."""
    points = _found(picture, finder)
    return None if points is None else (expression(picture, Landmarks.from_points(points * len(picture))), points)


def _oval(points: Points, side: int) -> Tensor:
    """Return how much each pixel is of the face, [1, 1, S, S]: 1 within its oval, fading around it."""
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).polygon([tuple(place) for place in (points[list(_OVAL)] * side).tolist()], fill=255)
    return blur(torch.from_numpy(np.array(mask)).float()[None, None] / 255, side / 40)


def _height(points: Points) -> float:
    return float(np.ptp(points[:, 1]))


def _width(points: Points) -> float:
    return float(np.ptp(points[:, 0]))


def _chosen(points: Points) -> Tensor:
    return torch.from_numpy(points[list(_SHAPE)])


def _levels(picture: Pixels) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()


def _pixels(picture: Tensor) -> Pixels:
    pixels: Pixels = picture[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
    return pixels
