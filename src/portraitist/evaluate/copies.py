"""The copy alarm: does a model redraw its exemplars instead of drawing like them?

A copy lies nearer to an exemplar than pictures of the style ever lie to each other. Only the tail shows it: the bulk of
the distances hardly moves when one output in twenty is a copy.

    rows = [pooled_features(features, images) for images in (samples, train, held_out)]
    report = copy_test(*rows)
    if report.alarm:
        print(f"{report.count} samples copy exemplars, such as {int(report.nearest[report.distance.argmin()])}")
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import BadData

MARGIN = 0.9
"""A copy is nearer than this part of the smallest distance seen between two different exemplars."""
ALPHA = 0.01
"""The alarm is raised at p values below."""


@dataclass(frozen=True, eq=False)
class CopyReport:
    """What :func:`copy_test` found."""

    nearest: Tensor
    """Index of the training exemplar nearest to each output, [N]."""
    distance: Tensor
    """Distance to it, float64 [N]."""
    threshold: float
    """Outputs nearer than this count."""
    count: int
    """How many outputs are."""
    expected: float
    """How many would be, at most, if outputs were as far from the training exemplars as held-out ones."""
    p_value: float
    """Chance of that many or more."""

    @property
    def alarm(self) -> bool:
        """Whether chance is ruled out, at the level ``ALPHA``."""
        return self.p_value < ALPHA


def copy_test(outputs: Tensor, train: Tensor, held_out: Tensor, mirrored: Tensor | None = None) -> CopyReport:
    """Test whether more outputs than chance allows lie within ``MARGIN`` of the smallest distance of references.

    References are each held-out exemplar to its nearest training exemplar, and each training exemplar to its nearest
    other. Of R references and one more picture of the same kind, that picture is the nearest with probability
    1 / (R + 1): the rate of the one-sided binomial test. With R = 100 and 500 outputs it finds one copy in 20; with
    R = 20, one in 10. Two exemplars that are all but the same picture blind it: remove one first.

    Args:
        outputs: Feature rows of pictures of the model, [N, F].
        train: Rows of the exemplars it was trained on, [M, F].
        held_out: Rows of exemplars it has not seen, [H, F].
        mirrored: Rows of the mirrored training exemplars in the same order, [M, F], where training mirrors: a copy of
            one is a copy too, and no exemplar is another than its own mirror.

    Raises:
        BadData: There is no output, no held-out exemplar or only one training exemplar.
    """
    if len(train) < 2 or not len(held_out) or not len(outputs):
        raise BadData(
            f"Copies cannot be recognised with {len(outputs)} outputs, {len(train)} training and {len(held_out)} "
            "held-out exemplars.",
            "Bring at least 1, 2 and 1.",
        )
    exemplars = [train] if mirrored is None else [train, mirrored]
    among = _distances(train, exemplars).fill_diagonal_(math.inf).amin(1)
    references = torch.cat([among, _distances(held_out, exemplars).amin(1)])
    distance, nearest = _distances(outputs, exemplars).min(1)
    threshold = MARGIN * float(references.min())
    count = int((distance < threshold).sum())
    # Outputs share one threshold, so the binomial alone would be too sure; the margin more than pays for it.
    rate = 1 / (len(references) + 1)
    p_value = _binomial_tail(count, len(outputs), rate)
    return CopyReport(nearest, distance, threshold, count, rate * len(outputs), p_value)


def _distances(rows: Tensor, exemplars: list[Tensor]) -> Tensor:
    """Return the distance of each row to each exemplar or its mirror image, whichever is nearer: [N, M]."""
    rows = rows.detach().cpu().double()
    # The quick way through a matrix product loses the digits that tell a copy from a near copy.
    each = [
        torch.cdist(rows, e.detach().cpu().double(), compute_mode="donot_use_mm_for_euclid_dist") for e in exemplars
    ]
    return torch.stack(each).amin(0)


def _binomial_tail(count: int, trials: int, rate: float) -> float:
    """Return the probability of ``count`` or more hits."""
    log_terms = (
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(rate)
        + (trials - k) * math.log1p(-rate)
        for k in range(count, trials + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in log_terms))
