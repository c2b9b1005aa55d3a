"""The curves of a report card, drawn by matplotlib under its own defaults."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from .sections import Plot, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 880, 480
"""Pixels of a curve."""


def draw_curve(plot: Plot, theme: Theme, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Draw a curve as a PNG of ``width`` by ``height`` pixels."""
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


def _style(axes: Axes, theme: Theme, plot: Plot) -> None:
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
