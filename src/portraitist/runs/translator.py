"""From photos and drawings of groups to a trained translator, in two stages.

recipe = PRESETS["paper"](256)
basic = train_translator(Groups.open("faces", 286, ["women"]), Path("runs/women"), recipe)
more = extend_translator(Groups.open("faces", 286, ["women", "men"]), Path("runs/all"), load_translator(basic),
recipe.training)
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..data.groups import Groups
from ..errors import UsageError
from ..io.model_file import lineage
from ..io.translator_files import (
    FILE,
    StoredTranslator,
    TranslatorHeader,
    check_translator_header,
    described,
    save_translator,
)
from ..networks.branches import TranslatorSystem
from ..networks.identity import Identity
from ..networks.translator import initialise
from ..recipes.translator import TranslatorRecipe
from ..train.folder import SAMPLES, SNAPSHOTS, locked, passed, settle
from ..train.log import RunLog
from ..train.signals import Interrupted, polite_stop
from ..train.snapshot import resume, sweep, write_snapshot
from ..train.state import random_of
from ..train.translator import GroupBatches, Sample, TranslatorState, TranslatorTraining, fit_translator

log = logging.getLogger("portraitist")

# A run may be told to write more or less often, and to go on for longer where its learning rate does not fall towards
# the end; nothing else may change.
MAY_CHANGE = frozenset({"tick", "snapshot", "version"})
SHOWN = 3
"""Pictures of each group in the sheets of a run."""


@dataclass(frozen=True)
class TranslatorSettings:
    """What a training is told beside its settings."""

    name: str = ""
    """Of the translator, as its file will have it."""
    licence: str = ""
    credit: str = ""
    persons: Identity | None = None
    """Tells persons apart; needed unless its weight is 0."""
    device: str = "cpu"
    quiet: bool = False
    """Show no progress bar."""


def train_translator(
    data: Groups,
    out: Path,
    recipe: TranslatorRecipe,
    told: TranslatorSettings | None = None,
    *,
    start: StoredTranslator | None = None,
) -> Path:
    """Train a basic model on one group in a run folder, or continue what was begun there.

    Args:
        data: Pictures at ``recipe.training.loaded(recipe.translator.resolution)`` pixels. Of several groups, whose
            samples are then not told apart, the model bears the names together.
        out: The run folder.
        recipe: Networks and settings.
        told: What else there is to say.
        start: A basic model to go on from, whose networks are taken in place of the recipe's.

    Returns:
        The file ``translator.safetensors`` in the run folder, beside sheets of drawings.

    Raises:
        Interrupted: A signal came; a snapshot was written.
        UsageError: The start has groups, or nothing can tell persons apart.
        PortraitistError: As its kinds tell.
    """
    name = "-".join(data.names)[:64]
    data = data.mixed(name)
    if start is not None and len(start.system.groups) > 1:
        raise UsageError("A translator with branches cannot go on as a basic model.", "Extend it instead.")
    return _run(data, out, lambda: _first(recipe, name, start), recipe.training, told, start, "basic")


def extend_translator(
    data: Groups,
    out: Path,
    basic: StoredTranslator,
    training: TranslatorTraining,
    told: TranslatorSettings | None = None,
) -> Path:
    """Add groups to a translator in a run folder, or continue what was begun there.

    Args:
        data: Pictures of the translator's common group first, and of each group to add; groups that it has already are
            trained on where they are among them.
        out: The run folder.
        basic: What to extend; it does not change.
        training: Settings.
        told: What else there is to say.

    Raises:
        UsageError: The common group is not the first, there is nothing to add, or players are missing.
    """
    common, new = basic.system.groups[0], [name for name in data.names if name not in basic.system.groups]
    if data.names[0] != common or not new:
        raise UsageError(
            f"The translator's common group is '{common}'; new groups are learned beside its samples.",
            f"Give pictures of '{common}' and of a new group at least.",
        )
    return _run(data, out, lambda: basic.system.extended(new), training, told, basic, "extended")


def _first(recipe: TranslatorRecipe, group: str, start: StoredTranslator | None) -> TranslatorSystem:
    if start is not None:
        system = copy.deepcopy(start.system)
        to_drawing, to_photo, *_ = system.players()
        to_drawing.groups = to_photo.groups = (group,)
        return system
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        system = TranslatorSystem.new(recipe.translator, recipe.panel, (group,))
    initialise(system, recipe.training.init, random_of(recipe.training.seed, "weights"))
    return system


def _run(
    data: Groups,
    out: Path,
    make: Callable[[], TranslatorSystem],
    training: TranslatorTraining,
    told: TranslatorSettings | None,
    start: StoredTranslator | None,
    stage: str,
) -> Path:
    told = told or TranslatorSettings()
    system = make().to(told.device)
    header = replace(
        described(system, None if start is None else start.header),
        name=told.name,
        licence=told.licence,
        credit=told.credit,
    )
    check_translator_header(header)
    settings = _settings(data, system, training, told, start, stage)
    batches = GroupBatches(data, training, system.anatomy.resolution)
    shown = _shown(batches, told.device)
    with polite_stop() as asked, locked(out):
        settle(out, settings, may_change=MAY_CHANGE | ({"images"} if training.decay_from == 1 else frozenset()))
        for folder in (out, out / SAMPLES):
            sweep(folder)
        state = TranslatorState.start(system, training)
        if (used := resume(out / SNAPSHOTS, state)) is not None:
            log.info("continuing from %s", used.name)
        with RunLog(out, training.images, state.images, quiet=told.quiet) as run:
            each = training.batch * len(data.names)

            def on_step(state: TranslatorState, report: dict[str, Tensor]) -> bool:
                run.add(each, report)
                if passed(state.images, each, training.tick):
                    run.tick(state.images, {"learning_rate": training.rate(state.images)})
                if passed(state.images, each, training.snapshot):
                    write_snapshot(out / SNAPSHOTS, state)
                    run.samples(state.images, pictures_of(state.system, shown), columns=6)
                return asked.number is not None

            fit_translator(state, batches, training, told.persons, on_step)
        write_snapshot(out / SNAPSHOTS, state)
        if asked.number is not None:
            raise Interrupted(asked.number)
        header = _finished(header, state.images, settings, [] if start is None else start.header.lineage)
        stored = StoredTranslator(copy.deepcopy(state.system).cpu().eval(), header)
        return save_translator(out / FILE, stored, overwrite=True)


@torch.no_grad()
def pictures_of(system: TranslatorSystem, shown: Mapping[str, Sample]) -> Tensor:
    """Return, for each photo and drawing beside it, both, what each becomes, and that translated back: rows of six."""
    to_drawing, to_photo, *_ = system.players()
    rows = []
    for group, (photos, drawings) in shown.items():
        drawn, lifelike = to_drawing(photos, group).image, to_photo(drawings, group).image
        back, again = to_photo(drawn, group).image, to_drawing(lifelike, group).image
        rows.append(torch.stack([photos, drawn, back, drawings, lifelike, again], 1).flatten(0, 1))
    return torch.cat(rows).cpu()


def _shown(batches: GroupBatches, device: str) -> dict[str, Sample]:
    """Return the pictures of the sheets: the first that the training sees."""
    several = replace(batches, training=replace(batches.training, batch=SHOWN)).at(0)
    return {group: (photos.to(device), drawings.to(device)) for group, (photos, drawings) in several.items()}


def _finished(
    header: TranslatorHeader, images: int, settings: dict[str, Any], before: list[dict[str, Any]]
) -> TranslatorHeader:
    return replace(header, training=settings, lineage=[*before, lineage(images, settings)])


def _settings(
    data: Groups,
    system: TranslatorSystem,
    training: TranslatorTraining,
    told: TranslatorSettings,
    start: StoredTranslator | None,
    stage: str,
) -> dict[str, Any]:
    persons = told.persons if training.person_weight else None
    counts = {name: [len(data.photos[name]), len(data.drawings[name])] for name in data.names}
    _, _, panel, _ = system.players()
    return {
        **dataclasses.asdict(training),
        "stage": stage,
        "translator": dataclasses.asdict(system.anatomy),
        "panel": dataclasses.asdict(panel.anatomy),
        "groups": list(system.groups),
        "base": "" if start is None else start.digest,
        "data": {"digest": data.digest, "count": sum(map(sum, counts.values())), "groups": counts},
        "persons": None if persons is None else {"name": persons.name, "digest": persons.digest},
        "device": told.device,
        "version": __version__,
    }
