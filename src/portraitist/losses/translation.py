"""The losses of unpaired translation between photos and drawings.

"Few-shot Fine-grained Cartoon Face Generation", Sec. 3.4, after U-GAT-IT (Kim et al. 2020, arXiv:1907.10830,
Sec. 2.2) and CycleGAN (Zhu et al. 2017, arXiv:1703.10593, Sec. 3). Where the printed equations and the program they
build on part, it is the program that is followed: real is 1 and drawn is 0 (least squares, Mao et al. 2017,
arXiv:1611.04076), and the second term of the attention's loss is of the translator's own classifier on pictures that
are in the target domain already. All are averaged over the batch.

    here               paper
    drawn_well         L_adv and the generator's part of L_cam of the discriminator
    told_apart         L_adv, L_cam^Dt
    cycle, identity    absolute_error of pictures: L_cycle, L_identity
    domain_loss        L_cam^(s->t)
    person_loss        L_face
    group_loss         L_cls^real, L_cls^fake

Those of DRIT++ (Lee et al. 2020, arXiv:1905.01270):

    domain_loss, undecided_loss   the discriminator's and the encoders' part of L_adv^content
    mode_seeking_loss             L_ms, after Mao et al. 2019 (arXiv:1903.05628)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks.identity import Identity
from .identity import identity_distance

TINY = 1e-5


def drawn_well(fake: Sequence[Tensor]) -> Tensor:
    """Return the generator's loss: the mean of (1 - D(T(x)))^2, summed over maps of scores of any shape."""
    return torch.stack([(score - 1).square().mean() for score in fake]).sum()  # E (1 - D(T(x)))^2, a scalar


def told_apart(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Return the discriminators' loss: the means of (1 - D(x))^2 and of D(T(x))^2, summed over maps of scores."""
    return drawn_well(real) + torch.stack([score.square().mean() for score in fake]).sum()


def domain_loss(source: Tensor, target: Tensor) -> Tensor:
    """Return the cross entropy of a classifier of domains: 1 for one, 0 for the other.

    Args:
        source: Logits, of any shape, of pictures that a translator translates, or of contents of photos.
        target: Logits of pictures that are in the target domain already, or of contents of drawings.
    """
    one = F.binary_cross_entropy_with_logits(source, torch.ones_like(source))
    return one + F.binary_cross_entropy_with_logits(target, torch.zeros_like(target))


def person_loss(identity: Identity, pictures: Tensor, translated: Tensor) -> Tensor:
    """Return the mean of 1 minus the cosine of the embeddings of pictures [N, 3, R, R] and of what became of them."""
    with torch.no_grad():  # a picture is given; only what is made of it can change
        wanted = identity.embed(pictures)  # [N, d]
    return identity_distance(identity.embed(translated), wanted).mean()


def group_loss(logits: Tensor, group: int) -> Tensor:
    """Return the mean cross entropy of logits [N, groups] of pictures that are all of one group."""
    return F.cross_entropy(logits, torch.full((len(logits),), group, device=logits.device))


def undecided_loss(logits: Tensor) -> Tensor:
    """Return the cross entropy of logits of any shape to one half: least where the domain cannot be told."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, 0.5))


def mode_seeking_loss(images: Sequence[Tensor], codes: Sequence[Tensor]) -> Tensor:
    """Return the mean of the inverse of how far two pictures [N, 3, R, R] part per distance of their codes [N, d]."""
    apart = (images[0] - images[1]).abs().mean((1, 2, 3)) / (codes[0] - codes[1]).abs().mean(1)  # [N]
    return (1 / (apart + TINY)).mean()
