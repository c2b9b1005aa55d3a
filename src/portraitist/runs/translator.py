"""From photos and drawings of groups to a trained translator, in two stages.

recipe = PRESETS["paper"](256)
basic = train_translator(Groups.open("faces", 286, ["women"]), Path("runs/women"), recipe)
more = extend_translator(Groups.open("faces", 286, ["women", "men"]), Path("runs/all"), load_translator(basic),
recipe.training)
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from .._version import __version__
from ..data.groups import Groups, Pool
from ..errors import UsageError
from ..io.headers import check_translator_header
from ..io.model_file import lineage
from ..io.translator_files import (
    FILE,
    StoredTranslator,
    described,
    save_translator,
)
from ..networks.branches import TranslatorSystem
from ..networks.identity import Identity
from ..networks.translator import initialise
from ..networks.translator_anatomy import TranslatorAnatomy
from ..ops.colour import are_grey
from ..recipes.translator import TranslatorRecipe
from ..train.log import RunLog
from ..train.session import Run, RunOptions
from ..train.state import random_of
from ..train.translation_loss import Sample
from ..train.translator import GroupBatches, Translation, TranslatorState
from ..train.translator_settings import TranslatorTraining

SHOWN = 3
"""Pictures of each group in the sheets of a run."""
LOOKED_AT = 64
"""Drawings of each group, or of all that are trained as one, that tell whether the style is grey."""


@dataclass(frozen=True)
class TranslatorOptions(RunOptions):
    """Options of a run, beside its settings."""

    name: str = ""
    """Of the translator, as its file will have it."""
    licence: str = ""
    credit: str = ""
    identity: Identity | None = None
    """The face embedder; needed unless its weight is 0."""
    framing: Literal["ffhq", "photo2cartoon"] | None = None
    """How the pictures were cut out; as those of the translator that it begins with, or ``ffhq``, when None."""


def train_translator(
    data: Groups,
    out: Path,
    recipe: TranslatorRecipe,
    options: TranslatorOptions | None = None,
    *,
    start: StoredTranslator | None = None,
) -> Path:
    """Train a basic model on one group in a run folder, or continue what was begun there.

    Args:
        data: Pictures at ``recipe.training.loaded(recipe.translator.resolution)`` pixels. Of several groups, whose
            samples are then mixed, the model bears the joined names.
        out: The run folder.
        recipe: Networks and settings.
        options: How to carry it out.
        start: A basic model to go on from, whose networks are taken in place of the recipe's.

    Returns:
        The file ``translator.safetensors`` in the run folder, beside sheets of drawings.

    Raises:
        Interrupted: A signal came; a snapshot was written.
        UsageError: The start has groups, or a face embedder is missing.
        PortraitistError: See its subclasses.
    """
    name = "-".join(data.names)[:64]
    data = data.mixed(name)
    if start is not None and len(start.system.groups) > 1:
        raise UsageError("A translator with branches cannot go on as a basic model.", "Extend it instead.")
    system = _first(recipe, name, start)
    return TranslatorRun(data, out, system, recipe.training, options, start, "basic").go()


def extend_translator(
    data: Groups,
    out: Path,
    basic: StoredTranslator,
    training: TranslatorTraining,
    options: TranslatorOptions | None = None,
) -> Path:
    """Add groups to a translator in a run folder, or continue what was begun there.

    Args:
        data: Pictures of the translator's common group first, and of each group to add; groups that it has already are
            trained on where they are among them.
        out: The run folder.
        basic: What to extend; it does not change.
        training: Settings.
        options: How to carry it out.

    Raises:
        UsageError: The common group is not the first, there is nothing to add, or networks are missing.
    """
    common, new = basic.system.groups[0], [name for name in data.names if name not in basic.system.groups]
    if data.names[0] != common or not new:
        raise UsageError(
            f"The translator's common group is '{common}'; new groups are learned beside its samples.",
            f"Give pictures of '{common}' and of a new group at least.",
        )
    return TranslatorRun(data, out, basic.system.extended(new), training, options, basic, "extended").go()


def _first(recipe: TranslatorRecipe, group: str, start: StoredTranslator | None) -> TranslatorSystem:
    if start is not None:
        system = copy.deepcopy(start.system)
        to_drawing, to_photo, *_ = system.players()
        to_drawing.groups = to_photo.groups = (group,)
        return system
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        system = TranslatorSystem.new(recipe.translator, recipe.panel, (group,))
    to_drawing, to_photo, *panels = system.players()
    init, random = recipe.training.init, random_of(recipe.training.seed, "weights")
    for translator in (to_drawing, to_photo):
        initialise(translator, init, random)
    judges = [*panels] if system.of_contents is None else [*panels, system.of_contents]
    for judge in judges:
        initialise(judge, "normal" if init == "kaiming" else init, random)
    return system


class TranslatorRun(Run[TranslatorState]):
    """Translators in a run folder, of either stage."""

    training: TranslatorTraining

    def __init__(
        self,
        data: Groups,
        out: Path,
        system: TranslatorSystem,
        training: TranslatorTraining,
        options: TranslatorOptions | None,
        basic: StoredTranslator | None,
        stage: str,
    ) -> None:
        options = options or TranslatorOptions()
        if basic is not None:  # which draws already
            training = training.going_on()
        super().__init__(out, training, data.digest, options)
        self.groups, self.system, self.basic, self.stage = data, system, basic, stage
        if training.decay_from < 1 or training.initial_share:  # shares of all images
            self.may_change = Run.may_change - {"images"}
        training.refuse_idle(options.identity is not None)
        training.refuse_foreign(system.anatomy)
        self.identity = options.identity
        self.header = replace(
            described(system, None if basic is None else basic.header),
            name=options.name,
            licence=options.licence,
            credit=options.credit,
            framing=options.framing or ("ffhq" if basic is None else basic.header.framing),
            grey=all(are_grey(_some(pool), on_white=True) for pool in data.drawings.values()),
        )
        check_translator_header(self.header)
        self.batches = GroupBatches(data, training, system.anatomy.resolution)
        # The sheets show the first pictures that the training sees.
        self.shown = replace(self.batches, training=replace(training, batch=SHOWN)).at(0)

    def config(self) -> dict[str, Any]:
        """Return the settings, and what the training begins with and sees."""
        data, identity = self.groups, self.identity
        counts = {name: [len(data.photos[name]), len(data.drawings[name])] for name in data.names}
        _, _, panel, _ = self.system.players()
        return {
            **dataclasses.asdict(self.training),
            "stage": self.stage,
            "translator": dataclasses.asdict(self.system.anatomy),
            "panel": dataclasses.asdict(panel.anatomy),
            "groups": list(self.system.groups),
            "base": "" if self.basic is None else self.basic.digest,
            "data": {"digest": data.digest, "count": sum(map(sum, counts.values())), "groups": counts},
            "persons": None if identity is None else {"name": identity.name, "digest": identity.digest},
            "device": self.options.device,
            "precision": self.options.precision,
            "version": __version__,
        }

    def upgraded(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return the config of a run as of today: what earlier ones did not have was off."""
        if "cycle_weight" not in config or not isinstance(config.get("translator"), dict):
            return config  # of a run of another kind
        usual = {f.name: f.default for f in dataclasses.fields(TranslatorAnatomy)}
        return {"initial_share": 0.0, **config, "translator": {**usual, **config["translator"]}}

    def start(self, device: str) -> TranslatorState:
        """Bring the networks, the face embedder and the pictures of the sheets to the device."""
        if isinstance(self.identity, torch.nn.Module):
            self.identity.to(device)
        self.shown = {
            group: (photos.to(device), drawings.to(device)) for group, (photos, drawings) in self.shown.items()
        }
        return TranslatorState(self.system.to(device), self.training)

    def objective(self, state: TranslatorState) -> Translation:
        """Return the losses of discriminators and translators."""
        return Translation(self.training, self.batches, state.system, self.identity)

    def pictures(self, state: TranslatorState) -> list[str]:
        """Return what the pictures of the step that begins are called, with their groups."""
        return self.batches.names(state.step)

    def tick(self, state: TranslatorState) -> dict[str, float]:
        """Return the learning rate; there is no held-out score that is known to follow the quality of drawings."""
        return {"learning_rate": self.training.rate(state.images)}

    def samples(self, state: TranslatorState, run: RunLog) -> None:
        """Show pictures of each group, what they become, and that translated back."""
        run.samples(state.images, pictures_of(state.system, self.shown), columns=6)

    @property
    def path(self) -> Path:
        """The translator's file."""
        return self.out / FILE

    def finish(self, state: TranslatorState) -> Path:
        """Write translators and discriminators."""
        before = [] if self.basic is None else self.basic.header.lineage
        history = [*before, lineage(state.images, self.settings)]
        header = replace(self.header, training=self.settings, lineage=history)
        stored = StoredTranslator(copy.deepcopy(state.system).cpu().eval(), header)
        return save_translator(self.path, stored, overwrite=True)


def _some(pool: Pool) -> Tensor:
    """Return pictures from all over a pool, [N, 3, R, R]."""
    chosen = torch.linspace(0, len(pool) - 1, min(len(pool), LOOKED_AT)).long()
    return pool.batch(chosen, torch.zeros(len(chosen), dtype=torch.bool))


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
