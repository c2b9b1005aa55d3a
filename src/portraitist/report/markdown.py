"""Markdown for people to read: paragraphs, lists, tables, and numbers with their spread.

lines = [*prose("Means over seeds."), *table(["style", "kernel"], [["toon3d", mean_std([0.2, 0.3])]])]
"""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Iterable, Sequence

from ..evaluate.kernel import Interval

WIDTH = 125
"""Characters of a line of text."""
BLANK = ""


def fill(text: str, indent: str = "") -> str:
    """Fill a paragraph without breaking words; lines after the first may be indented."""
    words = " ".join(text.split())
    return textwrap.fill(words, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def prose(text: str) -> list[str]:
    """Return a filled paragraph and the blank line after it."""
    return [fill(text), BLANK]


def bullets(sentences: Iterable[str]) -> list[str]:
    """Return sentences as a list, and the blank line after it."""
    lines = [
        textwrap.fill(s, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False) for s in sentences
    ]
    return [*lines, BLANK]


def row(cells: Iterable[object]) -> str:
    """Return one row of a table."""
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def table(head: Sequence[object], rows: Iterable[Iterable[object]]) -> list[str]:
    """Return the lines of a table and the blank line after it."""
    return [row(head), "|" + "---|" * len(head), *(row(cells) for cells in rows), BLANK]


def plus_minus(value: float, spread: float, digits: int = 3, *, sign: bool = False, percent: bool = False) -> str:
    """Return ``value ± spread``; without a spread where it is NaN, as of a single run."""
    if percent:
        return f"{value:.1%} ± {100 * spread:.1f}"
    around = "" if math.isnan(spread) else f" ± {spread:.{digits}f}"
    return f"{value:{'+' if sign else ''}.{digits}f}{around}"


def interval(found: Interval | None, digits: int = 3, *, sign: bool = False, percent: bool = False) -> str:
    """Return an interval as :func:`plus_minus` writes it; nothing for None."""
    return "" if found is None else plus_minus(found.value, found.spread, digits, sign=sign, percent=percent)


def mean_std(values: Sequence[float], digits: int = 3, *, sign: bool = False) -> str:
    """Return the mean over runs ± their standard deviation."""
    std = statistics.stdev(values) if len(values) > 1 else math.nan
    return plus_minus(statistics.fmean(values), std, digits, sign=sign)


def shown(value: Interval | None) -> str:
    """Return a number with half of its 95 % interval, to as many digits as that leaves."""
    if value is None or math.isnan(value.value):
        return ""
    if not math.isfinite(value.spread):
        return f"{value.value:.3g}"
    half = value.half_width
    digits = 3 if half < 1e-6 else min(max(1 - math.floor(math.log10(half)), 0), 5)
    return plus_minus(value.value, half, digits)
