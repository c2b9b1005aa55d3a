"""Back 2021, arXiv:2106.12445: how much of the faces' structure is kept at equal style. The paper prints no number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch

from ...evaluate import embed, kernel_distance, structure_distance
from ...evaluate.quality import as_files, baselines
from ...surgery import swap
from .bench import CODES, Bench, Trial
from .page import BLANK, cell, listed, prose, table, verdict
from .published import CARTOON

PLAIN, FREEZE_SG = "baseline", "FreezeSG"
METHODS = {
    PLAIN: ("baseline", 0.0),
    FREEZE_SG: ("freeze_sg", 0.0),
    "structure": ("structure", 0.0),
    "structure, weight 100": ("structure", 100.0),
}
"""Recipes and weights of the structure loss; a heavier one too, since a small base draws little at low resolutions."""
SWAPPED = 8
"""Resolution up to which the base's features are put in afterwards: those that FreezeSG freezes."""

Found = dict[str, Any]


def reproduce(bench: Bench) -> list[str]:
    """Measure, and return the lines of the page."""
    found = {(style, seed): _measured(bench, style, seed) for style in bench.sets for seed in bench.seeds}
    return [
        f"## Cartoon-StyleGAN ({CARTOON})",
        BLANK,
        *prose(
            f"""The paper shows pictures and prints no numbers; these are ours. *Content error* is the mean squared
            difference of 16 x 16 areas of colour to what the base draws of the same {CODES} latents, where a
            training first reaches the same kernel distance to the unseen exemplars (on the base's discriminator):
            the lowest that all methods reach within {bench.images} images, between ticks by interpolation. ±
            deviation over {len(bench.seeds)} seeds."""
        ),
        *_kept(bench, found),
        *_references(bench, found),
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


def _measured(bench: Bench, style: str, seed: int) -> Found:
    trials = {name: Trial(style, recipe, seed, weight) for name, (recipe, weight) in METHODS.items()}
    about = {"models": {name: bench.digest(trial) for name, trial in trials.items()}}

    def measure() -> Found:
        curves = {name: bench.curve(trial) for name, trial in trials.items()}
        level = max(min(point["unseen"][0] for point in curve) for curve in curves.values())
        swapped = {name: _swapped(bench, trial) for name, trial in trials.items()}
        return {
            "level": level,
            "content": {name: content_at(curve, level) for name, curve in curves.items()},
            "swapped": swapped,
            "references": _baselines(bench, style, seed),
        }

    found: Found = bench.remembered(f"cartoon-{style}-{seed}", about, measure)
    return found


def _swapped(bench: Bench, trial: Trial) -> float:
    """Return by how much a value changes at most when the low resolutions are taken from the base."""
    model = bench.trained(trial)
    codes = bench.latents(64, 1)
    low = swap(bench.base.generator, model, upto=min(SWAPPED, bench.side // 2), by="features")
    with torch.no_grad():
        return float((low(codes) - model(codes)).abs().max())


def _baselines(bench: Bench, style: str, seed: int) -> dict[str, dict[str, float]]:
    """Return content error and distance of doing nothing, of a tint and of copies."""
    inputs = as_files(bench.base.generator.sample_batches(bench.latents(CODES, 77)))
    reference = bench.reference(style, seed)
    rows = embed(bench.own, reference.held_out)
    return {
        name: {
            "content": float(structure_distance(outputs, inputs).mean()),
            "unseen": kernel_distance(embed(bench.own, as_files(outputs)), rows),
        }
        for name, outputs in baselines(inputs, reference).items()
    }


def _kept(bench: Bench, found: Mapping[tuple[str, int], Found]) -> list[str]:
    body = []
    for style in bench.sets:
        mine = [found[style, seed] for seed in bench.seeds]
        cells = [cell([m["content"][name] for m in mine]) for name in METHODS]
        body.append([style, cell([m["level"] for m in mine]), *cells])
    lines = ["### Structure kept at equal style (Sec. 3)", BLANK, *table(["", "kernel distance", *METHODS], body)]
    content = [f["content"] for f in found.values()]
    names = [name for name in METHODS if name != PLAIN]
    return lines + listed([verdict(n, PLAIN, [(c[n], c[PLAIN]) for c in content]) for n in names])


def _references(bench: Bench, found: Mapping[tuple[str, int], Found]) -> list[str]:
    names = list(next(iter(found.values()))["references"])
    body = []
    for style in bench.sets:
        mine = [found[style, seed]["references"] for seed in bench.seeds]
        for name in names:
            body.append([style, name, *(cell([m[name][k] for m in mine]) for k in ("content", "unseen"))])
    lines = prose("What no training gets, as a measure of the numbers above:")
    return lines + table(["", "", "content error", "kernel distance"], body)


def _changed_by_swap(found: Mapping[tuple[str, int], Found]) -> list[str]:
    worst = {name: max(f["swapped"][name] for f in found.values()) for name in METHODS}
    exact = f"FreezeSG's are the base's already: a swap up to {SWAPPED} pixels changes it by "
    sentence = exact + ("exactly 0." if worst[FREEZE_SG] == 0 else f"**{worst[FREEZE_SG]:.3g}, and not by 0**.")
    others = ", ".join(f"{name} by {value:.3g}" for name, value in worst.items() if name != FREEZE_SG)
    return [
        "### Low resolutions from the base afterwards",
        BLANK,
        *listed([sentence, f"The same swap changes a value, of 2, by at most: {others}."]),
    ]
