"""Files of translators: a safetensors file that describes itself, as a model file does.

It holds the translators of all groups both ways and the discriminators, so that it can be run, trained on and extended;
or only what is needed to run. Those of photo2cartoon and UGATIT-pytorch: :mod:`.photo2cartoon`.

    stored = load_translator("translator.safetensors")
    drawn = stored.system.to_drawing(photos, "women").image
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ..errors import BadModel
from ..networks.branches import BranchedTranslator, TranslatorSystem, check_groups
from ..networks.digest import tensors_digest
from ..networks.drit_layers import ContentDiscriminator
from ..networks.patch_discriminator import PanelAnatomy, PatchPanel
from ..networks.translator import TranslatorAnatomy
from .described import assembled, in_run_folder, read_described, refuse_unknown, write_described
from .headers import DEEPEST, WIDEST, About, check_texts, header_parser

FILE = "translator.safetensors"
"""Its name in a run folder."""
PREFIX = "T."
MOST_GROUPS = 1000
LARGEST_SIDE = 4096


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
    framing: Literal["ffhq", "photo2cartoon"] = "ffhq"
    """How the faces that it was trained on were cut out of their photos (``faces.align.Framing``)."""


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
    path = in_run_folder(path, FILE)
    header, tensors = read_described(path, _parse_header, ["translator"])
    system = assembled(lambda: _built(header), tensors, PREFIX, path.name)
    refuse_unknown(tensors, path.name)
    return StoredTranslator(system, header)


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


def _built(header: TranslatorHeader) -> TranslatorSystem:
    to_photo = BranchedTranslator(header.translator, header.groups) if header.to_photo else None
    to_drawing = BranchedTranslator(header.translator, header.groups)
    if header.panel is None:
        return TranslatorSystem(to_drawing, to_photo)
    contents = ContentDiscriminator(header.translator.code) if header.translator.adversarial else None
    return TranslatorSystem(to_drawing, to_photo, PatchPanel(header.panel), PatchPanel(header.panel), contents)


_parse_header = header_parser(TranslatorHeader, check_translator_header)


def without_trainers(stored: StoredTranslator) -> StoredTranslator:
    """Return what is needed to draw alone: neither the way back nor discriminators."""
    system = TranslatorSystem(stored.system.to_drawing)
    return StoredTranslator(system, described(system, stored.header))
