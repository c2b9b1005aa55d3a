"""How recipes are put together.

training = compose("freeze_fc+structure", resolution=64)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

from ..errors import UsageError
from ..train.feature_terms import FeatureLoss
from ..train.spec import Term, Training
from . import baseline
from .catalogue import MULTIPATH, RECIPES, ROOTS, Preset


def known_terms(resolution: int) -> Mapping[str, Term]:
    """Return the losses that a training may carry, by name; those that recipes bring have the recipe's settings."""
    brought = {t.name: t for r in RECIPES.values() for t in r.derive(Training(), resolution).terms}
    return {**brought, FeatureLoss.name: FeatureLoss()}


def compose(
    names: str | Sequence[str],
    resolution: int,
    *,
    preset: str = "paper",
    paths: Sequence[str] = (),
    start: Training | None = None,
) -> Training:
    """Put recipes together; their order does not matter.

    Args:
        names: Recipes, as a sequence or joined by ``+``. Those that build on the baseline bring it along.
        resolution: Side of the images that the base draws.
        preset: As the papers say, or as the released code does.
        paths: Attributes of a multi-path training, each with a path of its own.
        start: Batch and seed to begin with; its other settings are replaced where a recipe has a say.

    Raises:
        UsageError: There is no such recipe, two contradict each other, or none has the preset; see also ``check``.
    """
    wanted = names.split("+") if isinstance(names, str) else list(names)
    if unknown := [n for n in wanted if n not in RECIPES]:
        raise UsageError(f"There is no recipe '{unknown[0]}'.", f"Recipes: {', '.join(RECIPES)}.")
    if preset not in get_args(Preset):
        raise UsageError(f"There is no preset '{preset}'.", "Use paper or released.")
    for name in wanted:
        for other, why in RECIPES[name].refuses.items():
            if other in wanted:
                raise UsageError(f"The recipes {name} and {other} contradict each other: {why}.", "Choose one.")
    if preset == "released" and not any(RECIPES[name].has_released for name in wanted):
        having = [recipe.name for recipe in RECIPES.values() if recipe.has_released]
        raise UsageError(
            f"No released code differs from the paper for {'+'.join(wanted)}.",
            f"Leave out the preset; these have one: {', '.join(having)}.",
        )
    if bool(paths) != (MULTIPATH in wanted):
        raise UsageError(
            "The recipe multipath and the attributes of the exemplars belong together.",
            "Put the exemplars into a folder per attribute, or name a label file, and use --recipe multipath.",
        )
    start = start or Training()
    if paths:
        each = -(-start.batch // len(paths))
        start = replace(start, batch=each * len(paths), paths=tuple(paths))
    training = baseline.fine_tune(resolution, start)
    if not set(wanted) & {*ROOTS, "freeze_d"}:
        wanted = ["baseline", *wanted]
    for name, recipe in RECIPES.items():
        if name in wanted:
            derive = recipe.released if preset == "released" and recipe.released else recipe.derive
            training = derive(training, resolution)
    return training
