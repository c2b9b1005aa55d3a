"""The One Euro filter: quiet where points rest, prompt where they move.

Source: Casiez, Roussel and Vogel, "1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive
Systems" (CHI 2012). X are points, T_e seconds between frames, a hat marks what is filtered. The paper filters numbers;
here a point is filtered as a whole, by the length of its speed.

    steady = OneEuro()
    smooth = steady.step(points, seconds=1 / 30, unit=eye_distance)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..faces.landmarks import Points

LEAST_CUTOFF = 1.0
"""f_c min in Hz: how much resting points are smoothed."""
BETA = 8.0
"""What the cutoff grows by, in Hz, with a speed of one unit a second."""
SPEED_CUTOFF = 1.0
"""f_c of the speed, in Hz; the paper's value."""


@dataclass(eq=False)
class OneEuro:
    """Filters N points over time.

    Attributes:
        least: Cutoff at rest in Hz, above 0.
        beta: Hz that the cutoff grows by with a speed of one unit a second, at least 0.
        value: The points as filtered last, N x 2; None before the first.
        speed: Their filtered change a second, N x 2.
    """

    least: float = LEAST_CUTOFF
    beta: float = BETA
    value: Points | None = None
    speed: Points | None = None

    def step(self, points: Points, seconds: float, unit: float = 1.0) -> Points:
        """Take the points of one more frame, N x 2, and return them filtered.

        Args:
            points: As measured.
            seconds: Since the frame before, above 0; frames need not be evenly apart.
            unit: Length that speeds are counted in, so that near and far faces are filtered alike.
        """
        if self.value is None or self.speed is None or len(self.value) != len(points):
            self.value, self.speed = points.copy(), np.zeros_like(points)
            return self.value
        measured = (points - self.value) / seconds  # dX = (X_i - ^X_(i-1)) / T_e
        self.speed = self.speed + smoothing(SPEED_CUTOFF, seconds) * (measured - self.speed)
        fast = np.linalg.norm(self.speed, axis=1, keepdims=True) / unit
        cutoff = self.least + self.beta * fast  # f_c = f_c min + beta |^dX|
        self.value = self.value + smoothing(cutoff, seconds) * (
            points - self.value
        )  # ^X_i = alpha X_i + (1 - alpha) ^X_(i-1)
        return self.value


def smoothing(cutoff: Points | float, seconds: float) -> Points:
    """Return the weight of a new value, in (0, 1): alpha = 1 / (1 + tau / T_e) with tau = 1 / (2 pi f_c)."""
    tau = 1 / (2 * np.pi * np.asarray(cutoff, dtype=np.float64))
    return np.asarray(1 / (1 + tau / seconds))
