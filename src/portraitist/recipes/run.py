"""From settings to a trained model: the one place where files, data and the loop meet."""

from __future__ import annotations

import copy
import dataclasses
import logging
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..data import BatchOrder, ImageSet
from ..errors import PortraitistError, UsageError
from ..io import registry
from ..io.model_file import Header, Model, check_header, generator_digest, read_header, save_model, save_pack
from ..networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from ..spaces import statistics
from ..train.folder import locked, settle
from ..train.log import RunLog
from ..train.loop import fit
from ..train.signals import Interrupted, polite_stop
from ..train.snapshot import resume, sweep, write_snapshot
from ..train.spec import Training
from ..train.state import TrainState
from ..train.terms import standard_terms

log = logging.getLogger("portraitist")

SAMPLES = 36
# A run may be told to go on for longer, and to write more or less often; nothing else may change.
MAY_CHANGE = frozenset({"images", "tick", "snapshot", "version"})


@dataclass(frozen=True)
class Source:
    """Where a training begins: a base to fine-tune, or the sizes of new networks."""

    base: Model | None = None
    generator: GeneratorAnatomy | None = None
    discriminator: DiscriminatorAnatomy | None = None

    def __post_init__(self) -> None:
        if self.base is not None and self.base.discriminator is None:
            raise UsageError(
                f"The base '{self.base.header.name}' has no discriminator to train on with.",
                "Convert it from a checkpoint that holds one.",
            )

    @property
    def resolution(self) -> int:
        """Side of the images that the networks draw and score."""
        return self.anatomies[0].resolution

    @property
    def anatomies(self) -> tuple[GeneratorAnatomy, DiscriminatorAnatomy]:
        """The sizes of both networks."""
        if self.base is not None and self.base.discriminator is not None:
            return self.base.generator.anatomy, self.base.discriminator.anatomy
        assert self.generator is not None and self.discriminator is not None
        return self.generator, self.discriminator

    def networks(self, seed: int) -> tuple[Generator, Discriminator]:
        """Copy the base, or make new networks from a seed."""
        if self.base is not None:
            assert self.base.discriminator is not None
            return copy.deepcopy(self.base.generator).train(), copy.deepcopy(self.base.discriminator).train()
        generator, discriminator = self.anatomies
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Generator(generator), Discriminator(discriminator)


@dataclass(frozen=True)
class ImageBatches:
    """An image set in the endless order of a seed."""

    images: ImageSet
    training: Training

    def at(self, images: int) -> Tensor:
        """Return the batch [N, 3, R, R] in [-1, 1] that follows ``images`` images."""
        order = BatchOrder(len(self.images), self.training.batch, self.training.seed, mirror=self.training.mirror)
        return self.images.batch(*order.at(images))


def train(
    images: ImageSet,
    out: Path,
    source: Source,
    training: Training,
    *,
    about: Header | None = None,
    device: str = "cpu",
    quiet: bool = False,
) -> Path:
    """Train in a run folder, or continue what was begun there, and write the model.

    Args:
        images: Real images at the resolution of the networks.
        out: The run folder.
        source: Where to begin; ignored but for its sizes when the folder holds snapshots.
        training: Settings.
        about: Name, licence and credit that the model's header will carry.
        device: ``cpu`` or ``cuda``.
        quiet: Show no progress bar.

    Returns:
        The model file ``model.safetensors`` in the run folder; fine-tuning writes a style pack ``style.safetensors``
        beside it, and ``base.safetensors`` where the base is not one of the models with a name.

    Raises:
        Interrupted: A signal came; a snapshot was written.
        BadModel: The model could not carry what ``about`` says.
        PortraitistError: As its kinds tell.
    """
    if about is not None:
        check_header(about)
    wanted = source.resolution
    if images.resolution != wanted:
        raise UsageError(
            f"The images have {images.resolution} pixels and the networks {wanted}.", f"Open the images at {wanted}."
        )
    settings = _settings(images, source, training, device)
    with locked(out), polite_stop() as asked:
        settle(out, settings, may_change=MAY_CHANGE)
        generator, discriminator = source.networks(training.seed)
        state = TrainState.start(generator.to(device), discriminator.to(device), training)
        snapshots = out / "snapshots"
        used = resume(snapshots, state)
        if used is not None:
            log.info("continuing from %s", used.name)
        for folder in (out, out / "samples"):
            sweep(folder)
        grid = torch.randn(SAMPLES, generator.anatomy.z_dim, generator=torch.Generator().manual_seed(training.seed))
        with RunLog(out, training.images, state.images, quiet=quiet) as run:

            def on_step(state: TrainState, report: dict[str, Tensor]) -> bool:
                run.add(training.batch, report)
                if _passed(state, training, training.tick):
                    run.tick(state.images, {"ada_p": state.ada.p, "path_mean": float(state.path_mean)})
                if asked.number is not None:
                    return True
                if _passed(state, training, training.snapshot):
                    write_snapshot(snapshots, state)
                    with torch.no_grad():
                        run.samples(state.images, state.average(grid.to(device)))
                return False

            fit(state, ImageBatches(images, training), training, standard_terms(training), on_step)
        write_snapshot(snapshots, state)
        if asked.number is not None:
            raise Interrupted(asked.number)
        return _write(out, state, source, settings, about)


def _write(out: Path, state: TrainState, source: Source, settings: dict[str, Any], about: Header | None) -> Path:
    generator = copy.deepcopy(state.average).cpu().eval()
    generator.w_mean.copy_(statistics(generator.mapping, generator.anatomy.z_dim).mean.data[0])
    discriminator = copy.deepcopy(state.discriminator).cpu().eval()
    before = [] if source.base is None else source.base.header.lineage
    header = replace(
        about or Header(generator.anatomy),
        generator=generator.anatomy,
        discriminator=discriminator.anatomy,
        recipe=settings,
        lineage=[*before, _lineage(state, source, settings)],
    )
    model = Model(generator, discriminator, header)
    path = save_model(out / "model.safetensors", model, overwrite=True)
    if source.base is not None:
        pack = save_pack(out / "style.safetensors", model, source.base, overwrite=True)
        try:
            registry.known_base(read_header(pack))
        except PortraitistError:  # its base has no name to be found by
            save_model(out / "base.safetensors", source.base, overwrite=True)
    return path


def _lineage(state: TrainState, source: Source, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "base": "" if source.base is None else generator_digest(source.base),
        "data": settings["data"],
        "images_seen": state.images,
        "version": __version__,
        "torch": torch.__version__,
        "device": settings["device"],
        "machine": platform.machine(),
    }


def _settings(images: ImageSet, source: Source, training: Training, device: str) -> dict[str, Any]:
    generator, discriminator = source.anatomies
    return {
        **dataclasses.asdict(training),
        "data": {"digest": images.digest, "count": len(images)},
        "base": "" if source.base is None else generator_digest(source.base),
        "networks": {"generator": dataclasses.asdict(generator), "discriminator": dataclasses.asdict(discriminator)},
        "device": device,
        "version": __version__,
    }


def _passed(state: TrainState, training: Training, interval: int) -> bool:
    """Tell whether the step that just ended crossed a multiple of ``interval`` images."""
    return state.images // interval > (state.images - training.batch) // interval
