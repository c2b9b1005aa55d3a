"""The papers' comparisons, re-run on the models and data at hand, ours beside what is printed.

bench = Bench(registry.load("faces"), Path("repro"), {"toon3d": exemplars})
page = reproduce("ui2i", bench)                 # trains what is missing, measures, writes repro/reproduction.md
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from ...errors import UsageError
from ...files import write_bytes
from . import agilegan, cartoon_stylegan, ui2i
from .bench import SCRATCH, Bench, Trial
from .page import BLANK, prose
from .unrelated import unrelated

__all__ = ["PAGE", "PAPERS", "SCRATCH", "Bench", "Paper", "Trial", "reproduce", "unrelated"]

Paper = Literal["ui2i", "cartoon-stylegan", "agilegan"]
PAPERS: tuple[Paper, ...] = get_args(Paper)
PAGE = "reproduction.md"


def reproduce(paper: str, bench: Bench) -> Path:
    """Run one paper's comparison, and write the page of all that were run in this folder.

    Interrupted, it goes on where it stopped: trainings from their last snapshot, measurements one by one.

    Returns:
        The page.

    Raises:
        UsageError: There is no such paper, or something that it needs is missing.
    """
    if paper not in PAPERS:
        raise UsageError(f"There is no paper '{paper}'.", f"Use {' or '.join(PAPERS)}.")
    lines = {"ui2i": ui2i, "cartoon-stylegan": cartoon_stylegan, "agilegan": agilegan}[paper].reproduce(bench)
    part = bench.out / "measured" / f"page-{paper}.md"
    write_bytes(part, "\n".join([*lines, *_data(bench)]).encode(), overwrite=True)
    parts = [bench.out / "measured" / f"page-{name}.md" for name in PAPERS]
    text = "\n".join([*_HEAD, *(p.read_text(encoding="utf-8").rstrip() + "\n" for p in parts if p.exists())])
    write_bytes(bench.out / PAGE, text.encode(), overwrite=True)
    return bench.out / PAGE


_HEAD = [
    "# The papers' tables, re-run",
    BLANK,
    *prose(
        """Written by `portraitist evaluate reproduce`. Ours stands beside what is printed; the models are smaller, the
        exemplars fewer and the networks that measure others, so orders can be compared and values cannot. Every
        table has its baselines: *do nothing* hands on the input, *mean colour* tints it, the *memoriser* copies
        exemplars of the training."""
    ),
]


def _data(bench: Bench) -> list[str]:
    """Say what was at hand."""
    sizes = ", ".join(f"{style} {len(images)}" for style, images in bench.sets.items())
    return prose(
        f"""At hand: base {bench.base.header.name} ({bench.side} pixels, digest {bench.base.digest[:12]}), exemplars
        {sizes} (of which a fifth is unseen and a fifth judges), seeds {", ".join(map(str, bench.seeds))},
        {bench.images} images a training, {bench.samples} latents."""
    )
