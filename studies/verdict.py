"""Whether ours agrees with what a paper says, in a word or a sentence that a reader can check."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from torch import Tensor

from portraitist.evaluate import Interval
from portraitist.report.markdown import mean_std


def verdict(lower: str, higher: str, pairs: Sequence[tuple[float, float]], *, of: str = "runs") -> str:
    """Say in a sentence whether what the paper finds lower is lower here, run by run.

    Where runs disagree it is *on the whole* so when the mean difference is beyond two standard errors, *ours differs*
    when it is beyond them the other way, and *not clear* within them.

    Args:
        lower: What the paper finds lower.
        higher: What it finds higher.
        pairs: Our values of both, a pair a run.
        of: What the pairs are.
    """
    gaps = [b - a for a, b in pairs]
    holds, mean = sum(gap > 0 for gap in gaps), statistics.fmean(gaps)
    sentence = f"{lower} < {higher} in {holds} of {len(pairs)} {of} (by {mean_std(gaps)})."
    if holds == len(pairs):
        return f"{lower} < {higher} in all {holds} {of} (by {mean_std(gaps)})."
    doubt = 2 * statistics.stdev(gaps) / len(pairs) ** 0.5 if len(pairs) > 1 else 0.0
    if abs(mean) <= doubt:
        return f"**Not clear here**: {sentence}"
    return f"On the whole, {sentence}" if mean > 0 else f"**Ours differs**: {sentence}"


def judgement(difference: Interval, sign: int) -> str:
    """Say whether a difference has the sign that is claimed: *holds*, *fails*, or *unclear* within two errors."""
    if abs(difference.value) <= 2 * difference.spread:
        return "unclear"
    return "holds" if difference.value * sign > 0 else "fails"


def mean_error(values: Tensor) -> Interval:
    """Return the mean of values [N] and its standard error."""
    return Interval(float(values.mean()), float(values.std()) / math.sqrt(len(values)))


def jackknife(value: float, left_out: Tensor) -> Interval:
    """Return a value and its jackknife error, from the values [N] without each case."""
    return Interval(value, float((len(left_out) - 1) * left_out.var(unbiased=False)) ** 0.5)
