"""Back 2021, arXiv:2106.12445: how much of the faces' structure is kept at equal style. The paper prints no number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from portraitist.evaluate import embed, kernel_distance, structure_distance
from portraitist.evaluate.quality import as_files, baselines
from portraitist.networks import Generator
from portraitist.report.markdown import BLANK, bullets, mean_std, prose, table
from portraitist.surgery import FeatureSwap, swap

from .published import CARTOON
from .study import CODES, Run, Study
from .verdict import verdict

PLAIN, FREEZE_SG = "baseline", "FreezeSG"
METHODS = {
    PLAIN: ("baseline", 0.0),
    "FreezeG": ("freeze_g", 0.0),
    FREEZE_SG: ("freeze_sg", 0.0),
    "structure": ("structure", 1.0),
    **{f"structure, weight {weight:g}": ("structure", weight) for weight in (100.0, 1000.0, 10_000.0)},
}
"""Recipes (Figs 1, 3 and 4), and weights of the structure loss: a small base draws little at low resolutions."""
SWAPPED = (8, 16, 32)
"""Resolutions up to which the base's features are put in afterwards: those that FreezeSG freezes, and of Fig. 5."""

Found = dict[str, Any]


def reproduce(study: Study) -> list[str]:
    """Measure, and return the lines of the page."""
    found = {(style, seed): _measured(study, style, seed) for style in study.sets for seed in study.seeds}
    return [
        f"## Cartoon-StyleGAN ({CARTOON})",
        BLANK,
        *prose(
            f"""The paper shows pictures and prints no numbers; these are ours. *Content error* is the mean squared
            difference of 16 x 16 areas of colour to what the base draws of the same {CODES} latents, where a
            training first reaches the same kernel distance to the unseen exemplars (on the base's discriminator):
            the lowest that all methods reach within {study.images} images, between ticks by interpolation. ±
            deviation over {len(study.seeds)} seeds."""
        ),
        *_kept(study, found),
        *_references(study, found),
        *_swaps(study, found),
        *_changed_by_swap(found),
    ]


def content_at(points: Sequence[Mapping[str, Any]], level: float) -> float:
    """Return the content error where a training first falls to a distance, between ticks by interpolation.

    Args:
        points: What was seen at each tick.
        level: A distance that it falls to.
    """
    if points[0]["unseen"][0] <= level:  # the base itself is there, at no cost
        return float(points[0]["content"])
    for before, point in pairwise(points):
        (high,), (low,) = before["unseen"], point["unseen"]
        if low <= level < high:
            share = (high - level) / (high - low)
            return float(before["content"] + share * (point["content"] - before["content"]))
    raise AssertionError("the level is one that the training reaches")


def _measured(study: Study, style: str, seed: int) -> Found:
    runs = {name: Run(style, recipe, seed, weight) for name, (recipe, weight) in METHODS.items()}
    about = {"models": {name: study.digest(run) for name, run in runs.items()}}

    def measure() -> Found:
        return {
            **structure_kept(study, runs),
            "references": _baselines(study, style, seed),
            "after": {name: _after_swaps(study, run) for name, run in runs.items()},
        }

    found: Found = study.cached(f"cartoon-{style}-{seed}", about, measure)
    return found


def structure_kept(study: Study, runs: Mapping[str, Run]) -> Found:
    """Compare what trainings keep of the base's structure at the lowest distance that all of them reach.

    Returns:
        That distance as ``level``, and by the name of each run the ``content`` error there, and by how much a pixel is
        ``swapped``, which says what taking the low resolutions from the base afterwards changes.
    """
    curves = {name: study.curve(run) for name, run in runs.items()}
    level = max(min(point["unseen"][0] for point in curve) for curve in curves.values())
    return {
        "level": level,
        "content": {name: content_at(curve, level) for name, curve in curves.items()},
        "swapped": {name: _swapped(study, run) for name, run in runs.items()},
    }


def swaps(study: Study) -> tuple[int, ...]:
    """Return the resolutions of :data:`SWAPPED` that are below the base's."""
    return tuple(upto for upto in SWAPPED if upto < study.side)


def _swapped(study: Study, run: Run) -> float:
    """Return by how much a value changes at most when the low resolutions are taken from the base."""
    model, codes = study.trained(run), study.latents(64, 1)
    low = swap(study.base.generator, model, upto=swaps(study)[0], by="features")
    return float((study.drawn(low, codes) - study.drawn(model, codes)).abs().max())


def _after_swaps(study: Study, run: Run) -> dict[str, dict[str, float]]:
    """Return content error and distance at the end of a training, as it is and with low resolutions of the base."""
    trained, codes = study.trained(run), study.latents(CODES, 77)
    inputs = as_files(study.base.generator.sample_batches(codes))
    rows = embed(study.own, study.reference(run.style, run.seed).held_out)
    models: dict[str, Generator | FeatureSwap] = {"0": trained}
    for upto in swaps(study):
        models[str(upto)] = swap(study.base.generator, trained, upto=upto, by="features")
    return {name: _scores(study, as_files(study.drawn(model, codes)), inputs, rows) for name, model in models.items()}


def _scores(study: Study, outputs: Tensor, inputs: Tensor, rows: Tensor) -> dict[str, float]:
    return {
        "content": float(structure_distance(outputs, inputs).mean()),
        "unseen": kernel_distance(embed(study.own, outputs), rows),
    }


def _baselines(study: Study, style: str, seed: int) -> dict[str, dict[str, float]]:
    """Return content error and distance of doing nothing, of a tint and of copies."""
    inputs = as_files(study.base.generator.sample_batches(study.latents(CODES, 77)))
    reference = study.reference(style, seed)
    rows = embed(study.own, reference.held_out)
    return {
        name: _scores(study, as_files(outputs), inputs, rows) for name, outputs in baselines(inputs, reference).items()
    }


def _kept(study: Study, found: Mapping[tuple[str, int], Found]) -> list[str]:
    body = []
    for style in study.sets:
        mine = [found[style, seed] for seed in study.seeds]
        cells = [mean_std([m["content"][name] for m in mine]) for name in METHODS]
        body.append([style, mean_std([m["level"] for m in mine]), *cells])
    lines = ["### Structure kept at equal style (Sec. 3)", BLANK, *table(["", "kernel distance", *METHODS], body)]
    content = [f["content"] for f in found.values()]
    names = [name for name in METHODS if name != PLAIN]
    return lines + bullets([verdict(n, PLAIN, [(c[n], c[PLAIN]) for c in content]) for n in names])


def _references(study: Study, found: Mapping[tuple[str, int], Found]) -> list[str]:
    names = list(next(iter(found.values()))["references"])
    body = []
    for style in study.sets:
        mine = [found[style, seed]["references"] for seed in study.seeds]
        for name in names:
            body.append([style, name, *(mean_std([m[name][k] for m in mine]) for k in ("content", "unseen"))])
    lines = prose("What no training gets, as a measure of the numbers above:")
    return lines + table(["", "", "content error", "kernel distance"], body)


def _swaps(study: Study, found: Mapping[tuple[str, int], Found]) -> list[str]:
    """Return the table of what layers of the base, put in afterwards, do to structure and style (Figs 1, 4 and 5)."""
    columns = {"0": "no swap", **{str(upto): f"LS to {upto}" for upto in swaps(study)}}
    body = []
    for style in study.sets:
        for name in METHODS:
            mine = [found[style, seed]["after"][name] for seed in study.seeds]
            both = [[mean_std([m[upto][k] for m in mine]) for k in ("content", "unseen")] for upto in columns]
            body.append([style, name, *(" / ".join(cell) for cell in both)])
    return [
        *prose(
            f"""Content error / kernel distance of the models after {study.images} images, and with the features of the
            base up to 8, 16 or 32 pixels in place of their own:"""
        ),
        *table(["", "", *columns.values()], body),
    ]


def _changed_by_swap(found: Mapping[tuple[str, int], Found]) -> list[str]:
    worst = {name: max(f["swapped"][name] for f in found.values()) for name in METHODS}
    exact = f"FreezeSG's are the base's already: a swap up to {SWAPPED[0]} pixels changes it by "
    sentence = exact + ("exactly 0." if worst[FREEZE_SG] == 0 else f"**{worst[FREEZE_SG]:.3g}, and not by 0**.")
    others = ", ".join(f"{name} by {value:.3g}" for name, value in worst.items() if name != FREEZE_SG)
    return [
        "### Low resolutions from the base afterwards",
        BLANK,
        *bullets([sentence, f"The same swap changes a value, of 2, by at most: {others}."]),
    ]
