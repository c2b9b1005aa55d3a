"""The part of a run in which a grown discriminator's new layers are fitted, and what the header keeps of it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..data import ImageBatches
from ..io.model_file import Model
from ..networks import Discriminator
from ..train.distributed import ProcessGroup, check_identical
from ..train.folder import passed
from ..train.growth import EntranceRegression, EntranceState
from ..train.loop import fit
from ..train.signals import Asked, Interrupted
from ..train.snapshot import counters_of, resume, snapshots, write_snapshot
from ..train.spec import Training

log = logging.getLogger("portraitist")

FOLDER = "growth"
"""Folder of the snapshots of the regression, within the run folder."""


def fit_entrance(
    out: Path,
    base: Model,
    grown: Discriminator,
    batches: ImageBatches,
    training: Training,
    group: ProcessGroup,
    asked: Asked,
    settings: Mapping[str, Any],
    differences: Callable[[Mapping[str, Any]], Sequence[str]],
) -> None:
    """Fit the new layers of a grown discriminator in place, or continue from the snapshots of the run folder.

    Args:
        out: The run folder.
        base: What has grown.
        grown: Its discriminator, grown; changed in place.
        batches: Real images.
        training: Settings.
        group: The processes that train together.
        asked: Whether a signal has come.
        settings: Of the run, for the snapshots.
        differences: Tells, from the settings in a snapshot, which are not those of this run.

    Raises:
        Interrupted: A signal came; a snapshot was written.
        BadModel: The snapshots are of another run, or all damaged.
    """
    old = copy.deepcopy(base.require_discriminator("to grow")).to(group.device).eval().requires_grad_(False)
    frozen = [p for p in grown.parameters() if not p.requires_grad]
    state = EntranceState(old, grown.requires_grad_(True), training)
    used = resume(out / FOLDER, state, differences)
    check_identical(group, "run folder", state.images)
    if used is not None:
        log.info("continuing from %s", used.name)

    def on_step(state: EntranceState, report: dict[str, Tensor]) -> bool:
        stopped = asked.anywhere(group)
        if group.rank == 0 and (stopped or passed(state.images, training.batch, training.tick)):
            write_snapshot(out / FOLDER, state, settings)
        return stopped is not None

    fit(state, EntranceRegression(old.from_rgb, batches, training), on_step, group)
    for p in frozen:
        p.requires_grad_(False)
    if asked.number is not None:
        raise Interrupted(asked.number)
    if group.rank == 0:
        write_snapshot(out / FOLDER, state, settings)
        log.info("new layers of the discriminator: %.1f %% of the variance is left", 100 * state.error)


def record(out: Path, base: Model) -> dict[str, Any]:
    """Return what the lineage keeps of a growth: the sizes before it, and what the regression left."""
    generator = base.generator.anatomy
    found: dict[str, Any] = {
        "resolution": generator.resolution,
        "generator_channels": list(generator.channels),
        "discriminator_channels": list(base.require_discriminator("to grow").anatomy.channels),
    }
    if (out / FOLDER).is_dir() and (newest := snapshots(out / FOLDER)):
        counters = counters_of(newest[-1])
        found |= {f"entrance_{name}": counters[name] for name in ("images", "error")}
    return {"grown_from": found}
