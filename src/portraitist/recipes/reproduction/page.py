"""Tables and sentences of a reproduction: ours beside what is printed, each with its spread over seeds."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import torch

from ...evaluate import Interval

WIDTH = 125
BLANK = ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; the first column is left, and so are the others."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---|" * (len(head) - 1)]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), BLANK]


def prose(text: str) -> list[str]:
    """Fill a paragraph."""
    lines = textwrap.wrap(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)
    return [*lines, BLANK]


def spread(values: Sequence[float]) -> Interval:
    """Return the mean over runs and their deviation, NaN of a single one."""
    known = torch.tensor(values, dtype=torch.float64)
    return Interval(float(known.mean()), float(known.std()) if len(values) > 1 else float("nan"))


def cell(values: Sequence[float], digits: int = 3) -> str:
    """Return mean ± standard deviation over runs."""
    found = spread(values)
    deviation = f" ± {found.spread:.{digits}f}" if len(values) > 1 else ""
    return f"{found.value:.{digits}f}{deviation}"


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
    holds, found = sum(gap > 0 for gap in gaps), spread(gaps)
    told = f"{lower} < {higher} in {holds} of {len(pairs)} {of} (by {cell(gaps)})."
    if holds == len(pairs):
        return f"{lower} < {higher} in all {holds} {of} (by {cell(gaps)})."
    doubt = 2 * found.spread / len(pairs) ** 0.5 if len(pairs) > 1 else 0.0
    if abs(found.value) <= doubt:
        return f"**Not clear here**: {told}"
    return f"On the whole, {told}" if found.value > 0 else f"**Ours differs**: {told}"


def listed(sentences: Sequence[str]) -> list[str]:
    """Return sentences as a list."""
    lines = [
        textwrap.fill(s, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False) for s in sentences
    ]
    return [*lines, BLANK]
