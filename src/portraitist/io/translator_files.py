"""Files of translators: a safetensors file that describes itself, as a model file does.

It holds the translators of all groups both ways and the discriminators, so that it can be run, trained on and extended;
or only what is needed to run. Those of photo2cartoon and UGATIT-pytorch: :mod:`.photo2cartoon`.

    stored = load_translator("translator.safetensors")
    drawn = stored.system.to_drawing(photos, "women").image
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter
from torch import Tensor

from ..errors import BadModel
from ..networks.branches import BranchedTranslator, TranslatorSystem, check_groups
from ..networks.digest import tensors_digest
from ..networks.patch_discriminator import PanelAnatomy, PatchPanel
from ..networks.translator import TranslatorAnatomy
from .model_file import DEEPEST, FORMAT, WIDEST, check_fit, check_texts, read_described, write_described

FILE = "translator.safetensors"
"""Its name in a run folder."""
PREFIX = "T."
MOST_GROUPS = 1000
LARGEST_SIDE = 4096


@dataclass(frozen=True)
class TranslatorHeader:
    """What a translator file says about itself."""

    translator: TranslatorAnatomy
    groups: tuple[str, ...]
    """Groups of people, the common one first."""
    to_photo: bool = True
    """Whether the way back is there too."""
    panel: PanelAnatomy | None = None
    """Sizes of the discriminators of either domain, where they are there."""
    format: int = FORMAT
    kind: Literal["translator"] = "translator"
    name: str = ""
    description: str = ""
    licence: str = ""
    """SPDX identifier of the terms that the weights may be used under."""
    credit: str = ""
    """Who must be named wherever the file is passed on."""
    training: dict[str, Any] = field(default_factory=dict)
    """Settings of the training that made it."""
    lineage: list[dict[str, Any]] = field(default_factory=list)
    """Each training since the first: data, digest, images seen, device; or the file that it was read from."""


@dataclass(frozen=True)
class StoredTranslator:
    """A translator and what its file says about it."""

    system: TranslatorSystem
    header: TranslatorHeader

    @property
    def digest(self) -> str:
        """SHA-256 over the names and values of all tensors."""
        return tensors_digest(self.tensors())

    def tensors(self) -> dict[str, Tensor]:
        """Return all stored tensors under their names in the file."""
        return {PREFIX + k: v for k, v in self.system.state_dict().items()}


def described(system: TranslatorSystem, header: TranslatorHeader | None = None) -> TranslatorHeader:
    """Return a header, a new one when None, with the sizes of a system."""
    panel = system.of_drawings if system.of_photos is not None else None
    header = header or TranslatorHeader(system.anatomy, system.groups)
    return replace(
        header,
        translator=system.anatomy,
        groups=system.groups,
        to_photo=system.to_photo is not None,
        panel=None if panel is None else panel.anatomy,
    )


def save_translator(path: Path | str, stored: StoredTranslator, *, half: bool = False, overwrite: bool = False) -> Path:
    """Write a translator whole, or leave what was there as it was; arguments as of :func:`.model_file.save_model`."""
    header = described(stored.system, stored.header)
    check_translator_header(header)
    return write_described(Path(path), stored.tensors(), asdict(header), half=half, overwrite=overwrite)


def load_translator(path: Path | str) -> StoredTranslator:
    """Read a translator file, or that of a run folder.

    Raises:
        BadModel: The file is damaged, incomplete or of another kind.
    """
    path = translator_file(path)
    header, tensors = read_described(path, _parse_header, ["translator"])
    check_fit(lambda: _built(header), tensors, PREFIX, path.name)
    with torch.device("meta"):
        system = _built(header)
    # Copies, because a tensor that lies in a file's own memory need not be aligned, and sums then round otherwise.
    system.load_state_dict({k: tensors.pop(PREFIX + k).clone() for k in system.state_dict()}, assign=True)
    if tensors:
        raise BadModel(
            f"{path.name} holds tensors that its anatomy does not know: {sorted(tensors)[:5]}.",
            "Get the whole file from its author.",
        )
    return StoredTranslator(system.eval(), header)


def read_translator_header(path: Path | str) -> TranslatorHeader:
    """Read only what a translator file says about itself."""
    return read_described(translator_file(path), _parse_header, ["translator"], contents=False)[0]


def translator_file(path: Path | str) -> Path:
    """Return the file that a path is, or that of the run folder that it is."""
    path = Path(path)
    return path / FILE if os.path.isdir(path) else path


def check_translator_header(header: TranslatorHeader) -> None:
    """Refuse names and sizes that no file may have.

    Raises:
        BadModel: One is too long or too large, or a name is none.
    """
    check_texts((header.name,), (header.description, header.licence, header.credit))
    check_groups(header.groups)
    a, panel = header.translator, header.panel
    widest = 4 * a.channels if panel is None else max(4 * a.channels, panel.channels << (max(panel.layers) - 2))
    too_large = widest > WIDEST or a.blocks > DEEPEST or a.resolution > LARGEST_SIDE
    if too_large or len(header.groups) > MOST_GROUPS or (panel is not None and len(panel.layers) > DEEPEST):
        raise BadModel(
            f"A translator of {widest} channels, {a.blocks} blocks and {len(header.groups)} groups is too large."
        )


def _built(header: TranslatorHeader) -> TranslatorSystem:
    to_photo = BranchedTranslator(header.translator, header.groups) if header.to_photo else None
    panels = [] if header.panel is None else [PatchPanel(header.panel) for _ in range(2)]
    return TranslatorSystem(BranchedTranslator(header.translator, header.groups), to_photo, *panels)


_HEADERS = TypeAdapter(TranslatorHeader)


def _parse_header(found: object) -> TranslatorHeader:
    header = _HEADERS.validate_python(found)
    check_translator_header(header)
    return header


def without_trainers(stored: StoredTranslator) -> StoredTranslator:
    """Return what is needed to draw alone: neither the way back nor discriminators."""
    system = TranslatorSystem(stored.system.to_drawing)
    return StoredTranslator(system, described(system, stored.header))
