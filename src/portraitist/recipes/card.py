"""The report card of a run: a page and a picture that show what came out, which snapshot was kept and why.

Both are made from one list of sections, so they say the same. The page holds everything itself: pictures as base64
PNG, no script, and a content security policy under which a browser asks for nothing. The same card gives the same
bytes of the page.

    page, picture = write_card(Path("runs/mine"), Card("mine", "freeze_sg", moments, stats, chosen=16_000, ...))
"""

from __future__ import annotations

import base64
import html
import io
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..data import resize, to_array
from ..data.images import Pixels
from ..files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE = "report.html"
PICTURE = "report.png"
WIDTH = 1280
"""Pixels of the picture from left to right; its height follows from what there is to show."""


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


def write_card(folder: Path, card: Card) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.png`` into a run folder, each whole or not at all, in place of older ones.

    Raises:
        StorageError: The folder cannot be written.
    """
    shown = _shown(card)
    page, picture = folder / PAGE, folder / PICTURE
    write_bytes(page, _page(shown).encode(), overwrite=True)
    write_bytes(picture, _png(_picture(shown)), overwrite=True)
    return page, picture


# What is shown, before it is a page or a picture.

_MOMENTS = 10
_COLUMNS = 8
_HEROES = 6
_PAIRS = 12
_STRIP_SIDE = 128
_HERO_SIDE = 256


@dataclass(frozen=True)
class _Curve:
    title: str
    note: str
    lines: tuple[tuple[str, str], ...]
    """Keys of the statistics, with the words of the legend."""
    spread: str = ""
    """Key of the half-width of a band around the first line."""


_CURVES = (
    _Curve(
        "Distance to held-out exemplars",
        "Lower is nearer to the style; the band is its spread.",
        (("held_out", "distance"),),
        "held_out_spread",
    ),
    _Curve(
        "Likeness kept", "Layout of a fixed code's face against its base's; 1 is the same.", (("likeness", "likeness"),)
    ),
    _Curve(
        "Losses of both players",
        "Neither should run away from the other.",
        (("loss_d", "discriminator"), ("loss_g", "generator")),
    ),
    _Curve("Augmentation", "ADA's p rises when the discriminator learns by heart.", (("ada_p", "p"),)),
)


@dataclass(frozen=True)
class _Plot:
    curve: _Curve
    lines: tuple[tuple[str, tuple[tuple[float, float, float], ...]], ...]
    """Words of the legend, with points (images, value, half-width of the band)."""
    until: float
    """Images at the right end of the axis."""
    chosen: int | None

    @property
    def words(self) -> str:
        """Say the curves in words, for those who cannot see them."""
        said = [f"{name} {_number(p[0][1])} to {_number(p[-1][1])}" for name, p in self.lines]
        return f"{self.curve.title} over images: {', '.join(said)}"


@dataclass(frozen=True)
class _Strip:
    label: str
    pictures: tuple[Pixels, ...]
    framed: bool


@dataclass(frozen=True)
class _Pair:
    sample: Pixels
    exemplar: Pixels
    caption: str
    close: bool


@dataclass(frozen=True)
class _Section:
    title: str
    text: str = ""
    """Words that are worth showing alone."""
    note: str = ""
    """Words that explain the pictures below them."""
    strips: tuple[_Strip, ...] = ()
    plots: tuple[_Plot, ...] = ()
    pairs: tuple[_Pair, ...] = ()
    rows: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Shown:
    name: str
    recipe: str
    verdict: str
    warnings: tuple[str, ...]
    heroes: tuple[Pixels, ...]
    facts: tuple[tuple[str, str, bool], ...]
    """Label, value and whether it is bad news."""
    sections: tuple[_Section, ...]


def _shown(card: Card) -> _Shown:
    plots = _plots(card)
    moments = [m for m in card.moments if len(m.pictures)]
    sections = (
        _Section("The snapshot that was kept", _clean(card.why)),
        _Section(
            "The same people over time",
            note="Each column is one fixed code, each strip a moment; the framed one was kept.",
            strips=_strips(moments, card.chosen),
        ),
        _Section("Curves", note="Over images seen; the dashed line marks the snapshot that was kept.", plots=plots),
        _neighbours(card.neighbours),
        _Section("Cost", rows=_rows(card.cost)),
        _Section("Settings that differ from the defaults", rows=_rows(card.settings)),
        _Section("Exemplars", rows=_rows({"Licence": card.licence, "Credit": card.credit})),
    )
    return _Shown(
        name=_clean(card.name) or "A run without a name",
        recipe=_clean(card.recipe),
        verdict=_verdict(card),
        warnings=tuple(_clean(w) for w in card.warnings),
        heroes=_heroes(moments, card.chosen),
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
            around = "" if spread is None else f" ± {_number(spread)}"
            facts.append(("distance to held-out exemplars", _number(distance) + around, False))
        if (likeness := values.get("likeness")) is not None:
            facts.append(("likeness kept", _number(likeness), False))
    if card.neighbours is not None:
        alarm = card.neighbours.alarm
        facts.append(("copies of exemplars", "alarm" if alarm else "no alarm", alarm))
    return tuple(facts)


def _heroes(moments: Sequence[Moment], chosen: int | None) -> tuple[Pixels, ...]:
    if not moments:
        return ()
    best = next((m for m in moments if m.images == chosen), moments[-1])
    return _pixels(best.pictures[:_HEROES], _HERO_SIDE)


def _strips(moments: Sequence[Moment], chosen: int | None) -> tuple[_Strip, ...]:
    """Show some moments evenly, among them the first, the last and the chosen one."""
    even = np.linspace(0, len(moments) - 1, min(_MOMENTS, len(moments))).round().astype(int).tolist()
    wanted = {*even, *(i for i, m in enumerate(moments) if m.images == chosen)}
    return tuple(
        _Strip(f"{m.images:,} images", _pixels(m.pictures[:_COLUMNS], _STRIP_SIDE), m.images == chosen)
        for m in (moments[i] for i in sorted(wanted))
    )


def _neighbours(found: Neighbours | None) -> _Section:
    if found is None:
        return _Section("Nearest exemplars")
    # The tail tells: what is nearest comes first.
    order = sorted(range(len(found.distances)), key=lambda i: (math.isnan(found.distances[i]), found.distances[i]))
    order = order[:_PAIRS]
    samples, exemplars = (_pixels(t[order], _STRIP_SIDE) for t in (found.samples, found.exemplars))
    pairs = tuple(
        _Pair(sample, exemplar, f"{_number(d)} apart", d < found.threshold)
        for sample, exemplar, d in zip(samples, exemplars, (found.distances[i] for i in order), strict=True)
    )
    note = "Left a sample, right the exemplar nearest to it; the nearest pairs come first."
    if math.isfinite(found.threshold):
        note += f" Suspiciously near is below {_number(found.threshold)}."
    return _Section("Nearest exemplars", _clean(found.sentence), note, pairs=pairs)


def _plots(card: Card) -> tuple[_Plot, ...]:
    seen = [x for line in card.stats if (x := _value(line, "images")) is not None]
    until = max([*seen, float(card.chosen or 0), 1.0])
    plots = []
    for curve in _CURVES:
        lines = [(words, _points(card.stats, key, curve.spread)) for key, words in curve.lines]
        present = tuple(line for line in lines if line[1])
        if present:
            plots.append(_Plot(curve, present, until, card.chosen))
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
    return tuple((_clean(key), said) for key, value in values.items() if (said := _clean(str(value))))


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "not a number"


def _clean(text: str) -> str:
    """Replace characters that are no text: controls, halves of surrogates, and what turns the direction of words."""
    spaced = " ".join(text.split())
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") or c in _TURNS else c for c in spaced)


_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _pixels(pictures: Tensor, side: int) -> tuple[Pixels, ...]:
    """Turn pictures into pixels of at most a side."""
    arrays = to_array(torch.nan_to_num(pictures.detach().float()))
    return tuple(resize(a, min(side, a.shape[0])) for a in arrays)


# Colours and curves.


@dataclass(frozen=True)
class _Theme:
    paper: str
    raised: str
    ink: str
    faint: str
    rule: str
    accent: str
    first: str
    second: str


_LIGHT = _Theme("#faf7f1", "#ffffff", "#26221d", "#756d62", "#e3dccf", "#c4412a", "#2a6384", "#b97f10")
_DARK = _Theme("#181614", "#211e1b", "#ece5d9", "#a2988a", "#38332d", "#f0704f", "#7fbad9", "#e6b450")


def _draw(plot: _Plot, theme: _Theme, width: int, height: int) -> bytes:
    """Draw a curve as a PNG of a size in pixels."""
    import matplotlib
    from matplotlib.figure import Figure

    # A user's matplotlibrc must not change the card.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=(width / 200, height / 200), dpi=200, layout="constrained", facecolor=theme.raised)
        axes = figure.add_subplot(facecolor=theme.raised)
        _style(axes, theme, plot)
        for (name, points), colour in zip(plot.lines, (theme.first, theme.second), strict=False):
            x, y, half = (np.array(values) for values in zip(*points, strict=True))
            mark = "o" if len(x) <= 40 else ""
            axes.plot(x, y, color=colour, linewidth=1.3, marker=mark, markersize=2.6, label=name)
            if half.any():
                axes.fill_between(x, y - half, y + half, color=colour, alpha=0.18, linewidth=0)
            for at, value in zip(x, y, strict=True):
                if at == plot.chosen:
                    axes.plot([at], [value], "o", color=theme.accent, markersize=4.5, zorder=5)
        if len(plot.lines) > 1:
            axes.legend(frameon=False, fontsize=7.5, labelcolor=theme.ink, loc="best", handlelength=1.2)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _style(axes: Axes, theme: _Theme, plot: _Plot) -> None:
    axes.set_xlim(-0.02 * plot.until, 1.03 * plot.until)
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    axes.locator_params(nbins=5)
    axes.grid(axis="y", color=theme.rule, linewidth=0.6)
    axes.tick_params(colors=theme.faint, labelsize=7.5, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme.rule)
    if plot.chosen is not None:
        axes.axvline(plot.chosen, color=theme.accent, linewidth=0.9, linestyle=(0, (4, 3)))


def _short(value: float) -> str:
    """Write a count of images in few signs."""
    for unit, sign in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{sign}"
    return f"{value:g}"


def _png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


# The page.

_SHAPE = """
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif;
 overflow-wrap:anywhere;-webkit-text-size-adjust:100%}
main{max-width:980px;margin:0 auto;padding:2rem 1.1rem 3rem}
h1{font:600 clamp(1.7rem,6vw,2.6rem)/1.15 Georgia,"Iowan Old Style",serif;margin:0 0 .2rem}
h2{font:600 1.3rem/1.3 Georgia,"Iowan Old Style",serif;margin:2.6rem 0 .4rem}
h3{font-size:.95rem;margin:0}
p{margin:.3rem 0 .9rem}
img{display:block;max-width:100%;height:auto}
.recipe,.note,.faint,dt,figcaption{color:var(--faint)}
.recipe{margin:0;font-size:.95rem}
.verdict{font-size:1.12rem;margin:.7rem 0 1.2rem}
.warnings{margin:1rem 0;padding:.7rem 1rem .7rem 2rem;background:var(--raised);border-left:4px solid var(--accent);
 border-radius:4px}
.heroes{display:grid;grid-template-columns:repeat(6,1fr);gap:6px}
.heroes img{width:100%;border-radius:6px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.7rem;margin:1.2rem 0 0}
.facts div{background:var(--raised);border:1px solid var(--rule);border-radius:8px;padding:.6rem .8rem}
.facts dd{font-size:1.25rem;font-weight:600;margin:0}
.facts dt{font-size:.82rem;line-height:1.3}
.facts .bad dd{color:var(--accent)}
.facts div{display:flex;flex-direction:column-reverse;justify-content:flex-end}
.strips{overflow-x:auto;padding:4px}
.strip{display:grid;grid-template-columns:7.6rem 1fr;align-items:center;gap:.6rem;min-width:36rem;margin:0 0 4px;
 padding:5px;border:3px solid transparent;border-radius:8px}
.strip.framed{border-color:var(--accent)}
.strip.framed figcaption{color:var(--accent);font-weight:600}
.strip figcaption{font-size:.85rem;line-height:1.3;overflow-wrap:normal}
.strip div{display:grid;gap:3px}
.strip img{width:100%;border-radius:3px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr));gap:1rem}
.plots figure{margin:0;background:var(--raised);border:1px solid var(--rule);border-radius:8px;padding:.8rem}
.plots .note{font-size:.85rem;margin:0 0 .4rem}
.plots img{width:100%}
.pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:.8rem}
.pairs figure{margin:0}
.pairs div{display:grid;grid-template-columns:1fr 1fr;gap:2px}
.pairs img{width:100%}
.pairs figcaption{font-size:.82rem}
.pairs .close figcaption{color:var(--accent);font-weight:600}
.rows{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.25rem 1.2rem;margin:0}
.rows dd{margin:0}
@media(max-width:640px){.heroes{grid-template-columns:repeat(3,1fr)}
 .strip{grid-template-columns:1fr;gap:.2rem;min-width:30rem}
 .strip figcaption{position:sticky;left:0;width:max-content}
 .rows{grid-template-columns:1fr;gap:0}.rows dd{margin-bottom:.5rem}}
"""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def _page(shown: _Shown) -> str:
    title, recipe, verdict = (html.escape(text) for text in (shown.name, shown.recipe, shown.verdict))
    colours = "".join(
        f"{before}:root{{{_variables(theme)}}}{after}\n"
        for theme, before, after in ((_LIGHT, "", ""), (_DARK, "@media(prefers-color-scheme:dark){", "}"))
    )
    parts = [f"<h1>{title}</h1>"]
    if recipe:
        parts.append(f'<p class="recipe">Recipe {recipe}</p>')
    parts.append(f'<p class="verdict">{verdict}</p>')
    if shown.warnings:
        parts.append(f'<ul class="warnings">{_join(f"<li>{html.escape(w)}</li>" for w in shown.warnings)}</ul>')
    if shown.heroes:
        parts.append(f'<div class="heroes">{_join(_image(p, "A sample") for p in shown.heroes)}</div>')
    if shown.facts:
        parts.append(f'<dl class="facts">{_join(_fact(*fact) for fact in shown.facts)}</dl>')
    body = _join([*parts, *(_section(s) for s in shown.sections)])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{title}: report card</title>\n<style>\n{colours}{_SHAPE.strip()}\n</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _variables(theme: _Theme) -> str:
    return "".join(
        f"--{name}:{getattr(theme, name)};" for name in ("paper", "raised", "ink", "faint", "rule", "accent")
    )


def _section(section: _Section) -> str:
    parts = [f"<section>\n<h2>{html.escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>")
    if section.note:
        parts.append(f'<p class="note">{html.escape(section.note)}</p>')
    if section.strips:
        parts.append(f'<div class="strips">{_join(_strip(s) for s in section.strips)}</div>')
    if section.plots:
        parts.append(f'<div class="plots">{_join(_figure(p) for p in section.plots)}</div>')
    if section.pairs:
        parts.append(f'<div class="pairs">{_join(_pair(p) for p in section.pairs)}</div>')
    if section.rows:
        rows = _join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in section.rows)
        parts.append(f'<dl class="rows">{rows}</dl>')
    return _join([*parts, "</section>"])


def _strip(strip: _Strip) -> str:
    framed, kept = (" framed", "<br>kept") if strip.framed else ("", "")
    columns = f"grid-template-columns:repeat({len(strip.pictures)},1fr)"
    pictures = _join(_image(p, f"Code {i} after {strip.label}") for i, p in enumerate(strip.pictures, 1))
    return (
        f'<figure class="strip{framed}"><figcaption>{strip.label}{kept}</figcaption>'
        f'<div style="{columns}">{pictures}</div></figure>'
    )


def _figure(plot: _Plot) -> str:
    light, dark = (_data(_draw(plot, theme, 880, 480)) for theme in (_LIGHT, _DARK))
    return (
        f'<figure><h3>{plot.curve.title}</h3><p class="note">{html.escape(plot.curve.note)}</p><picture>'
        f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{html.escape(plot.words)}" width="880" height="480"></picture></figure>'
    )


def _pair(pair: _Pair) -> str:
    close, remark = (' class="close"', ", suspiciously near") if pair.close else ("", "")
    pictures = _image(pair.sample, "A sample") + _image(pair.exemplar, "The exemplar nearest to it")
    return f"<figure{close}><div>{pictures}</div><figcaption>{pair.caption}{remark}</figcaption></figure>"


def _fact(label: str, value: str, bad: bool) -> str:
    mark = ' class="bad"' if bad else ""
    return f"<div{mark}><dt>{label}</dt><dd>{value}</dd></div>"


def _image(pixels: Pixels, words: str) -> str:
    height, width = pixels.shape[:2]
    return f'<img src="{_data(_png(pixels))}" alt="{html.escape(words)}" width="{width}" height="{height}">'


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _join(parts: Iterable[str]) -> str:
    return "\n".join(parts)


# The picture: blocks of pixels put below and beside each other.

_MARGIN = 56
_INNER = WIDTH - 2 * _MARGIN
_LINES = 40
"""Lines that a text may take; the page has the rest."""


def _picture(shown: _Shown) -> Pixels:
    blocks = [_text(shown.name, 50, bold=True)]
    if shown.recipe:
        blocks.append(_text(f"Recipe {shown.recipe}", 21, colour=_LIGHT.faint))
    blocks += [_gap(8), _text(shown.verdict, 25), _gap(14)]
    if shown.warnings:
        blocks += [
            _panel(
                [_text("\n".join(shown.warnings), 21, width=_INNER - 48, paper=_LIGHT.raised)], _INNER, _LIGHT.accent
            ),
            _gap(14),
        ]
    if shown.heroes:
        blocks += [_beside([resize(p, (_INNER - 50) // _HEROES) for p in shown.heroes], 10), _gap(18)]
    if shown.facts:
        width = (_INNER - 16 * (len(shown.facts) - 1)) // len(shown.facts)
        tiles = [_tile(label, value, bad, width) for label, value, bad in shown.facts]
        height = max(t.shape[0] for t in tiles)
        blocks.append(_beside([_tile(label, value, bad, width, height) for label, value, bad in shown.facts], 16))
    for section in shown.sections:
        blocks += [_gap(40), *_blocks(section)]
    inner = _below(blocks)
    sheet = _blank(WIDTH, inner.shape[0] + 2 * _MARGIN)
    sheet[_MARGIN:-_MARGIN, _MARGIN : _MARGIN + inner.shape[1]] = inner
    return sheet


def _blocks(section: _Section) -> list[Pixels]:
    blocks = [_text(section.title, 30, bold=True), _gap(6)]
    if section.text:
        blocks += [_text(section.text, 21), _gap(6)]
    if section.note:
        blocks += [_text(section.note, 19, colour=_LIGHT.faint), _gap(12)]
    if section.strips:
        blocks.append(_below([_framed(strip) for strip in section.strips]))
    if section.plots:
        width = (_INNER - 24) // 2
        cells = [_plotted(plot, width) for plot in section.plots]
        blocks += [_below([_beside(cells[i : i + 2], 24), _gap(20)]) for i in range(0, len(cells), 2)]
    if section.pairs:
        cells = [_coupled(pair, (_INNER - 3 * 24) // 4) for pair in section.pairs]
        blocks += [_below([_beside(cells[i : i + 4], 24), _gap(12)]) for i in range(0, len(cells), 4)]
    if section.rows:
        blocks.append(_text("\n".join(f"{key}:  {value}" for key, value in section.rows), 21))
    return blocks


def _framed(strip: _Strip) -> Pixels:
    label, border, gap = 150, 4, 6
    side = (_INNER - label - 4 * border) // _COLUMNS - gap
    colour = _LIGHT.accent if strip.framed else _LIGHT.faint
    words = strip.label + ("\nkept" if strip.framed else "")
    pictures = _beside([resize(p, side) for p in strip.pictures], gap)
    block = _blank(_INNER, side + 4 * border)
    _centre(block, _text(words, 17, colour=colour, bold=strip.framed, width=label - 16), 2 * border + 4)
    block[2 * border : -2 * border, label : label + pictures.shape[1]] = pictures
    return _bordered(block[:, : label + pictures.shape[1] + 2 * border], colour, border) if strip.framed else block


def _plotted(plot: _Plot, width: int) -> Pixels:
    inner = width - 40
    drawn = np.asarray(Image.open(io.BytesIO(_draw(plot, _LIGHT, 880, 480))).convert("RGB"))
    head = [
        _text(plot.curve.title, 21, bold=True, width=inner, paper=_LIGHT.raised),
        _text(plot.curve.note, 17, colour=_LIGHT.faint, width=inner, paper=_LIGHT.raised),
    ]
    return _panel([*head, resize(drawn, (round(inner * 480 / 880), inner))], width, _LIGHT.rule, border=2)


def _coupled(pair: _Pair, width: int) -> Pixels:
    pictures = _beside([resize(p, width // 2 - 1) for p in (pair.sample, pair.exemplar)], 2)
    words = pair.caption + (", suspiciously near" if pair.close else "")
    colour = _LIGHT.accent if pair.close else _LIGHT.faint
    return _below([pictures, _text(words, 17, colour=colour, bold=pair.close, width=width)])


def _tile(label: str, value: str, bad: bool, width: int, height: int = 0) -> Pixels:
    colour = _LIGHT.accent if bad else _LIGHT.ink
    words = [
        _text(value, 25, bold=True, colour=colour, width=width - 40, paper=_LIGHT.raised),
        _text(label, 17, colour=_LIGHT.faint, width=width - 40, paper=_LIGHT.raised),
    ]
    return _panel(words, width, _LIGHT.rule, border=2, height=height)


def _panel(blocks: Sequence[Pixels], width: int, colour: str, *, border: int = 3, height: int = 0) -> Pixels:
    inner = _below(blocks, _LIGHT.raised)
    sheet = _blank(width, max(inner.shape[0] + 32, height), _LIGHT.raised)
    sheet[16 : 16 + inner.shape[0], 20 : 20 + inner.shape[1]] = inner
    return _bordered(sheet, colour, border)


def _text(
    text: str,
    size: int,
    *,
    colour: str = _LIGHT.ink,
    bold: bool = False,
    width: int = _INNER,
    paper: str = _LIGHT.paper,
) -> Pixels:
    """Set a text in lines of at most ``width`` pixels; what does not fit into the lines allowed ends in dots."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    # Basic layout draws the same on machines with and without libraqm.
    font = ImageFont.truetype(
        Path(matplotlib.get_data_path(), "fonts", "ttf", name), size, layout_engine=ImageFont.Layout.BASIC
    )
    lines = [line for paragraph in text.split("\n") for line in _wrapped(paragraph, font, width)]
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], "..."]
    step = round(size * 1.45)
    image = Image.new("RGB", (width, step * len(lines)), paper)
    draw = ImageDraw.Draw(image)
    for i, line in enumerate(lines):
        draw.text((0, i * step + (step - size) // 2), line, fill=colour, font=font)
    return np.array(image)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for sign in word:
            # A word wider than a line is broken anywhere.
            if lines[-1] and font.getlength(lines[-1] + sign) > width:
                lines.append("")
            lines[-1] += sign
        if len(lines) > _LINES:
            break
    return lines


def _below(blocks: Sequence[Pixels], paper: str = _LIGHT.paper) -> Pixels:
    width = max(b.shape[1] for b in blocks)
    sheet = _blank(width, sum(b.shape[0] for b in blocks), paper)
    top = 0
    for block in blocks:
        sheet[top : top + block.shape[0], : block.shape[1]] = block
        top += block.shape[0]
    return sheet


def _beside(blocks: Sequence[Pixels], gap: int) -> Pixels:
    height = max(b.shape[0] for b in blocks)
    sheet = _blank(sum(b.shape[1] for b in blocks) + gap * (len(blocks) - 1), height)
    left = 0
    for block in blocks:
        sheet[: block.shape[0], left : left + block.shape[1]] = block
        left += block.shape[1] + gap
    return sheet


def _centre(sheet: Pixels, block: Pixels, left: int) -> None:
    """Put a block onto a sheet at half its height."""
    top = max((sheet.shape[0] - block.shape[0]) // 2, 0)
    block = block[: sheet.shape[0] - top]
    sheet[top : top + block.shape[0], left : left + block.shape[1]] = block


def _bordered(block: Pixels, colour: str, border: int) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(block))
    ImageDraw.Draw(image).rectangle((0, 0, image.width - 1, image.height - 1), outline=colour, width=border)
    return np.array(image)


def _gap(height: int) -> Pixels:
    return _blank(1, height)


def _blank(width: int, height: int, colour: str = _LIGHT.paper) -> Pixels:
    return np.array(Image.new("RGB", (width, height), colour))
