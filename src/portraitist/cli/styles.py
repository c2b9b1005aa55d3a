"""What styles and further pictures a command will draw, by name, before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..stylize.mixture import Mixture, default_styles


def names(styles: Sequence[str], attribute: str | None) -> list[str]:
    """Return what the pictures of styles are called by; those of all bundled styles when none is named.

    Raises:
        UsageError: There is no such style.
    """
    chosen = list(styles) or default_styles(attribute)
    return [Mixture.find(style, or_base=True, attribute=attribute).name for style in chosen]


def first_default(attribute: str | None) -> list[str]:
    """Return the style that is drawn where there is room for one picture and none is named.

    Raises:
        UsageError: No style is known.
    """
    known = default_styles(attribute)
    if not known:
        raise UsageError("No style is known.", "Train one with `portraitist train`, or name a file.")
    return known[:1]


def further(samples: int | None, best: bool, random: int, references: Sequence[Path]) -> list[str]:
    """Return the names of the further pictures of each face, as ``Stylizer.further`` has them."""
    drawn = 0 if best else samples or 0
    return [
        *(f"sample{k}" for k in range(1, drawn + 1)),
        *(f"random{k}" for k in range(1, random + 1)),
        *(path.stem for path in references),
    ]
