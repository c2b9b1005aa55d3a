"""What likeness is measured with, where nothing else is chosen: the features of the base's own discriminator."""

from __future__ import annotations

import torch

from ..errors import UsageError
from ..io.model_file import Model
from ..losses.perceptual import PerceptualDistance
from ..networks.features import DiscriminatorFeatures


def likeness(base: Model, chosen: PerceptualDistance | None = None) -> PerceptualDistance:
    """Return what likeness is measured with, on the device of the base: its discriminator unless something is chosen.

    Raises:
        UsageError: Nothing is chosen and the base has no discriminator.
    """
    if chosen is None:
        if base.discriminator is None:
            raise UsageError(
                f"The base '{base.header.name}' has no discriminator to measure likeness with.",
                "Give feature weights with --features.",
            )
        chosen = PerceptualDistance(DiscriminatorFeatures(base.discriminator))
    if isinstance(chosen.features, torch.nn.Module):
        chosen.features.to(base.generator.w_mean.device)
    return chosen
