"""From settings to a trained generator: fine-tuning a base, or training one from scratch."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._version import __version__
from ..data import ImageBatches, ImageSet
from ..detail import MEDIA, SIDE, Look
from ..errors import BadData, NothingLearned, PortraitistError, UsageError
from ..evaluate.held_out import seen_in
from ..faces import FaceFinder
from ..io import registry
from ..io.described import digest_of
from ..io.headers import Header, check_header, read_header
from ..io.licences import inherited, under_both
from ..io.model_file import Model, generator_digest, lineage, save_model, save_pack
from ..losses.perceptual import PerceptualDistance, default_perceptual
from ..networks import Generator
from ..networks.feature_discriminator import with_mean_pooling
from ..networks.features import DiscriminatorFeatures, Features
from ..report.model_card import write_model_card
from ..spaces import statistics
from ..surgery import blend, hard
from ..train.distributed import ProcessGroup
from ..train.feature_terms import optimised_heads
from ..train.gan import Gan
from ..train.log import RunLog
from ..train.loop import Batches
from ..train.session import Run, RunOptions
from ..train.signals import Asked
from ..train.spec import LEAST_HELD_OUT, Training, check, upgraded
from ..train.state import TrainState, path_of
from ..train.terms import SmallerModel, SourceModel
from . import early_stopping, findings, growth, held
from .looks import levelled, look_of, people_of
from .source import Source
from .variety import variety

log = logging.getLogger("portraitist")

FEWEST_EXEMPLARS = 20
FEWEST_FROM_SCRATCH = 500
SHOWN = 36


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
class TrainOptions(RunOptions):
    """Options of a run, beside its training."""

    recipe: str = ""
    """Names of the recipes that made the training, as typed; for the record."""
    attribute: str = ""
    """Column of the images' attributes that the paths, or the values to balance, are chosen by."""
    about: Header | None = None
    """Name, licence and credit that the model's header will carry."""
    lpips: Sequence[Tensor] | None = None
    """Channel weights of LPIPS, [C] for each tap of ``features``, for the similarity loss."""
    features: Features | None = None
    """What the similarity loss compares, the base's discriminator when None; and what the discriminator of features
    looks at, which has no other."""
    finder: FaceFinder | None = None
    """Finds the faces of the exemplars, for the look of the style; it gets none when None."""
    watch: Callable[[TrainState], None] | None = None
    """Called at every tick, and before the first step; may look, but not touch."""


def train(images: ImageSet, out: Path, source: Source, training: Training, options: TrainOptions | None = None) -> Path:
    """Train in a run folder, or continue what was begun there, and write the model.

    Args:
        images: Real images at the resolution of the networks.
        out: The run folder.
        source: Where to begin; ignored but for its sizes when the folder holds snapshots.
        training: Settings.
        options: How to carry it out.

    Returns:
        The model file ``model.safetensors`` in the run folder. Fine-tuning writes a style pack ``style.safetensors``
        beside it (with several paths, alone), a sheet of samples ``style.png``, a report card ``report.html``, and
        ``base.safetensors`` where the base is not one of the models with a name. A model card ``README.md`` is
        written for whatever was trained.

    Raises:
        Interrupted: A signal came; a snapshot was written.
        NothingLearned: The exemplars are no nearer than they were to the base; there is a report card and no style.
        BadModel: The model could not carry what ``options.about`` says.
        PortraitistError: See its subclasses.
    """
    options = options or TrainOptions()
    if options.about is not None:
        check_header(options.about)
    _check(images, source, training, options)
    return Finetuning(images, out, source, training, options).go()


def objective_of(
    source: Source,
    training: Training,
    batches: Batches,
    options: TrainOptions | None = None,
    device: str = "cpu",
    smaller: SmallerModel | None = None,
) -> Gan:
    """Return what a training minimises; it may compare with the base, or a base that grows with the smaller one."""
    options = options or TrainOptions()
    if (base := source.fine_tuned) is None:
        return Gan(training, batches, features=_looked_through(training, options, device), smaller=smaller)
    compared = SourceModel(_frozen(base, device), _perceptual(base, options).to(device))
    return Gan(training, batches, source=compared, features=_looked_through(training, options, device), smaller=smaller)


class Finetuning(Run[TrainState]):
    """A generator in a run folder, fine-tuned from a base or from scratch."""

    may_change = Run.may_change | {"patience", "recipe"}
    facts = Run.facts | {"smaller", "codes"}
    training: Training
    options: TrainOptions

    def __init__(self, images: ImageSet, out: Path, source: Source, training: Training, options: TrainOptions) -> None:
        super().__init__(out, training, images.digest, options)
        self.images, self.source = images, source
        self.exemplars = Exemplars.of(images, training, options.attribute)
        self.monitor: early_stopping.HeldOutMonitor | None = None
        self.device = options.device
        self.watch = options.watch or (lambda state: None)
        self.paths = range(max(len(training.paths), 1))
        random = torch.Generator().manual_seed(training.seed)
        self.codes = torch.randn(max(SHOWN // len(self.paths), 1), source.anatomies[0].z_dim, generator=random)

    def config(self) -> dict[str, Any]:
        """Return the settings, and what the training begins with and sees."""
        options, source = self.options, self.source
        generator, discriminator = source.anatomies
        return {
            **self.training.record(),
            "recipe": options.recipe,
            "attribute": options.attribute,
            "looks": _digest(options),
            "data": {"digest": self.images.digest, "count": len(self.images)},
            # Labels are not in the images' digest.
            "attributes": {
                value: self.images.select(value, by=options.attribute).digest
                for value in (*self.training.paths, *self.training.balance)
            },
            "base": "" if source.base is None else generator_digest(source.base),
            **held.record(source.smaller),
            "networks": {
                "generator": dataclasses.asdict(generator),
                "discriminator": dataclasses.asdict(discriminator),
            },
            "device": options.device,
            "precision": options.precision,
            "version": __version__,
        }

    def upgraded(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return a config of version 0.1 under today's names."""
        return held.record(None) | upgraded(config)

    def start(self, device: str) -> TrainState:
        """Copy the base, or make new networks."""
        self.device = device
        generator, discriminator = self.source.networks(self.training.seed)
        heads = None
        if (features := _looked_through(self.training, self.options, device)) is not None:
            heads = optimised_heads(self.training, features, self.batches.at(0).to(device))
        return TrainState.start(generator.to(device), discriminator.to(device), self.training, heads)

    @cached_property
    def batches(self) -> ImageBatches:
        """The exemplars that are trained on."""
        t = self.training
        sets = self.exemplars.train
        if t.balance:
            (every,) = sets
            sets = tuple(every.select(value, by=self.options.attribute) for value in t.balance)
        return ImageBatches(sets, t.batch, t.seed, t.mirror)

    def prepare(self, state: TrainState, group: ProcessGroup, asked: Asked) -> None:
        """Fit the new layers of a grown discriminator."""
        if self.source.base is not None and self.training.entrance_images:
            _, discriminator = state.pair()
            told = (group, asked, self.settings, self.differences)
            growth.fit_entrance(self.out, self.source.base, discriminator, self.batches, self.training, *told)

    def objective(self, state: TrainState) -> Gan:
        """Return the losses, on the exemplars that are trained on."""
        smaller = None
        if (given := self.source.smaller) is not None:
            smaller = SmallerModel(_frozen(given.model, self.device), given.codes or {}, self.batches)
        return objective_of(self.source, self.training, self.batches, self.options, self.device, smaller)

    def pictures(self, state: TrainState) -> list[str]:
        """Return what the exemplars of the step that begins are called."""
        return self.batches.names(state.images)

    def begin(self, state: TrainState, run: RunLog) -> None:
        """Show and score the base."""
        self.samples(state, run)
        self._score(state)
        self.watch(state)

    def check_processes(self, count: int) -> None:
        """Refuse parts of a batch in which a term has no effect."""
        for term in self.training.terms:
            term.check_parts(self.training, self.training.accumulate * count)

    def tick(self, state: TrainState) -> dict[str, float]:
        """Score the averaged generator on held-out exemplars."""
        score = self._score(state)
        self.watch(state)
        varied = variety(state, self.codes, self.batches, len(self.paths))
        return {"ada_p": state.ada.p, "path_mean": float(state.path_mean), **varied, **score}

    def samples(self, state: TrainState, run: RunLog) -> None:
        """Draw the fixed codes; each path draws the same ones."""
        codes = self.codes.to(self.device)
        run.samples(state.images, torch.cat([path_of(state.average, k).sample_batches(codes) for k in self.paths]))

    def is_over(self, state: TrainState) -> bool:
        """Apply the rule of early stopping."""
        return early_stopping.is_over(state.history, self.training.patience)

    @property
    def path(self) -> Path:
        """The model; of several paths, the style pack."""
        return self.out / ("style.safetensors" if self.training.paths else "model.safetensors")

    def finish(self, state: TrainState) -> Path:
        """Write models, style pack, sheet and report card."""
        source, training = self.source, self.training
        self._judge(state)
        generators = [_finished(g, source, training) for g in early_stopping.kept(state)]
        before = [] if source.base is None else source.base.header.lineage
        step = lineage(state.images, self.settings)
        about = self.options.about or Header(source.anatomies[0])
        if source.base is not None and source.fine_tuned is None:
            about = inherited(about, source.base.header)
            if source.grows:
                step |= growth.record(self.out, source.base)
        if source.smaller is not None:
            its = source.smaller.model.header
            about = under_both(about, its) if about.licence else inherited(about, its)
            step["held_to"] = self.settings["smaller"]
        header = replace(about, recipe=self.settings, lineage=[*before, step])
        if (base := source.fine_tuned) is None:
            (model,) = _models(state, generators, header)
            path = save_model(self.path, model, overwrite=True)
            write_model_card(self.out, model.header)
            return path
        self._watched(state)
        held_out = self.exemplars.held_out
        found = findings.Findings.of(state, base, generators, self.exemplars.train, held_out, self.monitor, self.codes)
        recipe = self.settings | seen_in(self.exemplars.train)
        header = replace(header, recipe=recipe, metrics=found.metrics)
        if state.history and early_stopping.best(state.history) == 0:
            findings.report(self.out, found, state, training, self.settings, header)
            raise _nothing_learned(self.out, state, training)
        models = _models(state, generators, header)
        look = self._look(base, models)
        models = [replace(model, look=look) for model in models]
        if not training.paths:
            save_model(self.path, models[0], overwrite=True)
        named = dict(zip(training.paths, models, strict=True)) if training.paths else models[0]
        pack = save_pack(self.out / "style.safetensors", named, base, overwrite=True)
        try:
            registry.known_base(read_header(pack))
        except PortraitistError:  # its base has no name to be found by
            save_model(self.out / "base.safetensors", base, overwrite=True)
        findings.report(self.out, found, state, training, self.settings, read_header(pack))
        return self.path

    def _judge(self, state: TrainState) -> None:
        """Score the end of a training that did not end with a tick, so that the shortest one is judged."""
        if self._watched(state) is not None and state.history and state.history[-1]["images"] != state.images:
            self._score(state)

    def _look(self, base: Model, styles: Sequence[Model]) -> Look | None:
        """Return what the detail stage needs to know of the style; None where the faces of exemplars are not found."""
        if self.options.finder is None:
            return None
        pictures = (picture for part in self.exemplars.train for picture in part.decoded_at(SIDE))
        try:
            people = sum((Counter(people_of(part)) for part in self.exemplars.train), Counter())
            look = look_of(pictures, MEDIA["smooth"], self.options.finder, people=people)
            return levelled(look, base, styles, registry.load_encoder_of(base))
        except PortraitistError as error:
            log.warning("The style gets no look, so photos are drawn from their codes alone: %s", error)
            return None

    def _watched(self, state: TrainState) -> early_stopping.HeldOutMonitor | None:
        """Return what scores the training; None where nothing is held out."""
        base = self.source.fine_tuned
        if self.monitor is None and base is not None and self.exemplars.held_out:
            features = DiscriminatorFeatures(base.require_discriminator("to train on with")).to(self.device)
            held = [part.all().to(self.device) for part in self.exemplars.held_out]
            self.monitor = early_stopping.HeldOutMonitor(
                _frozen(base, self.device), held, features, seed=self.training.seed
            )
        return self.monitor

    def _score(self, state: TrainState) -> dict[str, float]:
        monitor = self._watched(state)
        return {} if monitor is None else monitor.update(state)


def _check(images: ImageSet, source: Source, training: Training, options: TrainOptions) -> None:
    wanted, features = source.resolution, options.features
    if images.resolution != wanted:
        raise UsageError(
            f"The images have {images.resolution} pixels and the networks {wanted}.", f"Open the images at {wanted}."
        )
    check(training, source.anatomies[0])
    # What the paths are called will be in the style pack.
    check_header(Header(source.anatomies[0], kind="style-pack", paths=training.paths))
    needs_base = {
        **{f"{term.name}.weight": term.needs_source for term in training.terms},
        "frozen.styles_upto": training.frozen.styles_upto,
        "blend_upto": training.blend_upto,
        "paths": training.paths,
        "held_out": training.held_out,
    }
    if source.fine_tuned is None and (asked := [name for name, value in needs_base.items() if value]):
        cure = "Name one with --from." if source.base is None else "Train the base first, then fine-tune the result."
        raise UsageError(f"The setting {asked[0]} needs a base of the same size to compare with.", cure)
    if features is None and (asked := [term.name for term in training.terms if term.needs_features]):
        raise UsageError(
            f"The setting {asked[0]}.weight needs a feature network to look through.",
            "Name its weights with --features.",
        )
    if features is not None and not any(term.uses_features for term in training.terms):
        raise UsageError(
            f"No loss of this training looks at {features.name}.",
            "Leave --features out, or add a loss: --set feature_discriminator.weight=3.",
        )
    held.check_held(source, training)
    if options.lpips is not None and features is None:
        raise UsageError("LPIPS weights need the network that they were fitted on.", "Give its features too.")
    if options.lpips is not None and not any(term.uses_lpips for term in training.terms):
        raise UsageError(
            "No loss of this training looks at LPIPS weights.",
            "Leave --lpips out, or add one: --set similarity.weight=0.5.",
        )
    if not source.grows:
        for name in ("entrance_images", "entrance_rate"):
            if getattr(training, name) != getattr(Training, name):
                raise UsageError(f"The setting {name} is for bases that grow.", "Give --resolution, or leave it out.")
    if source.base is not None and source.base.generator.anatomy.low_rows:
        raise UsageError(
            f"'{source.base.header.name}' is a FreezeSG style, which cannot be fine-tuned again.",
            "Start from the base that its header names.",
        )
    if source.fine_tuned is not None and len(images) < FEWEST_EXEMPLARS:
        log.warning("%d exemplars are few; from %d on a style can be learned.", len(images), FEWEST_EXEMPLARS)
    if source.fine_tuned is None and len(images) < FEWEST_FROM_SCRATCH:
        log.warning("%d pictures are few to train a base on; fine-tune one with --from.", len(images))


def _nothing_learned(out: Path, state: TrainState, training: Training) -> NothingLearned:
    """Return the error of a training whose best is the base."""
    judged = len(state.history) - 1
    few = f" It was judged {judged} times: a tick is {training.tick} images." if judged < 3 else ""
    return NothingLearned(
        f"Nothing was learned: after {state.images} images no drawing came nearer to the held-out exemplars than the "
        f"base's, so no style is written.{few}",
        f"Show more images (--images), or look for faults in the exemplars (`portraitist prepare --check`); "
        f"{out / 'report.html'} shows the run.",
    )


def _perceptual(base: Model, options: TrainOptions) -> PerceptualDistance:
    """Return how losses compare drawings: by what the options name, or by the base's own discriminator."""
    if options.features is None:
        return default_perceptual(base.require_discriminator("to train on with"))
    return PerceptualDistance(options.features, options.lpips)


def _digest(options: TrainOptions) -> str:
    """Return the digest of what losses look through, fitted weights included; empty where that is the base's own."""
    if options.features is None:
        return ""
    weights = {f"lin{k}": w for k, w in enumerate(options.lpips or ())}
    return " ".join([options.features.digest, *([digest_of({}, weights)] if weights else [])])


def _on(features: Features, device: str) -> Features:
    """Move a feature network to a device; return it."""
    if isinstance(features, torch.nn.Module):
        features.to(device)
    return features


def _looked_through(training: Training, options: TrainOptions, device: str) -> Features | None:
    """Return what the discriminator of features looks at, where the training has one."""
    if options.features is None or not any(term.needs_features for term in training.terms):
        return None
    return _on(with_mean_pooling(options.features), device)


def _frozen(base: Model, device: str) -> Generator:
    """Return the base as something to compare with: on the device, and never trained."""
    return copy.deepcopy(base.generator).to(device).eval().requires_grad_(False)


def _models(state: TrainState, generators: list[Generator], header: Header) -> list[Model]:
    """Return each path's generator with its discriminator."""
    models = []
    for k, generator in enumerate(generators):
        discriminator = copy.deepcopy(state.pair(k)[1]).cpu().eval()
        full = replace(header, generator=generator.anatomy, discriminator=discriminator.anatomy)
        models.append(Model(generator, discriminator, full))
    return models


def _finished(generator: Generator, source: Source, training: Training) -> Generator:
    """Return the generator that is written: with its mean w, and blended where the training says so."""
    found = copy.deepcopy(generator).cpu().eval()
    found.w_mean.copy_(statistics(found.mapping, found.anatomy.z_dim).mean.data[0])
    if training.blend_upto and source.base is not None:
        return blend(found, source.base.generator, hard(found.anatomy, training.blend_upto)).eval()
    return found
