"""UI2I via StyleGAN2: freeze the mapping network, so that one code means one person in source and target.

Huang, Liao and Kwong 2020, "Unsupervised Image-to-Image Translation via Pre-trained StyleGAN2 Network",
arXiv:2010.05713, Sec. III-A (FreezeFC). The released code meant to, but set ``requires_grad`` on the averaged
generator, which is never optimised: its mapping trained. ``released`` does that. Sec. IV-B keeps "the training strategy
and loss functions" of StyleGAN2, and the authors' command has neither ADA nor FreezeD.
"""

from __future__ import annotations

from dataclasses import replace

from ..train.spec import Training
from .cartoon_stylegan import as_rosinality


def freeze_fc(training: Training, resolution: int) -> Training:
    """Freeze the fully connected layers of the generator: its mapping network."""
    return replace(training, frozen=replace(training.frozen, mapping=True))


def freeze_fc_released(training: Training, resolution: int) -> Training:
    """Freeze nothing, as released."""
    return as_rosinality(training)
