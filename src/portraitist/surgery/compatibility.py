"""Whether two models are near enough for the layers of the one to go on from those of the other.

Layers swapped between unrelated models give ruins (Huang et al. 2020, arXiv:2010.05713, Fig. 8, "direct LS"), because
the same features mean other things in them. Two facts tell: what the files say the models were fine-tuned from, and
their distance (Eq. 1) on a few codes, in units of the distance between pictures of different codes.

    found = compatibility(registry.load("faces"), registry.load("toon3d"))
    print(found.relative_distance, found.warning)       # no warning where nothing speaks against it
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..io.model_file import Model, ancestors
from ..losses.perceptual import PerceptualDistance, default_perceptual
from ..networks import Generator

CODES = 16
FAR = 0.85
"""Share from which on models count as unrelated. On the bundled base, styles after 2,000 to 8,000 images lie at 0.42 to
0.76, two styles of it at 0.70 to 0.76, and models whose codes have nothing to do with each other at 0.97 to 1.03."""


@dataclass(frozen=True)
class ModelCompatibility:
    """How near two models are."""

    names: tuple[str, str]
    related: bool
    """Whether their files name a common base."""
    distance: float | None
    """Mean perceptual distance of their pictures of the same codes; None where nothing can measure it."""
    baseline_distance: float | None
    """The same of different codes: what unrelated models come to."""
    measure: str
    """What the distance is measured with."""

    @property
    def relative_distance(self) -> float | None:
        """The distance in units of that of different codes: 0 for equal models, about 1 for unrelated ones."""
        return self.distance / self.baseline_distance if self.distance is not None and self.baseline_distance else None

    @property
    def warning(self) -> str:
        """What speaks against joining their layers; empty where nothing does."""
        far = self.relative_distance is not None and self.relative_distance > FAR
        if self.related and not far:
            return ""
        reason = "lie far apart" if self.related else "have no common base that their files name"
        if (relative := self.relative_distance) is None:
            found = "How far apart they lie cannot be measured without a discriminator."
        else:
            found = (
                f"Their distance over {CODES} codes is {self.distance:.3g} ({self.measure}), {relative:.2f} of that "
                f"between different persons; from {FAR} on models count as unrelated."
            )
        return (
            f"'{self.names[0]}' and '{self.names[1]}' {reason}: features of the one may mean nothing to the other, and "
            f"the pictures may fall apart. {found}"
        )


def compatibility(low: Model, high: Model, perceptual: PerceptualDistance | None = None) -> ModelCompatibility:
    """Compare two models of equal sizes, on the device where they are.

    Args:
        low: One of them.
        high: The other.
        perceptual: What compares pictures; the first discriminator that one of them has when None.
    """
    names = (low.header.name or "low", high.header.name or "high")
    related = bool(ancestors(low) & ancestors(high))
    looking = next((model for model in (low, high) if model.discriminator is not None), low)
    if perceptual is None:
        if looking.discriminator is None:
            return ModelCompatibility(names, related, None, None, "")
        perceptual = default_perceptual(looking.discriminator)
    perceptual = perceptual.to(looking.generator.w_mean.device)
    return ModelCompatibility(names, related, *_distances(low.generator, high.generator, perceptual), perceptual.name)


@torch.no_grad()
def _distances(low: Generator, high: Generator, perceptual: PerceptualDistance) -> tuple[float, float]:
    """Return the model distance (Eq. 1) on a few codes, and that of pictures of different codes."""
    z = torch.randn(CODES, low.anatomy.z_dim, generator=torch.Generator().manual_seed(0)).to(low.w_mean.device)
    target = perceptual.prepare(low(z))
    same, others = (perceptual.distance(high(codes), target).cpu().double() for codes in (z, z.roll(1, 0)))
    return float(same.mean()), float(others.mean())
