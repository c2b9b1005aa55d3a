"""From settings to a trained model: the one place where files, data and the loop meet."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..data import ImageBatches, ImageSet
from ..errors import BadData, PortraitistError, UsageError
from ..evaluate.held_out import LEAST_HELD_OUT
from ..io import registry
from ..io.model_file import (
    Header,
    Model,
    check_header,
    generator_digest,
    lineage,
    read_header,
    save_model,
    save_pack,
)
from ..losses.perceptual import PerceptualDistance
from ..networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from ..networks.features import DeepestTaps, DiscriminatorFeatures, Features
from ..networks.growth import grow_discriminator, grow_generator, grown_discriminator, grown_generator
from ..spaces import statistics
from ..surgery import blend, hard
from ..train.crew import RANK_TIMEOUT, Crew, Precision, check_alike, joined
from ..train.folder import SAMPLES, SNAPSHOTS, locked, passed, settle
from ..train.likeness import likeness_terms
from ..train.log import RunLog
from ..train.loop import fit
from ..train.signals import Interrupted, polite_stop
from ..train.snapshot import resume, sweep, write_snapshot
from ..train.spec import Training, check
from ..train.state import TrainState, path_of
from ..train.terms import Term, standard_terms
from . import early_stopping, findings, growth

log = logging.getLogger("portraitist")

# A run may be told to go on for longer, and to write more or less often; nothing else may change.
MAY_CHANGE = frozenset({"images", "tick", "snapshot", "patience", "recipe", "version"})
FEWEST_EXEMPLARS = 20
SHOWN = 36


@dataclass(frozen=True)
class Source:
    """Where a training begins: a base to fine-tune, a base and the sizes it grows to, or the sizes of new networks."""

    base: Model | None = None
    generator: GeneratorAnatomy | None = None
    discriminator: DiscriminatorAnatomy | None = None

    def __post_init__(self) -> None:
        if self.base is not None:
            self.base.require_discriminator("to train on with")

    @property
    def grows(self) -> bool:
        """Whether a base is enlarged first; what comes of it is a base again, not a style."""
        return self.base is not None and self.generator is not None

    @property
    def teaches(self) -> Model | None:
        """The base of a fine-tuning, which a style is compared with; None where a base is trained."""
        return None if self.grows else self.base

    @property
    def resolution(self) -> int:
        """Side of the images that the networks draw and score."""
        return self.anatomies[0].resolution

    @property
    def anatomies(self) -> tuple[GeneratorAnatomy, DiscriminatorAnatomy]:
        """The sizes of both networks."""
        if self.teaches is not None and self.teaches.discriminator is not None:
            return self.teaches.generator.anatomy, self.teaches.discriminator.anatomy
        assert self.generator is not None and self.discriminator is not None
        return self.generator, self.discriminator

    def networks(self, seed: int) -> tuple[Generator, Discriminator]:
        """Copy the base, grow it, or make new networks from a seed."""
        if self.base is not None and self.generator is not None and self.discriminator is not None:
            assert self.base.discriminator is not None
            return (
                grow_generator(self.base.generator, self.generator, seed).train(),
                grow_discriminator(self.base.discriminator, self.discriminator, seed).train(),
            )
        if self.base is not None:
            assert self.base.discriminator is not None
            return copy.deepcopy(self.base.generator).train(), copy.deepcopy(self.base.discriminator).train()
        generator, discriminator = self.anatomies
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Generator(generator), Discriminator(discriminator)


def grown(
    base: Model, resolution: int | None = None, channels: tuple[int, ...] = (), narrower: tuple[int, ...] = ()
) -> Source:
    """Return a source that enlarges a base first, or the base as it is where nothing larger is asked for.

    Args:
        base: Generator and discriminator.
        resolution: Side in pixels, the base's times a power of two; its own if None.
        channels: Of the generator at 4, 8, ... pixels; those of the base, and halves of the last above, if empty.
        narrower: Of the discriminator; ``channels`` if empty and those are given.

    Raises:
        UsageError: The sizes cannot hold the base.
    """
    source = Source(base)
    assert base.discriminator is not None
    before = (base.generator.anatomy, base.discriminator.anatomy)
    side = resolution or before[0].resolution
    if (side, *(channels or narrower)) == (before[0].resolution,):
        return source
    sizes = (grown_generator(before[0], side, channels), grown_discriminator(before[1], side, narrower or channels))
    return source if sizes == before else Source(base, *sizes)


@dataclass(frozen=True)
class Exemplars:
    """Images to train on, and images that only score the training; a set of each per path."""

    train: tuple[ImageSet, ...]
    held_out: tuple[ImageSet, ...] = ()

    @classmethod
    def of(cls, images: ImageSet, training: Training, attribute: str = "") -> Exemplars:
        """Split a set by attribute, where the training has paths, and hold some of each part out.

        Raises:
            BadData: There are too few images of an attribute, or an attribute is unknown.
        """
        sets = [images.select(path, by=attribute) for path in training.paths] or [images]
        if not training.held_out:
            return cls(tuple(sets))
        for part, name in zip(sets, training.paths or ("",), strict=True):
            if len(part) <= 2 * LEAST_HELD_OUT:
                raise BadData(
                    f"{len(part)} exemplars{f' of {name!r}' if name else ''} are too few to hold {LEAST_HELD_OUT} out.",
                    "Bring more, or train to a fixed number of images with --set held_out=0 --set patience=0.",
                )
        splits = [part.split(training.held_out, training.seed, at_least=LEAST_HELD_OUT) for part in sets]
        return cls(tuple(rest for rest, _ in splits), tuple(held for _, held in splits))


@dataclass(frozen=True)
class Settings:
    """What a run is told beside its training."""

    recipe: str = ""
    """Names of the recipes that made the training, as typed; for the record."""
    attribute: str = ""
    """Column of the images' attributes that the paths are chosen by."""
    about: Header | None = None
    """Name, licence and credit that the model's header will carry."""
    looks: Features | None = None
    """What the similarity loss looks with; the base's discriminator when None."""
    device: str = "cpu"
    precision: Precision = "fp32"
    """``bf16`` runs the networks in mixed precision."""
    rank_timeout: float = RANK_TIMEOUT
    """Seconds that the processes of a crew wait for each other."""
    quiet: bool = False
    """Show no progress bar."""
    watch: Callable[[TrainState], None] | None = None
    """Called at every tick, and before the first step; may look, but not touch."""


def train(images: ImageSet, out: Path, source: Source, training: Training, told: Settings | None = None) -> Path:
    """Train in a run folder, or continue what was begun there, and write the model.

    Args:
        images: Real images at the resolution of the networks.
        out: The run folder.
        source: Where to begin; ignored but for its sizes when the folder holds snapshots.
        training: Settings.
        told: What else there is to say.

    Returns:
        The model file ``model.safetensors`` in the run folder. Fine-tuning writes a style pack ``style.safetensors``
        beside it (with several paths, alone), a sheet of samples ``style.png``, a report card ``report.html`` and
        ``report.png``, and ``base.safetensors`` where the base is not one of the models with a name.

    Raises:
        Interrupted: A signal came; a snapshot was written.
        BadModel: The model could not carry what ``told.about`` says.
        PortraitistError: As its kinds tell.
    """
    told = told or Settings()
    if told.about is not None:
        check_header(told.about)
    _check(images, source, training)
    exemplars = Exemplars.of(images, training, told.attribute)
    settings = _settings(images, source, training, told)
    with joined(told.device, told.precision, told.rank_timeout) as crew, polite_stop() as asked, _held(out, crew):
        if crew.rank == 0:
            settle(out, settings, may_change=MAY_CHANGE)
        crew.barrier()
        check_alike(crew, "set of exemplars", images.digest)
        generator, discriminator = source.networks(training.seed)
        state = TrainState.start(generator.to(crew.device), discriminator.to(crew.device), training)
        used = resume(out / SNAPSHOTS, state)
        batches = ImageBatches(exemplars.train, training.batch, training.seed, training.mirror)
        if used is None and training.entrance_images:
            assert source.base is not None
            growth.fit_entrance(out, source.base, discriminator, batches, training, crew, asked)
            state = TrainState.start(generator, discriminator, training)
        check_alike(crew, "run folder", state.images)
        if used is not None:
            log.info("continuing from %s", used.name)
        clerk = _Clerk(out, source, exemplars, training, told, crew.device) if crew.rank == 0 else None
        with nullcontext() if clerk is None else clerk.at_work(state):

            def on_step(state: TrainState, report: dict[str, Tensor]) -> bool:
                if clerk is not None:
                    clerk.step(state, report)
                asked.number = crew.largest(asked.number or 0) or None
                over = crew.same(early_stopping.is_over(state.history, training.patience))
                return over or asked.number is not None

            if not crew.same(early_stopping.is_over(state.history, training.patience)):
                terms = terms_of(source, training, told, crew.device)
                fit(state, batches, training, terms, on_step, crew)
        if clerk is None:
            return out / ("style.safetensors" if training.paths else "model.safetensors")
        write_snapshot(out / SNAPSHOTS, state)
        if asked.number is not None:
            raise Interrupted(asked.number)
        return _write(out, state, source, training, exemplars, clerk.umpire, settings, told)


def terms_of(source: Source, training: Training, told: Settings, device: str) -> tuple[Term, ...]:
    """Return all terms of a training; of a fine-tuning also those that compare with the base."""
    terms = standard_terms(training)
    if source.teaches is None:
        return terms
    looks = _looks(source.teaches, training, told, device)
    return (*terms, *likeness_terms(training, _source(source.teaches, device), looks))


class _Clerk:
    """What one process does beside training: it scores, logs, draws samples and writes snapshots."""

    def __init__(
        self, out: Path, source: Source, exemplars: Exemplars, training: Training, told: Settings, device: str
    ) -> None:
        for folder in (out, out / SAMPLES):
            sweep(folder)
        self.out, self.training, self.told = out, training, told
        self.umpire = _judge(source, exemplars, training, device)
        self.watch = told.watch or (lambda state: None)
        count = max(SHOWN // max(len(training.paths), 1), 1)
        random = torch.Generator().manual_seed(training.seed)
        self.codes = torch.randn(count, source.anatomies[0].z_dim, generator=random).to(device)
        self.run: RunLog

    @contextmanager
    def at_work(self, state: TrainState) -> Iterator[None]:
        """Keep the log open; show and score where training begins."""
        with RunLog(self.out, self.training.images, state.images, quiet=self.told.quiet) as self.run:
            if not state.images:
                self._samples(state)
                if self.umpire is not None:
                    self.umpire.tell(state)
                self.watch(state)
            yield

    def step(self, state: TrainState, report: dict[str, Tensor]) -> None:
        """Count one step, and do what is due after it."""
        self.run.add(self.training.batch, report)
        if passed(state.images, self.training.batch, self.training.tick):
            score = {} if self.umpire is None else self.umpire.tell(state)
            self.run.tick(state.images, {"ada_p": state.ada.p, "path_mean": float(state.path_mean), **score})
            self.watch(state)
        if passed(state.images, self.training.batch, self.training.snapshot):
            write_snapshot(self.out / SNAPSHOTS, state)
            self._samples(state)

    def _samples(self, state: TrainState) -> None:
        """Draw the fixed codes; each path draws the same ones."""
        paths = range(max(len(self.training.paths), 1))
        self.run.samples(state.images, torch.cat([path_of(state.average, k).sample_batches(self.codes) for k in paths]))


@contextmanager
def _held(out: Path, crew: Crew) -> Iterator[None]:
    """Lock the run folder for all processes of a crew."""
    with locked(out) if crew.rank == 0 else nullcontext():
        yield


def _check(images: ImageSet, source: Source, training: Training) -> None:
    wanted = source.resolution
    if images.resolution != wanted:
        raise UsageError(
            f"The images have {images.resolution} pixels and the networks {wanted}.", f"Open the images at {wanted}."
        )
    check(training, source.anatomies[0])
    # What the paths are called will be in the style pack.
    check_header(Header(source.anatomies[0], kind="style-pack", paths=training.paths))
    rests = training.rests
    needs_base = {
        "structure_weight": training.structure_weight,
        "similarity_weight": training.similarity_weight,
        "rests.styles_upto": rests.styles_upto,
        "blend_upto": training.blend_upto,
        "paths": training.paths,
        "held_out": training.held_out,
    }
    if source.teaches is None and (asked := [name for name, value in needs_base.items() if value]):
        cure = "Grow the base first, then fine-tune what comes of it." if source.grows else "Name one with --from."
        raise UsageError(f"The setting {asked[0]} needs a base of the same size to compare with.", cure)
    if training.entrance_images and not source.grows:
        raise UsageError("The setting entrance_images is for bases that grow.", "Give --resolution, or leave it at 0.")
    if source.base is not None and source.base.generator.anatomy.low_rows:
        raise UsageError(
            f"'{source.base.header.name}' is a FreezeSG style, which cannot be fine-tuned again.",
            "Start from the base that its header names.",
        )
    if source.teaches is not None and len(images) < FEWEST_EXEMPLARS:
        log.warning("%d exemplars are few; from %d on a style can be learned.", len(images), FEWEST_EXEMPLARS)


def _source(base: Model, device: str) -> Generator:
    """Return the base as something to compare with: on the device, and never trained."""
    return copy.deepcopy(base.generator).to(device).eval().requires_grad_(False)


def _looks(base: Model, training: Training, told: Settings, device: str) -> PerceptualDistance:
    assert base.discriminator is not None
    features = told.looks or DiscriminatorFeatures(base.discriminator)
    if isinstance(features, torch.nn.Module):
        features.to(device)
    return PerceptualDistance(DeepestTaps(features, training.similarity_taps))


def _judge(source: Source, exemplars: Exemplars, training: Training, device: str) -> early_stopping.Judge | None:
    if source.teaches is None or not exemplars.held_out:
        return None
    assert source.teaches.discriminator is not None
    features = DiscriminatorFeatures(source.teaches.discriminator).to(device)
    held = [part.all().to(device) for part in exemplars.held_out]
    return early_stopping.Judge(_source(source.teaches, device), held, features, seed=training.seed)


def _write(
    out: Path,
    state: TrainState,
    source: Source,
    training: Training,
    exemplars: Exemplars,
    umpire: early_stopping.Judge | None,
    settings: dict[str, Any],
    told: Settings,
) -> Path:
    generators = [_finished(g, source, training) for g in early_stopping.kept(state)]
    before = [] if source.base is None else source.base.header.lineage
    grown_from = growth.told_of(out, source.base) if source.grows and source.base is not None else {}
    about = told.about or Header(source.anatomies[0])
    if source.grows and source.base is not None and not about.licence:
        # A grown base is made from the one before it, so the terms of that one hold.
        credit = "; ".join(dict.fromkeys(filter(None, (source.base.header.credit, about.credit))))
        about = replace(about, licence=source.base.header.licence, credit=credit)
    header = replace(
        about,
        recipe=settings,
        lineage=[*before, {**lineage(state.images, settings), **grown_from}],
    )
    found = None
    if source.teaches is not None:
        found = findings.Findings.of(state, source.teaches, generators, exemplars.train, exemplars.held_out, umpire)
        header = replace(header, metrics=found.metrics)
    discriminators = [copy.deepcopy(state.players(k)[1]).cpu().eval() for k in range(len(generators))]
    models = [
        Model(g, d, replace(header, generator=g.anatomy, discriminator=d.anatomy))
        for g, d in zip(generators, discriminators, strict=True)
    ]
    path = out / "model.safetensors"
    if not training.paths:
        save_model(path, models[0], overwrite=True)
    if source.teaches is not None:
        named = dict(zip(training.paths, models, strict=True)) if training.paths else models[0]
        pack = save_pack(out / "style.safetensors", named, source.teaches, overwrite=True)
        path = pack if training.paths else path
        try:
            registry.known_base(read_header(pack))
        except PortraitistError:  # its base has no name to be found by
            save_model(out / "base.safetensors", source.teaches, overwrite=True)
        assert found is not None
        findings.report(out, found, state, training, settings, header)
    return path


def _finished(generator: Generator, source: Source, training: Training) -> Generator:
    """Return the generator that is written: with its mean w, and blended where the training says so."""
    found = copy.deepcopy(generator).cpu().eval()
    found.w_mean.copy_(statistics(found.mapping, found.anatomy.z_dim).mean.data[0])
    if training.blend_upto and source.base is not None:
        return blend(found, source.base.generator, hard(found.anatomy, training.blend_upto)).eval()
    return found


def _settings(images: ImageSet, source: Source, training: Training, told: Settings) -> dict[str, Any]:
    generator, discriminator = source.anatomies
    return {
        **dataclasses.asdict(training),
        "recipe": told.recipe,
        "attribute": told.attribute,
        "looks": "" if told.looks is None else told.looks.digest,
        "data": {"digest": images.digest, "count": len(images)},
        # Labels are no part of the images' digest.
        "attributes": {path: images.select(path, by=told.attribute).digest for path in training.paths},
        "base": "" if source.base is None else generator_digest(source.base),
        "networks": {"generator": dataclasses.asdict(generator), "discriminator": dataclasses.asdict(discriminator)},
        "device": told.device,
        "precision": told.precision,
        "version": __version__,
    }
