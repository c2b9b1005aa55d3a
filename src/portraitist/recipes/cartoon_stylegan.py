"""Cartoon-StyleGAN: keep the structure of the base's faces while the target learns a style.

Back 2021, "Fine-Tuning StyleGAN2 For Cartoon Face Generation", arXiv:2106.12445.

    here                   in the paper                                  in the authors' code (``released``)
    frozen.generator_upto   Sec. 3.1, initial blocks of the generator:    freezeG=4 at 256 freezes 4, 8, 16
                           4 and 8
    frozen.styles_upto      Sec. 3.1, initial style vectors, how many     freezeStyle=2: a no-op but for mixing, because
                           is not said: rows that feed those blocks      freezeG freezes the mapping too
    structure              Sec. 3.2, Eq. 2: RGB outputs of 4, 8, 16      features of 8, 16; the source is not loaded

Sec. 4.2 trains with "the same objective function as stylegan2": no ADA, no FreezeD. Ours stands on both, which is what
the paper compares with. The claim as a number: docs/results/recipes.md.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ..train.source_losses import Structure
from ..train.spec import Training


def freeze_sg(training: Training, resolution: int) -> Training:
    """Freeze initial blocks, and take the style vectors that feed them from the source (Sec. 3.1)."""
    return replace(training, frozen=replace(training.frozen, generator_upto=8, styles_upto=8))


def freeze_sg_released(training: Training, resolution: int) -> Training:
    """As the README's ``--freezeStyle=2 --freezeG=4 --freezeD=3`` does."""
    frozen = replace(
        training.frozen,
        mapping=True,
        generator_upto=max(resolution // 16, 4),
        discriminator_from=max(resolution // 4, 8),
    )
    return replace(as_rosinality(training), augment="ada", frozen=frozen, path_every=0)


def structure(training: Training, resolution: int) -> Training:
    """Hold the RGB outputs of the first three blocks to those of the source, with a weight that is felt.

    The bundled bases draw little in these blocks: at 64 pixels it takes 100 times the paper's weight, and at 256 10,000
    times, to keep more of the base's layout at equal style.
    """
    doublings = min(max(math.log2(resolution / 64), 0.0), 2.0)
    return training.with_term(Structure(weight=100.0 * 10.0**doublings, first=4, last=16, tap="rgb"))


def structure_paper(training: Training, resolution: int) -> Training:
    """Hold the RGB outputs of the first three blocks to those of the source (Sec. 3.2)."""
    return training.with_term(Structure(weight=1.0, first=4, last=16, tap="rgb"))


def structure_released(training: Training, resolution: int) -> Training:
    """As the README's ``--structure_loss=2 --freezeD=3 --augment`` does; path length stays unless blocks are frozen."""
    released = as_rosinality(training).with_term(Structure(weight=1.0, first=8, last=16, tap="feature"))
    frozen = replace(training.frozen, discriminator_from=max(resolution // 4, 8))
    return replace(released, augment="ada", frozen=frozen)


def as_rosinality(training: Training) -> Training:
    """Use the defaults of rosinality's training script, which Cartoon-StyleGAN and UI2I are forks of."""
    return replace(
        training,
        # its factor is 0.5 ** (32 / 10000) an iteration, whatever the batch
        ema_images=training.batch * 10_000 / 32,
        ema_ramp=0.0,
        ada_images=500_000,
        ada_every=8,
    )
