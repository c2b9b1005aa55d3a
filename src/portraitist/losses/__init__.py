"""Losses are formulas of tensors; one that needs a network receives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from .adversarial import GanLoss as GanLoss
    from .adversarial import discriminator_loss as discriminator_loss
    from .adversarial import generator_loss as generator_loss
    from .penalties import path_lengths as path_lengths
    from .penalties import r1 as r1

__getattr__ = lazily(
    __name__,
    {
        "GanLoss": "adversarial",
        "discriminator_loss": "adversarial",
        "generator_loss": "adversarial",
        "path_lengths": "penalties",
        "r1": "penalties",
    },
)
__all__ = ["GanLoss", "discriminator_loss", "generator_loss", "path_lengths", "r1"]
