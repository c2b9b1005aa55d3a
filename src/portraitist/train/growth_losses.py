"""Terms that hold a training to a smaller model: to its pictures, and by its codes to the photos themselves.

A discriminator tells that a picture is no photo, not what it should have been. The smaller model knows both for some
codes: the picture of any code, if reduced, and the photo itself where its code has been found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..losses.perceptual import PerceptualDistance
from ..networks import GeneratorAnatomy
from ..networks.growth import grown_codes
from .spec import Role, Term, Training, refuse_below_one
from .terms import StepContext


@dataclass(frozen=True)
class Downscaling(Term):
    """Downscaling loss (Menon et al. 2020, "PULSE", arXiv:2003.03808).

    A picture, reduced, should be what the smaller model draws of the same latents and noise. The mapping network is the
    same and frozen, so codes keep their meaning.
    """

    weight: float = 30.0
    name: ClassVar[str] = "downscaling"
    role: ClassVar[Role] = "G"
    needs_smaller: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.refuse_negative("weight")

    def check(self, training: Training, anatomy: GeneratorAnatomy) -> None:
        """Refuse several paths, of which the smaller model knows one.

        Raises:
            UsageError: There are several.
        """
        _refuse_paths(self, training)

    def __call__(self, context: StepContext) -> Tensor:
        """Return the weighted mean absolute difference."""
        drawn, smaller = context.drawn, context.smaller.generator
        sizes = smaller.anatomy
        with torch.no_grad():
            wanted = smaller.synthesis(smaller.styles(drawn.z[:, : sizes.rows]), drawn.noise[: len(list(sizes.convs))])
        reduced = F.interpolate(drawn.images, (sizes.resolution, sizes.resolution), mode="area")
        return F.l1_loss(reduced, wanted) * self.weight


@dataclass(frozen=True)
class Reconstruction(Term):
    """Photos whose codes in the smaller model are known, against what the generator draws of these codes.

    A code does not see the photo beyond the side of the smaller model: what is finer, the generator learns to add.
    """

    weight: float = 1.0
    """Of the perceptual distance, summed over taps."""
    pixels: float = 2.0
    """Of the mean absolute difference."""
    shrink: int = 2
    """A step draws the codes of batch / shrink photos."""
    name: ClassVar[str] = "reconstruction"
    role: ClassVar[Role] = "G"
    uses_features: ClassVar[bool] = True
    needs_features: ClassVar[bool] = True
    needs_smaller: ClassVar[bool] = True
    needs_codes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.refuse_negative("weight", "pixels")
        refuse_below_one(self, "shrink", prefix=f"{self.name}.")

    def check(self, training: Training, anatomy: GeneratorAnatomy) -> None:
        """Refuse several paths, and a part of a balanced batch, which would hold some of the values only.

        Raises:
            UsageError: It is asked for.
        """
        _refuse_paths(self, training)
        if training.balance and self.shrink > 1:
            raise UsageError(
                f"The first photos of a balanced batch show one value: {self.name} needs the whole batch.",
                f"Set {self.name}.shrink=1.",
            )

    def __call__(self, context: StepContext) -> Tensor:
        """Draw the codes of the first photos of the batch, and compare."""
        share = context.share
        count = max(context.batch // self.shrink, share.of)
        codes, mirrored = (share.take(values[:count]) for values in context.smaller.known_at(context.state.images))
        photos = context.real[: len(codes)]
        ws = grown_codes(codes, context.generator.anatomy.rows).to(photos.device)
        drawn = context.generator.synthesis(ws, context.noise(count))
        drawn = torch.where(mirrored.to(photos.device)[:, None, None, None], drawn.flip(-1), drawn)
        seen = PerceptualDistance(context.features)(drawn, photos).mean()  # of [N]
        return self.weight * seen + self.pixels * F.l1_loss(drawn, photos)


def _refuse_paths(term: Term, training: Training) -> None:
    if training.paths:
        raise UsageError(f"A smaller model knows one style, not several paths ({term.name}).", "Leave multipath out.")
