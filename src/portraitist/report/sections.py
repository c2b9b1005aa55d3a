"""What a report card shows, before it is a page: sections of strips, curves, pairs and rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..data.images import Pixels

MOMENTS, COLUMNS, HEROES, PAIRS = 10, 8, 6, 12
"""The most that a card shows: strips, pictures in a strip, large samples, pairs."""
STRIP_SIDE, HERO_SIDE = 128, 256
"""Pixels of a small picture and of a large one."""


@dataclass(frozen=True)
class Curve:
    """One kind of curve: its words, and the statistics that it draws."""

    title: str
    note: str
    lines: tuple[tuple[str, str], ...]
    """Keys of the statistics, with the words of the legend."""
    spread: str = ""
    """Key of the half-width of a band around the first line."""


CURVES = (
    Curve(
        "Distance to held-out exemplars",
        "Lower is nearer to the style; the band is its spread.",
        (("held_out", "distance"),),
        "held_out_spread",
    ),
    Curve(
        "Likeness kept", "Layout of a fixed code's face against its base's; 1 is the same.", (("likeness", "likeness"),)
    ),
    Curve(
        "Losses of both players",
        "Neither should run away from the other.",
        (("loss_d", "discriminator"), ("loss_g", "generator")),
    ),
    Curve("Augmentation", "ADA's p rises when the discriminator learns by heart.", (("ada_p", "p"),)),
)


@dataclass(frozen=True)
class Plot:
    """A curve of one run."""

    curve: Curve
    lines: tuple[tuple[str, tuple[tuple[float, float, float], ...]], ...]
    """Words of the legend, with points (images, value, half-width of the band)."""
    until: float
    """Images at the right end of the axis."""
    chosen: int | None

    @property
    def words(self) -> str:
        """Say the curves in words, for those who cannot see them."""
        said = [f"{name} {number(p[0][1])} to {number(p[-1][1])}" for name, p in self.lines]
        return f"{self.curve.title} over images: {', '.join(said)}"


@dataclass(frozen=True)
class Strip:
    """A row of pictures of one moment."""

    label: str
    pictures: tuple[Pixels, ...]
    framed: bool


@dataclass(frozen=True)
class Pair:
    """A sample beside the exemplar nearest to it."""

    sample: Pixels
    exemplar: Pixels
    caption: str
    close: bool


@dataclass(frozen=True)
class Section:
    """One section of a card; empty parts are left out."""

    title: str
    text: str = ""
    """Words that are worth showing alone."""
    note: str = ""
    """Words that explain the pictures below them."""
    strips: tuple[Strip, ...] = ()
    plots: tuple[Plot, ...] = ()
    pairs: tuple[Pair, ...] = ()
    rows: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Contents:
    """Everything that a card shows."""

    name: str
    recipe: str
    verdict: str
    warnings: tuple[str, ...]
    heroes: tuple[Pixels, ...]
    facts: tuple[tuple[str, str, bool], ...]
    """Label, value and whether it is bad news."""
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Theme:
    """Colours, as CSS writes them."""

    paper: str
    raised: str
    ink: str
    faint: str
    rule: str
    accent: str
    first: str
    second: str


LIGHT = Theme("#faf7f1", "#ffffff", "#26221d", "#756d62", "#e3dccf", "#c4412a", "#2a6384", "#b97f10")
DARK = Theme("#181614", "#211e1b", "#ece5d9", "#a2988a", "#38332d", "#f0704f", "#7fbad9", "#e6b450")


def number(value: float) -> str:
    """Write a number with three digits."""
    return f"{value:.3g}" if math.isfinite(value) else "not a number"
