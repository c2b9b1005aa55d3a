"""UI2I via StyleGAN2: rest the mapping network, so that one code means one person in source and target.

Huang, Liao and Kwong 2020, "Unsupervised Image-to-Image Translation via Pre-trained StyleGAN2 Network",
arXiv:2010.05713, Sec. III-A (FreezeFC). The released code meant to, but set ``requires_grad`` on the averaged
generator, which is never optimised: its mapping trained. ``released`` does that.
"""

from __future__ import annotations

from dataclasses import replace

from ..train.spec import Training
from .cartoon_stylegan import as_rosinality


def freeze_fc(training: Training, resolution: int) -> Training:
    """Rest the fully connected layers of the generator: its mapping network."""
    return replace(training, rests=replace(training.rests, mapping=True))


def freeze_fc_released(training: Training, resolution: int) -> Training:
    """Rest nothing, as released; path length is played, unless another recipe rests the mapping and leaves it out."""
    return replace(as_rosinality(training), path_every=0 if training.rests.mapping else 4)
