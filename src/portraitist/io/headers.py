"""What files say about themselves: the headers of what can have a name, read without PyTorch.

header = read_header(Path("toon.safetensors"))
header.licence, header.generator.resolution
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from ..detail.medium import Medium
from ..errors import BadModel
from ..files import open_regular, parse_json
from ..networks.anatomy import DiscriminatorAnatomy, GeneratorAnatomy
from ..networks.encoder_anatomy import EncoderAnatomy
from ..networks.painter_anatomy import PainterAnatomy
from ..networks.translator_anatomy import MOST_GROUPS, PanelAnatomy, TranslatorAnatomy, check_groups

KEY = "portraitist"
FORMAT = 1
DIGEST = "digest"
"""Key of the header for the SHA-256 of all else: of the header, and of the tensors as they are stored."""
MOST = 20_000
"""Tensors that a file may hold; no network that exists comes near."""
LARGEST_HEADER = 8 << 20
AUTO = "auto"
"""In an attribute's place: each face chooses its path."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What may be a model's name: a word that is safe in file names, in web pages and on a terminal."""
LONGEST_TEXT = 10_000
# No network that exists comes near; a header beyond them is damaged or a trap.
WIDEST, DEEPEST, LARGEST_SIDE = 1 << 14, 64, 4096

KINDS = {
    "model": "a model",
    "style-pack": "a style pack",
    "encoder": "an encoder",
    "chooser": "a chooser of paths",
    "directions": "a file of directions",
    "translator": "a translator",
    "painter": "a painter",
}
"""What may stand under ``kind`` in a header."""


class Licensed(Protocol):
    """A header of any kind."""

    @property
    def licence(self) -> str:
        """SPDX identifier of the terms of the file."""


AnyHeader = TypeVar("AnyHeader", bound=Licensed)


@dataclass(frozen=True, kw_only=True)
class About:
    """What every network's file says about itself, whatever the network."""

    format: int = FORMAT
    name: str = ""
    """A word that people type; letters, digits, ``-`` and ``_``."""
    description: str = ""
    licence: str = ""
    """SPDX identifier of the terms that the weights may be used under."""
    credit: str = ""
    """Who must be named wherever the file is passed on."""
    lineage: list[dict[str, Any]] = field(default_factory=list)
    """Each training since the first: data, digest, images seen, device; or the file that it was read from."""


@dataclass(frozen=True)
class PackPainter:
    """What a style pack says about the painter that it carries."""

    painter: PainterAnatomy
    side: int = 256
    """Of the pictures that it was trained on, in pixels."""
    is_default: bool = False
    """Photos are drawn by it unless codes are asked for: it measured better than these with detail."""
    teacher_digest: str = ""
    """Of all that determines the pictures that it learned from."""
    training: dict[str, Any] = field(default_factory=dict)
    """Settings of the training that made it."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """``painter`` and ``code``: what `evaluate pictures` measures of both, on photos and exemplars held out."""


@dataclass(frozen=True)
class Header(About):
    """What a model file says about itself."""

    generator: GeneratorAnatomy
    discriminator: DiscriminatorAnatomy | None = None
    kind: Literal["model", "style-pack"] = "model"
    base_name: str = ""
    base_digest: str = ""
    """Of a style pack: the digest of the model it belongs to."""
    paths: tuple[str, ...] = ()
    """Of a style pack with a generator per attribute: the attributes, in order."""
    swap_upto: int = 0
    """Of a style pack that is a feature swap: the features through so many pixels are the base's, and the stored
    tensors are those of the side that draws the rest (``surgery.FeatureSwap``); 0 for a plain style."""
    medium: Medium | None = None
    """Of a style pack with a look: what it is drawn with."""
    painter: PackPainter | None = None
    """Of a style pack that carries a painter: what is known of it."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """Settings of the training that made it."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Figures measured of it, by name; empty until somebody has measured."""


@dataclass(frozen=True)
class EncoderHeader(About):
    """What an encoder file says about itself."""

    encoder: EncoderAnatomy
    kind: Literal["encoder"] = "encoder"
    base_name: str = ""
    base_digest: str = ""
    """Of the generator whose codes it gives; empty where that is not known."""
    training: dict[str, Any] = field(default_factory=dict)
    """Settings of the training that made it."""
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """One attribute that a chooser knows the values of, and how often it chose rightly."""

    attribute: str
    values: tuple[str, ...]
    margin: Annotated[float, Field(ge=0, le=1)]
    """Least share of the likeliest value at which it chooses; below, it refuses."""
    learned_from: int
    """Photos."""
    held_out: int
    """Photos that the figures were measured on."""
    accuracy: Annotated[float, Field(ge=0, le=1)]
    """Share of the held-out photos whose likeliest value is the labelled one."""
    chosen: Annotated[float, Field(ge=0, le=1)]
    """Share of the held-out photos beyond the margin."""
    chosen_accuracy: Annotated[float, Field(ge=0, le=1)]
    """The accuracy of these."""


@dataclass(frozen=True, kw_only=True)
class ChooserHeader(About):
    """What the file of a chooser says about itself."""

    choices: tuple[Choice, ...]
    rows: int
    """Of the encoder's latents."""
    dim: int
    """Of each row."""
    kind: Literal["chooser"] = "chooser"
    encoder_name: str = ""
    encoder_digest: str = ""
    """Of the encoder whose latents it takes."""
    base_name: str = ""
    base_digest: str = ""
    """Of the generator that the encoder belongs to."""
    training: dict[str, Any] = field(default_factory=dict)
    """Settings of the fit."""


@dataclass(frozen=True)
class TranslatorHeader(About):
    """What a translator file says about itself."""

    translator: TranslatorAnatomy
    groups: tuple[str, ...]
    """Groups of people, the common one first."""
    to_photo: bool = True
    """Whether the way back is there too."""
    panel: PanelAnatomy | None = None
    """Sizes of the discriminators of either domain, where they are there."""
    kind: Literal["translator"] = "translator"
    training: dict[str, Any] = field(default_factory=dict)
    """Settings of the training that made it."""
    metrics: dict[str, Any] = field(default_factory=dict)
    framing: Literal["ffhq", "photo2cartoon"] = "ffhq"
    """How the faces that it was trained on were cut out of their photos (``faces.align.Framing``)."""
    grey: bool = False
    """Whether the drawings it learned from are grey: then it draws in grey, the luminance of what its networks give."""


StoredHeader = Header | EncoderHeader | ChooserHeader | TranslatorHeader
"""Of a file that can have a name."""


def read_header(path: Path | str) -> Header:
    """Read only what a model file says about itself."""
    return read_about(Path(path), parse_header, MODELS)


def read_any_header(path: Path) -> StoredHeader:
    """Read what a file of a model, an encoder, a chooser or a translator says about itself."""
    return read_about(path, _parse_any_header, (*MODELS, "encoder", "chooser", "translator"))


@cache
def _any_header() -> TypeAdapter[StoredHeader]:
    return TypeAdapter(Annotated[StoredHeader, Field(discriminator="kind")])


def _parse_any_header(found: object) -> StoredHeader:
    header = _any_header().validate_python(found)
    if isinstance(header, EncoderHeader):
        check_encoder_header(header)
    elif isinstance(header, ChooserHeader):
        check_chooser_header(header)
    elif isinstance(header, TranslatorHeader):
        check_translator_header(header)
    else:
        check_header(header)
    return header


def read_about(path: Path, parse: Callable[[object], AnyHeader], kinds: Sequence[str]) -> AnyHeader:
    """Read only what a file says about itself.

    Args:
        path: File to read.
        parse: Turns the JSON of the header into what the kind of file has; raises what is wrong with it.
        kinds: Those of ``KINDS`` that are wanted.

    Raises:
        BadModel: The file is damaged or of another kind.
    """
    found = found_json(_metadata(path), path.name)
    if isinstance(found, dict):
        found.pop(DIGEST, None)
    return parsed(found, path.name, parse, kinds)


def kind_of(path: Path) -> str:
    """Return which of ``KINDS`` a file is; empty where it says none.

    Raises:
        BadModel: The file is damaged, or not one of Portraitist.
    """
    found = found_json(_metadata(path), path.name)
    kind = found.get("kind") if isinstance(found, dict) else None
    return kind if isinstance(kind, str) and kind in KINDS else ""


def check_header(header: Header) -> None:
    """Refuse a header whose name or texts could harm where they are shown, or whose sizes no network has.

    Raises:
        BadModel: It is such a header.
    """
    check_texts((header.name, header.base_name), (header.description, header.licence, header.credit))
    for name in header.paths:
        if not NAME.fullmatch(name) or header.paths.count(name) > 1 or header.kind != "style-pack":
            raise BadModel(
                f"{name[:80]!r} cannot be a path of it.",
                "Name attributes of a style pack, each once: letters, digits, - and _.",
            )
    if header.swap_upto not in (0, *header.generator.resolutions) or (header.swap_upto and header.kind != "style-pack"):
        raise BadModel(
            f"It cannot be a feature swap at {header.swap_upto} pixels.",
            f"Of style packs alone, and of this one at {', '.join(map(str, header.generator.resolutions))}.",
        )
    if header.painter is not None:
        check_painter_sizes(header.painter.painter, header.painter.side)
    g, d = header.generator, header.discriminator
    widths = [*g.channels, g.z_dim, g.w_dim, *(() if d is None else d.channels)]
    if max(widths) > WIDEST or g.mapping_layers > DEEPEST:
        raise BadModel(
            f"The header names a network of {max(widths)} channels and {g.mapping_layers} layers.",
            "Such sizes are not drawn from.",
        )


def check_encoder_header(header: EncoderHeader) -> None:
    """Refuse names and sizes that no file may have.

    Raises:
        BadModel: One is too long or too large, or a name is none.
    """
    check_texts((header.name, header.base_name), (header.description, header.licence, header.credit))
    check_encoder_sizes(header.encoder)


def check_encoder_sizes(anatomy: EncoderAnatomy) -> None:
    """Refuse sizes of no encoder that exists; errors as of :func:`check_encoder_header`."""
    largest = max(*anatomy.widths, anatomy.head_width, anatomy.dim)
    if largest > WIDEST or max(*anatomy.units, anatomy.rows) > DEEPEST:
        raise BadModel(f"An encoder of {largest} channels, {anatomy.units} units and {anatomy.rows} rows is too large.")


def check_chooser_header(header: ChooserHeader) -> None:
    """Refuse names and sizes that no file may have.

    Raises:
        BadModel: One is too long or too large, or a name is none.
    """
    names = [word for choice in header.choices for word in (choice.attribute, *choice.values)]
    check_texts(
        (header.name, header.encoder_name, header.base_name), (header.description, header.licence, header.credit)
    )
    attributes = [choice.attribute for choice in header.choices]
    if not attributes or len(set(attributes)) < len(attributes) or any(not NAME.fullmatch(name) for name in names):
        raise BadModel(
            "A chooser names no attribute, or one that no path is named by.", "Use letters, digits, - and _."
        )
    if any(len(set(c.values)) < len(c.values) or len(c.values) < 2 for c in header.choices):
        raise BadModel("A chooser chooses among two values or more, each named once.", "Name each value once.")
    if not (0 < header.rows <= DEEPEST and 0 < header.dim <= WIDEST) or len(names) > WIDEST:
        raise BadModel(f"A chooser of {header.rows} rows of {header.dim} and {len(names)} values is too large.")


def check_translator_header(header: TranslatorHeader) -> None:
    """Refuse names and sizes that no file may have.

    Raises:
        BadModel: One is too long or too large, or a name is none.
    """
    check_texts((header.name,), (header.description, header.licence, header.credit))
    check_groups(header.groups)
    a, panel = header.translator, header.panel
    widest = 4 * a.channels if panel is None else max(4 * a.channels, panel.channels << (max(panel.layers) - 2))
    if a.appearance:  # what its decoder's last linear layer gives at most: MUNIT's numbers for two norms of each block
        widest = max(widest, a.appearance, 16 * a.channels * a.blocks)
    too_large = widest > WIDEST or a.blocks > DEEPEST or a.resolution > LARGEST_SIDE
    if too_large or len(header.groups) > MOST_GROUPS or (panel is not None and len(panel.layers) > DEEPEST):
        raise BadModel(
            f"A translator of {widest} channels, {a.blocks} blocks and {len(header.groups)} groups is too large."
        )


def check_painter_sizes(anatomy: PainterAnatomy, side: int) -> None:
    """Refuse sizes of no painter that exists.

    Raises:
        BadModel: They are.
    """
    if max(anatomy.widths) > WIDEST or anatomy.blocks > DEEPEST or not 0 < side <= LARGEST_SIDE:
        raise BadModel(
            f"A painter of {anatomy.widths} channels, {anatomy.blocks} blocks and {side} pixels is too large."
        )


def header_parser(kind: type[AnyHeader], check: Callable[[AnyHeader], None]) -> Callable[[object], AnyHeader]:
    """Return what turns the JSON of a header into a header of this kind, and checks it."""

    @cache
    def adapter() -> TypeAdapter[AnyHeader]:  # built when a header is read: it takes longer than most refusals
        return TypeAdapter(kind)

    def parse(found: object) -> AnyHeader:
        header = adapter().validate_python(found)
        check(header)
        return header

    return parse


def check_texts(names: Iterable[str], texts: Iterable[str]) -> None:
    """Refuse names and texts that could harm where they are shown.

    Raises:
        BadModel: There is such a one.
    """
    for name in names:
        if name and not NAME.fullmatch(name):
            raise BadModel(f"{name[:80]!r} cannot be a model's name.", "Use letters, digits, - and _.")
    for text in texts:
        if len(text) > LONGEST_TEXT or not text.replace("\n", "").isprintable():
            raise BadModel("A text of the header is too long or holds control characters.", "Write plain text.")


def refuse_many(path: Path) -> None:
    """Refuse a safetensors file of more tensors than any network has, before each is made.

    Raises:
        BadModel: It is one.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            found = file.read(min(size, _HEAD)).count(b'"dtype"')
    except OSError:
        return  # told by who opens it
    if found > MOST:
        raise BadModel(f"{path.name} holds more than {MOST:,} tensors.", "No network has so many; get another file.")


_HEAD = 100 << 20
"""Largest header of a safetensors file."""


def incomplete(path: Path, error: object) -> BadModel:
    """Return the error of a file that is no whole file of ours."""
    return BadModel(
        f"{path.name} is not a complete model file ({error}).",
        "Copy it again; for checkpoints of other programs use `portraitist convert`.",
    )


def refuse_missing(path: Path) -> None:
    """Refuse a path that leads to no file, or to one of more tensors than any network has.

    Raises:
        BadModel: It does.
    """
    if not os.path.isfile(path):  # unlike Path.is_file, false for names too long
        raise BadModel(f"There is no model file {path}.", "Check its path.")
    refuse_many(path)


def _metadata(path: Path) -> Mapping[str, str] | None:
    """Return the texts in the header of a safetensors file, as its format has them, and see that the file is whole."""
    refuse_missing(path)
    try:
        with open_regular(path) as file:
            size = int.from_bytes(file.read(8), "little")
            table = parse_json(file.read(min(size, _HEAD)))
            texts = table.pop("__metadata__", None)
            due = 8 + size + max((entry["data_offsets"][1] for entry in table.values()), default=0)
            if due != os.fstat(file.fileno()).st_size:
                raise ValueError(f"it should have {due} bytes")
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise incomplete(path, error) from error
    return texts if isinstance(texts, dict) else None


def found_json(metadata: Mapping[str, str] | None, name: str) -> Any:
    """Return the JSON of a header; errors as of :func:`read_about`."""
    text = (metadata or {}).get(KEY)
    if text is None or len(text) > LARGEST_HEADER:
        raise BadModel(f"{name} is a safetensors file, but not one of Portraitist.", "Use `portraitist convert`.")
    try:
        found = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise BadModel(f"The header of {name} is not JSON ({error}).", "Get the file again from its source.") from error
    return found


def parsed(found: object, name: str, parse: Callable[[object], AnyHeader], kinds: Sequence[str]) -> AnyHeader:
    """Turn the JSON of a header into the header; arguments and errors as of :func:`read_about`."""
    if isinstance(found, dict) and found.get("format") != FORMAT:
        raise BadModel(
            f"{name} has format {str(found.get('format'))[:20]}; this version reads {FORMAT}.", "Update Portraitist."
        )
    kind = found.get("kind") if isinstance(found, dict) else None
    if isinstance(kind, str) and kind in KINDS and kind not in kinds:
        raise BadModel(f"{name} is {KINDS[kind]}, not {KINDS[kinds[0]]}.", "Give a file of the kind that is asked for.")
    try:
        return parse(found)
    except (ValidationError, BadModel) as error:
        raise BadModel(f"The header of {name} is damaged ({error}).", "Get the file again from its source.") from error


MODELS = ("model", "style-pack")
parse_header = header_parser(Header, check_header)


parse_encoder_header = header_parser(EncoderHeader, check_encoder_header)
parse_chooser_header = header_parser(ChooserHeader, check_chooser_header)
