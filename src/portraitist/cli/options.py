"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import typer

from ..errors import UsageError

if TYPE_CHECKING:
    from ..invert import Progress, Projection
    from ..losses.perceptual import PerceptualDistance

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
    """Return the settings of a way of inversion with those replaced that are not None."""
    from ..invert import METHODS

    return replace(METHODS[method](), **{k: v for k, v in wanted.items() if v is not None})


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


def perceptual(features: Path | None, lpips: Path | None) -> PerceptualDistance | None:
    """Return the distance that two files of weights describe; None without any."""
    from ..io.feature_files import load_features, load_lpips
    from ..losses.perceptual import PerceptualDistance

    if features is None:
        if lpips is not None:
            raise UsageError("LPIPS weights say nothing without their network.", "Give its weights with --features.")
        return None
    # As the StyleGAN2 projector: larger drawings are compared at 256 pixels.
    if lpips is None:
        return PerceptualDistance(load_features(features, largest=256))
    return PerceptualDistance(*load_lpips(features, lpips, largest=256))


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
