"""FreezeG: the blocks of the generator at low resolutions, and its mapping network, are frozen.

After bryandlee's FreezeG (2020, a repository without a paper), which counts the blocks that train; here the last
frozen resolution is named. Its author trained the top 2 blocks (from 128 pixels at 256) for small changes.
"""

from __future__ import annotations

from dataclasses import replace

from ..train.spec import Training
from .cartoon_stylegan import as_rosinality


def freeze_g(training: Training, resolution: int) -> Training:
    """Train the generator's top two blocks only."""
    frozen = replace(training.frozen, mapping=True, generator_upto=max(resolution // 4, 4))
    return replace(training, frozen=frozen, path_every=0)


def freeze_g_released(training: Training, resolution: int) -> Training:
    """As the author's ``--finetune_loc=2`` does: ADA, and a discriminator that trains whole."""
    return replace(as_rosinality(freeze_g(training, resolution)), augment="ada")
