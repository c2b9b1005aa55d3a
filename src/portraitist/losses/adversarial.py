"""The game of generator and discriminator: non-saturating logistic (Goodfellow et al. 2014) as StyleGAN2 plays it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake: Tensor) -> Tensor:
    """Return the mean of softplus(-D(G(z))) over scores [N] of generated images."""
    return F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean of softplus(-D(x)) plus the mean of softplus(D(G(z))) over scores [N]."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()
