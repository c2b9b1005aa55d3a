"""What a reproduction works with: models, exemplars and photos at hand, trainings that go on where they stopped.

Exemplars are split three ways: a fifth judges each training, a fifth is seen by nobody but the tables (*unseen*), the
rest is trained on; a seed splits, trains and draws. Every training is an ordinary run folder, every measurement a JSON
file that names what it was made from, so the work can be interrupted at any point, and several processes can share it.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...data import ImageSet
from ...errors import UsageError
from ...evaluate import described, kernel_interval, likeness, structure_distance
from ...evaluate.quality import Examiner, Reference, Row
from ...files import write_bytes
from ...io.encoder_files import StoredEncoder
from ...io.model_file import Header, Model, generator_digest, load_model, save_model, save_pack
from ...io.registry import file_sha256
from ...losses.perceptual import PerceptualDistance
from ...networks import Generator
from ...networks.features import DiscriminatorFeatures, Features
from ...networks.identity import Identity
from ...runs.finetune import Source, TrainOptions, train
from ...train.source_losses import Structure
from ...train.spec import Training
from ...train.state import TrainState, path_of
from ..baseline import from_scratch
from ..registry import compose

log = logging.getLogger("portraitist")

UNSEEN = 0.2
LEAST_UNSEEN = 10
CODES = 256
"""Latents by which a training is watched."""
TICKS = 6
KEPT, CURVE = "kept.safetensors", "unseen.jsonl"
"""What a watched training leaves: the averaged generator when all images were seen, and what was seen on the way."""
SCRATCH = "scratch"
"""The training of a generator that knows nothing of the base."""


@dataclass(frozen=True)
class Trial:
    """One training: a style, the recipes, and the seed that splits, trains and draws."""

    style: str
    recipe: str
    seed: int
    weight: float = 0.0
    """Of the structure loss; the recipe's own when 0."""

    @property
    def name(self) -> str:
        """The name of its run folder."""
        heavy = f"-w{self.weight:g}" if self.weight else ""
        return f"{self.style}-{self.recipe.replace('+', '_')}{heavy}-{self.seed}"


@dataclass(frozen=True, eq=False)
class Bench:
    """Everything that reproductions share."""

    base: Model
    """With its discriminator, on the device."""
    out: Path
    sets: Mapping[str, ImageSet]
    """Style -> exemplars at the resolution of the base."""
    seeds: tuple[int, ...] = (0, 1, 2)
    images: int = 3000
    """Images that each training sees."""
    samples: int = 2000
    """Pictures that each model draws to be measured."""
    features: tuple[Features, ...] = ()
    """What sets are compared with; the base's discriminator when empty."""
    looks: tuple[PerceptualDistance, ...] = ()
    """What two pictures are compared with; on the base's discriminator when empty."""
    persons: Identity | None = None
    photos: Tensor | None = None
    """Aligned faces that nothing was trained on, [N, 3, R, R] in [-1, 1]."""
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

    def __post_init__(self) -> None:
        self.base.require_discriminator("to train on with")
        if not self.sets or not self.seeds:
            raise UsageError("A reproduction needs a style and a seed at least.", "Name some.")

    @property
    def side(self) -> int:
        """Side of all pictures."""
        return self.base.generator.anatomy.resolution

    @cached_property
    def own(self) -> DiscriminatorFeatures:
        """The base's discriminator as features."""
        assert self.base.discriminator is not None
        return DiscriminatorFeatures(self.base.discriminator).to(self.device)

    @property
    def networks(self) -> tuple[Features, ...]:
        """What sets are compared with."""
        return self.features or (self.own,)

    @property
    def distances(self) -> tuple[PerceptualDistance, ...]:
        """What two pictures are compared with."""
        return self.looks or (PerceptualDistance(self.own),)

    @cached_property
    def codes(self) -> Tensor:
        """The latents that all models draw, [samples, z_dim]."""
        return self.latents(self.samples, 0)

    @cached_property
    def faces(self) -> Tensor:
        """What the base draws of them."""
        return self.base.generator.sample_batches(self.codes)

    def latents(self, count: int, seed: int) -> Tensor:
        """Draw latents on the device."""
        random = torch.Generator().manual_seed(seed)
        return torch.randn(count, self.base.generator.anatomy.z_dim, generator=random).to(self.device)

    def split(self, style: str, seed: int) -> tuple[ImageSet, ImageSet]:
        """Return what a training gets, and what only the tables see."""
        return self.sets[style].split(UNSEEN, 1000 + seed, at_least=LEAST_UNSEEN)

    def reference(self, style: str, seed: int) -> Reference:
        """Return the exemplars that a style of a seed is scored on."""
        rest, unseen = self.split(style, seed)
        return Reference(unseen.all().to(self.device), rest.all().to(self.device))

    def examined(
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
            reference, look = self.reference(style, seed), self.distances[0]
            examiner = Examiner(reference, network, look, self.persons, wanted=wanted)
            measured = [examiner.row(name, pictures, inputs) for name, pictures in outputs.items()]
            rows = {r.name: _values(r) for r in (*measured, *examiner.baselines(inputs))}
            pairs = pairs or {n: {k: v for k, v in r.items() if k in of_pairs} for n, r in rows.items()}
            found[network.digest] = {name: pairs[name] | row for name, row in rows.items()}
        return found

    def trained(self, trial: Trial) -> Generator:
        """Return the generator of a training at its last image; train first, or go on, where there is none yet."""
        found = load_model(self._kept(trial), find_base=lambda header: self.cpu_base)
        return found.generator.to(self.device)

    def digest(self, trial: Trial) -> str:
        """Return what tells its generator from others, training it where need be."""
        return file_sha256(self._kept(trial))

    def curve(self, trial: Trial) -> list[dict[str, Any]]:
        """Return what was seen along a training, up to its last image."""
        lines = (self.folder(trial) / CURVE).read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        last = min((line["images"] for line in found if line["images"] >= self.images), default=self.images)
        return [line for line in found if line["images"] <= last]

    def folder(self, trial: Trial) -> Path:
        """Return its run folder."""
        return self.out / "runs" / trial.name

    def remembered(self, name: str, about: Mapping[str, Any], measure: Callable[[], Any]) -> Any:
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
    def judged_by(self) -> dict[str, Any]:
        """What tells the judges of this bench from others."""
        return {
            "features": [f.digest for f in self.networks],
            "looks": [look.features.digest for look in self.distances],
            "persons": None if self.persons is None else self.persons.digest,
        }

    @cached_property
    def cpu_base(self) -> Model:
        """The base on the CPU, as files want it."""
        return replace(self.base, generator=_on_cpu(self.base.generator))

    def _kept(self, trial: Trial) -> Path:
        """Return the file of its generator, trained where need be, and never that of another training."""
        path = self.folder(trial) / KEPT
        if not path.exists():
            self._train(trial)
        self._check(trial)
        return path

    def _train(self, trial: Trial) -> None:
        rest, unseen = self.split(trial.style, trial.seed)
        folder = self.folder(trial)
        folder.mkdir(parents=True, exist_ok=True)
        source = Source(base=self.cpu_base)
        if trial.recipe == SCRATCH:
            generator, discriminator = source.anatomies
            source = Source(generator=generator, discriminator=discriminator)
        told = TrainOptions(
            recipe=trial.recipe, device=self.device, quiet=self.quiet, watch=_Watch(self, trial, unseen)
        )
        train(rest, folder, source, self._training(trial), told)

    def _training(self, trial: Trial) -> Training:
        if trial.recipe == SCRATCH:
            training = from_scratch(self.side, self.start)
        else:
            training = compose(trial.recipe, self.side, start=self.start)
        tick = max(self.images // TICKS, 1)
        training = replace(training, seed=trial.seed, images=self.images, patience=0, tick=tick)
        return training.with_term(Structure(weight=trial.weight)) if trial.weight else training

    def _check(self, trial: Trial) -> None:
        """Refuse a run folder that holds another training under this name."""
        path = self.folder(trial) / "settings.json"
        told = json.loads(path.read_text(encoding="utf-8"))
        rest, _ = self.split(trial.style, trial.seed)
        wanted = {
            "base": "" if trial.recipe == SCRATCH else generator_digest(self.base),
            "recipe": trial.recipe,
            "seed": trial.seed,
            "data": {"digest": rest.digest, "count": len(rest)},
            "images": self.images,
            "batch": self._training(trial).batch,
        }
        if wrong := [key for key, value in wanted.items() if told.get(key) != value]:
            raise UsageError(
                f"The run folder {self.folder(trial)} has other settings: {', '.join(wrong)}.",
                "Give the settings that it was trained with, choose another --out, or remove it.",
            )


class _Watch:
    """Notes at every tick how near the unseen exemplars and how far from the base a training is, and keeps its end."""

    def __init__(self, bench: Bench, trial: Trial, unseen: ImageSet) -> None:
        self.bench, self.trial, self.folder = bench, trial, bench.folder(trial)
        self.rows = described(bench.own, unseen.all().to(bench.device))
        self.codes = bench.latents(CODES, 77)
        self.faces = bench.base.generator.sample_batches(self.codes)

    def __call__(self, state: TrainState) -> None:
        generator = path_of(state.average, 0)
        pictures = generator.sample_batches(self.codes)
        score = kernel_interval(described(self.bench.own, pictures), self.rows)
        line = {
            "images": state.images,
            "unseen": [score.value],
            "spread": [score.spread],
            "content": float(structure_distance(pictures, self.faces).mean()),
            "likeness": float(likeness(pictures, self.faces).mean()),
        }
        path = self.folder / CURVE
        known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        known = [text for text in known if json.loads(text)["images"] < state.images]
        write_bytes(path, "".join(f"{text}\n" for text in (*known, json.dumps(line))).encode(), overwrite=True)
        if state.images >= self.bench.images:
            self._keep(generator)

    def _keep(self, generator: Generator) -> None:
        model = Model(_on_cpu(generator), None, Header(generator.anatomy))
        if self.trial.recipe == SCRATCH:
            save_model(self.folder / KEPT, model, overwrite=True)
        else:
            save_pack(self.folder / KEPT, model, self.bench.cpu_base, overwrite=True)


def _values(row: Row) -> dict[str, float]:
    return {key: value.value for key, value in row.values.items()} | {"alarm": float(row.alarm)}


def _on_cpu(generator: Generator) -> Generator:
    return copy.deepcopy(generator).cpu().eval()
