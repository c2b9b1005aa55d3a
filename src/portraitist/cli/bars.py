"""Progress on stderr: bars of counted things, and the stages of one photo."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .common import talk

if TYPE_CHECKING:
    from ..invert import Progress
    from ..stylize.settings import OnProgress

STAGES = {"faces": "finding faces", "inversion": "finding the code", "drawing": "drawing"}


def bar_of(*counted: Any, disable: bool = False, **settings: Any) -> Any:
    """Return a bar of tqdm; nothing is shown where --quiet is given."""
    from tqdm import tqdm

    return tqdm(*counted, disable=disable or talk().verbosity < 0, **settings)


def is_watched() -> bool:
    """Tell whether somebody sees what passes by: on a terminal, or with --verbose."""
    return talk().verbosity >= 0 and (sys.stderr.isatty() or talk().verbosity > 0)


@contextmanager
def step_bar(shown: bool = True) -> Iterator[Progress]:
    """Show a progress bar of the steps of inversions; it appears with the first step, a new one with each face."""
    bar: Any = None

    def update(done: int, total: int) -> None:
        nonlocal bar
        if not shown or total < 2:
            return
        if bar is None:
            bar = bar_of(total=total, unit=" steps", leave=False)
        elif done == 1:
            bar.reset(total)
        bar.update(done - bar.n)

    def clear() -> None:
        nonlocal bar
        if bar is not None:
            bar.close()
        bar = None

    with _cleared_by(clear):
        yield update


@contextmanager
def stages(shown: bool = True) -> Iterator[OnProgress]:
    """Show what becomes of one photo, stage by stage: "loading" until the first, then a bar of each.

    Where stderr is no terminal, nothing is shown without --verbose, and with it a line for each stage.
    """
    shown = shown and is_watched()
    live = shown and sys.stderr.isatty()
    bar: Any = None
    now = ""
    if shown:
        print("loading the models ...", end="\r" if live else "\n", file=sys.stderr, flush=True)

    def update(stage: str, done: int, total: int) -> None:
        nonlocal bar, now
        if not shown:
            return
        if stage != now:
            now = stage
            if bar is not None:
                bar.close()
            if live:
                bar = bar_of(total=total, desc=STAGES[stage], leave=False)
            else:
                print(f"{STAGES[stage]} ...", file=sys.stderr, flush=True)
        if bar is not None:
            bar.total = total
            bar.n = done
            bar.refresh()

    def clear() -> None:
        nonlocal bar
        if bar is not None:
            bar.close()
        bar = None
        if live:
            print("\x1b[2K", end="\r", file=sys.stderr, flush=True)

    with _cleared_by(clear):
        yield update


@contextmanager
def _cleared_by(clear: Callable[[], None]) -> Iterator[None]:
    """Let what is printed first take progress off its line, and do so at the end."""
    before, talk().clear = talk().clear, clear
    try:
        yield
    finally:
        clear()
        talk().clear = before
