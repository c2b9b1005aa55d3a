"""A report card as an HTML page that holds everything itself."""

from __future__ import annotations

import html
from collections.abc import Mapping

from .curves import HEIGHT, WIDTH
from .html import data_uri, image, join_lines, page
from .sections import DARK, LIGHT, Contents, Pair, Plot, Section, Strip, Theme

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


def card_page(shown: Contents, curves: Mapping[Plot, tuple[bytes, bytes]]) -> str:
    """Return the page; ``curves`` are the PNGs of each plot for light and for dark screens."""
    title, recipe, verdict = (html.escape(text) for text in (shown.name, shown.recipe, shown.verdict))
    colours = "".join(
        f"{before}:root{{{_variables(theme)}}}{after}\n"
        for theme, before, after in ((LIGHT, "", ""), (DARK, "@media(prefers-color-scheme:dark){", "}"))
    )
    parts = [f"<h1>{title}</h1>"]
    if recipe:
        parts.append(f'<p class="recipe">Recipe {recipe}</p>')
    parts.append(f'<p class="verdict">{verdict}</p>')
    if shown.warnings:
        parts.append(f'<ul class="warnings">{join_lines(f"<li>{html.escape(w)}</li>" for w in shown.warnings)}</ul>')
    if shown.heroes:
        parts.append(f'<div class="heroes">{join_lines(image(p, "A sample") for p in shown.heroes)}</div>')
    if shown.facts:
        parts.append(f'<dl class="facts">{join_lines(_fact(*fact) for fact in shown.facts)}</dl>')
    body = join_lines([*parts, *(_section(s, curves) for s in shown.sections)])
    return page(f"{shown.name}: report card", body, f"{colours}{_SHAPE.strip()}")


def _variables(theme: Theme) -> str:
    return "".join(
        f"--{name}:{getattr(theme, name)};" for name in ("paper", "raised", "ink", "faint", "rule", "accent")
    )


def _section(section: Section, curves: Mapping[Plot, tuple[bytes, bytes]]) -> str:
    parts = [f"<section>\n<h2>{html.escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>")
    if section.note:
        parts.append(f'<p class="note">{html.escape(section.note)}</p>')
    if section.strips:
        parts.append(f'<div class="strips">{join_lines(_strip(s) for s in section.strips)}</div>')
    if section.plots:
        parts.append(f'<div class="plots">{join_lines(_figure(p, *curves[p]) for p in section.plots)}</div>')
    if section.pairs:
        parts.append(f'<div class="pairs">{join_lines(_pair(p) for p in section.pairs)}</div>')
    if section.rows:
        rows = join_lines(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in section.rows)
        parts.append(f'<dl class="rows">{rows}</dl>')
    return join_lines([*parts, "</section>"])


def _strip(strip: Strip) -> str:
    framed, kept = (" framed", "<br>kept") if strip.framed else ("", "")
    columns = f"grid-template-columns:repeat({len(strip.pictures)},1fr)"
    pictures = join_lines(image(p, f"Code {i} after {strip.label}") for i, p in enumerate(strip.pictures, 1))
    return (
        f'<figure class="strip{framed}"><figcaption>{strip.label}{kept}</figcaption>'
        f'<div style="{columns}">{pictures}</div></figure>'
    )


def _figure(plot: Plot, light: bytes, dark: bytes) -> str:
    return (
        f'<figure><h3>{plot.curve.title}</h3><p class="note">{html.escape(plot.curve.note)}</p><picture>'
        f'<source media="(prefers-color-scheme: dark)" srcset="{data_uri(dark)}">'
        f'<img src="{data_uri(light)}" alt="{html.escape(plot.words)}" width="{WIDTH}" height="{HEIGHT}">'
        "</picture></figure>"
    )


def _pair(pair: Pair) -> str:
    close, remark = (' class="close"', ", suspiciously near") if pair.close else ("", "")
    pictures = image(pair.sample, "A sample") + image(pair.exemplar, "The exemplar nearest to it")
    return f"<figure{close}><div>{pictures}</div><figcaption>{pair.caption}{remark}</figcaption></figure>"


def _fact(label: str, value: str, bad: bool) -> str:
    mark = ' class="bad"' if bad else ""
    return f"<div{mark}><dt>{label}</dt><dd>{value}</dd></div>"
