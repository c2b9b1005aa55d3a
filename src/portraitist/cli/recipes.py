"""``portraitist recipes``."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import note, talk
from .options import opt


def command(
    resolution: Annotated[int, opt("Side of the base in pixels, for the settings in --json.")] = 64,
) -> None:
    """List the recipes that teach a base a style.

    Each with what it is good for, what it costs and which paper it is from.
    """
    from ..recipes import RECIPES

    if talk().json:
        from ..recipes import compose  # the settings name losses, which need PyTorch

        found = []
        for recipe in RECIPES.values():
            paths = ("first", "second") if recipe.name == "multipath" else ()
            settings = {
                preset: compose(recipe.name, resolution, preset=preset, paths=paths).record()
                for preset in recipe.presets
            }
            found.append(
                {
                    "name": recipe.name,
                    "use": recipe.use,
                    "paper": recipe.paper,
                    "cost": recipe.cost,
                    "refuses": dict(recipe.refuses),
                    "settings": settings,
                }
            )
        note(recipes=found)
        return
    for recipe in RECIPES.values():
        typer.echo(f"{recipe.name:<10} {recipe.use}")
        presets = ", ".join(recipe.presets)
        typer.echo(f"{'':<10} {recipe.paper}; presets {presets}; a step costs {recipe.cost} x that of baseline")
        for preset, why in recipe.without.items():
            typer.echo(f"{'':<10} no preset {preset}: {why}")
        for other, why in recipe.refuses.items():
            typer.echo(f"{'':<10} not with {other}: {why}")
    typer.echo(
        "Join recipes by +: --recipe freeze_fc+structure. By default all but agilegan and freeze_d stand on baseline."
    )
