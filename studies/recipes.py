"""The recipes on the bundled base: distances, structure kept, paths, stopping, few exemplars.

    python -m studies recipes --data DATA --features squeezenet.npz --part stop matrix --seeds 0    # train a part
    python -m studies recipes --data DATA --features squeezenet.npz                                 # the rest; the page

Each run is an ordinary run folder below --out, so the work can be stopped and started at will, and several processes
can share it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from portraitist.data import ImageSet
from portraitist.data.images import write_image
from portraitist.data.sheet import grid
from portraitist.errors import UsageError
from portraitist.io import registry
from portraitist.io.feature_files import load_features
from portraitist.io.headers import read_header
from portraitist.losses.perceptual import PerceptualDistance, default_perceptual
from portraitist.networks import Generator
from portraitist.recipes.baseline import fine_tune
from portraitist.report.markdown import BLANK, mean_std, prose, table
from portraitist.runs import early_stopping
from portraitist.surgery import FeatureSwap, swap
from portraitist.train.snapshot import KEY, snapshots

from . import cartoon_stylegan
from .study import Distances, Drawers, Run, Study, label

PAGE = Path("docs/results/recipes.md")
SHEET = PAGE.with_suffix(".png")
SEEDS = (0, 1, 2)
STYLES = ("toon3d", "anime", "oil", "charcoal")
LONG = ("toon3d", "anime", "charcoal")
"""Styles that are trained for long, to see whether training stops where it should."""
TWO = ("toon3d", "charcoal")
"""Styles that structure and paths are compared on."""
KEEPING = {
    name: cartoon_stylegan.METHODS[name] for name in ("baseline", "FreezeSG", "structure", "structure, weight 100")
}
"""What keeps the structure, by the name of its row."""
GENDERS = ("female", "male")
LONG_IMAGES, FEW_IMAGES, SHORT_IMAGES = 6_000, 4_000, 3_000
COUNTS = (20, 50, 100)
BATCH = 50
SWAPS = (8, 16, 32)
APART = "without fine-tuning"
ROWS = (APART, "FT", "FC-FT", *(f"FC-FT, LS {r}" for r in SWAPS))


def fine(style: str, seed: int) -> Run:
    """Return the FC-FT run of a style: a long one where there is one."""
    return Run(style, "freeze_fc", seed, part="stop", images=LONG_IMAGES) if style in LONG else short(style, seed)


def short(style: str, seed: int, recipe: str = "freeze_fc", weight: float = 0.0) -> Run:
    return Run(style, recipe, seed, weight, part="matrix")


def few(count: int, seed: int) -> Run:
    return Run("toon3d", "freeze_fc", seed, part="few", exemplars=count, images=FEW_IMAGES)


def by_gender(style: str, seed: int, *, multipath: bool) -> Run:
    recipe, paths = ("freeze_fc+multipath", GENDERS) if multipath else ("freeze_fc", ())
    return Run(style, recipe, seed, part="paths", by="gender", values=GENDERS, paths=paths)


def runs(seeds: Sequence[int]) -> Iterator[Run]:
    """Yield all trainings; those of one seed first, so that a part of the work already says something."""
    for seed in seeds:
        yield from (fine(style, seed) for style in (*LONG, "oil"))
        yield from (short(style, seed, "baseline") for style in STYLES)
        for style in TWO:
            yield from (short(style, seed, *method) for method in list(KEEPING.values())[1:])
            yield from (by_gender(style, seed, multipath=multipath) for multipath in (False, True))
        yield from (few(count, seed) for count in COUNTS)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies recipes", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with style_*/ and labels_style_*.csv")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"), help="folder of the runs and measurements")
    parser.add_argument("--features", type=Path, help="weights of a feature network to measure with as well")
    parser.add_argument("--part", nargs="*", help="train these parts only, and write no page: stop, matrix, paths, few")
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS), help="seeds to train")
    given = parser.parse_args(arguments)
    study = study_of(given.data, given.out, given.features)
    for run in runs(given.seeds):
        if not given.part or run.part in given.part:
            try:
                study.train(run)
            except UsageError as error:  # another process trains it
                print(f"{run.name}: {error}", flush=True)
    if not given.part:
        PAGE.write_text("\n".join(page(study)) + "\n", encoding="utf-8")
        write_image(SHEET, grid(sheet(study), columns=8))


def study_of(data: Path, out: Path, features: Path | None) -> Study:
    base = registry.load("faces")
    side = base.generator.anatomy.resolution
    sets = {s: ImageSet.open(data / f"style_{s}", side, labels=data / f"labels_style_{s}.csv") for s in STYLES}
    distances = [default_perceptual(base.require_discriminator("to measure with"))]
    if features is not None:
        distances.append(PerceptualDistance(load_features(features)))
    return Study(base, out, sets, SEEDS, SHORT_IMAGES, perceptual=tuple(distances), quiet=True, runs="")


def page(study: Study) -> list[str]:
    """Return the lines of the page."""
    found = {(style, seed): distances(study, style, seed) for style in STYLES for seed in SEEDS}
    seen = sum(step["images_seen"] for step in study.base.header.lineage)
    return [
        "# The recipes, measured",
        BLANK,
        *prose(HEAD.format(short=SHORT_IMAGES, seen=seen)),
        "![Rows: the base; then toon3d and charcoal by baseline, FC-FT, FreezeSG, structure loss, LS 16](recipes.png)",
        BLANK,
        *(line for distance in study.distances for line in distance_table(found, distance)),
        *structure_table(study),
        *paths_table(study),
        *stop_table(study),
        *few_table(study),
        "What a step of each recipe costs: [recipe_costs.md](recipe_costs.md).",
    ]


HEAD = """Written by `python -m studies recipes`: the 64-pixel base `faces`
after {seen} images, the sets toon3d (244 exemplars), anime (155), oil (76) and charcoal (90), seeds 0 to 2. 20 % of
each set judge the run, 20 % are seen by nobody but the study (*unseen*), the rest are trained on; a seed splits,
trains and draws. Runs have {short} images where nothing else is said. Every number is a mean over seeds ± the
standard deviation over seeds. *Unseen distance* is the kernel distance (Binkowski et al. 2018) of 256 samples to the
unseen exemplars on the features of the base's discriminator; *content error* the mean squared difference of 16 x 16
areas of colour to what the base draws from the same codes."""


# Model distance, UI2I Table I.


def distances(study: Study, style: str, seed: int) -> Distances:
    """Return the model distances of one style and seed."""
    made_of = {"FT": short(style, seed, "baseline"), "FC-FT": fine(style, seed)}
    about = {"models": {name: study.digest(run) for name, run in made_of.items()}, **study.measured_by}

    def measure() -> Distances:
        drawers: Drawers = {name: study.trained(run) for name, run in made_of.items()}
        fc = study.trained(made_of["FC-FT"])
        for r in SWAPS:
            drawers[f"FC-FT, LS {r}"] = swap(study.base.generator, fc, upto=r, by="features")
        # Two models that share nothing have pictures of one code that are as far apart as any two pictures.
        drawers[APART] = lambda z: fc(z.roll(1, 0))
        return study.model_distances(drawers, {}, BATCH)

    found: Distances = study.cached(f"distances-{style}-{seed}", about, measure)
    return found


def distance_table(found: dict[tuple[str, int], Distances], distance: PerceptualDistance) -> list[str]:
    by = label(distance)
    name = "the base's discriminator" if distance.features.name == "discriminator" else distance.features.name
    every = [one[by] for one in found.values()]
    order = [f"{a} > {b} {sum(d[a] > d[b] for d in every)}/{len(every)}" for a, b in pairwise(ROWS)]
    return [
        f"## Model distance to the base (UI2I Table I), by {name}",
        BLANK,
        *prose(
            """Mean perceptual distance over 2000 shared codes, own mapping each, stored noise, no truncation. FT is
            `baseline`, FC-FT `freeze_fc`; LS r takes the features up to r pixels from the base. *Without fine-tuning*
            stands for two models trained apart: the style's picture of one code beside the base's of another."""
        ),
        *table(
            ["", *STYLES],
            ([row, *(mean_std([found[s, k][by][row] for k in SEEDS]) for s in STYLES)] for row in ROWS),
        ),
        *prose("Order, in how many of the runs: " + "; ".join(order) + "."),
    ]


# Structure kept, Cartoon-StyleGAN.


def structure_table(study: Study) -> list[str]:
    first, *names = KEEPING
    body, found = [], []
    for style in TWO:
        mine = [
            cartoon_stylegan.structure_kept(
                study, {name: short(style, seed, *method) for name, method in KEEPING.items()}
            )
            for seed in SEEDS
        ]
        cells = [mean_std([m["content"][name] for m in mine]) for name in (first, *names)]
        body.append([style, mean_std([m["level"] for m in mine]), *cells])
        found += mine
    wins = (f"{n} {sum(m['content'][n] < m['content'][first] for m in found)}/{len(found)}" for n in names)
    moved = (f"{n} {max(m['swapped'][n] for m in found):.3g}" for n in names)
    return [
        "## Structure kept at equal style (Cartoon-StyleGAN, Sec. 3)",
        BLANK,
        *prose(
            """Content error where each method first reaches the same unseen distance: the lowest that all reach within
            the run (between ticks by interpolation). The paper's weight of the structure loss is 1; the bundled base
            draws little at low resolutions, so a larger one is tried too."""
        ),
        *table(["", "unseen distance", first, *names], body),
        *prose(
            f"""Lower than the baseline in: {", ".join(wins)} runs.
            Taking the features up to 8 pixels from the base afterwards (layer swap) changes a pixel, of 2, by at most:
            {", ".join(moved)}. FreezeSG's low resolutions are the base's already."""
        ),
    ]


def unseen(point: dict[str, Any]) -> float:
    return statistics.fmean(point["unseen"])


# Paths, stopping, few exemplars.


def paths_table(study: Study) -> list[str]:
    body = []
    for style in TWO:
        for k, value in enumerate(GENDERS):
            single, multi = (
                [study.curve(by_gender(style, s, multipath=multipath))[-1]["unseen"][k] for s in SEEDS]
                for multipath in (False, True)
            )
            lower = sum(m < s for m, s in zip(multi, single, strict=True))
            body.append([style, value, mean_std(single), mean_std(multi), f"{lower}/{len(SEEDS)}"])
    return [
        "## A path per attribute (AgileGAN, Sec. 3.3)",
        BLANK,
        *prose(
            """Unseen distance to the exemplars of each gender, at equal images seen (FC-FT, with and without paths;
            women and men are shown equally often by `multipath`, as they come without it)."""
        ),
        *table(["", "attribute", "single path", "multipath", "lower in"], body),
    ]


def stop_table(study: Study) -> list[str]:
    patience = fine_tune(64).patience
    gaps: list[float] = []
    fixed: dict[int, list[float]] = {}
    body = []
    for style in LONG:
        for seed in SEEDS:
            points = study.curve(fine(style, seed))
            scores = {round(s["images"]): s for s in history(study.folder(fine(style, seed)))}
            pick = early_stopping.best(stopped([scores[p["images"]] for p in points], patience))
            values = [unseen(p) for p in points]
            low = min(range(len(values)), key=values.__getitem__)
            behind = [(v - values[low]) / (values[0] - values[low]) for v in values]
            gaps.append(behind[pick])
            for p, b in zip(points, behind, strict=True):
                fixed.setdefault(p["images"], []).append(b)
            distances = (f"{values[0]:.3f}", f"{values[pick]:.4f}", f"{values[low]:.4f}")
            body.append([style, seed, points[pick]["images"], points[low]["images"], *distances, f"{behind[pick]:.1%}"])
    within = sum(g <= 0.1 for g in gaps)
    rules = [("the rule", gaps), *((f"{n} images", b) for n, b in fixed.items() if n and n % 1000 < 8)]
    return [
        "## Stopping by itself",
        BLANK,
        *prose(
            f"""FC-FT to {LONG_IMAGES} images. *Kept* is the tick that the rule chose on its own held-out exemplars,
            *best* the tick with the lowest distance to the unseen ones; *behind* is what the choice gives away, as a
            part of all that training gains on the unseen ones (a ratio of distances would mean nothing: the best are
            near 0, where an unbiased distance may be negative). Training stops {patience} ticks of 500 images after the
            kept one."""
        ),
        *table(["", "seed", "kept at", "best at", "unseen: base", "kept", "best", "behind"], body),
        *prose(
            f"""Within 10 % of the best in {within} of {len(gaps)} runs. The rule takes the mean of two ticks since
            such runs on the base of 200,000 images showed what single ones do (mean 4.5 %, worst 18.8 %); 33 runs of
            {SHORT_IMAGES} images there, which had no part in that choice, agreed (2.4 % before, 1.9 % since). Always
            training to a fixed count instead, of which nobody knows the right one beforehand, would give away:"""
        ),
        *table(
            ["", "mean behind", "worst", "within 10 %"],
            (
                [name, f"{statistics.fmean(b):.1%}", f"{max(b):.1%}", f"{sum(x <= 0.1 for x in b)}/{len(b)}"]
                for name, b in rules
            ),
        ),
    ]


def stopped(scores: list[early_stopping.Score], patience: int) -> list[early_stopping.Score]:
    """Return the part of a history that the rule would have let happen."""
    for k in range(1, len(scores) + 1):
        if early_stopping.is_over(scores[:k], patience):
            return scores[:k]
    return scores


def few_table(study: Study) -> list[str]:
    body = []
    for count in COUNTS:
        points, alarms = [], 0
        for seed in SEEDS:
            run = few(count, seed)
            scores = history(study.folder(run))
            images = round(scores[early_stopping.best(scores)]["images"])
            points.append(next(p for p in study.curve(run) if p["images"] == images))
            alarms += bool(read_header(study.folder(run) / "style.safetensors").metrics["copies"]["alarm"])
        when = f"{statistics.fmean(p['images'] for p in points):.0f}"
        spreads = (mean_std([unseen(p) for p in points]), mean_std([p["content"] for p in points]))
        body.append([count, *spreads, when, f"{alarms}/{len(SEEDS)}"])
    base = [unseen(study.curve(few(COUNTS[-1], seed))[0]) for seed in SEEDS]
    return [
        "## From few exemplars",
        BLANK,
        *prose(
            f"""FC-FT on 20, 50 and 100 exemplars of toon3d (of which the run holds out 20 %, at least 5), at most
            {FEW_IMAGES} images, the tick that the run's own judge keeps; the same 61 unseen exemplars for all."""
        ),
        *table(["exemplars", "unseen distance", "content error", "kept at", "copy alarm"], body),
        f"The base itself: {mean_std(base)}.",
        BLANK,
    ]


def history(folder: Path) -> list[early_stopping.Score]:
    """Return what a run's early stopping measured, tick by tick."""
    with safe_open(snapshots(folder / "snapshots")[-1], framework="pt") as file:
        found: list[early_stopping.Score] = json.loads(file.metadata()[KEY])["counters"]["history"]
    return found


def sheet(study: Study) -> Tensor:
    """Draw the same codes by the base and by each recipe, in two styles."""
    codes = study.latents(8, 5)
    base = study.base.generator
    rows = [drawn(base, codes)]
    for style in TWO:
        fc = study.trained(fine(style, 0))
        others = [study.trained(short(style, 0, *KEEPING[name])) for name in ("baseline", "FreezeSG", "structure")]
        models = (others[0], fc, *others[1:], swap(base, fc, upto=16, by="features"))
        rows += [drawn(model, codes) for model in models]
    return torch.cat(rows)


@torch.no_grad()
def drawn(model: Generator | FeatureSwap, codes: Tensor) -> Tensor:
    """Draw codes pulled to the mean by 0.7, as samples are shown."""
    mean = model.mean.data
    ws = mean + 0.7 * (model.styles(codes) - mean)
    return model.synthesize(type(model.mean)(ws))
