"""AgileGAN: hold the style to what the base draws, and give each attribute a path of its own.

Song, Luo, Liu, Ma, Lai, Zheng and Cham 2021, "AgileGAN: Stylizing Portraits by Inversion-Consistent Transfer
Learning", ACM TOG 40(4), Sec. 3.3.

    here                 in the paper                                   released (MMGEN-FaceStylor)
    gan_loss             Eq. 9, hinge                                   hinge
    similarity           Eq. 10-12, w_sim = 0.5, LPIPS                  0.5, LPIPS
    r1_gamma             gamma = 10, gamma / 2 = 5 once, of 1024        as rosinality
                         pixels; by default the rule for the side
    path_weight          w_path = 2                                     2
    latents              Z+                                             Z+, through the mapping of the base
    frozen.mapping       inference uses the mapping of the base         frozen
    augment              mirrored images only                           ADA, FreezeD
    split                "lower layers"; 8 to 64 of 1024 pixels          a single path
"""

from __future__ import annotations

from dataclasses import replace

from ..train.source_losses import Similarity
from ..train.spec import Training


def agilegan(training: Training, resolution: int) -> Training:
    """Use the hinge loss and the similarity loss, with latents of Z+ (Eq. 9-12).

    Without fitted weights of LPIPS the deepest three taps of the base's discriminator stand in for it.
    """
    return replace(
        training,
        gan_loss="hinge",
        latents="z+",
        learning_rate=0.002,
        augment="none",
        path_weight=2.0,
        path_every=4,
        frozen=replace(training.frozen, mapping=True),
    ).with_term(Similarity(weight=0.5, taps=3))


def agilegan_released(training: Training, resolution: int) -> Training:
    """As MMGEN-FaceStylor, the only full training code: all taps, ADA, FreezeD with five blocks that train."""
    mine = agilegan(training, resolution)
    frozen = replace(mine.frozen, discriminator_from=max(resolution // 4, 8))
    released = replace(mine, augment="ada", ada_images=100_000, frozen=frozen)
    return released.with_term(Similarity(weight=0.5, taps=99))


def multipath(training: Training, resolution: int) -> Training:
    """Give each attribute its own blocks from 8 pixels on, and its own discriminator.

    The paper shares all blocks above 64 of 1024 pixels; of a smaller generator the top two blocks are shared.
    """
    return replace(training, split_from=8, split_upto=max(min(64, resolution // 4), 8))
