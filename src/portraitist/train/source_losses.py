"""Terms that hold the generator to what its source draws: structure loss and similarity loss.

Both compare images of the same latents, crossover and noise, each side through its own mapping network, so that a
generator and its copy are at distance 0 exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..losses.structure import Tap, structure
from ..networks import GeneratorAnatomy
from .spec import SourceTerm, Training
from .terms import StepContext

# AgileGAN compares images at the size that VGG16 was trained on, or their own where that is smaller.
LARGEST = 256

Reduce = Literal["mean", "sum"]


@dataclass(frozen=True)
class Structure(SourceTerm):
    """Structure loss (Back 2021, arXiv:2106.12445, Sec. 3.2)."""

    weight: float = 1.0
    first: int = 4
    last: int = 16
    """First and last resolution of the blocks that it compares."""
    tap: Tap = "rgb"
    """What it compares: each block's own ``rgb``, the image so far (``rgb_sum``), or its ``feature`` maps."""
    name: ClassVar[str] = "structure"

    def __call__(self, context: StepContext) -> Tensor:
        """Return the weighted loss over the blocks from ``first`` to ``last`` pixels (Eq. 2)."""
        drawn, source = context.drawn, context.base.generator
        with torch.no_grad():
            walk = source.synthesis.walk(source.styles(drawn.z), drawn.noise)
            theirs = [s for s in takewhile(lambda s: s.resolution <= self.last, walk) if s.resolution >= self.first]
        mine = [s for s in drawn.seen if self.first <= s.resolution <= self.last]
        return structure(theirs, mine, self.tap) * self.weight

    def check(self, training: Training, anatomy: GeneratorAnatomy) -> None:
        """Refuse blocks that do not exist, or that are all frozen.

        Raises:
            UsageError: They are such blocks.
        """
        if not [r for r in anatomy.resolutions if self.first <= r <= self.last]:
            raise UsageError("A first resolution lies above the last.", "Set structure.first lower.")
        frozen = training.frozen
        codes_frozen = frozen.mapping or frozen.styles_upto >= self.last
        if codes_frozen and frozen.generator_upto >= self.last:
            raise UsageError(
                f"The structure loss looks at blocks up to {self.last} pixels, all of which are frozen.",
                "Set structure.last higher, or frozen.generator_upto lower.",
            )


@dataclass(frozen=True)
class Similarity(SourceTerm):
    """Similarity loss (Song et al. 2021, AgileGAN, Eq. 10): the perceptual distance to what the source draws."""

    weight: float = 0.5
    taps: int = 3
    """How many of the deepest taps of the features it compares; LPIPS on VGG16 has five."""
    reduce: Reduce = "mean"
    """Over taps: their ``mean`` is about as large as LPIPS, for which the weight is meant; their ``sum`` is larger. The
    weights of LPIPS bring its scale along: with them it is the sum."""
    name: ClassVar[str] = "similarity"
    uses_features: ClassVar[bool] = True
    uses_lpips: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.taps < 1:
            raise UsageError(f"The setting similarity.taps must be at least 1, not {self.taps}.")
        if self.reduce not in get_args(Reduce):
            raise UsageError(f"The setting similarity.reduce is one of {get_args(Reduce)}, not '{self.reduce}'.")

    def __call__(self, context: StepContext) -> Tensor:
        """Return the weighted mean distance (Eq. 10)."""
        drawn, source = context.drawn, context.base.generator
        with torch.no_grad():
            theirs = _shrunk(source.synthesis(source.styles(drawn.z), drawn.noise))
        perceptual = context.base.perceptual.deepest(self.taps)
        mine = _shrunk(drawn.images)
        if self.reduce == "mean":
            return perceptual.mean_distance(mine, theirs) * self.weight
        return perceptual(mine, theirs).mean() * self.weight  # of [N]


def _shrunk(images: Tensor) -> Tensor:
    factor = images.shape[-1] // LARGEST
    return F.avg_pool2d(images, factor) if factor > 1 else images
