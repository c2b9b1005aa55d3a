"""The two trainings that all others are derived from.

Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", arXiv:2006.06676 (ADA); Mo, Cho and
Shin 2020, "Freeze the Discriminator", arXiv:2002.10964 (FreezeD). The gamma of R1 follows the rule of the former's
``auto`` setting, 0.0002 * side^2 / batch.
"""

from __future__ import annotations

from dataclasses import replace

from ..train.spec import Rests, Training


def from_scratch(resolution: int) -> Training:
    """Train a base: StyleGAN2 with ADA."""
    return with_gamma(Training(images=200_000, learning_rate=0.0025, path_every=8), resolution)


def baseline(resolution: int) -> Training:
    """Fine-tune a base: ADA, and the discriminator's layers nearest the pixels rest."""
    training = Training(
        images=20_000,
        learning_rate=0.002,
        ema_images=1_000,
        ada_images=50_000,
        path_every=0,
        rests=Rests(mapping=True, discriminator_from=max(resolution // 2, 8)),
        snapshot=4_000,
    )
    return with_gamma(training, resolution)


def with_gamma(training: Training, resolution: int) -> Training:
    """Set R1's gamma by the rule for a resolution and the training's batch."""
    return replace(training, r1_gamma=0.0002 * resolution**2 / training.batch)
