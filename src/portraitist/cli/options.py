"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast, get_args

import typer

from ..errors import UsageError
from ..files import refuse_existing
from ..invert.projection import METHODS

if TYPE_CHECKING:
    from ..data import ImageSet
    from ..invert import Projection
    from ..io.catalogue import AnyEntry
    from ..io.model_file import Model
    from ..losses.perceptual import PerceptualDistance
    from ..networks.identity import Identity as FaceEmbedder
    from ..stylize import Inversion
    from ..stylize.choices import Which


def opt(help: str, *names: str, panel: str | None = None, **more: Any) -> Any:
    """Return a Typer option: its help, its names where they are not its variable's, and the group that shows it."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


LARGEST_SEED = 2**63 - 1
Seed = Annotated[int, opt("Seed of all random numbers.", min=0, max=LARGEST_SEED)]
Device = Annotated[str, opt("auto, cpu, cuda, cuda:N or mps.")]
Overwrite = Annotated[bool, opt("Replace existing files.", "--overwrite")]
Out = Annotated[Path | None, opt("Folder to write to.", "--out", "-o")]
RunFolder = Annotated[Path, opt("Run folder; an existing run continues.", "--out", "-o")]
ATTRIBUTES = "Attributes"
Labels = Annotated[Path | None, opt("CSV file: `file` and a column per attribute.", panel=ATTRIBUTES)]
Balance = Annotated[str, opt("Attribute whose values are shown equally often, on one path.", panel=ATTRIBUTES)]
Attribute = Annotated[str | None, opt("Path of a multi-path style, e.g. female (see `portraitist models`).")]
AttributeOrAuto = Annotated[
    str | None,
    opt(
        "Path of multi-path styles, e.g. female (see `portraitist models`). auto: each face chooses, as it "
        "does in styles that you name."
    ),
]
Aligned = Annotated[bool, opt("The pictures are aligned square faces already.", "--aligned")]
Detail = Annotated[
    float, opt("Take from the photo what the code does not hold: 1 all, 0 nothing.", min=0, max=1, panel="Style")
]
Detector = Annotated[str, opt("Face detector (default: blazeface).", show_default=False)]
Set = Annotated[list[str] | None, opt("Override a setting, key=value; may be repeated.", "--set")]
DryRun = Annotated[bool, opt("Check everything, print the settings and stop.", "--dry-run")]

Features = Annotated[
    Path | None, opt("VGG16, AlexNet or SqueezeNet weights that compare pictures (default: the base's discriminator).")
]
Lpips = Annotated[Path | None, opt("LPIPS weights (lin0.model.1.weight, ...) that were fitted on --features.")]
Identity = Annotated[
    Path | None, opt("Face embedder: IR-SE50 or MobileFaceNet weights (default: the base's discriminator).")
]

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal["encoder", *METHODS]
if TYPE_CHECKING:
    HowDrawn = str
else:
    HowDrawn = Literal["painter", "code", "encoder", *METHODS]
DrawnBy = Annotated[
    HowDrawn | None,
    opt("The style's painter, its code, or how codes are found (default: the painter where it is better, else code)."),
]
Method = Annotated[MethodName | None, opt("Inversion method (default: encoder if the base has one, else portrait).")]
Encoder = Annotated[str | None, opt("Encoder: name, file or run folder (default: the known one of the base).")]
Refine = Annotated[int, opt("Optimise the encoder's code for so many steps.", min=0, max=10_000)]
Steps = Annotated[
    int | None, opt("Optimisation steps (default: the method's). Selects optimisation.", min=1, panel="Inversion")
]
Rank = Annotated[int | None, opt("SeFa directions that a ui2i code uses (default: all).", min=1, panel="Inversion")]
SAMPLES_OF_BEST = 8
MOST_SEEDS = 100_000

T = TypeVar("T")


def device(name: str, *, exact: bool = False) -> str:
    """Return the device that a name means on this machine; arguments and errors as of ``ops.devices.device_named``."""
    from ..ops import keep_heap
    from ..ops.devices import device_named

    keep_heap()
    return device_named(name, exact=exact)


def choice(text: str, kind: Any, name: str) -> Any:
    """Return a text that must be one of those that a ``Literal`` allows.

    Raises:
        UsageError: It is none of them.
    """
    if text not in get_args(kind):
        raise UsageError(f"There is no {name} '{text}'.", f"Use {' or '.join(get_args(kind))}.")
    return text


def random_appearances(appearance: str | None) -> int:
    """Return how many appearances ``--appearance`` asks to draw at random.

    Raises:
        UsageError: It asks for something else.
    """
    if appearance is None:
        return 0
    kind, _, count = appearance.partition(":")
    if kind != "random" or not (count.isascii() and count.isdecimal() and len(count) < 6):
        raise UsageError(f"--appearance takes random:N, not '{appearance[:40]}'.", "For a picture give --reference.")
    return int(count)


def projection(method: str = "portrait", **wanted: Any) -> Projection:
    """Return the settings of an optimisation with those replaced that are not None."""
    return replace(METHODS[method](), **{k: v for k, v in wanted.items() if v is not None})


def inversion(
    method: str | None,
    *,
    encoder: str | None = None,
    refine: int = 0,
    samples: int | None = None,
    best: bool = False,
    seed: int = 0,
    **of_optimisation: Any,
) -> Inversion | None:
    """Return how photos are inverted; None leaves it to ``Stylizer``, which knows the encoder of the base.

    Args:
        method: One of :data:`Method`; when None, ``portrait`` if a setting of the optimisation is given.
        encoder: Name, file or run folder.
        refine: Steps from the encoder's code.
        samples: Posterior samples, or candidates for the best.
        best: Choose the medoid of mean and samples.
        seed: Of the optimisation.
        of_optimisation: Settings of the optimisation; None means its own.

    Raises:
        UsageError: The options contradict each other.
    """
    from ..stylize import ByEncoder, ByOptimisation

    optimised = [f"--{k}" for k, v in of_optimisation.items() if v is not None]
    encoded = [k for k, v in {"--refine": refine, "--samples": samples, "--best": best}.items() if v]
    chosen = "portrait" if method is None and optimised else method
    if chosen in (None, "encoder"):
        if optimised:
            raise UsageError(f"{optimised[0]} belongs to an optimisation, not to the encoder.", "Use --refine.")
        if not (chosen or encoded or encoder):
            return None
        count = SAMPLES_OF_BEST if best and samples is None else samples or 0
        return ByEncoder(encoder, refine, "medoid" if best else "mean", count)
    if encoder is not None and chosen != "in-domain":
        encoded.append("--encoder")
    if encoded:
        why = "" if method else f", because of {optimised[0]}"
        raise UsageError(
            f"{encoded[0]} belongs to an encoder, and the method is {chosen}{why}.", "Leave out one of them."
        )
    return ByOptimisation(projection(chosen, seed=seed, **of_optimisation), encoder)


def pictures(folder: Path, resolution: int, labels: Path | None = None) -> ImageSet:
    """Open a set of aligned pictures and report which are left out."""
    from ..data import ImageSet

    found = ImageSet.open(folder, resolution, labels=labels)
    for name, _, reason in found.left_out:
        typer.echo(f"left out {name}: {reason}", err=True)
    return found


def values_of(pictures: ImageSet, by: str, wanted: str) -> tuple[str, ...]:
    """Return the values of an attribute: those named, or all of a column, ``unknown`` left out."""
    from ..data.labels import UNKNOWN, column_named

    if wanted:
        return tuple(wanted.split(","))
    columns = [column_named(pictures.attributes, by)] if by else list(pictures.attributes)
    if len(columns) != 1 or columns[0] is None:
        raise UsageError(
            f"The attribute is not clear: {', '.join(pictures.attributes) or 'there is none'}.",
            "Put the exemplars into a folder per value, or use --labels, and name a column with --by or --balance.",
        )
    return tuple(sorted(set(pictures.attributes[columns[0]]) - {UNKNOWN}))


def perceptual(features: Path | None, lpips: Path | None, flag: str = "--features") -> PerceptualDistance | None:
    """Return the distance that two files of weights describe, the first given with ``flag``; None without any."""
    from ..io.feature_files import load_features, load_lpips
    from ..losses.perceptual import PerceptualDistance

    if features is None:
        if lpips is not None:
            raise UsageError(f"--lpips needs {flag}.", "Give the weights of the network that it was fitted on.")
        return None
    # As the StyleGAN2 projector: larger drawings are compared at 256 pixels.
    if lpips is None:
        return PerceptualDistance(load_features(features, largest=256))
    return PerceptualDistance(*load_lpips(features, lpips, largest=256))


def persons(base: Model, file: Path | None, device: str) -> FaceEmbedder:
    """Return the face embedder of a file, or the base's own discriminator."""
    import torch

    from ..io.identity_files import load_identity
    from ..networks.identity import DiscriminatorIdentity

    if file is not None:
        identity = load_identity(file)
    elif base.discriminator is None:
        raise UsageError(
            f"The base '{base.header.name}' has no discriminator to embed faces with.",
            "Give the weights of a face embedder with --identity.",
        )
    else:
        identity = DiscriminatorIdentity.of_base(base.generator, base.discriminator)
    if isinstance(identity, torch.nn.Module):
        identity.to(device)
    return identity


def which_face(face: str) -> Which | int:
    """Read --face: all, largest or a number.

    Raises:
        UsageError: It is none of them.
    """
    if face in ("all", "largest"):
        return cast("Which", face)
    if face.isdecimal():
        return int(face)
    raise UsageError(f"--face takes all, largest or a number, not '{face}'.")


def resolutions(text: str | None) -> list[int] | None:
    """Read resolutions such as ``4-16,64``; a range means every power of two in it.

    Raises:
        UsageError: The text does not list resolutions.
    """
    if text is None:
        return None
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"'{text}' does not list resolutions.", "Write 4-16 or 8,32.")
        ends = int(first), int(last or first)
        found += [side for side in (1 << k for k in range(2, 11)) if ends[0] <= side <= ends[1]] if dash else [ends[0]]
    if not found:
        raise UsageError(f"'{text}' does not list resolutions.", "Write 4-16 or 8,32.")
    return sorted(set(found))


def numbers(text: str, parts: int, pattern: str, limit: float) -> list[float]:
    """Read so many numbers joined by colons, each nearer to 0 than a limit.

    Raises:
        UsageError: The text is something else.
    """
    try:
        found = [float(x) for x in text.split(":")]
    except ValueError:
        found = []
    if len(found) != parts or not all(abs(x) < limit for x in found):
        raise UsageError(f"'{text}' does not list strengths.", f"Write {pattern}.")
    return found


def refuse(files: Iterable[Path | None], overwrite: bool) -> None:
    """Refuse files that exist, or that are named twice.

    Raises:
        UsageError: There is such a file.
    """
    wanted = [file for file in files if file is not None]
    if len(set(wanted)) < len(wanted):
        raise UsageError(f"{wanted[0]} cannot be two files.", "Give each a name of its own.")
    for file in wanted:
        refuse_existing(file, overwrite)


def with_settings(value: T, pairs: list[str]) -> T:
    """Replace fields of a settings value by ``key=value`` texts; dots reach into fields that are settings themselves.

    Raises:
        UsageError: There is no such setting, or the value has another type.
    """
    from pydantic import ValidationError

    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--set takes key=value, not '{pair}'.")
        try:
            value = _replaced(value, key.split("."), text)
        except ValidationError as error:
            raise UsageError(f"--set {pair}: {error.errors()[0]['msg']}.") from error
    return value


def _replaced(value: T, path: list[str], text: str) -> T:
    from typing import get_type_hints

    from pydantic import TypeAdapter

    known = [f.name for f in fields(value)] if is_dataclass(value) else []
    if path[0] not in known:
        raise UsageError(f"There is no setting '{path[0]}'.", f"Settings: {', '.join(known) or 'none below it'}.")
    if len(path) > 1:
        inner: Any = _replaced(getattr(value, path[0]), path[1:], text)
    else:
        inner = TypeAdapter(get_type_hints(type(value))[path[0]]).validate_python(text)
    return replace(value, **{path[0]: inner})  # type: ignore[type-var]


def seeds(text: str) -> list[int]:
    """Read seeds such as ``0-7,85``.

    Raises:
        UsageError: The text does not list seeds, or lists too many.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not (last.isdecimal() and int(last) >= int(first))):
            raise UsageError(f"'{text}' does not list seeds.", "Write 0-7,85.")
        begin, end = int(first), int(last or first)
        if end > LARGEST_SEED:
            raise UsageError(f"'{text}' has a seed that is too large.", f"The largest is {LARGEST_SEED}.")
        if len(found) + end - begin >= MOST_SEEDS:
            raise UsageError(f"'{text}' lists more than {MOST_SEEDS} seeds.", "Ask for fewer at a time.")
        found += range(begin, end + 1)
    return found


def widths(text: str, option: str) -> tuple[int, ...]:
    """Return the channels of an option like ``128,64,32``; empty where it is absent."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(f"{option} takes whole numbers joined by commas, not '{text}'.") from None


def echo_once(path: Path) -> None:
    """Print what a training wrote; of several processes only the first prints."""
    if int(os.environ.get("RANK", 0)) == 0:
        typer.echo(path)


def listed(entry: AnyEntry, what: str, description: str) -> str:
    """Return the line of something that has a name, in a list of its kind."""
    return (
        f"{entry.name:<16} {what} {entry.where:<8} {entry.header.licence or 'licence unknown':<18} "
        f"{entry.sha256[:12] or 'no digest':<12}  {' '.join(description.split())}"
    )
