"""From photos, a teacher and exemplars to a trained painter.

path = distill(photos, exemplars, Path("runs/painter"), teacher, PainterAnatomy(), PainterTraining(), options)
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from .._version import __version__
from ..data.folder import ImageSet
from ..data.images import write_image
from ..data.sheet import grid
from ..data.teacher import Pairs, Teacher, TeacherPictures
from ..errors import UsageError
from ..evaluate import kernel_interval, pooled_features
from ..io.licences import under_both
from ..io.model_file import lineage
from ..io.painter_files import FILE, PainterHeader, StoredPainter, check_painter_header, save_painter
from ..losses.identity import identity_distance
from ..losses.perceptual import PerceptualDistance, absolute_error
from ..networks.feature_discriminator import FeatureDiscriminator
from ..networks.identity import Identity
from ..networks.painter import Painter, PainterAnatomy, new_painter
from ..networks.patch_discriminator import PatchPanel
from ..ops import at_once
from ..train.distributed import ProcessGroup
from ..train.log import RunLog
from ..train.painter import Distillation, PainterState, PainterTraining, PairBatches
from ..train.painter_terms import ColourTerm
from ..train.session import Run, RunOptions
from ..train.signals import Asked, Interrupted
from . import early_stopping

TEACHER = "teacher"
"""The folder of the teacher's pictures in a run folder."""
SHEET = "painter.png"
LEAST_PHOTOS, LEAST_EXEMPLARS = 8, 5
"""Held-out pictures below which a measure says nothing."""
MOST_HELD_OUT = 32
"""Held-out photos that are measured at every tick."""
FITTED = 16
"""Exemplars whose features set the scale of their discriminator."""
SHOWN = 8
PAINTED_AT_ONCE = 128
"""Pictures of 64 pixels, by area, that are painted at a time."""


@dataclass(frozen=True)
class PainterOptions(RunOptions):
    """Options of a distillation, beside its settings."""

    perceptual: PerceptualDistance | None = None
    """The perceptual distance; it must be given."""
    identity: Identity | None = None
    """The face embedder; the loss of identity is left out without one."""
    about: PainterHeader | None = None
    """Name, licence, credit and style that the file will carry, and the lineage of the style."""
    start: StoredPainter | None = None
    """A trained painter to go on from, of whatever style; a new one when None."""
    attribute: str = ""
    """Column of the exemplars' attributes whose values are balanced."""
    unseen: ImageSet | None = None
    """Exemplars to measure with, none of those to train on: what the style held out; a share of these when None."""


def distill(
    photos: ImageSet,
    exemplars: ImageSet,
    out: Path,
    teacher: Teacher,
    anatomy: PainterAnatomy,
    training: PainterTraining,
    options: PainterOptions,
) -> Path:
    """Train a painter in a run folder, or continue what was begun there.

    Args:
        photos: Aligned photos of ``training.side`` pixels.
        exemplars: Of the style, of the same size.
        out: The run folder.
        teacher: Draws the photos, before the first step; its pictures stay in the folder ``teacher``.
        anatomy: Sizes of the painter.
        training: Settings.
        options: How to carry it out.

    Returns:
        The file ``painter.safetensors`` in the run folder, beside ``painter.png``: held-out photos, what the teacher
        made of each, and what the painter does.

    Raises:
        Interrupted: A signal came; the pictures drawn so far are kept, and a snapshot where training had begun.
        UsageError: Photos or exemplars have another size, there is no perceptual distance, or the painter to start
            from has other sizes.
        PortraitistError: See its subclasses.
    """
    for what, pictures in (("photos", photos), ("exemplars", exemplars)):
        if pictures.resolution != training.side:
            raise UsageError(
                f"The {what} have {pictures.resolution} pixels and the training {training.side}.",
                f"Open them at {training.side}.",
            )
    if options.perceptual is None:
        raise UsageError("A painter is compared with its teacher by a perceptual distance.", "Give one.")
    return PainterRun(photos, exemplars, out, teacher, anatomy, training, options, options.perceptual).go()


def photos_of(photos: ImageSet, training: PainterTraining) -> ImageSet:
    """Return the photos that the teacher draws, of those that there are."""
    few = training.photos < len(photos)
    return photos.split(training.photos / len(photos), training.seed)[1] if few else photos


def parts_of_photos(photos: ImageSet, training: PainterTraining) -> tuple[ImageSet, ImageSet]:
    """Return the photos to train on, and those held out, of those that the teacher draws."""
    return photos.split(training.held_out, training.seed, at_least=LEAST_PHOTOS)


def parts_of_exemplars(
    exemplars: ImageSet, unseen: ImageSet | None, training: PainterTraining
) -> tuple[ImageSet, ImageSet]:
    """Return the exemplars to train on, and those held out: ``unseen`` where they are apart already."""
    if unseen is not None:
        return exemplars, unseen
    return exemplars.split(training.held_out, training.seed, at_least=LEAST_EXEMPLARS)


class PainterRun(Run[PainterState]):
    """A painter in a run folder."""

    may_change = Run.may_change | {"patience"}
    training: PainterTraining

    def __init__(
        self,
        photos: ImageSet,
        exemplars: ImageSet,
        out: Path,
        teacher: Teacher,
        anatomy: PainterAnatomy,
        training: PainterTraining,
        options: PainterOptions,
        perceptual: PerceptualDistance,
    ) -> None:
        photos = photos_of(photos, training)
        super().__init__(out, training, photos.digest + exemplars.digest, options)
        if training.decay_from < 1:  # the learning rate falls towards the last image
            self.may_change = self.may_change - {"images"}
        self.photos, self.exemplars, self.teacher, self.anatomy = photos, exemplars, teacher, anatomy
        training.refuse_idle(identity=options.identity is not None)
        self.perceptual, self.identity, self.first = perceptual, options.identity, options.start
        if self.first is not None and dataclasses.replace(self.first.painter.anatomy, grey=anatomy.grey) != anatomy:
            raise UsageError(
                f"The painter to start from has the sizes {self.first.painter.anatomy}, not {anatomy}.",
                "Take its own sizes.",
            )
        about = options.about or PainterHeader(anatomy)
        if options.start is not None:
            about = under_both(about, options.start.header)
        self.header = dataclasses.replace(about, painter=anatomy, side=training.side, teacher_digest=teacher.digest)
        check_painter_header(self.header)
        self.drawn = TeacherPictures(out / TEACHER, training.side, teacher)
        unseen = options.unseen
        self.apart = {} if unseen is None else {"unseen": {"digest": unseen.digest, "count": len(unseen)}}
        self.rest, self.held = photos, photos
        self.shown, self.unseen = exemplars, None
        if training.held_out:
            self.rest, self.held = parts_of_photos(photos, training)
            self.shown, self.unseen = parts_of_exemplars(exemplars, unseen, training)
        by = options.attribute
        self.parts = {value: self.shown.select(value, by=by) for value in training.balance}

    def config(self) -> dict[str, Any]:
        """Return the settings, and what the training begins with and sees."""
        identity, perceptual = self.identity, self.perceptual
        first = ("", "") if self.first is None else (self.first.header.name, self.first.digest)
        return {
            **dataclasses.asdict(self.training),
            "painter": dataclasses.asdict(self.anatomy),
            "style": {"name": self.header.style_name, "digest": self.header.style_digest},
            "teacher": self.teacher.digest,
            "start": dict(zip(("name", "digest"), first, strict=True)),
            "data": {"digest": self.photos.digest, "count": len(self.photos)},
            "exemplars": {"digest": self.exemplars.digest, "count": len(self.exemplars)},
            **self.apart,
            # Labels are not in the exemplars' digest.
            "attributes": {value: part.digest for value, part in self.parts.items()},
            "looks": {"name": perceptual.name, "digest": perceptual.features.digest},
            "persons": None if identity is None else {"name": identity.name, "digest": identity.digest},
            "device": self.options.device,
            "precision": self.options.precision,
            "version": __version__,
        }

    def start(self, device: str) -> PainterState:
        """Make new networks, or take the painter to start from; bring all that compares to the device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            painter, panel = new_painter(self.anatomy), PatchPanel(self.training.panel)
        if self.first is not None:
            painter.load_state_dict(self.first.painter.state_dict())
        self.perceptual.to(device)
        if isinstance(self.identity, torch.nn.Module):
            self.identity.to(device)
        return PainterState(painter.to(device), panel.to(device), self.training, self._heads(device))

    def _heads(self, device: str) -> FeatureDiscriminator | None:
        """Make the discriminator of features, where it takes part, for what it sees of some exemplars."""
        term = self.training.feature_discriminator
        if not term.weight:
            return None
        some = self.shown.subset(range(min(len(self.shown), FITTED))).all()[..., : term.crop, : term.crop]
        return FeatureDiscriminator.fitted(self.perceptual.features, some.to(device), self.training.seed)

    def upgraded(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return the config of a run as of today: what earlier ones did not have was off."""
        off = {
            "feature_discriminator": {"weight": 0.0},
            "colour": dataclasses.asdict(ColourTerm(0.0)),
            "attributes": {},
        }
        if not {"consistency", "painter"} <= config.keys():
            return config  # of a run of another kind, which is told as such
        old = {**off, **config}
        consistency = old["consistency"]
        old["consistency"] = {**consistency, "views": {"mirror": 0.0, **consistency["views"]}}
        return {**old, "painter": {"grey": False, **old["painter"]}}

    def prepare(self, state: PainterState, group: ProcessGroup, asked: Asked) -> None:
        """Let the teacher draw the photos that it has not drawn; each process draws its share of them."""
        missing = self.drawn.missing(self.photos)
        group.barrier()  # before any of them is drawn
        quiet = self.options.quiet or group.rank != 0 or not missing
        with tqdm(total=len(missing), unit=" pictures of the teacher", disable=quiet, dynamic_ncols=True) as bar:
            for first in range(0, len(missing), group.size):
                for index in missing[first + group.rank : first + group.rank + 1]:
                    self.drawn.draw(self.photos[index])
                bar.update(min(group.size, len(missing) - first))
                if stopped := asked.anywhere(group):
                    raise Interrupted(stopped)

    def objective(self, state: PainterState) -> Distillation:
        """Return the losses, on the pictures that are trained on."""
        return Distillation(self.training, self.batches, self.perceptual, self.identity)

    @cached_property
    def batches(self) -> PairBatches:
        """The pictures that are trained on."""
        sets = tuple(self.parts.values()) or (self.shown,)
        return PairBatches(self.drawn.pairs(self.rest), sets, self.training)

    def pictures(self, state: PainterState) -> list[str]:
        """Return what the photos and the exemplars of the step that begins are called."""
        return self.batches.names(state.step)

    @cached_property
    def measured(self) -> Pairs:
        """The photos that are measured and shown, with the teacher's pictures; held out where the training does so."""
        return self.drawn.pairs(self.held.subset(range(min(len(self.held), MOST_HELD_OUT))))

    def begin(self, state: PainterState, run: RunLog) -> None:
        """Score the painter before its first step, where scores end the training."""
        if self.training.patience:
            self.tick(state)

    def tick(self, state: PainterState) -> dict[str, float]:
        """Measure the averaged painter on held-out pictures, and keep it where it is the best so far."""
        found = self.measures(state.average)
        if self.training.patience:
            score = {key: found[key] for key in ("held_out", "held_out_spread")}
            early_stopping.note(state, {"images": float(state.images), **score}, state.average)
        return {"rate": self.training.falling(state.images), **found}

    def samples(self, state: PainterState, run: RunLog) -> None:
        """Show held-out photos, what the teacher made of each, and what the painter does."""
        run.samples(state.images, self._sheet(state.average), columns=3)

    def is_over(self, state: PainterState) -> bool:
        """Apply the rule of early stopping to the distance to the held-out exemplars."""
        return early_stopping.is_over(state.history, self.training.patience)

    @property
    def path(self) -> Path:
        """The painter's file."""
        return self.out / FILE

    def finish(self, state: PainterState) -> Path:
        """Write the averaged painter, as it was when it scored best, and the sheet."""
        average = copy.deepcopy(state.average)
        if self.training.patience and state.best:
            average.load_state_dict(state.best)
        write_image(self.out / SHEET, grid(self._sheet(average), columns=3))
        mine = lineage(state.images, {**self.settings, "base": self.header.style_digest})
        header = dataclasses.replace(
            self.header,
            training=self.settings,
            lineage=[*self.header.lineage, mine],
            metrics=self.measures(average),
        )
        return save_painter(self.path, StoredPainter(average.cpu().eval(), header), overwrite=True)

    def measures(self, painter: Painter) -> dict[str, float]:
        """Compare what a painter makes of held-out photos with photos, teacher and exemplars; empty without such.

        Returns:
            ``held_out_pixels`` and ``held_out_perceptual`` to the teacher's pictures, ``held_out_identity`` (a cosine)
            to the photos, and the kernel distance ``held_out`` to the held-out exemplars with its standard error.
        """
        if self.unseen is None:
            return {}
        device = next(painter.parameters()).device
        photos, drawings = (x.to(device) for x in all_of(self.measured))
        painted = painted_by(painter, photos)
        parts = at_once(PAINTED_AT_ONCE, self.training.side)
        with torch.no_grad():
            perceptual = [
                self.perceptual.mean_distance(a, b) * len(a)
                for a, b in zip(painted.split(parts), drawings.split(parts), strict=True)
            ]
            found = {
                "held_out_pixels": float(absolute_error(painted, drawings).mean()),
                "held_out_perceptual": float(torch.stack(perceptual).sum() / len(painted)),
            }
            if self.identity is not None:
                apart = identity_distance(self.identity.embed(painted), self.identity.embed(photos))
                found["held_out_identity"] = float(1 - apart.mean())
        rows = [pooled_features(self.perceptual.features, x.to(device)) for x in (painted, self.unseen.all())]
        distance = kernel_interval(*rows)
        return {**found, "held_out": distance.value, "held_out_spread": distance.spread}

    def _sheet(self, painter: Painter) -> Tensor:
        """Return photo, teacher's picture and painter's in turn: [3 * SHOWN at most, 3, R, R]."""
        photos, drawings = (x[:SHOWN] for x in all_of(self.measured))
        painted = painted_by(painter, photos.to(next(painter.parameters()).device))
        return torch.stack([photos, drawings, painted.cpu()], 1).flatten(0, 1)


@torch.no_grad()
def painted_by(painter: Painter, photos: Tensor) -> Tensor:
    """Return the drawings of photos [N, 3, R, R], clamped to [-1, 1]."""
    parts = torch.split(photos, at_once(PAINTED_AT_ONCE, photos.shape[-1]))
    return torch.cat([painter(part).image.clamp(-1, 1) for part in parts])


def all_of(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Return all photos and drawings, [N, 3, R, R] each in [-1, 1]."""
    return pairs.batch(torch.arange(len(pairs)), torch.zeros(len(pairs), dtype=torch.bool))
