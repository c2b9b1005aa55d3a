"""From photos and a base to a trained encoder: where files, data and the loop meet.

path = train_encoder(photos, Path("runs/hvae"), base, small(base.generator.anatomy, "hvae"), agilegan())
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..data import ImageBatches, ImageSet
from ..errors import UsageError
from ..io.encoder_files import EncoderHeader, StoredEncoder, check_encoder_header, save_encoder
from ..io.model_file import Model, generator_digest, lineage
from ..losses.perceptual import PerceptualDistance, default_perceptual
from ..networks.encoder import Encoder, EncoderAnatomy, new_encoder
from ..networks.identity import DiscriminatorIdentity, Identity
from ..train.encoder import EncoderLoss, EncoderState, EncoderTraining, fit_encoder
from ..train.folder import SAMPLES, SNAPSHOTS, locked, passed, settle
from ..train.log import RunLog
from ..train.signals import Interrupted, polite_stop
from ..train.snapshot import resume, sweep, write_snapshot

log = logging.getLogger("portraitist")

FILE = "encoder.safetensors"
# A run may be told to go on for longer, and to write more or less often; nothing else may change.
MAY_CHANGE = frozenset({"images", "tick", "snapshot", "version"})
LEAST_HELD_OUT = 8
MOST_HELD_OUT = 64


@dataclass(frozen=True)
class EncoderSettings:
    """What the training of an encoder is told beside its settings."""

    about: EncoderHeader | None = None
    """Name, licence and credit that the file will carry."""
    looks: PerceptualDistance | None = None
    """The perceptual distance; that of the base's discriminator when None."""
    persons: Identity | None = None
    """Tells persons apart; the base's discriminator when None, which is a weak judge of that."""
    start: StoredEncoder | None = None
    """An encoder of the same sizes to go on from, of this base or another one; new weights when None."""
    device: str = "cpu"
    quiet: bool = False
    """Show no progress bar."""


def train_encoder(
    photos: ImageSet,
    out: Path,
    base: Model,
    anatomy: EncoderAnatomy,
    training: EncoderTraining,
    told: EncoderSettings | None = None,
) -> Path:
    """Train an encoder in a run folder, or continue what was begun there.

    Args:
        photos: Aligned faces at the resolution of the base.
        out: The run folder.
        base: The model whose codes are wanted; it does not change.
        anatomy: Sizes of the encoder.
        training: Settings.
        told: What else there is to say.

    Returns:
        The file ``encoder.safetensors`` in the run folder, beside sheets of held-out photos and their drawings.

    Raises:
        Interrupted: A signal came; a snapshot was written.
        UsageError: The photos have another size, or nothing can tell persons apart or likeness.
        BadModel: The encoder's codes do not fit the base.
        PortraitistError: As its kinds tell.
    """
    told = told or EncoderSettings()
    header = dataclasses.replace(
        told.about or EncoderHeader(anatomy),
        encoder=anatomy,
        base_name=base.header.name,
        base_digest=generator_digest(base),
    )
    check_encoder_header(header)
    anatomy.check_base(base.generator.anatomy)
    if told.start is not None:
        if dataclasses.replace(told.start.encoder.anatomy, standardised=anatomy.standardised) != anatomy:
            raise UsageError("The encoder to go on from has other sizes.", "Give its own, or begin anew.")
    if photos.resolution != base.generator.anatomy.resolution:
        raise UsageError(
            f"The photos have {photos.resolution} pixels and the base {base.generator.anatomy.resolution}.",
            f"Open the photos at {base.generator.anatomy.resolution}.",
        )
    base = dataclasses.replace(base, generator=copy.deepcopy(base.generator).to(told.device))
    looks = told.looks or default_perceptual(base.require_discriminator("to measure likeness with"))
    loss = EncoderLoss(base.generator, training, looks.to(told.device), _persons(base, training, told))
    settings = _settings(photos, base, anatomy, training, loss, told)
    rest, held = photos, None
    if training.held_out:
        rest, held_set = photos.split(training.held_out, training.seed, at_least=LEAST_HELD_OUT)
        held = held_set.all()[:MOST_HELD_OUT].to(told.device)
    with polite_stop() as asked, locked(out):
        settle(out, settings, may_change=MAY_CHANGE)
        for folder in (out, out / SAMPLES):
            sweep(folder)
        state = EncoderState.start(_first(anatomy, base, training.seed, told), training)
        used = resume(out / SNAPSHOTS, state)
        if used is not None:
            log.info("continuing from %s", used.name)
        with RunLog(out, training.images, state.images, quiet=told.quiet) as run:

            def on_step(state: EncoderState, report: dict[str, Tensor]) -> bool:
                run.add(training.batch, report)
                if passed(state.images, training.batch, training.tick):
                    run.tick(state.images, measured(state.average, loss, held))
                if passed(state.images, training.batch, training.snapshot):
                    write_snapshot(out / SNAPSHOTS, state)
                    if held is not None:
                        run.samples(state.images, _pairs(state.average, loss, held[:18]))
                return asked.number is not None

            batches = ImageBatches([rest], training.photos, training.seed, training.mirror)
            fit_encoder(state, batches, training, loss, on_step)
        write_snapshot(out / SNAPSHOTS, state)
        if asked.number is not None:
            raise Interrupted(asked.number)
        average = copy.deepcopy(state.average).cpu().eval()
        before = [] if told.start is None else told.start.header.lineage
        header = dataclasses.replace(
            header,
            training=settings,
            lineage=[*before, lineage(state.images, settings)],
            metrics={"held_out": measured(state.average, loss, held)},
        )
        return save_encoder(out / FILE, StoredEncoder(average, header), overwrite=True)


@torch.no_grad()
def measured(encoder: Encoder, loss: EncoderLoss, photos: Tensor | None) -> dict[str, float]:
    """Return the terms of the loss on photos [N, 3, R, R], for the mean codes; nothing without photos."""
    if photos is None:
        return {}
    return {f"held_out_{name}": float(value) for name, value in loss(encoder, photos, None).items()}


def _first(anatomy: EncoderAnatomy, base: Model, seed: int, told: EncoderSettings) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = new_encoder(anatomy, base.generator).to(told.device)
    if told.start is not None:
        # Statistics of means are the only tensors that one of the two may lack.
        encoder.load_state_dict(encoder.state_dict() | told.start.encoder.state_dict(), strict=False)
    return encoder


def _persons(base: Model, training: EncoderTraining, told: EncoderSettings) -> Identity | None:
    persons = told.persons
    if persons is None and training.identity_weight and base.discriminator is not None:
        persons = DiscriminatorIdentity.of_base(base.generator, base.discriminator)
    if isinstance(persons, torch.nn.Module):
        persons.to(told.device)
    return persons


@torch.no_grad()
def _pairs(encoder: Encoder, loss: EncoderLoss, photos: Tensor) -> Tensor:
    """Return photos and, after each, what the base draws of its mean code."""
    drawn = loss.base.synthesis(encoder.styles_of(encoder(photos).mu, loss.base))
    return torch.stack([photos, drawn], 1).flatten(0, 1)


def _settings(
    photos: ImageSet,
    base: Model,
    anatomy: EncoderAnatomy,
    training: EncoderTraining,
    loss: EncoderLoss,
    told: EncoderSettings,
) -> dict[str, Any]:
    persons = loss.persons
    return {
        **dataclasses.asdict(training),
        "encoder": dataclasses.asdict(anatomy),
        "base": generator_digest(base),
        "start": "" if told.start is None else told.start.digest,
        "data": {"digest": photos.digest, "count": len(photos)},
        "looks": {"name": loss.looks.name, "digest": loss.looks.features.digest},
        "persons": None if persons is None else {"name": persons.name, "digest": persons.digest},
        "device": told.device,
        "version": __version__,
    }
