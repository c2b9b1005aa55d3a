"""The page of the papers' figures: every sheet that it shows is there, and those that it draws can be drawn."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from portraitist.data import ImageSet
from portraitist.io.model_file import Model
from studies.figures import page, sheets
from studies.figures.sheets import SHEETS, STYLE
from studies.figures.words import PAPERS
from tests.recipes.tiny_runs import tiny_base
from tests.runs.test_finetune import draw_exemplars
from tests.studies.test_reproduction import COUNT, study_of
from tests.stylize.tiny_encoders import make_encoder

RESULTS = Path(__file__).parents[2] / "docs" / "results"
FIGURES = [figure for figures in PAPERS.values() for figure in figures]


def test_every_sheet_and_every_page_that_is_named_is_there() -> None:
    shown = [sheet for figure in FIGURES for sheet in figure.sheets]
    linked = [target for figure in FIGURES for target in re.findall(r"\]\(([^)]+)\)", figure.here)]
    assert set(SHEETS) <= set(shown) and len(shown) == len(set(shown))
    assert not [name for name in (*shown, *linked) if not (RESULTS / name).exists()]
    assert len({(paper, f.name) for paper, figures in PAPERS.items() for f in figures}) == len(FIGURES)


@pytest.mark.recipe
def test_the_sheets_are_drawn_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base: Model = tiny_base()
    for name, value in (("SWAPPED", 8), ("SWAPS", (4, 8)), ("EVOLUTION", (4, 8)), ("SIDE", 16), ("PEOPLE", 2)):
        monkeypatch.setattr(sheets, name, value)
    monkeypatch.setattr(sheets.registry, "load", lambda name: base)
    monkeypatch.setattr(sheets.registry, "load_encoder_of", lambda found: make_encoder(found, kind="hvae"))
    images = ImageSet.open(draw_exemplars(tmp_path / "exemplars", COUNT), 16)
    study = replace(study_of(images, tmp_path, sets={STYLE: images}), images=8)
    columns = {"ablation": 5, "evolution": 3, "posterior": 6, "freezing": 9, "layers": 7}
    for name, draw in SHEETS.items():
        found = draw(study)
        assert found.shape[1] == columns[Path(name).stem.removeprefix("figures-")] * 18 - 2, name
    text = " ".join("\n".join(page(study)).split())
    assert "trained for 8 images" in text and "![Fig. 6, one direction in every model](editing.png)" in text
