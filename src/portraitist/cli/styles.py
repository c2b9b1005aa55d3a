"""What styles and further pictures a command will draw, by name, before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..stylize.mixture import Mixture, default_styles


def names(styles: Sequence[str], attribute: str | None) -> list[str]:
    """Return what the pictures of styles are called by; those of the bundled ones of one base when none is named.

    Raises:
        UsageError: There is no such style.
    """
    chosen = list(styles) or default_styles(attribute)
    return [Mixture.find(style, or_base=True, attribute=attribute).name for style in chosen]


def first_default(attribute: str | None) -> list[str]:
    """Return the style that is drawn where there is room for one picture and none is named.

    It is one that has the path of the attribute, where there is one.

    Raises:
        UsageError: No style is known.
    """
    known = default_styles(attribute)
    if not known:
        raise UsageError("No style is known.", "Train one with `portraitist train`, or name a file.")
    fitting = (name for name in known for part in Mixture.find(name).parts if attribute in part.header.paths)
    return [next(fitting, known[0])]


def further(samples: int | None, best: bool, random: int, references: Sequence[Path]) -> list[str]:
    """Return the names of the further pictures of each face, as ``Stylizer.further`` has them."""
    drawn = 0 if best else samples or 0
    return [
        *(f"sample{k}" for k in range(1, drawn + 1)),
        *(f"random{k}" for k in range(1, random + 1)),
        *(path.stem for path in references),
    ]
