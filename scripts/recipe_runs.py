"""Train what docs/results/recipes.md compares: recipes, styles and seeds on the bundled base.

Each run is an ordinary run folder, so the script can be stopped and started at will, and several can share the work.
Exemplars are split three ways: 20 % are held out for the judge of the run, 20 % are seen by nobody but this script,
and the rest are trained on; a seed splits, trains and draws. scripts/results_recipes.py makes the page.

    python scripts/recipe_runs.py --data DATA --runs runs/recipes
    python scripts/recipe_runs.py --data DATA --runs runs/recipes --part stop matrix --seeds 0
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from portraitist.data import ImageSet
from portraitist.errors import UsageError
from portraitist.evaluate import kernel_interval, likeness, pooled, structure_distance
from portraitist.io import registry
from portraitist.io.model_file import Header, Model, save_pack
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.ops.memory import keep_heap
from portraitist.recipes import compose
from portraitist.runs.finetune import Source, TrainOptions, train
from portraitist.train.source_losses import Structure
from portraitist.train.state import TrainState, path_of

SEEDS = (0, 1, 2)
STYLES = ("toon3d", "anime", "oil", "charcoal")
LONG = ("toon3d", "anime", "charcoal")
"""Styles that are trained for long, to see whether training stops where it should."""
LONG_IMAGES = 6_000
FEW_IMAGES = 4_000
SHORT_IMAGES = 3_000
CODES = 256
HEAVY = 100.0
"""The bundled base draws little at low resolutions, so the paper's weight of 1 hardly moves it."""
UNSEEN = 0.2


@dataclass(frozen=True)
class Task:
    """One training."""

    part: str
    style: str
    recipe: str
    seed: int
    images: int
    exemplars: int = 0
    """How many to use of the set; all when 0."""
    paths: tuple[str, ...] = ()
    by: str = ""
    weight: float = 0.0
    """Of the structure loss; the recipe's own when 0."""

    @property
    def name(self) -> str:
        few = f"-{self.exemplars}" if self.exemplars else ""
        heavy = f"-w{self.weight:g}" if self.weight else ""
        return f"{self.part}-{self.style}-{self.recipe.replace('+', '_')}{few}{heavy}-{self.seed}"


def tasks() -> Iterator[Task]:
    """Yield all trainings; those of one seed first, so that a part of the work already says something."""
    for seed in SEEDS:
        for style in LONG:
            yield Task("stop", style, "freeze_fc", seed, LONG_IMAGES)
        yield Task("matrix", "oil", "freeze_fc", seed, SHORT_IMAGES)
        for style in STYLES:
            yield Task("matrix", style, "baseline", seed, SHORT_IMAGES)
        for style in ("toon3d", "charcoal"):
            for recipe in ("freeze_sg", "structure"):
                yield Task("matrix", style, recipe, seed, SHORT_IMAGES)
        for style in ("toon3d", "charcoal"):
            both = ("female", "male")
            yield Task("paths", style, "freeze_fc", seed, SHORT_IMAGES, by="gender")
            yield Task("paths", style, "freeze_fc+multipath", seed, SHORT_IMAGES, paths=both, by="gender")
        for style in ("toon3d", "charcoal"):
            yield Task("matrix", style, "structure", seed, SHORT_IMAGES, weight=HEAVY)
        for count in (20, 50, 100):
            yield Task("few", "toon3d", "freeze_fc", seed, FEW_IMAGES, exemplars=count)


@dataclass
class Watch:
    """Scores a training on exemplars that neither it nor its judge has seen, and keeps the generator at one count."""

    folder: Path
    base: Model
    unseen: Sequence[ImageSet]
    """By attribute, or all in one set."""
    keep_at: int
    features: DiscriminatorFeatures = field(init=False)

    def __post_init__(self) -> None:
        assert self.base.discriminator is not None
        self.features = DiscriminatorFeatures(self.base.discriminator)
        self.rows = [pooled(self.features, part.all()) for part in self.unseen]
        random = torch.Generator().manual_seed(77)
        self.codes = torch.randn(CODES, self.base.generator.anatomy.z_dim, generator=random)
        self.faces = self.base.generator.sample_batches(self.codes)

    def __call__(self, state: TrainState) -> None:
        names = getattr(state.average, "names", ("",))
        generators = [path_of(state.average, k) for k in range(len(names))]
        pictures = [g.sample_batches(self.codes) for g in generators]
        # A single path is scored against each attribute; of several, each against its own.
        by_set = pictures if len(pictures) > 1 else pictures * len(self.rows)
        scores = [kernel_interval(pooled(self.features, p), r) for p, r in zip(by_set, self.rows, strict=True)]
        line = {
            "images": state.images,
            "unseen": [s.value for s in scores],
            "spread": [s.spread for s in scores],
            "content": mean([structure_distance(p, self.faces) for p in pictures]),
            "likeness": mean([likeness(p, self.faces) for p in pictures]),
        }
        known = curve(self.folder)
        if all(state.images != k["images"] for k in known):
            with (self.folder / "unseen.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
        if state.images >= self.keep_at and not (self.folder / "kept.safetensors").exists():
            models = [Model(g, None, Header(g.anatomy)) for g in generators]
            named = dict(zip(names, models, strict=True)) if len(models) > 1 else models[0]
            save_pack(self.folder / "kept.safetensors", named, self.base)


def mean(values: Sequence[Tensor]) -> float:
    return float(torch.cat(list(values)).mean())


def curve(folder: Path) -> list[dict[str, object]]:
    path = folder / "unseen.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(task: Task, data: Path, runs: Path, base: Model) -> None:
    """Train one task, or go on with it."""
    folder = runs / task.name
    if (folder / "done").exists():
        return
    side = base.generator.anatomy.resolution
    images = ImageSet.open(data / f"style_{task.style}", side, labels=data / f"labels_style_{task.style}.csv")
    if task.by:
        wanted = {"female", "male"}
        images = images.subset([k for k, v in enumerate(images.attributes[task.by]) if v in wanted])
    rest, unseen = split(images, task)
    training = compose(task.recipe, side, paths=task.paths)
    training = replace(training, seed=task.seed, images=task.images, patience=0)
    if task.weight:
        training = training.with_term(Structure(weight=task.weight))
    parts = [unseen.select(v, by=task.by) for v in ("female", "male")] if task.by else [unseen]
    folder.mkdir(parents=True, exist_ok=True)
    watch = Watch(folder, base, parts, SHORT_IMAGES)
    told = TrainOptions(recipe=task.recipe, attribute=task.by, quiet=True, watch=watch)
    train(rest, folder, Source(base=base), training, told)
    (folder / "done").touch()


def split(images: ImageSet, task: Task) -> tuple[ImageSet, ImageSet]:
    """Return what a training gets, and what only this script sees; stratified by attribute where there is one."""
    seed = 1000 + task.seed
    if task.exemplars:
        # The same unseen exemplars whatever the number of those that are trained on.
        rest, unseen = images.split(0.25, seed)
        few, _ = rest.split(1 - task.exemplars / len(rest), seed)
        return few, unseen
    if not task.by:
        return images.split(UNSEEN, seed, at_least=10)
    column = images.attributes[task.by]
    rest: list[int] = []
    unseen: list[int] = []
    for value in sorted(set(column)):
        mine = [k for k, v in enumerate(column) if v == value]
        held = sorted(mine, key=lambda k: zlib.crc32(f"{seed}:{images.names[k]}".encode()))[: max(6, len(mine) // 5)]
        unseen += held
        rest += [k for k in mine if k not in set(held)]
    return images.subset(sorted(rest)), images.subset(sorted(unseen))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with style_*/ and labels_style_*.csv")
    parser.add_argument("--runs", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--part", nargs="*", help="only these parts: stop, matrix, paths, few")
    parser.add_argument("--recipe", nargs="*", help="only these recipes")
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    options = parser.parse_args()
    keep_heap()
    torch.set_num_threads(1)
    base = registry.load("faces")
    for task in tasks():
        part = not options.part or task.part in options.part
        if part and task.recipe in (options.recipe or [task.recipe]) and task.seed in options.seeds:
            try:
                run(task, options.data, options.runs, base)
            except UsageError as error:  # another process trains it
                print(f"{task.name}: {error}", flush=True)
                continue
            print(f"{task.name}: done", flush=True)


if __name__ == "__main__":
    main()
