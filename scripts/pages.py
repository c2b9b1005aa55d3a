"""What the pages of results have in common."""

from __future__ import annotations

import textwrap


def prose(text: str, *, indent: str = "") -> str:
    """Fill a paragraph, without breaking words; lines after the first may be indented."""
    words = " ".join(text.split())
    return textwrap.fill(words, 125, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
