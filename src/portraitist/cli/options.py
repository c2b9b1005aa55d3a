"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

import typer

from ..errors import UsageError

if TYPE_CHECKING:
    from ..data import ImageSet
    from ..invert import Progress, Projection
    from ..io.model_file import Model
    from ..losses.perceptual import PerceptualDistance
    from ..networks.identity import Identity as Persons
    from ..stylize import Inversion

Seed = Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where to write.")]
Attribute = Annotated[
    str | None,
    typer.Option(help="Of a style with a path per attribute: which path, as `portraitist models` lists them."),
]

Features = Annotated[
    Path | None,
    typer.Option(help="Weights of VGG16, AlexNet or SqueezeNet to measure likeness with; the base's own if absent."),
]
Lpips = Annotated[
    Path | None, typer.Option(help="LPIPS weights (lin0.model.1.weight, ...) that were fitted on --features.")
]
Identity = Annotated[
    Path | None,
    typer.Option(help="Weights of IR-SE50 or MobileFaceNet to tell persons apart with; the base's own if absent."),
]

Method = Annotated[
    Literal["encoder", "portrait", "stylegan2", "image2stylegan", "ui2i", "ui2i-released", "in-domain"] | None,
    typer.Option(
        help="How the code is found: by an encoder, or by optimisation as portrait (for restyling) or a paper does it. "
        "If absent, encoder where one of the base is known, else portrait."
    ),
]
Encoder = Annotated[
    str | None,
    typer.Option(help="Encoder to use: name, file or run folder; the known one of the base if absent."),
]
Refine = Annotated[
    int, typer.Option(min=0, max=10_000, help="Steps of an optimisation that starts from the encoder's code.")
]
Steps = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Steps of the optimisation, which is then the --method; more is closer and slower. Its own if absent.",
    ),
]
SAMPLES_OF_BEST = 8

T = TypeVar("T")


def device(name: str) -> str:
    """Return the device that a name means on this machine.

    Raises:
        UsageError: There is no such device.
    """
    import torch

    from ..ops import keep_heap

    keep_heap()
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"'{name}' is no device.", "Use auto, cpu, cuda or cuda:N.")
    if name != "cpu" and int(name.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise UsageError(f"PyTorch sees no device '{name}' here.", "Use --device cpu or auto.")
    return name


def choice(text: str, kind: Any, name: str) -> Any:
    """Return a text that must be one of those that a ``Literal`` allows.

    Raises:
        UsageError: It is none of them.
    """
    if text not in get_args(kind):
        raise UsageError(f"There is no {name} '{text}'.", f"Use {' or '.join(get_args(kind))}.")
    return text


def projection(method: str = "portrait", **wanted: Any) -> Projection:
    """Return the settings of an optimisation with those replaced that are not None."""
    from ..invert import METHODS

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


@contextmanager
def step_bar(shown: bool = True) -> Iterator[Progress]:
    """Show a progress bar of the steps of inversions; a new one begins with each face."""
    from tqdm import tqdm

    with tqdm(unit=" steps", disable=not shown, leave=False) as bar:

        def tell(done: int, total: int) -> None:
            if done == 1:
                bar.reset(total)
            bar.update(done - bar.n)

        yield tell


def pictures(folder: Path, resolution: int, labels: Path | None = None) -> ImageSet:
    """Open a set of aligned pictures and tell which are left out."""
    from ..data import ImageSet

    found = ImageSet.open(folder, resolution, labels=labels)
    for name, _, reason in found.left_out:
        typer.echo(f"left out {name}: {reason}", err=True)
    return found


def perceptual(features: Path | None, lpips: Path | None, flag: str = "--features") -> PerceptualDistance | None:
    """Return the distance that two files of weights describe, the first given with ``flag``; None without any."""
    from ..io.feature_files import load_features, load_lpips
    from ..losses.perceptual import PerceptualDistance

    if features is None:
        if lpips is not None:
            raise UsageError("LPIPS weights say nothing without their network.", f"Give its weights with {flag}.")
        return None
    # As the StyleGAN2 projector: larger drawings are compared at 256 pixels.
    if lpips is None:
        return PerceptualDistance(load_features(features, largest=256))
    return PerceptualDistance(*load_lpips(features, lpips, largest=256))


def persons(base: Model, file: Path | None, device: str) -> Persons:
    """Return what tells persons apart: the embedder of a file, or the base's own discriminator."""
    import torch

    from ..io.identity_files import load_identity
    from ..networks.identity import DiscriminatorIdentity

    if file is not None:
        identity = load_identity(file)
    elif base.discriminator is None:
        raise UsageError(
            f"The base '{base.header.name}' has no discriminator to tell persons apart with.",
            "Give the weights of a face embedder with --identity.",
        )
    else:
        identity = DiscriminatorIdentity.of_base(base.generator, base.discriminator)
    if isinstance(identity, torch.nn.Module):
        identity.to(device)
    return identity


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
        UsageError: The text is no list of seeds.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not (last.isdecimal() and int(last) >= int(first))):
            raise UsageError(f"'{text}' is no list of seeds.", "Write 0-7,85.")
        found += range(int(first), int(last or first) + 1)
    return found
