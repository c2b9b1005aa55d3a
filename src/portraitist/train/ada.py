"""The controller of adaptive augmentation (Karras et al. 2020, arXiv:2006.06676, section 3).

The discriminator overfits when it is sure about the real images. The share of reals it calls real, as the mean
sign of its scores, is held at a target by moving the probability of augmentation up or down at a fixed speed.

    ada = AdaController(Ada(kimg=100))
    ada.note(mean_sign(scores_real), len(scores_real))
    p = ada.adjust(batch_size)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import NonFinite, UsageError


@dataclass(frozen=True)
class Ada:
    """Settings of the controller.

    Raises:
        UsageError: A value is out of range.
    """

    target: float = 0.6
    """Mean sign of the scores of reals to hold, in [-1, 1]."""
    kimg: float = 500
    """Thousands of images in which the probability can rise by 1; 100 suits fine-tuning."""
    every: int = 4
    """Minibatches between adjustments."""
    start: float = 0.0
    """First probability."""

    def __post_init__(self) -> None:
        if not -1 <= self.target <= 1:
            raise UsageError(f"The ADA target {self.target} is not a mean sign.", "Choose it in [-1, 1]; 0.6 is usual.")
        if not self.kimg > 0:
            raise UsageError(f"The ADA speed of {self.kimg} kimg is not positive.", "Choose 500, or 100 to fine-tune.")
        if self.every < 1:
            raise UsageError(f"ADA cannot adjust every {self.every} minibatches.", "Choose 1 or more.")
        if not 0 <= self.start < math.inf:
            raise UsageError(f"ADA cannot start at p = {self.start}.", "Choose a number of at least 0.")


class AdaController:
    """Moves the probability of augmentation ``p`` so that the mean sign of D(real) meets its target.

    ``p`` never falls below 0 and may rise above 1, which augments as 1 does but takes longer to fall.
    """

    def __init__(self, settings: Ada) -> None:
        self.settings = settings
        self.p = settings.start
        self.mean_sign = 0.0
        """The mean sign at the last adjustment, for display."""
        self.sign_sum: Tensor | float = 0.0
        self.count = 0
        self.images = 0
        self.minibatches = 0

    def note(self, sign: Tensor, count: int) -> None:
        """Note the mean sign of the discriminator's scores of ``count`` (augmented) reals."""
        self.sign_sum = self.sign_sum + sign * count  # stays on the device until the adjustment
        self.count += count

    def adjust(self, batch_size: int) -> float:
        """Count one minibatch of ``batch_size`` images, move ``p`` if it is time, and return it.

        Raises:
            NonFinite: A score was NaN.
        """
        self.images += batch_size
        self.minibatches += 1
        if self.minibatches >= self.settings.every:
            self._move()
        return self.p

    def state_dict(self) -> dict[str, float]:
        """Return all that changes, as plain numbers: resuming from it is exact."""
        return {
            "p": self.p,
            "mean_sign": self.mean_sign,
            "sign_sum": float(self.sign_sum),
            "count": self.count,
            "images": self.images,
            "minibatches": self.minibatches,
        }

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take up the state of another controller."""
        self.p, self.mean_sign, self.sign_sum = state["p"], state["mean_sign"], state["sign_sum"]
        self.count, self.images, self.minibatches = (int(state[k]) for k in ("count", "images", "minibatches"))

    def _move(self) -> None:
        if self.count:
            self.mean_sign = float(self.sign_sum) / self.count
            if math.isnan(self.mean_sign):
                raise NonFinite(
                    "The discriminator's scores became NaN.", "Lower the learning rate or raise R1's gamma."
                )
            difference = self.mean_sign - self.settings.target  # r_t - target (Sec. 3.1, Eq. 1)
            step = self.images / (self.settings.kimg * 1000)  # p moves by 1 in ``kimg`` thousand images (Sec. 3.1)
            self.p = max(0.0, self.p + math.copysign(step, difference) * (difference != 0))
        self.sign_sum, self.count, self.images, self.minibatches = 0.0, 0, 0, 0


def mean_sign(scores: Tensor) -> Tensor:
    """Return the mean sign of scores of any shape, in double precision; NaN where one of them is."""
    scores = scores.detach().double()
    return torch.where(scores.isnan(), scores, scores.sign()).mean()  # the sign of NaN would be 0
