"""Losses are formulas of tensors; one that needs a network receives it."""

from .adversarial import GanLoss, discriminator_loss, generator_loss
from .penalties import path_lengths, r1
from .structure import Tap, structure

__all__ = ["GanLoss", "Tap", "discriminator_loss", "generator_loss", "path_lengths", "r1", "structure"]
