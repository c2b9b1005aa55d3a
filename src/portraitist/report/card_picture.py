"""A report card as a picture: blocks of pixels put below and beside each other."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..data import resize
from ..data.images import Pixels
from .curves import HEIGHT
from .curves import WIDTH as CURVE_WIDTH
from .sections import COLUMNS, HEROES, LIGHT, Contents, Pair, Plot, Section, Strip

WIDTH = 1280
"""Pixels of the picture from left to right; its height follows from what there is to show."""
_MARGIN = 56
_INNER = WIDTH - 2 * _MARGIN
_LINES = 40
"""Lines that a text may take; the page has the rest."""


def card_picture(shown: Contents, curves: Mapping[Plot, bytes]) -> Pixels:
    """Return the picture, ``uint8 [H, WIDTH, 3]``; ``curves`` are the PNGs of each plot on light paper."""
    blocks = [_text(shown.name, 50, bold=True)]
    if shown.recipe:
        blocks.append(_text(f"Recipe {shown.recipe}", 21, colour=LIGHT.faint))
    blocks += [_gap(8), _text(shown.verdict, 25), _gap(14)]
    if shown.warnings:
        blocks += [
            _panel([_text("\n".join(shown.warnings), 21, width=_INNER - 48, paper=LIGHT.raised)], _INNER, LIGHT.accent),
            _gap(14),
        ]
    if shown.heroes:
        blocks += [_beside([resize(p, (_INNER - 50) // HEROES) for p in shown.heroes], 10), _gap(18)]
    if shown.facts:
        width = (_INNER - 16 * (len(shown.facts) - 1)) // len(shown.facts)
        tiles = [_tile(label, value, bad, width) for label, value, bad in shown.facts]
        height = max(t.shape[0] for t in tiles)
        blocks.append(_beside([_tile(label, value, bad, width, height) for label, value, bad in shown.facts], 16))
    for section in shown.sections:
        blocks += [_gap(40), *_blocks(section, curves)]
    inner = _below(blocks)
    sheet = _blank(WIDTH, inner.shape[0] + 2 * _MARGIN)
    sheet[_MARGIN:-_MARGIN, _MARGIN : _MARGIN + inner.shape[1]] = inner
    return sheet


def _blocks(section: Section, curves: Mapping[Plot, bytes]) -> list[Pixels]:
    blocks = [_text(section.title, 30, bold=True), _gap(6)]
    if section.text:
        blocks += [_text(section.text, 21), _gap(6)]
    if section.note:
        blocks += [_text(section.note, 19, colour=LIGHT.faint), _gap(12)]
    if section.strips:
        blocks.append(_below([_framed(strip) for strip in section.strips]))
    if section.plots:
        width = (_INNER - 24) // 2
        cells = [_plotted(plot, curves[plot], width) for plot in section.plots]
        blocks += [_below([_beside(cells[i : i + 2], 24), _gap(20)]) for i in range(0, len(cells), 2)]
    if section.pairs:
        cells = [_coupled(pair, (_INNER - 3 * 24) // 4) for pair in section.pairs]
        blocks += [_below([_beside(cells[i : i + 4], 24), _gap(12)]) for i in range(0, len(cells), 4)]
    if section.rows:
        blocks.append(_text("\n".join(f"{key}:  {value}" for key, value in section.rows), 21))
    return blocks


def _framed(strip: Strip) -> Pixels:
    label, border, gap = 150, 4, 6
    side = (_INNER - label - 4 * border) // COLUMNS - gap
    colour = LIGHT.accent if strip.framed else LIGHT.faint
    words = strip.label + ("\nkept" if strip.framed else "")
    pictures = _beside([resize(p, side) for p in strip.pictures], gap)
    block = _blank(_INNER, side + 4 * border)
    _centre(block, _text(words, 17, colour=colour, bold=strip.framed, width=label - 16), 2 * border + 4)
    block[2 * border : -2 * border, label : label + pictures.shape[1]] = pictures
    return _bordered(block[:, : label + pictures.shape[1] + 2 * border], colour, border) if strip.framed else block


def _plotted(plot: Plot, curve: bytes, width: int) -> Pixels:
    inner = width - 40
    drawn = np.asarray(Image.open(io.BytesIO(curve)).convert("RGB"))
    head = [
        _text(plot.curve.title, 21, bold=True, width=inner, paper=LIGHT.raised),
        _text(plot.curve.note, 17, colour=LIGHT.faint, width=inner, paper=LIGHT.raised),
    ]
    return _panel([*head, resize(drawn, (round(inner * HEIGHT / CURVE_WIDTH), inner))], width, LIGHT.rule, border=2)


def _coupled(pair: Pair, width: int) -> Pixels:
    pictures = _beside([resize(p, width // 2 - 1) for p in (pair.sample, pair.exemplar)], 2)
    words = pair.caption + (", suspiciously near" if pair.close else "")
    colour = LIGHT.accent if pair.close else LIGHT.faint
    return _below([pictures, _text(words, 17, colour=colour, bold=pair.close, width=width)])


def _tile(label: str, value: str, bad: bool, width: int, height: int = 0) -> Pixels:
    colour = LIGHT.accent if bad else LIGHT.ink
    words = [
        _text(value, 25, bold=True, colour=colour, width=width - 40, paper=LIGHT.raised),
        _text(label, 17, colour=LIGHT.faint, width=width - 40, paper=LIGHT.raised),
    ]
    return _panel(words, width, LIGHT.rule, border=2, height=height)


def _panel(blocks: Sequence[Pixels], width: int, colour: str, *, border: int = 3, height: int = 0) -> Pixels:
    inner = _below(blocks, LIGHT.raised)
    sheet = _blank(width, max(inner.shape[0] + 32, height), LIGHT.raised)
    sheet[16 : 16 + inner.shape[0], 20 : 20 + inner.shape[1]] = inner
    return _bordered(sheet, colour, border)


def _text(
    text: str,
    size: int,
    *,
    colour: str = LIGHT.ink,
    bold: bool = False,
    width: int = _INNER,
    paper: str = LIGHT.paper,
) -> Pixels:
    """Set a text in lines of at most ``width`` pixels; what does not fit into the lines allowed ends in dots."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    # Basic layout draws the same on machines with and without libraqm.
    font = ImageFont.truetype(
        Path(matplotlib.get_data_path(), "fonts", "ttf", name), size, layout_engine=ImageFont.Layout.BASIC
    )
    lines = [line for paragraph in text.split("\n") for line in wrap_text(paragraph, font, width)]
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], "..."]
    step = round(size * 1.45)
    image = Image.new("RGB", (width, step * len(lines)), paper)
    draw = ImageDraw.Draw(image)
    for i, line in enumerate(lines):
        draw.text((0, i * step + (step - size) // 2), line, fill=colour, font=font)
    return np.array(image)


def wrap_text(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a text into lines of at most ``width`` pixels; a word wider than a line is broken anywhere."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for sign in word:
            if lines[-1] and font.getlength(lines[-1] + sign) > width:
                lines.append("")
            lines[-1] += sign
        if len(lines) > _LINES:
            break
    return lines


def _below(blocks: Sequence[Pixels], paper: str = LIGHT.paper) -> Pixels:
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


def _blank(width: int, height: int, colour: str = LIGHT.paper) -> Pixels:
    return np.array(Image.new("RGB", (width, height), colour))
