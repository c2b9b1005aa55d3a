"""Write docs/results/recipes.md from the runs of scripts/recipe_runs.py: tables, and a sheet to look at.

python scripts/results_recipes.py --runs runs/recipes --features squeezenet.npz
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from pages import prose
from recipe_runs import FEW_IMAGES, HEAVY, LONG, LONG_IMAGES, SEEDS, SHORT_IMAGES, STYLES, Task, curve
from safetensors import safe_open
from torch import Tensor

from portraitist.data.images import write_image
from portraitist.data.sheet import grid
from portraitist.io import registry
from portraitist.io.feature_files import load_features
from portraitist.io.model_file import Model, load_model, read_header
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks import Generator
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.ops.memory import keep_heap
from portraitist.recipes.baseline import fine_tune
from portraitist.recipes.reproduction.cartoon_stylegan import content_at
from portraitist.runs import early_stopping
from portraitist.surgery import swap
from portraitist.train.snapshot import KEY, snapshots

PAGE = Path("docs/results/recipes.md")
SHEET = PAGE.with_suffix(".png")
CODES = 2000
BATCH = 50
SWAPS = (8, 16, 32)
ROWS = ("without fine-tuning", "FT", "FC-FT", *(f"FC-FT, LS {r}" for r in SWAPS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--features", type=Path, help="weights of a feature network to measure with as well")
    parser.add_argument("--measure", action="store_true", help="only measure model distances, and keep them")
    options = parser.parse_args()
    keep_heap()
    torch.set_num_threads(1)
    base = registry.load("faces")
    looks = distances_of(base, options.features)
    table = [[measured(options.runs, style, seed, base, looks) for seed in SEEDS] for style in STYLES]
    if options.measure:
        return
    text = "\n".join(
        [
            "# The recipes, measured",
            "",
            prose(HEAD.format(short=SHORT_IMAGES, seen=sum(step["images_seen"] for step in base.header.lineage))),
            "",
            SEEN,
            "",
            *[distance_table(table, look) for look in looks],
            structure_table(options.runs, base),
            paths_table(options.runs),
            stop_table(options.runs),
            few_table(options.runs),
            "What a step of each recipe costs: [recipe_costs.md](recipe_costs.md).",
        ]
    )
    PAGE.write_text(text + "\n", encoding="utf-8")
    draw_sheet(options.runs, base)


HEAD = """Written by `scripts/results_recipes.py` from the runs of `scripts/recipe_runs.py`: the 64-pixel base `faces`
after {seen} images, the sets toon3d (244 exemplars), anime (155), oil (76) and charcoal (90), seeds 0 to 2. 20 % of
each set judge the run, 20 % are seen by nobody but the script (*unseen*), the rest are trained on; a seed splits,
trains and draws. Runs have {short} images where nothing else is said. Every number is a mean over seeds ± the
standard deviation over seeds. *Unseen distance* is the kernel distance (Binkowski et al. 2018) of 256 samples to the
unseen exemplars on the features of the base's discriminator; *content error* the mean squared difference of 16 x 16
areas of colour to what the base draws from the same codes."""
SEEN = "![Rows: the base; then toon3d and charcoal by baseline, FC-FT, FreezeSG, structure loss, LS 16](recipes.png)"


# Model distance, UI2I Table I.


def distances_of(base: Model, features: Path | None) -> dict[str, PerceptualDistance]:
    """Return what to measure model distances with, by name."""
    assert base.discriminator is not None
    found = {"the base's discriminator": PerceptualDistance(DiscriminatorFeatures(base.discriminator))}
    if features is not None:
        network = load_features(features)
        found[network.name] = PerceptualDistance(network)
    return found


def measured(
    runs: Path, style: str, seed: int, base: Model, looks: dict[str, PerceptualDistance]
) -> dict[str, dict[str, float]]:
    """Return the model distances of one style and seed: measure -> row -> distance. They are kept beside the runs."""
    cache = runs / f"distances-{style}-{seed}.json"
    found = json.loads(cache.read_text()) if cache.exists() else {}
    if set(looks) <= set(found):
        return found
    part = "stop" if style in LONG else "matrix"
    fc = kept(runs, Task(part, style, "freeze_fc", seed, 0), base).generator
    ft = kept(runs, Task("matrix", style, "baseline", seed, 0), base).generator
    models: dict[str, Callable[[Tensor], Tensor]] = {"FT": ft, "FC-FT": fc}
    for r in SWAPS:
        models[f"FC-FT, LS {r}"] = swap(base.generator, fc, upto=r, by="features")
    z = torch.randn(CODES, base.generator.anatomy.z_dim, generator=torch.Generator().manual_seed(0))
    sums = {name: dict.fromkeys(ROWS, 0.0) for name in looks}
    with torch.no_grad():
        for part_z in z.split(BATCH):
            face = base.generator(part_z)
            for name, look in looks.items():
                prepared = look.prepare(face)
                for row, model in models.items():
                    sums[name][row] += float(look.distance(model(part_z), prepared).sum())
                # Two models that share nothing have pictures of one code that are as far apart as any two pictures.
                sums[name][ROWS[0]] += float(look.distance(fc(part_z.roll(1, 0)), prepared).sum())
    found = {name: {row: total / CODES for row, total in rows.items()} for name, rows in sums.items()}
    cache.write_text(json.dumps(found, indent=1))
    return found


def distance_table(table: Sequence[Sequence[dict[str, dict[str, float]]]], look: str) -> str:
    lines = [
        f"## Model distance to the base (UI2I Table I), by {look}",
        "",
        prose(
            f"""Mean perceptual distance over {CODES} shared codes, own mapping each, stored noise, no truncation. FT is
            `baseline`, FC-FT `freeze_fc`; LS r takes the features up to r pixels from the base. *Without fine-tuning*
            stands for two models trained apart: the style's picture of one code beside the base's of another."""
        ),
        "",
        "| | " + " | ".join(STYLES) + " |",
        "|---|" + "---|" * len(STYLES),
    ]
    for row in ROWS:
        lines.append(f"| {row} | " + " | ".join(spread([s[look][row] for s in seeds]) for seeds in table) + " |")
    every = [s[look] for seeds in table for s in seeds]
    order = [f"{a} > {b} {sum(d[a] > d[b] for d in every)}/{len(every)}" for a, b in pairwise(ROWS)]
    lines += ["", prose("Order, in how many of the runs: " + "; ".join(order) + ".")]
    return "\n".join([*lines, ""])


# Structure kept, Cartoon-StyleGAN.


def structure_table(runs: Path, base: Model) -> str:
    methods = {"baseline": ("baseline", 0.0), "FreezeSG": ("freeze_sg", 0.0), "structure": ("structure", 0.0)}
    methods[f"structure, weight {HEAVY:g}"] = ("structure", HEAVY)
    lines = [
        "## Structure kept at equal style (Cartoon-StyleGAN, Sec. 3)",
        "",
        prose(
            """Content error where each method first reaches the same unseen distance: the lowest that all reach within
            the run (between ticks by interpolation). The paper's weight of the structure loss is 1; the bundled base
            draws little at low resolutions, so a larger one is tried too."""
        ),
        "",
        "| | unseen distance | " + " | ".join(methods) + " |",
        "|---|---|" + "---|" * len(methods),
    ]
    names = list(methods)
    wins = dict.fromkeys(names[1:], 0)
    moved: dict[str, list[float]] = {m: [] for m in names[1:]}
    for style in ("toon3d", "charcoal"):
        levels, errors = [], []
        for seed in SEEDS:
            tasks = [Task("matrix", style, recipe, seed, 0, weight=weight) for recipe, weight in methods.values()]
            curves = [curve(runs / task.name) for task in tasks]
            levels.append(max(min(unseen(p) for p in c) for c in curves))
            errors.append([content_at(c, levels[-1]) for c in curves])
            for k, m in enumerate(names[1:], 1):
                wins[m] += errors[-1][k] < errors[-1][0]
                moved[m].append(swapped(runs, tasks[k], base))
        cells = [spread([e[k] for e in errors]) for k in range(len(names))]
        lines.append(f"| {style} | {spread(levels)} | " + " | ".join(cells) + " |")
    lines += [
        "",
        prose(
            f"""Lower than the baseline in: {", ".join(f"{m} {n}/{2 * len(SEEDS)}" for m, n in wins.items())} runs.
            Taking the features up to 8 pixels from the base afterwards (layer swap) changes a pixel, of 2, by at most:
            {", ".join(f"{m} {max(v):.3g}" for m, v in moved.items())}. FreezeSG's low resolutions are the base's
            already."""
        ),
        "",
    ]
    return "\n".join(lines)


def unseen(point: dict[str, Any]) -> float:
    return statistics.fmean(point["unseen"])


@torch.no_grad()
def swapped(runs: Path, task: Task, base: Model) -> float:
    """Return how much a picture changes when the low resolutions are taken from the base."""
    model = kept(runs, task, base).generator
    z = torch.randn(64, base.generator.anatomy.z_dim, generator=torch.Generator().manual_seed(1))
    return float((swap(base.generator, model, upto=8, by="features")(z) - model(z)).abs().max())


# Paths, stopping, few exemplars, cost.


def paths_table(runs: Path) -> str:
    lines = [
        "## A path per attribute (AgileGAN, Sec. 3.3)",
        "",
        prose(
            """Unseen distance to the exemplars of each gender, at equal images seen (FC-FT, with and without paths;
            women and men are shown equally often by `multipath`, as they come without it)."""
        ),
        "",
        "| | attribute | single path | multipath | lower in |",
        "|---|---|---|---|---|",
    ]
    for style in ("toon3d", "charcoal"):
        for k, value in enumerate(("female", "male")):
            single, multi = (
                [curve(runs / Task("paths", style, r, s, 0).name)[-1]["unseen"][k] for s in SEEDS]
                for r in ("freeze_fc", "freeze_fc+multipath")
            )
            lower = sum(m < s for m, s in zip(multi, single, strict=True))
            lines.append(f"| {style} | {value} | {spread(single)} | {spread(multi)} | {lower}/{len(SEEDS)} |")
    return "\n".join([*lines, ""])


def stop_table(runs: Path) -> str:
    patience = fine_tune(64).patience
    lines = [
        "## Stopping by itself",
        "",
        prose(
            f"""FC-FT to {LONG_IMAGES} images. *Kept* is the tick that the rule chose on its own held-out exemplars,
            *best* the tick with the lowest distance to the unseen ones; *behind* is what the choice gives away, as a
            part of all that training gains on the unseen ones (a ratio of distances would mean nothing: the best are
            near 0, where an unbiased distance may be negative). Training stops {patience} ticks of 500 images after the
            kept one."""
        ),
        "",
        "| | seed | kept at | best at | unseen: base | kept | best | behind |",
        "|---|---|---|---|---|---|---|---|",
    ]
    gaps, fixed = [], {}
    for style in LONG:
        for seed in SEEDS:
            folder = runs / Task("stop", style, "freeze_fc", seed, 0).name
            points = [p for p in curve(folder) if p["images"] <= LONG_IMAGES]
            told = {round(s["images"]): s for s in history(folder)}
            story = [told[p["images"]] for p in points]
            pick = early_stopping.best(stopped(story, patience))
            values = [unseen(p) for p in points]
            low = min(range(len(values)), key=values.__getitem__)
            behind = [(v - values[low]) / (values[0] - values[low]) for v in values]
            gaps.append(behind[pick])
            for p, b in zip(points, behind, strict=True):
                fixed.setdefault(p["images"], []).append(b)
            cells = [style, seed, points[pick]["images"], points[low]["images"], f"{values[0]:.3f}"]
            cells += [f"{values[pick]:.4f}", f"{values[low]:.4f}", f"{behind[pick]:.1%}"]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    within = sum(g <= 0.1 for g in gaps)
    lines += [
        "",
        prose(
            f"""Within 10 % of the best in {within} of {len(gaps)} runs. The rule takes the mean of two ticks since
            these runs showed what single ones do (mean 4.5 %, worst 18.8 %); the 33 runs of {SHORT_IMAGES} images,
            which had no part in that choice, agree (2.4 % before, 1.9 % since). Always training to a fixed count
            instead, of which nobody knows the right one beforehand, would give away:"""
        ),
        "",
        "| | mean behind | worst | within 10 % |",
        "|---|---|---|---|",
        row("the rule", gaps),
        *(row(f"{n} images", b) for n, b in fixed.items() if n and n % 1000 < 8),
        "",
    ]
    return "\n".join(lines)


def row(name: str, behind: Sequence[float]) -> str:
    within = sum(b <= 0.1 for b in behind)
    return f"| {name} | {statistics.fmean(behind):.1%} | {max(behind):.1%} | {within}/{len(behind)} |"


def stopped(story: list[early_stopping.Score], patience: int) -> list[early_stopping.Score]:
    """Return the part of a history that the rule would have let happen."""
    for k in range(1, len(story) + 1):
        if early_stopping.is_over(story[:k], patience):
            return story[:k]
    return story


def few_table(runs: Path) -> str:
    lines = [
        "## From few exemplars",
        "",
        prose(
            f"""FC-FT on 20, 50 and 100 exemplars of toon3d (of which the run holds out 20 %, at least 5), at most
            {FEW_IMAGES} images, the tick that the run's own judge keeps; the same 61 unseen exemplars for all."""
        ),
        "",
        "| exemplars | unseen distance | content error | kept at | copy alarm |",
        "|---|---|---|---|---|",
    ]
    for count in (20, 50, 100):
        values, errors, when, alarms = [], [], [], 0
        for seed in SEEDS:
            folder = runs / Task("few", "toon3d", "freeze_fc", seed, 0, exemplars=count).name
            story = history(folder)
            images = round(story[early_stopping.best(story)]["images"])
            point = next(p for p in curve(folder) if p["images"] == images)
            values.append(unseen(point))
            errors.append(point["content"])
            when.append(float(images))
            alarms += bool(read_header(folder / "style.safetensors").metrics["copies"]["alarm"])
        cells = f"{spread(values)} | {spread(errors)} | {statistics.fmean(when):.0f} | {alarms}/{len(SEEDS)}"
        lines.append(f"| {count} | {cells} |")
    base = [unseen(curve(runs / Task("few", "toon3d", "freeze_fc", s, 0, exemplars=100).name)[0]) for s in SEEDS]
    return "\n".join([*lines, "", f"The base itself: {spread(base)}.", ""])


def history(folder: Path) -> list[early_stopping.Score]:
    """Return what the judge of a run said, tick by tick."""
    with safe_open(snapshots(folder / "snapshots")[-1], framework="pt") as file:
        found: list[early_stopping.Score] = json.loads(file.metadata()[KEY])["counters"]["history"]
    return found


def kept(runs: Path, task: Task, base: Model) -> Model:
    """Return the style that a run drew when it had seen the images that runs are compared at."""
    return load_model(runs / task.name / "kept.safetensors", find_base=lambda header: base)


def spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}"


def draw_sheet(runs: Path, base: Model) -> None:
    """Draw the same codes by the base and by each recipe, in two styles."""
    codes = torch.randn(8, base.generator.anatomy.z_dim, generator=torch.Generator().manual_seed(5))
    rows = [drawn(base.generator, codes)]
    for style in ("toon3d", "charcoal"):
        fc = kept(runs, Task("stop", style, "freeze_fc", 0, 0), base).generator
        models = [
            kept(runs, Task("matrix", style, r, 0, 0), base).generator for r in ("baseline", "freeze_sg", "structure")
        ]
        rows += [drawn(m, codes) for m in (models[0], fc, *models[1:])]
        rows.append(drawn(swap(base.generator, fc, upto=16, by="features"), codes))
    write_image(SHEET, grid(torch.cat(rows), columns=len(codes)))


@torch.no_grad()
def drawn(model: Generator | Any, codes: Tensor) -> Tensor:
    """Draw codes pulled to the mean by 0.7, as samples are shown."""
    mean = model.mean.data
    ws = mean + 0.7 * (model.styles(codes) - mean)
    return model.synthesize(type(model.mean)(ws))


if __name__ == "__main__":
    main()
