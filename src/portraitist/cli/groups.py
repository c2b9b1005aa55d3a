"""Groups of options: a dataclass per group, which several commands share, and a help that shows options by group.

    @add(app, "apply")
    def apply(*, source: Source, inversion: Inversion, run: Run) -> None: ...

The fields of ``Inversion`` and ``Run`` become options of the command, and the command gets them as two values.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypedDict, get_args, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import OptionInfo

from . import options, refusals
from .common import talk, with_common
from .options import opt

if TYPE_CHECKING:
    from ..faces import FaceFinder
    from ..losses.perceptual import PerceptualDistance
    from ..stylize import Inversion as HowInverted
    from ..stylize.choices import Options as WriteOptions
    from ..train.distributed import Precision

Command = Callable[..., None]


@dataclass(frozen=True)
class Inversion:
    """How photos become codes."""

    panel: ClassVar[str] = "Inversion"

    method: options.Method = None
    encoder: options.Encoder = None
    refine: options.Refine = 0

    def how(self, seed: int, *, samples: int | None = None, best: bool = False, **settings: Any) -> HowInverted | None:
        """Return the inversion; ``settings`` are those of an optimisation, None meaning its own."""
        return options.inversion(
            self._named, encoder=self.encoder, refine=self.refine, samples=samples, best=best, seed=seed, **settings
        )

    @property
    def _named(self) -> str | None:
        return self.method


@dataclass(frozen=True)
class Drawing(Inversion):
    """How photos are drawn: by a painter, or by codes, and how they then become codes."""

    method: options.DrawnBy = None

    @property
    def by(self) -> Literal["auto", "painter", "code"]:
        """What draws: the code where how it is found was chosen."""
        if self.method == "painter":
            return "painter"
        return "code" if self.method or self.encoder or self.refine else "auto"

    @property
    def _named(self) -> str | None:
        return None if self.method in ("painter", "code") else self.method


@dataclass(frozen=True)
class Features:
    """What compares pictures."""

    panel: ClassVar[str] = "Inversion"

    features: options.Features = None
    lpips: options.Lpips = None

    def distance(self) -> PerceptualDistance | None:
        """Return the distance, None where no weights are given."""
        return options.perceptual(self.features, self.lpips)


@dataclass(frozen=True)
class Faces:
    """Which faces of a photo."""

    panel: ClassVar[str] = "Faces"

    face: Annotated[str, opt("all, largest, or the number of a face (1 is the largest).")] = "all"
    aligned: options.Aligned = False
    detector: options.Detector = ""

    def finder(self) -> FaceFinder:
        """Return what finds faces."""
        from ..faces import finder_named

        return finder_named(self.detector)


@dataclass(frozen=True)
class Output:
    """Where and how pictures are written."""

    panel: ClassVar[str] = "Output"

    out: options.Out = None
    paste_back: Annotated[bool, opt("Blend the redrawn faces back into the photo.", "--paste-back")] = False
    sheet: Annotated[bool, opt("Also write a sheet of all stages and styles.", "--sheet")] = False
    size: Annotated[int | None, opt("Side of the pictures in pixels.", min=16, max=4096)] = None
    suffix: Annotated[str, opt("Format of the pictures: .png, .jpg or .webp.")] = ".png"
    report: Annotated[Path | None, opt("JSON report (default for folders: OUT/report.json).")] = None
    overwrite: options.Overwrite = False

    def written(self, faces: Faces) -> WriteOptions:
        """Return how pictures of these faces are written."""
        from ..stylize.choices import Options

        which = options.which_face(faces.face)
        return Options(which, faces.aligned, self.paste_back, self.sheet, self.size, self.suffix, self.overwrite)


@dataclass(frozen=True)
class Authorship:
    """What a file says about itself."""

    panel: ClassVar[str] = "Licence"

    name: Annotated[str, opt("Name that the file carries.")] = ""
    licence: Annotated[str, opt("SPDX identifier of the terms that the file may be used under.")] = ""
    credit: Annotated[str, opt("Whom the licence asks to name.")] = ""


@dataclass(frozen=True)
class Processes:
    """How a training is carried out."""

    panel: ClassVar[str] = "Processes"

    precision: Annotated[str, opt("fp32, or bf16: networks in mixed precision.")] = "fp32"
    rank_timeout: Annotated[float, opt("Seconds to wait for another process, under torchrun.", min=1)] = 120.0

    def settings(self) -> RunSettings:
        """Return them as the options of a run have them.

        Raises:
            UsageError: There is no such precision.
        """
        from ..train import distributed

        precision = options.choice(self.precision, distributed.Precision, "precision")
        return {"precision": precision, "rank_timeout": self.rank_timeout, "quiet": talk().verbosity < 0}


class RunSettings(TypedDict):
    """The fields of ``RunOptions`` that every training takes."""

    precision: Precision
    rank_timeout: float
    quiet: bool


_TYPE = re.compile(r" <([\w \[\]]+)>$")


def _plain(found: re.Match[str]) -> str:
    """Return what help calls a type of values: <text>, <number> or <path>."""
    kind = found[1].removesuffix(" range").removeprefix("list[").removesuffix("]").lower()
    plain = {"str": "text", "int": "number", "float": "number"}
    return f" <{plain.get(kind, kind)}>"


class GroupedCommand(TyperCommand):
    """A command whose help shows its options by group."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for the arguments and one for each group, the options of no group first."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                panel = getattr(parameter, "rich_help_panel", None) or "Options"
                is_argument = parameter.param_type_name == "argument"
                names = _TYPE.sub("" if is_argument else _plain, record[0])
                sections.setdefault("Arguments" if is_argument else panel, []).append((names, record[1]))
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)


def add(app: typer.Typer, name: str | None = None) -> Callable[[Command], Command]:
    """Return a decorator that adds a function to an app as a command, with its groups of options."""

    def register(function: Command) -> Command:
        app.command(name, cls=GroupedCommand)(with_common(with_groups(function)))
        return function

    return register


def with_groups(function: Command) -> Command:
    """Return a function for Typer: each parameter that is a group is replaced by the fields of the group.

    A default of such a parameter, itself a group, gives the defaults of the options.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        if is_dataclass(hint):
            groups[parameter.name] = hint
            parameters += _options_of(hint, parameter.default)
        else:
            parameters.append(parameter.replace(annotation=hint))

    def command(**values: Any) -> None:
        refusals.refuse_paths(values)
        refusals.refuse_missing(values)
        refusals.refuse_same(values)
        made = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        function(**values, **made)

    command.__doc__, command.__name__ = function.__doc__, function.__name__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return command


def _options_of(group: Any, defaults: object) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    found = []
    for field in fields(group):
        kind, *metadata = get_args(hints[field.name])
        (option,) = (copy(one) for one in metadata if isinstance(one, OptionInfo))
        option.rich_help_panel = group.panel
        default = field.default if isinstance(defaults, type) else getattr(defaults, field.name)
        assert default is not MISSING
        found.append(
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
            )
        )
    return found
