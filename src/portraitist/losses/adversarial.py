"""The adversarial losses of generator and discriminator.

``logistic`` is the non-saturating one (Goodfellow et al. 2014) as StyleGAN2 plays it. ``hinge`` is that of AgileGAN
(Song et al. 2021, Eq. 9, for the discriminator); its generator minimises -D(G(z)), because the printed form has no
gradient once the discriminator is sure.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

GanLoss = Literal["logistic", "hinge"]


def generator_loss(fake: Tensor, gan_loss: GanLoss = "logistic") -> Tensor:
    """Return the mean over scores [N] of generated images: of softplus(-D(G(z))), or of -D(G(z)) for the hinge."""
    return -fake.mean() if gan_loss == "hinge" else F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor, gan_loss: GanLoss = "logistic") -> Tensor:
    """Return the mean of softplus(-D(x)) plus that of softplus(D(G(z))) over scores [N].

    For the hinge: max(0, 1 - D(x)) and max(0, 1 + D(G(z))).
    """
    if gan_loss == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()
