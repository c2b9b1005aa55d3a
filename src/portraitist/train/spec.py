"""What a training is: a frozen value that a recipe derives from another by replacing fields.

quick = replace(Training(), images=20_000, frozen=Freeze(mapping=True)).with_term(Structure(weight=2.0))
"""

from __future__ import annotations

import dataclasses
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from torch import Tensor

from ..errors import UsageError
from ..losses import GanLoss
from ..networks import DiscriminatorAnatomy, GeneratorAnatomy
from ..networks.anatomy import SMALLEST

if TYPE_CHECKING:
    from .state import TrainState
    from .terms import StepContext

Augmentation = Literal["none", "ada", "diffaugment"]
Latents = Literal["z", "z+"]
Role = Literal["G", "D", "F"]
ROLES: tuple[Role, ...] = ("D", "G", "F")
"""Discriminator, generator and discriminator of features, in the order in which they step."""
LEAST_HELD_OUT = 5
"""Fewer held-out exemplars than this say nothing."""

log = logging.getLogger("portraitist")
NOT_NEGATIVE = (
    "r1_gamma",
    "r1_every",
    "path_weight",
    "path_every",
    "ema_ramp",
    "patience",
    "entrance_images",
    "entrance_rate",
)


def refuse_not_finite(settings: Any, prefix: str = "") -> None:
    """Refuse settings, a dataclass, in which a number is NaN or infinite; ``prefix`` goes before their names.

    Raises:
        UsageError: There is one.
    """
    for field_ in dataclasses.fields(settings):
        value = getattr(settings, field_.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"The setting {prefix}{field_.name} must be a number, not {value}.")


def refuse_balance(values: Sequence[str]) -> None:
    """Refuse values to balance of which there are not several, each once.

    Raises:
        UsageError: There are not.
    """
    if values and len(set(values)) != max(len(values), 2):
        raise UsageError(f"The setting balance needs two values or more, not {', '.join(values)}.")


def refuse_below_one(settings: Any, *names: str, prefix: str = "") -> None:
    """Refuse settings, a dataclass, in which one of these is below 1; ``prefix`` goes before their names.

    Raises:
        UsageError: There is one.
    """
    for name in names:
        if getattr(settings, name) < 1:
            raise UsageError(f"The setting {prefix}{name} must be at least 1, not {getattr(settings, name)}.")


class Term(ABC):
    """A loss of one role, with its settings; a frozen dataclass that a training may carry."""

    name: ClassVar[str]
    """Word under which the loss is logged, and before the names of its settings."""
    role: ClassVar[Role]
    """Whose parameters it moves."""
    needs_source: ClassVar[bool] = False
    """Whether it compares with the base, ``context.base``."""
    uses_features: ClassVar[bool] = False
    """Whether a feature network makes a difference to it."""
    uses_lpips: ClassVar[bool] = False
    """Whether channel weights of LPIPS on that network do."""
    needs_features: ClassVar[bool] = False
    """Whether that network has to be given; without one the base's discriminator takes its place."""
    needs_smaller: ClassVar[bool] = False
    """Whether it compares with a smaller model, ``context.smaller``."""
    needs_codes: ClassVar[bool] = False
    """Whether it needs the codes of the pictures in that model, too."""
    every: int = 1
    """Steps between its steps; 1 joins the role's main phase, more is a lazy phase of its own."""
    shrink: int = 1
    """A step of it looks at batch / shrink images."""

    def refuse_negative(self, *names: str) -> None:
        """Refuse settings below 0, and those that are no finite number.

        Raises:
            UsageError: There is one.
        """
        refuse_not_finite(self, f"{self.name}.")
        for name in names:
            if getattr(self, name) < 0:
                raise UsageError(f"The setting {self.name}.{name} cannot be negative ({getattr(self, name)}).")

    @property
    def partners(self) -> tuple[Term, ...]:
        """Losses of other roles that come with it."""
        return ()

    @abstractmethod
    def __call__(self, context: StepContext) -> Tensor:
        """Return the loss, a scalar, mean over the share; of a lazy term before the factor ``every``."""

    def update_state(  # noqa: B027
        self, state: TrainState, training: Training, report: dict[str, Tensor]
    ) -> None:
        """Take from the averaged report of a step what the state remembers; nothing by default."""

    def check(self, training: Training, anatomy: GeneratorAnatomy) -> None:  # noqa: B027
        """Refuse a training in which the term has no effect; nothing by default.

        Raises:
            UsageError: It is one, and why.
        """

    def check_parts(self, training: Training, parts: int) -> None:  # noqa: B027
        """Refuse as many parts of a batch, of all processes together, if the term has no effect then.

        Raises:
            UsageError: They are refused, and why.
        """


@dataclass(frozen=True)
class SourceTerm(Term):
    """A loss of the generator that compares with what the base draws; a weight of 0 leaves it out."""

    weight: float = 1.0
    role: ClassVar[Role] = "G"
    needs_source: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.refuse_negative("weight")


@dataclass(frozen=True)
class Freeze:
    """Which parameters are frozen; named by resolution, both networks."""

    mapping: bool = False
    """The mapping network of the generator (FreezeFC, Huang, Liao and Kwong 2020, arXiv:2010.05713)."""
    generator_upto: int = 0
    """Blocks of the generator up to this resolution (FreezeG); 0 for none."""
    discriminator_from: int = 0
    """Blocks of the discriminator from this resolution to the pixels (FreezeD, Mo et al. 2020); 0 for none."""
    styles_upto: int = 0
    """Rows of W+ that feed blocks up to this resolution come from the base's mapping (FreezeSG); 0 for none."""

    def generator(self, anatomy: GeneratorAnatomy, parameter: str) -> bool:
        """Tell whether a parameter of the generator is frozen."""
        if anatomy.borrowed(parameter):
            return True
        place = anatomy.place(parameter)
        return self.mapping if place is None else place <= self.generator_upto

    def discriminator(self, anatomy: DiscriminatorAnatomy, parameter: str) -> bool:
        """Tell whether a parameter of the discriminator is frozen."""
        return bool(self.discriminator_from) and anatomy.place(parameter) >= self.discriminator_from


@dataclass(frozen=True)
class Training:
    """Every setting of a training. Amounts are counted in images, never in iterations."""

    images: int = 200_000
    """Real images to show to the discriminator in all."""
    batch: int = 8
    seed: int = 0
    gan_loss: GanLoss = "logistic"
    """The adversarial losses: StyleGAN2's, or AgileGAN's ``hinge``."""
    latents: Latents = "z"
    """``z`` mixes two latents per image (see ``mixing``); ``z+`` draws one for each row of W+ (AgileGAN)."""
    learning_rate: float = 0.002
    """Of Adam, for both networks, before the rescaling for lazy regularisation."""
    r1_gamma: float = 1.0
    """Weight of R1; gamma / 2 multiplies the squared gradient."""
    r1_every: int = 16
    """Steps between R1 steps; 0 leaves it out."""
    path_weight: float = 2.0
    path_every: int = 4
    """Steps between path-length steps; 0 leaves it out."""
    path_shrink: int = 2
    """The path-length step draws batch / path_shrink images."""
    path_decay: float = 0.01
    """How fast the running mean of path lengths follows."""
    mixing: float = 0.9
    """Share of images drawn from two latents."""
    ema_images: float = 5_000.0
    """Half-life of the averaged generator."""
    ema_ramp: float = 0.05
    """The half-life is at most this share of the images seen, so that early averages are young; 0 switches it off."""
    augment: Augmentation = "ada"
    """What the discriminator's images go through."""
    ada_target: float = 0.6
    """Mean sign of the scores of real images that ADA steers to (Karras et al. 2020, arXiv:2006.06676)."""
    ada_images: float = 100_000.0
    """Images in which p can move by 1."""
    ada_every: int = 4
    """Steps between changes of p."""
    mirror: bool = True
    """Show each image mirrored half of the time."""
    frozen: Freeze = field(default_factory=Freeze)
    terms: tuple[Term, ...] = ()
    """Losses beside those of StyleGAN2, by name; see :meth:`with_term`."""
    blend_upto: int = 0
    """At the end, blocks above this resolution are the base's again (Toonify); 0 leaves the style as it is."""
    paths: tuple[str, ...] = ()
    """Attributes with blocks of their own (AgileGAN's multi-path generator); empty for a single path."""
    split_from: int = 8
    split_upto: int = 64
    """First and last resolution of the blocks that each path has for itself."""
    balance: tuple[str, ...] = ()
    """Values of an attribute that a single path is shown equally often; exemplars with other values are left out."""
    held_out: float = 0.0
    """Share of the exemplars (5 at least) that is not trained on but scores the training; 0 for none."""
    patience: int = 0
    """Ticks without a better score on the held-out exemplars after which training stops; 0 to go on to the end."""
    entrance_images: int = 0
    """Of a base that grows: images that the new layers of the discriminator are fitted to, before the game goes on."""
    entrance_rate: float = 0.005
    """Learning rate of Adam in that regression, at its beginning; it falls to 0."""
    accumulate: int = 1
    """Parts in which a batch is worked through, to save memory; gradients are those of the whole."""
    tick: int = 2_000
    """Images between lines of statistics."""
    snapshot: int = 10_000
    """Images between snapshots and sample grids."""

    def with_term(self, term: Term) -> Training:
        """Return this training with one loss more, or with other settings of it; a weight of 0 removes it."""
        others = [t for t in self.terms if t.name != term.name]
        mine = [term] if getattr(term, "weight", 1.0) else []
        return replace(self, terms=tuple(sorted((*others, *mine), key=lambda t: t.name)))

    def record(self) -> dict[str, Any]:
        """Return all settings as JSON values: those of a term under its name, and the names of all under ``terms``."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "terms"}
        plain["frozen"] = dataclasses.asdict(self.frozen)
        settings = {t.name: dataclasses.asdict(t) for t in self.terms}  # type: ignore[call-overload]
        return {**plain, "terms": [t.name for t in self.terms], **settings}

    @property
    def idle(self) -> dict[str, str]:
        """Settings that have no effect beside the others, and why; losses say it of their own."""
        found: dict[str, str] = {}
        if self.augment != "ada":
            found |= dict.fromkeys(("ada_target", "ada_images", "ada_every"), f"augment is {self.augment}")
        if not self.r1_interval:
            found |= dict.fromkeys(("r1_gamma", "r1_every"), "r1_gamma or r1_every is 0")
        if not self.path_interval:
            names = ("path_weight", "path_every", "path_shrink", "path_decay")
            found |= dict.fromkeys(names, "path_weight or path_every is 0")
        if self.latents == "z+":
            found["mixing"] = "latents is z+"
        if not self.paths:
            found |= dict.fromkeys(("split_from", "split_upto"), "there are no paths")
        return found

    @property
    def r1_interval(self) -> int:
        """Steps between R1 steps; 0 where its interval or its weight leaves it out."""
        return self.r1_every if self.r1_gamma else 0

    @property
    def path_interval(self) -> int:
        """Steps between path-length steps; 0 where its interval or its weight leaves it out."""
        return self.path_every if self.path_weight else 0

    def __post_init__(self) -> None:
        refuse_not_finite(self)
        refuse_below_one(self, "images", "batch", "tick", "snapshot", "path_shrink", "ada_every", "accumulate")
        for name in ("learning_rate", "ema_images", "ada_images"):
            if not getattr(self, name) > 0:
                raise UsageError(f"The setting {name} must be positive, not {getattr(self, name)}.")
        for name in NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise UsageError(f"The setting {name} cannot be negative ({getattr(self, name)}).")
        for name in ("mixing", "path_decay", "held_out"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"The setting {name} is a share between 0 and 1, not {getattr(self, name)}.")
        for name, kind in (("augment", Augmentation), ("gan_loss", GanLoss), ("latents", Latents)):
            if getattr(self, name) not in get_args(kind):
                raise UsageError(f"The setting {name} is one of {get_args(kind)}, not '{getattr(self, name)}'.")
        if self.paths and self.balance:
            raise UsageError("Paths are shown equally often already.", "Leave balance out, or the recipe multipath.")
        refuse_balance(self.balance)
        values = max(len(self.paths), len(self.balance), 1)
        if self.batch % (values * self.accumulate):
            raise UsageError(
                f"A batch of {self.batch} cannot be shared by {values} {'values' if self.balance else 'paths'} in "
                f"{self.accumulate} parts.",
                f"Make the batch a multiple of {values * self.accumulate}.",
            )


OLD_TERMS: Mapping[str, Mapping[str, str]] = {
    "structure": {
        "structure_weight": "weight",
        "structure_from": "first",
        "structure_upto": "last",
        "structure_tap": "tap",
    },
    "similarity": {"similarity_weight": "weight", "similarity_taps": "taps"},
}
RENAMED: Mapping[str, str] = {
    "game": "gan_loss",
    **{f"rests.{f.name}": f"frozen.{f.name}" for f in dataclasses.fields(Freeze)},
    **{old: f"{term}.{new}" for term, names in OLD_TERMS.items() for old, new in names.items()},
}
"""Names of settings in version 0.1 that the next release will no longer take, and what they are called now."""


def current(pair: str) -> str:
    """Return a ``key=value`` text under the name that the setting has today, and warn where it had another."""
    key, equals, value = pair.partition("=")
    if key not in RENAMED:
        return pair
    log.warning("The setting %s is now called %s; the next release no longer takes the old name.", key, RENAMED[key])
    return f"{RENAMED[key]}{equals}{value}"


def upgraded(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of settings under today's names; one that version 0.1 wrote has others."""
    found = dict(record)
    if "rests" in found:
        _rename(found)
    if "similarity" in found:
        found["similarity"] = {"reduce": "sum", **found["similarity"]}  # before there was a choice
    return found


def _rename(found: dict[str, Any]) -> None:
    found["frozen"], found["gan_loss"], found["terms"] = found.pop("rests"), found.pop("game", "logistic"), []
    for name, names in OLD_TERMS.items():
        settings = {new: found.pop(old) for old, new in names.items() if old in found}
        if settings.get("weight"):
            found["terms"] = sorted([*found["terms"], name])
            found[name] = settings


def refuse_idle(before: object, after: object, idle: Mapping[str, str]) -> None:
    """Refuse changes that have no effect.

    Args:
        before: Settings.
        after: The same with some replaced.
        idle: Names of those of ``after`` that have none, with dots into settings of settings, and why.

    Raises:
        UsageError: One of them was changed to something else than nothing.
    """
    for name, why in idle.items():
        value = attrgetter(name)(after)
        if value and value != attrgetter(name)(before):
            raise UsageError(f"The setting {name} has no effect, because {why}.", "Leave it out.")


def check(training: Training, anatomy: GeneratorAnatomy) -> None:
    """Refuse a training in which one setting makes another void, or that does not fit the generator.

    Raises:
        UsageError: It is one, and why.
    """
    frozen = training.frozen
    _check_blocks(training, anatomy)
    if training.patience and not training.held_out:
        raise UsageError("Early stopping (patience) needs held-out exemplars.", "Set held_out, or patience=0.")
    if frozen.generator_upto >= anatomy.resolution and (frozen.mapping or frozen.styles_upto >= anatomy.resolution):
        raise UsageError("Every generator layer is frozen; nothing would train.", "Set frozen.generator_upto lower.")
    if 0 < frozen.discriminator_from <= SMALLEST:
        raise UsageError(
            "Every discriminator layer is frozen; nothing would train.", "Set frozen.discriminator_from higher."
        )
    for term in training.terms:
        term.check(training, anatomy)
    if training.paths and frozen.generator_upto >= training.split_upto:
        raise UsageError(
            f"Paths have blocks of their own up to {training.split_upto} pixels, all of which are frozen.",
            "Set split_upto higher, or frozen.generator_upto lower.",
        )
    if frozen.styles_upto and frozen.mapping:
        raise UsageError(
            "The upper rows come from a mapping network that trains (frozen.styles_upto), but it is frozen.",
            "Set frozen.mapping=false, or frozen.styles_upto=0.",
        )


def _check_blocks(training: Training, anatomy: GeneratorAnatomy) -> None:
    named = {"blend_upto": training.blend_upto, "frozen.styles_upto": training.frozen.styles_upto}
    if training.paths:
        named |= {"split_from": training.split_from, "split_upto": training.split_upto}
    for name, value in named.items():
        if value not in (0, *anatomy.resolutions):
            raise UsageError(
                f"The setting {name} is {value}, but there is no such block.",
                f"Blocks have {', '.join(map(str, anatomy.resolutions))} pixels.",
            )
    if training.paths and training.split_from > training.split_upto:
        raise UsageError("A first resolution lies above the last.", "Set split_from lower.")
