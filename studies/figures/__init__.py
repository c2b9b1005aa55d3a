"""The papers' figures: what each shows, in words, beside what the product draws for it.

    python -m studies figures --data ../shared/data --runs runs/figures

Some figures have sheets on the pages of other studies; the rest are drawn here, of samples of the bundled base, people
who do not exist. Trainings go on where they were when the command is called again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from portraitist.data import ImageSet
from portraitist.data.images import write_image
from portraitist.files import write_bytes
from portraitist.io import registry
from portraitist.report.markdown import BLANK, prose

from ..study import Study
from .sheets import SHEETS, STYLE
from .words import PAPERS, Figure

IMAGES = 3000


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies figures", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help=f"folder with style_{STYLE}/")
    parser.add_argument("--runs", type=Path, default=Path("runs/figures"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheets")
    given = parser.parse_args(arguments)
    base = registry.load("faces")
    images = ImageSet.open(given.data / f"style_{STYLE}", base.generator.anatomy.resolution)
    study = Study(base=base, out=given.runs, sets={STYLE: images}, seeds=(0,), images=IMAGES)
    given.out.mkdir(parents=True, exist_ok=True)
    for name, draw in SHEETS.items():
        write_image(given.out / name, draw(study))
    text = "\n".join(page(study)).rstrip() + "\n"
    write_bytes(given.out / "figures.md", text.encode(), overwrite=True)


def page(study: Study) -> Iterator[str]:
    """Yield the lines of the page."""
    yield from ("# The papers' figures", BLANK)
    yield from prose(
        f"""Written by `python -m studies figures`: what each figure shows, and what is drawn here for it. Sheets of
        this page are of samples of the base `faces`, 64 pixels, and of {STYLE} trained for {study.images} images with
        seed 0 unless they say otherwise; the others belong to the pages that they link to. Diagrams are left out."""
    )
    for paper, figures in PAPERS.items():
        yield from (f"## {paper}", BLANK)
        for figure in figures:
            yield from _lines(figure)


def _lines(figure: Figure) -> Iterator[str]:
    yield from (f"### {figure.name}", BLANK)
    yield from prose(f"*The paper.* {figure.shows}")
    yield from prose(f"*Here.* {figure.here}")
    for sheet in figure.sheets:
        yield from (f"![{figure.name}]({sheet})", BLANK)
