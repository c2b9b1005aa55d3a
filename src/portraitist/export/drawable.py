"""What can be exported: networks that turn an aligned photo into a drawing, behind one form.

drawable = find_drawable("toon3d")                       # a style: photo -> code -> picture
drawable = find_drawable("runs/painter", side=512)
drawings = drawable.network(photos)                      # [N, 3, S, S] in [-1, 1], as the photos
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from ..errors import UsageError
from ..io import painter_files, registry, translator_files
from ..io.catalogue import entries, file_of, find_translator, translators
from ..io.encoder_files import StoredEncoder
from ..io.headers import About, kind_of
from ..io.licences import joint_terms
from ..io.model_file import Model
from ..io.painter_files import StoredPainter, default_painter, load_painter
from ..io.translator_files import StoredTranslator, load_translator
from ..networks.digest import tensors_digest
from ..networks.encoder import Encoder
from ..networks.generator import Generator
from ..networks.painter import MULTIPLE
from ..ops.colour import greyed

Kind = Literal["painter", "translator", "style"]
_RUN_FILES = (painter_files.FILE, translator_files.FILE)


@dataclass(frozen=True)
class Drawable:
    """A network from photos to drawings, and what is known about it."""

    network: nn.Module
    """Photos [N, 3, S, S] in [-1, 1] to drawings of the same shape and range; on the CPU, frozen."""
    side: int
    kind: Kind
    digest: str
    """SHA-256 over the names and values of all tensors that take part."""
    about: About
    """Name, licence, credit, lineage."""


def find_drawable(
    what: Path | str,
    *,
    group: str = "",
    attribute: str | None = None,
    encoder: Path | str | None = None,
    side: int | None = None,
) -> Drawable:
    """Find a painter by file or run folder, or a translator or a style by name, file or run folder.

    A style that its own painter draws is that painter, unless an encoder is named.

    Args:
        what: Which.
        group: Of a translator: whose branch; may be empty where there is only one.
        attribute: Of a style with a path per attribute: which path.
        encoder: Of a style: what turns photos into codes; the known one of the base when None.
        side: Of a painter: the side of the pictures in pixels; that of its training when None.

    Raises:
        UsageError: There is no such thing, or an argument does not belong to it.
        BadModel: The file is damaged.
    """
    kind, path = _kind_of(what)
    style = registry.load(path, attribute=attribute) if kind == "style" else None
    painter = default_painter(style) if style is not None and encoder is None else None
    foreign = {
        "--group": (bool(group), "translator"),
        "--attribute": (attribute is not None, "style"),
        "--encoder": (encoder is not None, "style"),
        "--size": (side is not None and painter is None, "painter"),
    }
    for option, (given, owner) in foreign.items():
        if given and owner != kind:
            raise UsageError(f"{option} belongs to a {owner}, and {what} is a {kind}.", f"Leave out {option}.")
    if kind == "translator":
        return of_translator(load_translator(path), group)
    if style is None or painter is not None:
        return of_painter(painter or load_painter(path), side)
    return of_style(*with_encoder(style, path, encoder))


def with_encoder(
    style: Model, what: Path | str, encoder: Path | str | None = None
) -> tuple[Model, Model, StoredEncoder]:
    """Return a style with its base, and what turns photos into codes of the base.

    Args:
        style: The style.
        what: By what it was loaded.
        encoder: As :func:`find_drawable`.

    Raises:
        UsageError: No encoder is known.
        BadModel: A file is damaged.
    """
    base = style if style.header.kind == "model" else registry.base_of(style.header, registry.find(what))
    stored = registry.load_encoder_of(base, encoder)
    if stored is None:
        raise UsageError(
            f"No encoder of '{base.header.name}' is known, so no photo can become a code.",
            "Name one with --encoder, train one with `portraitist encoder train`, or use a painter.",
        )
    return style, base, stored


def of_painter(stored: StoredPainter, side: int | None = None) -> Drawable:
    """Return a painter that draws at one side.

    Raises:
        UsageError: No painter draws at this side.
    """
    side = side or stored.header.side
    if side % MULTIPLE:
        raise UsageError(f"A painter cannot draw at {side} pixels.", f"Use a multiple of {MULTIPLE}.")
    network = _frozen(stored.painter)
    name = stored.header.name or stored.header.style_name
    drawing = _Drawing(network, lambda painter, photos: painter(photos).image)
    return Drawable(drawing, side, "painter", stored.digest, replace(stored.header, name=name))


def of_translator(stored: StoredTranslator, group: str = "") -> Drawable:
    """Return the way from photos to drawings of one group of a translator.

    Raises:
        UsageError: There is no such group, or none was named of several.
    """
    groups = stored.system.groups
    if not group and len(groups) > 1:
        raise UsageError("The file has room for one group.", f"Give --group with one of {', '.join(groups)}.")
    path = _frozen(stored.system.to_drawing.path(group or groups[0]))
    grey = stored.header.grey
    drawing = _Drawing(path, lambda translator, photos: _shown(translator(photos).image, grey=grey))
    side = stored.system.anatomy.drawn
    return Drawable(drawing, side, "translator", stored.digest, stored.header)


def of_style(style: Model, base: Model, stored: StoredEncoder) -> Drawable:
    """Return a style with the encoder of its base: what `stylize --detail 0` draws by the encoder's code."""
    network = _Coded(stored.encoder, base.generator, style.generator)
    licence, credit = joint_terms((style.header, stored.header))
    about = replace(style.header, licence=licence, credit=credit)
    digest = tensors_digest(network.state_dict())
    return Drawable(_frozen(network), style.generator.anatomy.resolution, "style", digest, about)


def _shown(drawings: Tensor, *, grey: bool) -> Tensor:
    return greyed(drawings) if grey else drawings


class _Drawing(nn.Module):
    """The picture alone of a network that gives more."""

    def __init__(self, network: nn.Module, image: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.image = network, image

    def forward(self, photos: Tensor) -> Tensor:
        return self.image(self.network, photos).clamp(-1, 1)


class _Coded(nn.Module):
    """From a photo to its code of W+, and from that to the picture."""

    def __init__(self, encoder: Encoder, base: Generator, style: Generator) -> None:
        super().__init__()
        self.encoder, self.base, self.style = encoder, base, style

    def forward(self, photos: Tensor) -> Tensor:
        codes = self.encoder.styles_of(self.encoder(photos).mu, self.base)
        drawings: Tensor = self.style.synthesis(codes)
        return drawings.clamp(-1, 1)


def _frozen(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).cpu().eval().requires_grad_(False)


def stored_file(what: Path | str) -> Path | None:
    """Return the file that a path is, that of a painter or a translator in a run folder, or that of a named translator.

    Raises:
        UntrustedFile: It has changed since it was added.
    """
    if (path := file_of(what, _RUN_FILES)) is not None:
        return path
    named = {entry.name for entry in translators()} - {entry.name for entry in entries()}
    return find_translator(what) if str(what) in named else None


def _kind_of(what: Path | str) -> tuple[Kind, Path | str]:
    """Tell what a file or a run folder holds, or which translator has a name; anything else is the name of a style."""
    if (path := stored_file(what)) is not None:
        kind = kind_of(path)
        if kind == "painter":
            return "painter", path
        if kind == "translator":
            return "translator", path
    return "style", what
