"""From photos and a base to a trained encoder.

path = train_encoder(photos, Path("runs/hvae"), base, small(base.generator.anatomy, "hvae"), agilegan())
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._version import __version__
from ..data import ImageBatches, ImageSet
from ..errors import UsageError
from ..io.encoder_files import StoredEncoder, save_encoder
from ..io.headers import EncoderHeader, check_encoder_header
from ..io.model_file import Model, generator_digest, lineage
from ..losses.perceptual import PerceptualDistance, default_perceptual
from ..networks.encoder import Encoder, new_encoder
from ..networks.encoder_anatomy import EncoderAnatomy
from ..networks.identity import DiscriminatorIdentity, Identity
from ..ops import at_once
from ..train.encoder import EncoderLoss, EncoderState, EncoderTraining, Encoding
from ..train.log import RunLog
from ..train.session import Run, RunOptions
from . import early_stopping

FILE = "encoder.safetensors"
LEAST_HELD_OUT = 8
MOST_HELD_OUT = 64
"""Held-out photos that are measured; at 64 pixels, in one batch."""
SHOWN = 18


@dataclass(frozen=True)
class EncoderOptions(RunOptions):
    """Options of the training of an encoder, beside its settings."""

    about: EncoderHeader | None = None
    """Name, licence and credit that the file will carry."""
    perceptual: PerceptualDistance | None = None
    """The perceptual distance; that of the base's discriminator when None."""
    identity: Identity | None = None
    """The face embedder; the base's discriminator when None, which is a weak one."""
    start: StoredEncoder | None = None
    """An encoder of the same sizes to go on from, of this base or another one; new weights when None."""


def train_encoder(
    photos: ImageSet,
    out: Path,
    base: Model,
    anatomy: EncoderAnatomy,
    training: EncoderTraining,
    options: EncoderOptions | None = None,
) -> Path:
    """Train an encoder in a run folder, or continue what was begun there.

    Args:
        photos: Aligned faces at the resolution of the base.
        out: The run folder.
        base: The model whose codes are wanted; it does not change.
        anatomy: Sizes of the encoder.
        training: Settings.
        options: How to carry it out.

    Returns:
        The file ``encoder.safetensors`` in the run folder, beside sheets of held-out photos and their drawings.

    Raises:
        Interrupted: A signal came; a snapshot was written.
        UsageError: The photos have another size, or a perceptual distance or a face embedder is missing.
        BadModel: The encoder's codes do not fit the base.
        PortraitistError: See its subclasses.
    """
    options = options or EncoderOptions()
    anatomy.check_base(base.generator.anatomy)
    if options.start is not None:
        if dataclasses.replace(options.start.encoder.anatomy, standardised=anatomy.standardised) != anatomy:
            raise UsageError("The encoder to go on from has other sizes.", "Give its own, or begin anew.")
    if photos.resolution != base.generator.anatomy.resolution:
        raise UsageError(
            f"The photos have {photos.resolution} pixels and the base {base.generator.anatomy.resolution}.",
            f"Open the photos at {base.generator.anatomy.resolution}.",
        )
    return EncoderRun(photos, out, base, anatomy, training, options).go()


class EncoderRun(Run[EncoderState]):
    """An encoder in a run folder."""

    may_change = Run.may_change | {"patience"}
    training: EncoderTraining
    options: EncoderOptions

    def __init__(
        self,
        photos: ImageSet,
        out: Path,
        base: Model,
        anatomy: EncoderAnatomy,
        training: EncoderTraining,
        options: EncoderOptions,
    ) -> None:
        super().__init__(out, training, photos.digest, options)
        self.photos, self.base, self.anatomy = photos, base, anatomy
        self.header = dataclasses.replace(
            options.about or EncoderHeader(anatomy),
            encoder=anatomy,
            base_name=base.header.name,
            base_digest=generator_digest(base),
        )
        check_encoder_header(self.header)
        training.refuse_idle(identity=options.identity is not None, features=options.perceptual is not None)
        self.perceptual = options.perceptual or default_perceptual(
            base.require_discriminator("to measure likeness with", or_features=True)
        )
        self.identity = options.identity
        if self.identity is None and training.identity_weight and base.discriminator is not None:
            self.identity = DiscriminatorIdentity.of_base(base.generator, base.discriminator)
        self.loss = EncoderLoss(base.generator, training, self.perceptual, self.identity)
        self.rest, self.held = photos, None
        if training.held_out:
            self.rest, held = photos.split(training.held_out, training.seed, at_least=LEAST_HELD_OUT)
            self.held = held.all()[:MOST_HELD_OUT]

    def config(self) -> dict[str, Any]:
        """Return the settings, and what the training begins with and sees."""
        start, identity, perceptual = self.options.start, self.identity, self.perceptual
        return {
            **dataclasses.asdict(self.training),
            "encoder": dataclasses.asdict(self.anatomy),
            "base": self.header.base_digest,
            "start": "" if start is None else start.digest,
            "data": {"digest": self.photos.digest, "count": len(self.photos)},
            "looks": {"name": perceptual.name, "digest": perceptual.features.digest},
            "persons": None if identity is None else {"name": identity.name, "digest": identity.digest},
            "device": self.options.device,
            "precision": self.options.precision,
            "version": __version__,
        }

    def start(self, device: str) -> EncoderState:
        """Make a new encoder, or take the one to go on from; bring all that compares to the device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            encoder = new_encoder(self.anatomy, self.base.generator).to(device)
        if self.options.start is not None:
            # Statistics of means are the only tensors that one of the two may lack.
            encoder.load_state_dict(encoder.state_dict() | self.options.start.encoder.state_dict(), strict=False)
        self.loss.base.to(device)
        self.perceptual.to(device)
        if isinstance(self.identity, torch.nn.Module):
            self.identity.to(device)
        self.held = None if self.held is None else self.held.to(device)
        return EncoderState(encoder, self.training)

    def objective(self, state: EncoderState) -> Encoding:
        """Return the loss, on the photos that are trained on."""
        return Encoding(self.training, self.batches, self.loss)

    @property
    def batches(self) -> ImageBatches:
        """The photos that are trained on."""
        t = self.training
        return ImageBatches([self.rest], t.photos, t.seed, t.mirror)

    def pictures(self, state: EncoderState) -> list[str]:
        """Return what the photos of the step that begins are called; the base's own samples have no names."""
        return self.batches.names(state.step * self.training.photos)

    def begin(self, state: EncoderState, run: RunLog) -> None:
        """Score the encoder before its first step, where scores end the training."""
        if self.training.patience:
            self.tick(state)

    def tick(self, state: EncoderState) -> dict[str, float]:
        """Measure the averaged encoder on held-out photos, and keep it where it is the best so far."""
        found = measured(state.average, self.loss, self.held)
        if self.training.patience:
            score = {"images": float(state.images), "held_out": found["held_out_loss"], "held_out_spread": 0.0}
            early_stopping.note(state, score, state.average)
        return found

    def samples(self, state: EncoderState, run: RunLog) -> None:
        """Show held-out photos beside their drawings."""
        if self.held is not None:
            run.samples(state.images, _pairs(state.average, self.loss, self.held[:SHOWN]))

    def is_over(self, state: EncoderState) -> bool:
        """Apply the rule of early stopping to the held-out loss."""
        return early_stopping.is_over(state.history, self.training.patience)

    @property
    def path(self) -> Path:
        """The encoder's file."""
        return self.out / FILE

    def finish(self, state: EncoderState) -> Path:
        """Write the averaged encoder, as it was when it scored best."""
        average = copy.deepcopy(state.average)
        if self.training.patience and state.best:
            average.load_state_dict(state.best)
        metrics = {"held_out": measured(average, self.loss, self.held)}
        before = [] if self.options.start is None else self.options.start.header.lineage
        header = dataclasses.replace(
            self.header,
            training=self.settings,
            lineage=[*before, lineage(state.images, self.settings)],
            metrics=metrics,
        )
        return save_encoder(self.path, StoredEncoder(average.cpu().eval(), header), overwrite=True)


@torch.no_grad()
def measured(encoder: Encoder, loss: EncoderLoss, photos: Tensor | None) -> dict[str, float]:
    """Return the terms of the loss on photos [N, 3, R, R], for the mean codes; nothing without photos."""
    if photos is None:
        return {}
    found: dict[str, float] = {}
    for part in _parts(photos):
        for name, value in loss(encoder, part, None).items():
            found[f"held_out_{name}"] = found.get(f"held_out_{name}", 0.0) + float(value) * (len(part) / len(photos))
    return found


@torch.no_grad()
def _pairs(encoder: Encoder, loss: EncoderLoss, photos: Tensor) -> Tensor:
    """Return photos and, after each, what the base draws of its mean code."""
    codes = [encoder.styles_of(encoder(part).mu, loss.base) for part in _parts(photos)]
    drawn = torch.cat([loss.base.synthesis(part) for part in codes])
    return torch.stack([photos, drawn], 1).flatten(0, 1)


def _parts(photos: Tensor) -> tuple[Tensor, ...]:
    """Divide photos [N, 3, R, R] so that their number times their pixels stays within what fits the memory."""
    return torch.split(photos, at_once(MOST_HELD_OUT, photos.shape[-1]))
