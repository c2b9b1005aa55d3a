"""The one interface of every way from a picture to a code: optimisers, and encoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..spaces import WPlus

Progress = Callable[[int, int], None]
"""Told of the steps done and of all steps."""


@dataclass(frozen=True)
class Inverted:
    """Codes of pictures, what the generator draws from them, and what finding them cost."""

    code: WPlus
    """[N, rows, w_dim]"""
    image: Tensor
    """[N, 3, R, R], drawn from the code."""
    distance: Tensor
    """[N], how far the drawing is from the picture by the inverter's own measure, without any prior."""
    history: Tensor
    """[steps, N], the distance at each step."""
    steps: int
    """Drawings made for one picture."""
    seconds: float
    """Wall time of the whole batch."""
    noise: tuple[Tensor, ...] | None = None
    """[N, 1, r, r] per convolution where the noise was optimised too; None means the stored planes."""


class Inverter(Protocol):
    """Something that finds codes."""

    def invert(self, images: Tensor, *, progress: Progress | None = None) -> Inverted:
        """Find a code for each of the images [N, 3, H, W] in [-1, 1]; H and W need not be the generator's."""


class Encodes(Protocol):
    """An encoder in evaluation mode, as optimisers use one."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """Return codes of W+ [N, rows, w_dim] for images [N, 3, R, R] in [-1, 1]; differentiable."""
