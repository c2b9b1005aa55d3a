"""How a learning rate rises and falls over an optimisation."""

from __future__ import annotations

import math


def ramp(t: float, up: float, down: float) -> float:
    """Return the share of the learning rate at a time: a line up, rest, half a cosine down.

    Karras et al. 2020, arXiv:1912.04958, App. D.

    Args:
        t: Share of the steps done, in [0, 1].
        up: Share of the steps over which it rises from 0; 0 for none.
        down: Share of the steps over which it falls to 0; 0 for none.
    """
    falling = min(1.0, (1.0 - t) / down) if down else 1.0
    rising = min(1.0, t / up) if up else 1.0
    return rising * (0.5 - 0.5 * math.cos(math.pi * falling))
