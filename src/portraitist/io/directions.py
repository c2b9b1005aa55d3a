"""Files of named directions: one safetensors file that says which base they belong to and how they were found.

    save_directions("faces.directions.safetensors", [age, pose], base=generator_digest(model), licence="CC0-1.0")
    age = load_directions("faces.directions.safetensors").named("age")

Each direction is one tensor under its name; the header holds the rest. Reading is strict, and nothing in the file is
ever executed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from ..errors import BadModel, UsageError
from ..spaces.direction import Direction
from .described import read_described, write_described
from .headers import FORMAT, NAME, check_texts, header_parser


@dataclass(frozen=True)
class DirectionHeader:
    """What the file says about one direction; as of :class:`Direction`."""

    name: str
    rows: tuple[int, ...]
    unit: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    found: str = ""
    accuracy: Annotated[float | None, Field(ge=-1, le=1)] = None
    judged: Annotated[float | None, Field(allow_inf_nan=False)] = None


@dataclass(frozen=True)
class DirectionsHeader:
    """What a file of directions says about itself."""

    directions: tuple[DirectionHeader, ...]
    format: int = FORMAT
    kind: Literal["directions"] = "directions"
    base_name: str = ""
    base_digest: str = ""
    """Of the generator on which they were found; empty where that is not known."""
    licence: str = ""
    """SPDX identifier of the terms that the file may be used under."""
    credit: str = ""
    """Who must be named wherever the file is passed on."""
    lineage: dict[str, Any] = field(default_factory=dict)
    """What they were learned from: digests and counts of photos, ratings, encoder and judge."""


@dataclass(frozen=True)
class StoredDirections:
    """Directions and what their file says about them."""

    header: DirectionsHeader
    directions: dict[str, Direction] = field(default_factory=dict)
    """By name, in the order of the file."""

    def named(self, name: str) -> Direction:
        """Return one of them.

        Raises:
            UsageError: There is none of this name.
        """
        if name not in self.directions:
            raise UsageError(f"There is no direction '{name}'.", f"Known: {', '.join(self.directions)}.")
        return self.directions[name]

    def check_base(self, digest: str, name: str = "this model") -> None:
        """Refuse a base on which they were not found.

        Raises:
            BadModel: The digests differ.
        """
        if self.header.base_digest not in ("", digest):
            raise BadModel(
                f"The directions were found on '{self.header.base_name}' (digest {self.header.base_digest[:12]}...), "
                f"not on '{name}'.",
                "Find them again with `portraitist edit directions`.",
            )


def save_directions(
    path: Path | str,
    directions: Iterable[Direction],
    *,
    base: str,
    base_name: str = "",
    licence: str = "",
    credit: str = "",
    lineage: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write directions, whole or not at all.

    Args:
        path: File to write.
        directions: Each under a name of its own.
        base: Digest of the generator on which they were found.
        base_name: And its name.
        licence: Terms of the data that they were found with.
        credit: Whom the licence asks to name.
        lineage: What they were learned from.
        overwrite: Replace an existing file.

    Raises:
        BadModel: A name or text cannot stand in a file.
        UsageError: The file exists.
    """
    found = tuple(directions)
    about = tuple(DirectionHeader(d.name, d.rows, d.unit, d.found, d.accuracy, d.judged) for d in found)
    header = DirectionsHeader(
        about, base_name=base_name, base_digest=base, licence=licence, credit=credit, lineage=dict(lineage or {})
    )
    _check(header)
    vectors = {d.name: d.vector for d in found}
    return write_described(Path(path), vectors, asdict(header), half=False, overwrite=overwrite)


def load_directions(path: Path | str) -> StoredDirections:
    """Read a file of directions.

    Raises:
        BadModel: The file is damaged, incomplete, or of another kind.
    """
    path = Path(path)
    header, tensors = read_described(path, _parse, ["directions"])
    names = [d.name for d in header.directions]
    if set(names) != set(tensors):
        raise BadModel(
            f"{path.name} has vectors of {sorted(tensors)[:8]} and names {sorted(names)[:8]}.", "Get the file again."
        )
    try:
        found = {d.name: _direction(d, tensors[d.name]) for d in header.directions}
    except UsageError as error:
        raise BadModel(f"{path.name} is damaged: {error.message}", "Get the file again.") from error
    return StoredDirections(header, found)


def find_direction(text: str) -> tuple[StoredDirections, Direction]:
    """Read ``FILE:NAME``, or ``FILE`` alone where it holds one direction.

    Raises:
        UsageError: There is no such file, no direction of this name, or none was named and the file holds several.
        BadModel: The file is damaged, incomplete, or of another kind.
    """
    file, colon, name = (text, "", "") if Path(text).is_file() else text.rpartition(":")
    if not Path(file).is_file():
        raise UsageError(
            f"There is no file of directions {file or text}.", "Make one with `portraitist edit directions`."
        )
    stored = load_directions(file)
    if colon:
        return stored, stored.named(name)
    if len(stored.directions) > 1:
        raise UsageError(f"{file} holds several directions.", f"Write {file}:{next(iter(stored.directions))}.")
    return stored, next(iter(stored.directions.values()))


def _direction(header: DirectionHeader, vector: Tensor) -> Direction:
    return Direction(header.name, vector, header.rows, header.unit, header.found, header.accuracy, header.judged)


def _check(header: DirectionsHeader) -> None:
    names = [d.name for d in header.directions]
    check_texts([header.base_name], [header.licence, header.credit, *(d.found for d in header.directions)])
    for name in names:
        if not NAME.fullmatch(name) or names.count(name) > 1:
            raise BadModel(f"{name[:80]!r} cannot be a direction of it.", "Name each once: letters, digits, - and _.")
    if not names:
        raise BadModel("It holds no direction.", "Give at least one.")


_parse = header_parser(DirectionsHeader, _check)
