"""What the studies work with: a base, exemplars and photos at hand, and trainings that go on where they stopped.

Exemplars are split three ways: a fifth stops each training, a fifth is seen by nobody but the tables (*unseen*), the
rest is trained on; a seed splits, trains and draws. Every training is an ordinary run folder, every measurement a JSON
file that names what it was made from, so the work can be interrupted at any point, and several processes can share it.
"""

from __future__ import annotations

import copy
import json
import logging
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from portraitist.data import ImageSet
from portraitist.errors import NothingLearned, UsageError
from portraitist.evaluate import embed, kernel_interval, layout_similarity, structure_distance
from portraitist.evaluate.quality import Reference, Row, Scorer
from portraitist.files import write_bytes
from portraitist.io.catalogue import file_sha256
from portraitist.io.encoder_files import StoredEncoder
from portraitist.io.headers import Header
from portraitist.io.model_file import Model, generator_digest, load_model, save_model, save_pack
from portraitist.losses.perceptual import PerceptualDistance, default_perceptual
from portraitist.networks import Generator
from portraitist.networks.features import DiscriminatorFeatures, Features
from portraitist.networks.identity import Identity
from portraitist.ops.memory import at_once
from portraitist.recipes import compose, from_scratch
from portraitist.runs.finetune import TrainOptions, train
from portraitist.runs.source import Source
from portraitist.surgery import FeatureSwap
from portraitist.train.source_losses import Similarity, Structure
from portraitist.train.spec import Training
from portraitist.train.state import TrainState, path_of

from .kept import refuse_other

log = logging.getLogger("portraitist")

UNSEEN = 0.2
LEAST_UNSEEN = 10
CODES = 256
"""Latents by which a training is watched."""
BATCH = 25
"""Latents that a model of 64 pixels draws at once; a larger one draws fewer."""
TICKS = 6
KEPT, CURVE = "kept.safetensors", "unseen.jsonl"
"""What a watched training leaves: the averaged generator at the images that runs are compared at, and what was seen on
the way."""
SCRATCH = "scratch"
"""The training of a generator that knows nothing of the base."""

Drawer = Generator | FeatureSwap | Callable[[Tensor], Tensor]
"""What draws latents [N, z_dim]."""
Drawers = dict[str, Drawer]
"""By the name of its row."""
Distances = dict[str, dict[str, float]]
"""Label of the perceptual distance -> row -> distance."""


@dataclass(frozen=True)
class Run:
    """One training: a style, the recipes, and the seed that splits, trains and draws."""

    style: str
    recipe: str
    seed: int
    weight: float = 0.0
    """Of the structure loss; the recipe's own when 0."""
    similarity: float | None = None
    """Weight of AgileGAN's similarity loss; the recipe's own when None."""
    part: str = ""
    """The part of a study that it belongs to."""
    images: int = 0
    """Images that it sees; as many as runs are compared at when 0."""
    exemplars: int = 0
    """How many exemplars it is given; all when 0."""
    by: str = ""
    """An attribute whose values have unseen exemplars of their own."""
    values: tuple[str, ...] = ()
    """The values of the attribute whose exemplars take part."""
    paths: tuple[str, ...] = ()
    split: tuple[int, int] | None = None
    """First and last resolution of the blocks that each path has for itself; the recipe's own when None."""

    @property
    def name(self) -> str:
        """The name of its run folder."""
        part = f"{self.part}-" if self.part else ""
        few = f"-{self.exemplars}" if self.exemplars else ""
        heavy = f"-w{self.weight:g}" if self.weight else ""
        alike = "" if self.similarity is None else f"-s{self.similarity:g}"
        split = "" if self.split is None else f"-{self.split[0]}to{self.split[1]}"
        return f"{part}{self.style}-{self.recipe.replace('+', '_')}{few}{heavy}{alike}{split}-{self.seed}"


@dataclass(frozen=True, eq=False)
class Study:
    """Everything that the measurements of a study share."""

    base: Model
    """With its discriminator, on the device."""
    out: Path
    """The folder of runs, measurements and pages."""
    sets: Mapping[str, ImageSet]
    """Style -> exemplars at the resolution of the base."""
    seeds: tuple[int, ...] = (0, 1, 2)
    images: int = 3000
    """Images at which trainings are compared."""
    samples: int = 2000
    """Pictures that each model draws to be measured."""
    features: tuple[Features, ...] = ()
    """What sets are compared with; the base's discriminator when empty."""
    perceptual: tuple[PerceptualDistance, ...] = ()
    """What two pictures are compared with; on the base's discriminator when empty."""
    identity: Identity | None = None
    photos: Tensor | None = None
    """Aligned faces that nothing was trained on, [N, 3, R, R] in [-1, 1]."""
    pairs: tuple[Tensor, Tensor] | None = None
    """Photos of the same persons twice, neutral and smiling, in the same order."""
    learned: ImageSet | None = None
    """Photos that translators learn from."""
    encoders: Mapping[str, StoredEncoder] = field(default_factory=dict)
    """By the name of their row."""
    steps: int | None = None
    """Of each optimisation; its own when None."""
    scratch: bool = True
    """Whether to train from scratch too, for UI2I's models that share nothing."""
    device: str = "cpu"
    quiet: bool = False
    start: Training | None = None
    """Batch and intervals of regularisation of every training; the recipes' own when None."""
    runs: str = "runs"
    """Folder of the run folders, in ``out``."""

    def __post_init__(self) -> None:
        self.base.require_discriminator("to train on with")
        if not self.sets or not self.seeds:
            raise UsageError("A study needs a style and a seed at least.", "Name some.")

    @property
    def side(self) -> int:
        """Side of all pictures."""
        return self.base.generator.anatomy.resolution

    @cached_property
    def own(self) -> DiscriminatorFeatures:
        """The base's discriminator as features."""
        return DiscriminatorFeatures(self.base.require_discriminator("to look with")).to(self.device)

    @property
    def networks(self) -> tuple[Features, ...]:
        """What sets are compared with."""
        return self.features or (self.own,)

    @cached_property
    def distances(self) -> tuple[PerceptualDistance, ...]:
        """What two pictures are compared with."""
        base = self.base.require_discriminator("to look with")
        return self.perceptual or (default_perceptual(base).to(self.device),)

    @cached_property
    def codes(self) -> Tensor:
        """The latents that all models draw, [samples, z_dim]."""
        return self.latents(self.samples, 0)

    @cached_property
    def faces(self) -> Tensor:
        """What the base draws of them."""
        return self.base.generator.sample_batches(self.codes)

    @torch.no_grad()
    def drawn(self, model: Drawer, latents: Tensor) -> Tensor:
        """Return what a model draws of latents [N, z_dim]: [N, 3, R, R]."""
        return torch.cat([model(part) for part in torch.split(latents, at_once(BATCH, self.side))])

    def latents(self, count: int, seed: int) -> Tensor:
        """Draw latents on the device."""
        random = torch.Generator().manual_seed(seed)
        return torch.randn(count, self.base.generator.anatomy.z_dim, generator=random).to(self.device)

    # Exemplars.

    def split(self, run: Run) -> tuple[ImageSet, tuple[ImageSet, ...]]:
        """Return what a training gets, and what only the tables see: a set, or one for each value of an attribute."""
        images, seed = self.sets[run.style], 1000 + run.seed
        if run.by:
            return _split_by(images, run, seed)
        if run.exemplars:
            # The same unseen exemplars whatever the number of those that are trained on.
            rest, unseen = images.split(0.25, seed)
            few, _ = rest.split(1 - run.exemplars / len(rest), seed)
            return few, (unseen,)
        rest, unseen = images.split(UNSEEN, seed, at_least=LEAST_UNSEEN)
        return rest, (unseen,)

    def reference(self, style: str, seed: int) -> Reference:
        """Return the exemplars that a style of a seed is scored on."""
        rest, (unseen,) = self.split(Run(style, "", seed))
        return Reference(unseen.all().to(self.device), rest.all().to(self.device))

    # Trainings.

    def folder(self, run: Run) -> Path:
        """Return its run folder."""
        return self.out / self.runs / run.name

    def trained(self, run: Run, path: str | None = None) -> Generator:
        """Return the generator of a run, or of one of its paths, at the images that runs are compared at.

        It is trained where it is missing.
        """
        found = load_model(self._kept(run), attribute=path, find_base=lambda header: self.cpu_base)
        return found.generator.to(self.device)

    def digest(self, run: Run) -> str:
        """Return what tells its generator from others, training it where need be."""
        return file_sha256(self._kept(run))

    def curve(self, run: Run) -> list[dict[str, Any]]:
        """Return what was seen along a training, up to its last image."""
        until = run.images or self.images
        lines = (self.folder(run) / CURVE).read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        last = min((line["images"] for line in found if line["images"] >= until), default=until)
        return [line for line in found if line["images"] <= last]

    def train(self, run: Run) -> None:
        """Train to the last image, or go on with it; nothing where it is done."""
        folder = self.folder(run)
        if (folder / ("model.safetensors" if run.recipe == SCRATCH else "style.safetensors")).exists():
            return
        rest, unseen = self.split(run)
        folder.mkdir(parents=True, exist_ok=True)
        source = Source(base=self.cpu_base)
        if run.recipe == SCRATCH:
            generator, discriminator = source.anatomies
            source = Source(generator=generator, discriminator=discriminator)
        watch = _Watcher(self, run, unseen)
        options = TrainOptions(recipe=run.recipe, attribute=run.by, device=self.device, quiet=self.quiet, watch=watch)
        with suppress(NothingLearned):  # that is a result too; what was kept is there all the same
            train(rest, folder, source, self._training(run), options)

    @cached_property
    def cpu_base(self) -> Model:
        """The base on the CPU, as files want it."""
        return replace(self.base, generator=_on_cpu(self.base.generator))

    def _kept(self, run: Run) -> Path:
        """Return the file of its generator, trained where need be, and never that of another training."""
        path = self.folder(run) / KEPT
        if not path.exists():
            self.train(run)
        self._check(run)
        return path

    def _training(self, run: Run) -> Training:
        if run.recipe == SCRATCH:
            training = from_scratch(self.side, self.start)
        else:
            training = compose(run.recipe, self.side, paths=run.paths, start=self.start)
        tick = max(self.images // TICKS, 1)
        training = replace(training, seed=run.seed, images=run.images or self.images, patience=0, tick=tick)
        if run.split:
            training = replace(training, split_from=run.split[0], split_upto=run.split[1])
        if run.similarity is not None:
            (own,) = (term for term in training.terms if isinstance(term, Similarity))
            training = training.with_term(replace(own, weight=run.similarity))
        return training.with_term(Structure(weight=run.weight)) if run.weight else training

    def _check(self, run: Run) -> None:
        """Refuse a run folder that holds another training under this name."""
        rest, _ = self.split(run)
        wanted = {
            **self._training(run).record(),
            "base": "" if run.recipe == SCRATCH else generator_digest(self.base),
            "recipe": run.recipe,
            "data": {"digest": rest.digest, "count": len(rest)},
        }
        refuse_other(self.folder(run), wanted)

    # Measurements.

    def cached(self, name: str, about: Mapping[str, Any], measure: Callable[[], Any]) -> Any:
        """Return what was measured before under the same circumstances, or measure it and write it down.

        Args:
            name: Of the file.
            about: What the numbers depend on beside the base; plain values.
            measure: Returns plain values.
        """
        wanted = json.loads(json.dumps({"base": generator_digest(self.base), "samples": self.samples, **about}))
        path = self.out / "measured" / f"{name}.json"
        if path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
            if known["about"] == wanted:
                return known["found"]
        log.info("measuring %s", name)
        found = json.loads(json.dumps(measure()))
        write_bytes(path, (json.dumps({"about": wanted, "found": found}, indent=1) + "\n").encode(), overwrite=True)
        return found

    @property
    def measured_by(self) -> dict[str, Any]:
        """What tells the networks that measure from others."""
        return {
            "features": [f.digest for f in self.networks],
            "looks": [distance.features.digest for distance in self.distances],
            "persons": None if self.identity is None else self.identity.digest,
        }

    def scored(
        self,
        style: str,
        seed: int,
        outputs: Mapping[str, Tensor],
        inputs: Tensor,
        of_sets: Collection[str],
        of_pairs: Collection[str],
    ) -> dict[str, dict[str, dict[str, float]]]:
        """Measure outputs and baselines on the exemplars that nobody saw.

        Args:
            style: Whose exemplars.
            seed: Of their split.
            outputs: Row -> pictures [N, 3, R, R].
            inputs: What they were made from.
            of_sets: Keys of ``MEASURES`` to measure with each network.
            of_pairs: Those that no such network has a part in; measured once.

        Returns:
            Digest of the network -> row -> measure -> value, and 1 for a copy ``alarm``.
        """
        found: dict[str, dict[str, dict[str, float]]] = {}
        pairs: dict[str, dict[str, float]] = {}
        for network in self.networks:
            wanted = of_sets if pairs else (*of_sets, *of_pairs)
            scorer = Scorer(self.reference(style, seed), network, self.distances[0], self.identity, wanted=wanted)
            measured = [scorer.row(name, pictures, inputs) for name, pictures in outputs.items()]
            rows = {r.name: _values(r) for r in (*measured, *scorer.baselines(inputs))}
            pairs = pairs or {n: {k: v for k, v in r.items() if k in of_pairs} for n, r in rows.items()}
            found[network.digest] = {name: pairs[name] | row for name, row in rows.items()}
        return found

    @torch.no_grad()
    def model_distances(self, drawers: Drawers, others: Mapping[str, Tensor], batch: int = BATCH) -> Distances:
        """Return the mean perceptual distances to what the base draws of the shared codes (UI2I, Eq. 1 and Table I).

        Args:
            drawers: Models, which are given ``batch`` codes at once.
            others: Pictures of all codes, [samples, 3, R, R], by the name of their row.
            batch: Codes at once.
        """
        sums: Distances = {label(distance): {} for distance in self.distances}
        for start in range(0, self.samples, batch):
            part = slice(start, start + batch)
            drawn = {name: draw(self.codes[part]) for name, draw in drawers.items()}
            drawn |= {name: pictures[part] for name, pictures in others.items()}
            for distance in self.distances:
                face, total = distance.prepare(self.faces[part]), sums[label(distance)]
                for name, pictures in drawn.items():
                    total[name] = total.get(name, 0.0) + float(distance.distance(pictures, face).sum())
        return {by: {name: s / self.samples for name, s in total.items()} for by, total in sums.items()}


def label(distance: PerceptualDistance) -> str:
    """Return what a distance is called in tables."""
    return f"{distance.name} sha256:{distance.features.digest[:8]}"


class _Watcher:
    """Notes at every tick how near the unseen exemplars and the base a training is, and keeps a snapshot."""

    def __init__(self, study: Study, run: Run, unseen: Sequence[ImageSet]) -> None:
        self.study, self.run, self.folder = study, run, study.folder(run)
        self.rows = [embed(study.own, part.all().to(study.device)) for part in unseen]
        self.codes = study.latents(CODES, 77)
        self.faces = study.base.generator.sample_batches(self.codes)

    def __call__(self, state: TrainState) -> None:
        names = getattr(state.average, "names", ("",))
        generators = [path_of(state.average, k) for k in range(len(names))]
        pictures = [generator.sample_batches(self.codes) for generator in generators]
        # A single path is scored against each set; of several, each against its own.
        by_set = pictures if len(pictures) > 1 else pictures * len(self.rows)
        scores = [kernel_interval(embed(self.study.own, p), r) for p, r in zip(by_set, self.rows, strict=True)]
        line = {
            "images": state.images,
            "unseen": [s.value for s in scores],
            "spread": [s.spread for s in scores],
            "content": _mean([structure_distance(p, self.faces) for p in pictures]),
            "likeness": _mean([layout_similarity(p, self.faces) for p in pictures]),
        }
        path = self.folder / CURVE
        known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        known = [text for text in known if json.loads(text)["images"] < state.images]
        write_bytes(path, "".join(f"{text}\n" for text in (*known, json.dumps(line))).encode(), overwrite=True)
        if state.images >= self.study.images and not (self.folder / KEPT).exists():
            self._keep(dict(zip(names, generators, strict=True)))

    def _keep(self, generators: Mapping[str, Generator]) -> None:
        models = {name: Model(_on_cpu(g), None, Header(g.anatomy)) for name, g in generators.items()}
        model = next(iter(models.values()))
        if self.run.recipe == SCRATCH:
            save_model(self.folder / KEPT, model)
        else:
            save_pack(self.folder / KEPT, models if len(models) > 1 else model, self.study.cpu_base)


def _split_by(images: ImageSet, run: Run, seed: int) -> tuple[ImageSet, tuple[ImageSet, ...]]:
    """Hold a fifth of the exemplars of each value of an attribute out."""
    images = images.subset([k for k, v in enumerate(images.attributes[run.by]) if v in run.values])
    column = images.attributes[run.by]
    unseen: list[int] = []
    for value in run.values:
        mine = [k for k, v in enumerate(column) if v == value]
        held = sorted(mine, key=lambda k: zlib.crc32(f"{seed}:{images.names[k]}".encode()))
        unseen += held[: max(6, len(mine) // 5)]
    rest = sorted(set(range(len(column))) - set(unseen))
    hidden = images.subset(sorted(unseen))
    return images.subset(rest), tuple(hidden.select(value, by=run.by) for value in run.values)


def _mean(values: Sequence[Tensor]) -> float:
    return float(torch.cat(list(values)).mean())


def _values(row: Row) -> dict[str, float]:
    return {key: value.value for key, value in row.values.items()} | {"alarm": float(row.alarm)}


def _on_cpu(generator: Generator) -> Generator:
    return copy.deepcopy(generator).cpu().eval()
