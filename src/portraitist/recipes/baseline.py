"""The trainings that all others are derived from.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", arXiv:1912.04958 (StyleGAN2); Karras et al.
2020, "Training Generative Adversarial Networks with Limited Data", arXiv:2006.06676 (ADA); Mo, Cho and Shin 2020,
"Freeze the Discriminator", arXiv:2002.10964 (FreezeD), whose released code trains the blocks of 16, 8 and 4 pixels at
256. The gamma of R1 follows the rule of ADA's ``auto`` setting, 0.0002 * side^2 / batch.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import UsageError
from ..train.feature_terms import FeatureLoss
from ..train.growth_losses import Downscaling, Reconstruction
from ..train.spec import Training


def from_scratch(resolution: int, start: Training | None = None) -> Training:
    """Train a base: StyleGAN2 with ADA; what ``start`` says of batch and seed is kept."""
    training = replace(start or Training(), images=200_000, learning_rate=0.0025, path_every=8)
    return with_gamma(training, resolution)


def train_on(resolution: int, start: Training | None = None, *, features: bool = False) -> Training:
    """Train a base on, as it is; ``start`` as in :func:`from_scratch`.

    Where there are ``features`` to look at, a discriminator of them teaches it beside the plain one.
    """
    training = replace(  # gamma as of from_scratch
        from_scratch(resolution, start), images=100_000, learning_rate=0.002, path_every=0, tick=1_000, snapshot=2_000
    )
    return training.with_term(FeatureLoss()) if features else training


def grow(resolution: int, start: Training | None = None, *, features: bool = False) -> Training:
    """Train a base on after it has grown to ``resolution``; arguments as of :func:`train_on`."""
    return replace(train_on(resolution, start, features=features), entrance_images=1_500)


def held(training: Training, *, codes: bool = True) -> Training:
    """Hold a training to a smaller model, and where its ``codes`` of the pictures are known to these pictures.

    See ``train.growth_losses``. With codes, a discriminator of features has a smaller weight than without.

    Raises:
        UsageError: The training has several paths, or rows of two mapping networks.
    """
    if training.paths or training.frozen.styles_upto:
        raise UsageError(
            "What is held to a smaller model has one path and one mapping network, which is frozen.",
            "Choose a recipe other than multipath and freeze_sg, such as freeze_fc.",
        )
    training = training.with_term(Downscaling())
    if codes:
        training = training.with_term(Reconstruction(shrink=1 if training.balance else 2))
        training = training.with_term(FeatureLoss(weight=1.0))
    return replace(training, frozen=replace(training.frozen, mapping=True))


def fine_tune(resolution: int, start: Training | None = None) -> Training:
    """Fine-tune a base plainly, with early stopping on held-out exemplars; ``start`` as in :func:`from_scratch`."""
    training = replace(
        start or Training(),
        images=20_000,
        learning_rate=0.002,
        ema_images=1_000,
        augment="none",
        ada_images=50_000,
        path_every=0,
        held_out=0.2,
        patience=8,
        tick=500,
        snapshot=4_000,
    )
    return with_gamma(training, resolution)


def stylegan2(resolution: int, start: Training | None = None) -> Training:
    """Fine-tune with the losses of StyleGAN2 as printed: R1 with gamma = 10, path length every fourth step (App. B)."""
    return replace(fine_tune(resolution, start), r1_gamma=10.0, path_weight=2.0, path_every=4)


def baseline(training: Training, resolution: int) -> Training:
    """Use ADA, and freeze the layers of the discriminator nearest the pixels."""
    return replace(freeze_d(training, resolution), augment="ada")


def baseline_paper(training: Training, resolution: int) -> Training:
    """As ADA's Sec. 4.2, which adds FreezeD: StyleGAN2's losses, gamma by the side of the images."""
    return with_gamma(baseline(training, resolution), resolution)


def freeze_d(training: Training, resolution: int) -> Training:
    """Freeze the layers of the discriminator nearest the pixels (Mo et al., Sec. 3).

    Those that the authors freeze, from 32 pixels up, or the upper half of a side below 64.
    """
    first = max(min(resolution // 2, 32), 8)
    return replace(training, frozen=replace(training.frozen, discriminator_from=first))


def freeze_d_paper(training: Training, resolution: int) -> Training:
    """As Mo et al.: the losses of the first StyleGAN, which has no path length."""
    return replace(freeze_d(training, resolution), path_every=0)


def freeze_d_released(training: Training, resolution: int) -> Training:
    """As the authors' code: the blocks of the discriminator from 16 pixels down train, of 256."""
    frozen = replace(training.frozen, discriminator_from=max(resolution // 8, 8))
    return replace(training, frozen=frozen, path_every=0)


def with_gamma(training: Training, resolution: int) -> Training:
    """Set R1's gamma by the rule for a resolution and the training's batch."""
    return replace(training, r1_gamma=0.0002 * resolution**2 / training.batch)
