"""Whether the person in a photo is recognised in a drawing of it, by the embeddings of a face embedder.

who = recognition(identity.embed(drawings), identity.embed(photos))
print(who.own, who.strangers, who.rank1)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import BadData
from .kernel import Interval
from .pairs import interval

Z = 1.96
"""Deviations on either side of the mean that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Recognition:
    """How like drawings are to the photos of their own persons and of others."""

    own: Interval
    """Mean cosine of a drawing and its own photo; standard error over persons."""
    strangers: Interval
    """Mean cosine of a drawing and the photo of another person, over all such pairs; jackknife over persons."""
    rank1: Interval
    """Share of drawings whose nearest photo of all N is that of the right person; chance is 1 / N."""


def recognition(drawn: Tensor, photos: Tensor) -> Recognition:
    """Compare every drawing with every photo.

    A drawing that is as near to a stranger's photo as to its own counts as not recognised.

    Args:
        drawn: Unit vectors of drawings, [N, d].
        photos: Unit vectors of the photos they were drawn from, [N, d], in the same order, no person twice.

    Raises:
        BadData: There are fewer than 3 pairs, or drawings without photos.
    """
    own, right = matches(drawn, photos)
    return Recognition(interval(own), _strangers(_cosines(drawn, photos)), share(int(right.sum()), len(right)))


def matches(drawn: Tensor, photos: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosine of each drawing and its own photo, and whether no other photo is as near: [N] each.

    Arguments and errors are those of :func:`recognition`.
    """
    if drawn.shape != photos.shape:
        raise BadData(f"{len(drawn)} drawings and {len(photos)} photos make no pairs.", "Bring a photo for each.")
    count = len(drawn)
    if count < 3:
        raise BadData(f"Nobody can be recognised among {count} persons.", "Bring at least 3.")
    cosines = _cosines(drawn, photos)
    own = cosines.diag()
    others = cosines.masked_fill(torch.eye(count, dtype=torch.bool), -torch.inf)
    return own, own > others.amax(1)


def _cosines(drawn: Tensor, photos: Tensor) -> Tensor:
    return drawn.cpu().double() @ photos.cpu().double().T


def share(hits: int, count: int, effect: float = 1.0) -> Interval:
    """Return the share of hits in trials of which ``effect`` say as much as one independent one, with Wilson's error.

    Wilson 1927, J. Am. Stat. Assoc. 22, p. 209; the half-width of the 95 % interval is 1.96 spreads, and it is not 0
    where all or none hit. Wilson's interval is not centred on the share: beyond 0 and 1 there is nothing.

    Raises:
        BadData: There are no trials, or more hits than trials.
    """
    if not 0 <= hits <= count or count < 1:
        raise BadData(f"{hits} of {count} is no share.", "Count hits among at least one trial.")
    part, worth = hits / count, count / effect
    variance = part * (1 - part) / worth + Z**2 / (4 * worth**2)
    return Interval(part, variance**0.5 / (1 + Z**2 / worth))


def _strangers(cosines: Tensor) -> Interval:
    # Pairs share persons and are not independent: a person is left out with the drawing and the photo.
    n = len(cosines)
    others = cosines - cosines.diag().diag()
    whole = others.sum()
    left_out = (whole - others.sum(0) - others.sum(1)) / ((n - 1) * (n - 2))
    return Interval(float(whole / (n * (n - 1))), float((n - 1) * left_out.var(unbiased=False)) ** 0.5)
