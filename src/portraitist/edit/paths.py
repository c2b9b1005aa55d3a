"""Ways through the space of codes, frame by frame: from person to person, along a direction, and back.

codes = through([one, other], frames=60, loop=True)        # WPlus [60, rows, w_dim]
codes = sweep(code, age, [-3, -2, -1, 0, 1, 2, 3])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor

from ..errors import UsageError
from ..spaces import Code, WPlus, Z, lerp
from ..spaces.direction import Direction, moved

AnyCode = TypeVar("AnyCode", WPlus, Z)
Ease = Literal["smooth", "linear"]
"""``smooth`` starts and stops softly at every code, ``linear`` keeps one speed."""


def through(codes: Sequence[AnyCode], frames: int, *, loop: bool = False, ease: Ease = "smooth") -> AnyCode:
    """Go through codes in order; the first frame is the first code, bit for bit, and so is the last frame the last.

    Codes of W+ lie on lines, latents of Z on great circles (:func:`slerp`), where the prior has its mass.

    Args:
        codes: Two or more, each [1, ...], all of one space.
        frames: How many, both ends included.
        loop: Go back to the first code too; it is not drawn a second time, so that the last frame leads to the first.
        ease: How the time of each leg passes.

    Raises:
        UsageError: There are too few codes or frames.
    """
    if len(codes) < 2 or frames < len(codes):
        raise UsageError(
            f"{frames} frames cannot go through {len(codes)} codes.", "Give two codes or more, and frames."
        )
    if ease not in get_args(Ease):
        raise UsageError(f"Unknown easing '{ease}'.", f"Use {' or '.join(get_args(Ease))}.")
    stops = [*codes, codes[0]] if loop else list(codes)
    legs, steps = len(stops) - 1, frames if loop else frames - 1
    between: Callable[[Any, Any, float], Code] = slerp if isinstance(codes[0], Z) else lerp
    found = []
    for k in range(frames):
        leg = min(k * legs // steps, legs - 1)
        t = k * legs / steps - leg
        found.append(between(stops[leg], stops[leg + 1], _eased(t, ease)).data)
    return type(codes[0])(torch.cat(found))


def sweep(code: WPlus, direction: Direction, strengths: Iterable[float], *, rows: Iterable[int] | None = None) -> WPlus:
    """Move one code [1, rows, w_dim] by each of some strengths; ``rows`` as of :func:`moved`."""
    kept = None if rows is None else tuple(rows)
    return WPlus(torch.cat([moved(code, direction, s, rows=kept).data for s in strengths]))


def slerp(start: Z, end: Z, t: float) -> Z:
    """Go from one latent (t = 0) to another (t = 1) along a great circle; lengths change evenly (Shoemake 1985)."""
    a, b = start.data, end.data
    first, last = (torch.linalg.vector_norm(x, dim=1, keepdim=True) for x in (a, b))
    angle = torch.acos(((a * b).sum(1, keepdim=True) / (first * last)).clamp(-1, 1))
    shares = [_share(1 - t, angle), _share(t, angle)]
    if t in (0, 1):
        return end if t else start
    return Z((shares[0] * a / first + shares[1] * b / last) * torch.lerp(first, last, t))


def spread(first: float, last: float, count: int) -> list[float]:
    """Return numbers at equal distances, both ends included; the middle of a range about 0 is exactly 0."""
    if count < 2:
        raise UsageError("A sweep of strengths has two ends.", "Ask for 2 strengths or more.")
    return [(first * (count - 1 - k) + last * k) / (count - 1) for k in range(count)]


def _share(t: float, angle: Tensor) -> Tensor:
    # Where the circle is a point, or all circles lead there, the line is as good.
    flat = angle.sin() < 1e-6
    return torch.where(
        flat, torch.full_like(angle, t), (t * angle).sin() / angle.sin().where(~flat, angle.new_ones(()))
    )


def _eased(t: float, ease: Ease) -> float:
    return t if ease == "linear" else (1 - math.cos(math.pi * t)) / 2
