"""UI2I via StyleGAN2: freeze the mapping network, so that one code means one person in source and target.

Huang, Liao and Kwong 2020, "Unsupervised Image-to-Image Translation via Pre-trained StyleGAN2 Network",
arXiv:2010.05713, Sec. III-A (FreezeFC). The released code meant to, but set ``requires_grad`` on the averaged
generator, which is never optimised: its mapping trained. ``released`` does that.
"""

from __future__ import annotations

from dataclasses import replace

from ..train.spec import Training
from .cartoon_stylegan import as_rosinality


def freeze_fc(training: Training, resolution: int) -> Training:
    """Freeze the fully connected layers of the generator: its mapping network."""
    return replace(training, frozen=replace(training.frozen, mapping=True))


def freeze_fc_released(training: Training, resolution: int) -> Training:
    """Freeze nothing, as released; path length stays, unless another recipe freezes the mapping and leaves it out."""
    return replace(as_rosinality(training), path_every=0 if training.frozen.mapping else 4)
