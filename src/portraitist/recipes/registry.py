"""How recipes are put together.

training = compose("freeze_fc+structure", resolution=64)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast, get_args

from ..errors import UsageError
from ..train.feature_terms import FeatureLoss
from ..train.growth_losses import Downscaling, Reconstruction
from ..train.spec import Term, Training
from . import baseline
from .catalogue import MULTIPATH, RECIPES, ROOTS, Preset


def known_terms(resolution: int) -> Mapping[str, Term]:
    """Return the losses that a training may carry, by name; those that recipes bring have the recipe's settings."""
    brought = {t.name: t for r in RECIPES.values() for t in r.function("default")(Training(), resolution).terms}
    return brought | {term.name: term for term in (FeatureLoss(), Downscaling(), Reconstruction())}


def compose(
    names: str | Sequence[str],
    resolution: int,
    *,
    preset: str = "default",
    paths: Sequence[str] = (),
    start: Training | None = None,
) -> Training:
    """Put recipes together; their order does not matter.

    Args:
        names: Recipes, as a sequence or joined by ``+``. Those that build on the baseline bring it along.
        resolution: Side of the images that the base draws.
        preset: ``default``, what works best here; ``paper``, as the papers' text says, on the losses of StyleGAN2;
            ``released``, as the authors' code does.
        paths: Attributes of a multi-path training, each with a path of its own.
        start: Batch and seed to begin with; its other settings are replaced where a recipe has a say.

    Raises:
        UsageError: There is no such recipe, it has no such preset, or two contradict each other; see also ``check``.
    """
    wanted = names.split("+") if isinstance(names, str) else list(names)
    if unknown := [n for n in wanted if n not in RECIPES]:
        raise UsageError(f"There is no recipe '{unknown[0]}'.", f"Recipes: {', '.join(RECIPES)}.")
    if preset not in get_args(Preset):
        raise UsageError(f"There is no preset '{preset}'.", f"Use {', '.join(get_args(Preset))}.")
    for name in wanted:
        for other, why in RECIPES[name].refuses.items():
            if other in wanted:
                raise UsageError(f"The recipes {name} and {other} contradict each other: {why}.", "Choose one.")
    if bool(paths) != (MULTIPATH in wanted):
        raise UsageError(
            "The recipe multipath and the attributes of the exemplars belong together.",
            "Put the exemplars into a folder per attribute, or name a label file, and use --recipe multipath.",
        )
    start = start or Training()
    if paths:
        each = -(-start.batch // len(paths))
        start = replace(start, batch=each * len(paths), paths=tuple(paths))
    ours = preset == "default"
    training = (baseline.fine_tune if ours else baseline.stylegan2)(resolution, start)
    if ours and not set(wanted) & {*ROOTS, "freeze_d"}:
        wanted = ["baseline", *wanted]
    for name, recipe in RECIPES.items():
        if name in wanted:
            training = recipe.derived(training, resolution, cast(Preset, preset))
    return training
