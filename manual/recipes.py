"""A page for each recipe, from the registry, the docstring of its module and the settings that it changes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from portraitist.recipes.baseline import fine_tune
from portraitist.recipes.catalogue import MULTIPATH, RECIPES, ROOTS, Recipe
from portraitist.recipes.registry import compose
from portraitist.report.markdown import table
from portraitist.train.spec import Training

RESOLUTION = 256
"""Side of the base whose settings the pages show."""
PAGES = [f"recipes/{name}.md" for name in RECIPES]
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{5})")


def pages() -> dict[str, str]:
    """Return the page of each recipe by its place in the site."""
    return {f"recipes/{recipe.name}.md": page(recipe) for recipe in RECIPES.values()}


def overview() -> list[str]:
    """Return the lines of the table of all recipes, as docs/recipes.md shows it."""
    rows = ([f"`{r.name}`", r.paper, r.use, r.cost] for r in RECIPES.values())
    return table(["recipe", "paper", "take it when", "a step costs"], rows)[:-1]


def page(recipe: Recipe) -> str:
    """Return a page in Markdown: what the recipe is for, its paper, what it changes, and the command."""
    attributes = " --labels labels.csv" if recipe.name == MULTIPATH else ""
    lines = [
        f"# {recipe.name}",
        "",
        recipe.use,
        "",
        f"    portraitist train my-drawings/ --recipe {recipe.name}{attributes} -o runs/mine --name mine",
        "",
        f"**Paper:** {ARXIV.sub(lambda m: f'[{m[0]}](https://arxiv.org/abs/{m[1]})', recipe.paper)}.",
        f"**A step costs** {recipe.cost} times that of `baseline`.",
        "",
        *(f"- Not with [{other}]({other}.md): {why}." for other, why in recipe.refuses.items()),
        "",
        *_told(recipe),
        "## What it changes",
        "",
        f"Settings of a base of {RESOLUTION} pixels; `portraitist train --dry-run` shows those of yours.",
        "",
    ]
    columns = _settings(recipe)
    keys = dict.fromkeys(key for settings in columns.values() for key in settings)
    rows = [[f"`{key}`", *(settings.get(key, "-") for settings in columns.values())] for key in keys]
    lines += table(["setting", *columns], (row for row in rows if len(set(row[1:])) > 1))
    lines += [*(f"- No preset `{preset}`: {why}." for preset, why in recipe.without.items()), ""]
    lines += ["How recipes are joined, presets, early stopping: [Teaching a base a style](../recipes.md).", ""]
    return "\n".join(lines)


def _told(recipe: Recipe) -> list[str]:
    """Return what the recipe's module and function say of it."""
    module = inspect.getmodule(recipe.function("default"))
    assert module is not None and module.__doc__
    told = ["## What the source says", "", _markdown(module.__doc__), ""]
    for derive in dict.fromkeys(recipe.function(preset) for preset in recipe.presets):
        if derive.__doc__:
            told += [f"`{derive.__name__}`: {_markdown(derive.__doc__)}", ""]
    return told


def _markdown(docstring: str) -> str:
    """Return a docstring with the marks of Markdown in place of those of docstrings."""
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", inspect.cleandoc(docstring))
    # Indented lines are tables and code, whose columns must stay.
    return re.sub(r"^(?! {4}).*", lambda line: line[0].replace("``", "`"), text, flags=re.MULTILINE)


def _settings(recipe: Recipe) -> dict[str, dict[str, str]]:
    """Return the settings that a recipe begins with, and those of each of its presets, by the head of a column."""
    paths = ("women", "men") if recipe.name == MULTIPATH else ()
    stands = recipe.name not in (*ROOTS, "freeze_d")
    before = compose("baseline", RESOLUTION) if stands else fine_tune(RESOLUTION, Training())
    presets = {f"`--preset {p}`": compose(recipe.name, RESOLUTION, preset=p, paths=paths) for p in recipe.presets}
    named = "`baseline`" if stands else "fine-tuning alone"
    return {head: _flat(training.record()) for head, training in {named: before, **presets}.items()}


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return found
