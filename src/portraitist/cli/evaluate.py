"""``portraitist evaluate``."""

from __future__ import annotations

import typer

from . import evaluate_inversion, evaluate_models, evaluate_pictures, evaluate_reproduce, evaluate_study, groups

app = typer.Typer(help="Measure how good models and inversions are.", rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Measure how good models and inversions are."""


for command in (
    evaluate_models.distance,
    evaluate_models.quality,
    evaluate_models.report,
    evaluate_pictures.pictures,
    evaluate_study.study,
    evaluate_reproduce.reproduce,
    evaluate_inversion.inversion,
):
    groups.add(app)(command)
