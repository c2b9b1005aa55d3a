"""Losses are formulas of tensors; one that needs a network receives it."""

from .adversarial import discriminator_loss, generator_loss
from .penalties import path_lengths, r1

__all__ = ["discriminator_loss", "generator_loss", "path_lengths", "r1"]
