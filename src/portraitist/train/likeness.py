"""Terms that hold the generator to what its source draws: structure loss and similarity loss.

Both compare images of the same latents, crossover and noise, each side through its own mapping network, so that a
generator and its copy are at distance 0 exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

import torch
import torch.nn.functional as F
from torch import Tensor

from ..losses import Tap, structure
from ..losses.perceptual import PerceptualDistance
from ..networks import Generator
from .spec import Training
from .terms import Forgetful, Player, Term, Turn

# AgileGAN compares images at the size that VGG16 was trained on, or their own where that is smaller.
LARGEST = 256


@dataclass(frozen=True)
class Structure(Forgetful):
    """Structure loss (Back 2021, arXiv:2106.12445, Sec. 3.2)."""

    source: Generator
    """The base; never changed."""
    weight: float = 1.0
    first: int = 4
    last: int = 16
    tap: Tap = "rgb"
    name: str = "structure"
    player: Player = "G"
    every: int = 1

    def __call__(self, turn: Turn) -> Tensor:
        """Return the weighted loss over the blocks from ``first`` to ``last`` pixels."""
        drawn = turn.drawn
        with torch.no_grad():
            walk = self.source.synthesis.walk(self.source.styles(drawn.z), drawn.noise)
            theirs = [s for s in takewhile(lambda s: s.resolution <= self.last, walk) if s.resolution >= self.first]
        mine = [s for s in drawn.seen if self.first <= s.resolution <= self.last]
        return structure(theirs, mine, self.tap) * self.weight


@dataclass(frozen=True)
class Similarity(Forgetful):
    """Similarity loss (Song et al. 2021, AgileGAN, Eq. 10): the perceptual distance to what the source draws."""

    source: Generator
    looks: PerceptualDistance
    weight: float = 0.5
    name: str = "similarity"
    player: Player = "G"
    every: int = 1

    def __call__(self, turn: Turn) -> Tensor:
        """Return the weighted mean distance."""
        drawn = turn.drawn
        with torch.no_grad():
            theirs = _shrunk(self.source.synthesis(self.source.styles(drawn.z), drawn.noise))
        return self.looks(_shrunk(drawn.images), theirs).mean() * self.weight


def likeness_terms(training: Training, source: Generator, looks: PerceptualDistance) -> tuple[Term, ...]:
    """Return the terms that a training has beside the standard ones.

    Args:
        training: Its weights say which.
        source: The base.
        looks: What the similarity loss measures with.
    """
    terms: list[Term] = []
    if training.structure_weight:
        range_ = (training.structure_from, training.structure_upto)
        terms.append(Structure(source, training.structure_weight, *range_, training.structure_tap))
    if training.similarity_weight:
        terms.append(Similarity(source, looks, training.similarity_weight))
    return tuple(terms)


def _shrunk(images: Tensor) -> Tensor:
    factor = images.shape[-1] // LARGEST
    return F.avg_pool2d(images, factor) if factor > 1 else images
