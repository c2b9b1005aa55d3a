"""The report card of a run: a page that shows the samples, the curves, the kept snapshot and the reason.

The page holds everything itself: pictures as base64 PNG, no script, and a content security policy under which a browser
asks for nothing. The same card gives the same bytes.

    page = write_card(Path("runs/mine"), card)
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data import resize, to_array
from ..data.images import Pixels
from ..files import write_bytes
from .curves import HEIGHT, WIDTH, draw_curve
from .sections import (
    COLUMNS,
    CURVES,
    DARK,
    HERO_SIDE,
    HEROES,
    LIGHT,
    MOMENTS,
    PAIRS,
    STRIP_SIDE,
    Contents,
    Pair,
    Plot,
    Section,
    Strip,
    number,
)
from .template import render

PAGE = "report.html"


@dataclass(frozen=True)
class Moment:
    """What the averaged generator draws from the fixed codes after a number of images."""

    images: int
    pictures: Tensor
    """[N, 3, R, R] in [-1, 1], the same codes at every moment."""


@dataclass(frozen=True)
class Neighbours:
    """Samples beside the training exemplars nearest to them, and what the copy alarm says."""

    samples: Tensor
    """[N, 3, R, R] in [-1, 1]."""
    exemplars: Tensor
    """[N, 3, R, R] in [-1, 1]: the nearest of each sample."""
    distances: tuple[float, ...]
    threshold: float
    """A sample nearer than this is suspiciously near; the alarm needs more of them than chance brings."""
    alarm: bool
    sentence: str
    """The verdict in words."""


@dataclass(frozen=True)
class Card:
    """Everything that a report card tells; empty parts are left out of it."""

    name: str
    recipe: str
    kept: Tensor | None
    """[N, 3, R, R] in [-1, 1]: what the model that was kept draws from the fixed codes, of each path as many."""
    moments: tuple[Moment, ...]
    stats: Sequence[Mapping[str, float]]
    """Lines of ``stats.jsonl``: ``images`` and any of ``loss_d``, ``loss_g``, ``ada_p``, ``held_out``,
    ``held_out_spread``, ``likeness``; values that are missing or not finite are left out."""
    chosen: int | None
    """Images seen at the snapshot that was kept."""
    why: str
    neighbours: Neighbours | None
    cost: Mapping[str, str]
    settings: Mapping[str, object]
    """Those that differ from the defaults."""
    warnings: tuple[str, ...]
    licence: str
    credit: str


def write_card(folder: Path, card: Card) -> Path:
    """Write ``report.html`` into a run folder, whole or not at all, in place of an older one.

    Raises:
        StorageError: The folder cannot be written.
    """
    shown = contents(card)
    curves = {p: (draw_curve(p, LIGHT), draw_curve(p, DARK)) for section in shown.sections for p in section.plots}
    text = render("card.html", shown=shown, curves=curves, light=LIGHT, dark=DARK, width=WIDTH, height=HEIGHT)
    write_bytes(folder / PAGE, text.encode(), overwrite=True)
    return folder / PAGE


def contents(card: Card) -> Contents:
    """Return what a card shows."""
    plots = plots_of(card)
    moments = [m for m in card.moments if len(m.pictures)]
    sections = (
        Section("The snapshot that was kept", clean(card.why)),
        Section(
            "The same people over time",
            note="Each column is one fixed code, each strip a moment; the framed one was kept.",
            strips=_strips(moments, card.chosen),
        ),
        Section("Curves", note="Over images seen; the dashed line marks the snapshot that was kept.", plots=plots),
        _neighbours(card.neighbours),
        Section("Cost", rows=_rows(card.cost)),
        Section("Settings that differ from the defaults", rows=_rows(card.settings)),
        Section("Exemplars", rows=_rows({"Licence": card.licence, "Credit": card.credit})),
    )
    return Contents(
        name=clean(card.name) or "A run without a name",
        recipe=clean(card.recipe),
        verdict=_verdict(card),
        warnings=tuple(clean(w) for w in card.warnings),
        heroes=() if card.kept is None else _pixels(card.kept[:HEROES], HERO_SIDE),
        facts=_facts(card),
        sections=tuple(s for s in sections if s.strips or s.plots or s.pairs or s.rows or s.text),
    )


def _verdict(card: Card) -> str:
    seen = max((x for line in card.stats if (x := _value(line, "images")) is not None), default=0.0)
    total = f" of {seen:,.0f} seen" if seen and card.chosen is not None and seen >= card.chosen else ""
    said = "No snapshot was chosen." if card.chosen is None else f"Kept: the model after {card.chosen:,} images{total}."
    if card.neighbours is not None:
        said += " It copies exemplars." if card.neighbours.alarm else " The copy alarm is silent."
    return said


def _facts(card: Card) -> tuple[tuple[str, str, bool], ...]:
    facts: list[tuple[str, str, bool]] = []
    if card.chosen is not None:
        facts.append(("images to the snapshot kept", f"{card.chosen:,}", False))
        at = [line for line in card.stats if _value(line, "images") == card.chosen]
        values = {key: _value(line, key) for line in at for key in ("held_out", "held_out_spread", "likeness")}
        if (distance := values.get("held_out")) is not None:
            spread = values.get("held_out_spread")
            around = "" if spread is None else f" ± {number(spread)}"
            facts.append(("distance to held-out exemplars", number(distance) + around, False))
        if (likeness := values.get("likeness")) is not None:
            facts.append(("likeness kept", number(likeness), False))
    if card.neighbours is not None:
        alarm = card.neighbours.alarm
        facts.append(("copies of exemplars", "alarm" if alarm else "no alarm", alarm))
    return tuple(facts)


def _strips(moments: Sequence[Moment], chosen: int | None) -> tuple[Strip, ...]:
    """Show some moments evenly, among them the first, the last and the chosen one."""
    even = np.linspace(0, len(moments) - 1, min(MOMENTS, len(moments))).round().astype(int).tolist()
    wanted = {*even, *(i for i, m in enumerate(moments) if m.images == chosen)}
    return tuple(
        Strip(f"{m.images:,} images", _pixels(m.pictures[:COLUMNS], STRIP_SIDE), m.images == chosen)
        for m in (moments[i] for i in sorted(wanted))
    )


def _neighbours(found: Neighbours | None) -> Section:
    if found is None:
        return Section("Nearest exemplars")
    # The tail tells: what is nearest comes first.
    order = sorted(range(len(found.distances)), key=lambda i: (math.isnan(found.distances[i]), found.distances[i]))
    order = order[:PAIRS]
    samples, exemplars = (_pixels(t[order], STRIP_SIDE) for t in (found.samples, found.exemplars))
    pairs = tuple(
        Pair(sample, exemplar, f"{number(d)} apart", d < found.threshold)
        for sample, exemplar, d in zip(samples, exemplars, (found.distances[i] for i in order), strict=True)
    )
    note = "Left a sample, right the exemplar nearest to it; the nearest pairs come first."
    if math.isfinite(found.threshold):
        note += f" Suspiciously near is below {number(found.threshold)}."
    return Section("Nearest exemplars", clean(found.sentence), note, pairs=pairs)


def plots_of(card: Card) -> tuple[Plot, ...]:
    """Return the curves that the statistics have numbers for."""
    seen = [x for line in card.stats if (x := _value(line, "images")) is not None]
    until = max([*seen, float(card.chosen or 0), 1.0])
    plots = []
    for curve in CURVES:
        lines = [(words, _points(card.stats, key, curve.spread)) for key, words in curve.lines]
        present = tuple(line for line in lines if line[1])
        if present:
            plots.append(Plot(curve, present, until, card.chosen))
    return tuple(plots)


def _points(stats: Iterable[Mapping[str, float]], key: str, spread: str) -> tuple[tuple[float, float, float], ...]:
    found = []
    for line in stats:
        x, y = _value(line, "images"), _value(line, key)
        if x is not None and y is not None:
            found.append((x, y, abs(_value(line, spread) or 0.0)))
    return tuple(sorted(found))


def _value(line: Mapping[str, float], key: str) -> float | None:
    value = line.get(key)
    # Beyond 1e30 a run has diverged, and axes overflow.
    return float(value) if isinstance(value, int | float) and abs(value) < 1e30 else None


def _rows(values: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple((clean(key), said) for key, value in values.items() if (said := clean(str(value))))


def clean(text: str) -> str:
    """Replace characters that are no text: controls, halves of surrogates, and what turns the direction of words."""
    spaced = " ".join(text.split())
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") or c in _TURNS else c for c in spaced)


_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _pixels(pictures: Tensor, side: int) -> tuple[Pixels, ...]:
    """Turn pictures into pixels of at most a side."""
    arrays = to_array(torch.nan_to_num(pictures.detach().float()))
    return tuple(resize(a, min(side, a.shape[0])) for a in arrays)
