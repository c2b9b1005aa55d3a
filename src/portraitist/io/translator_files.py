"""Files of translators: a safetensors file that describes itself, as a model file does.

It holds the translators of all groups both ways and the discriminators, so that it can be run, trained on and extended;
or only what is needed to run. Those of photo2cartoon and UGATIT-pytorch: :mod:`.photo2cartoon`.

    stored = load_translator("translator.safetensors")
    drawn = stored.system.to_drawing(photos, "women").image
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor

from ..networks.branches import BranchedTranslator, TranslatorSystem
from ..networks.digest import tensors_digest
from ..networks.drit_layers import ContentDiscriminator
from ..networks.patch_discriminator import PatchPanel
from .catalogue import TRANSLATOR_FILE, find_translator
from .described import assembled, read_described, refuse_unknown, write_described
from .headers import TranslatorHeader, check_translator_header, header_parser

FILE = TRANSLATOR_FILE
"""Its name in a run folder."""
PREFIX = "T."


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
    """Read a translator by file, by run folder or by name.

    Raises:
        UsageError: There is none.
        BadModel: The file is damaged, incomplete or of another kind.
        UntrustedFile: It has changed since it was added.
    """
    path = find_translator(path)
    header, tensors = read_described(path, _parse_header, ["translator"])
    system = assembled(lambda: _built(header), tensors, PREFIX, path.name)
    refuse_unknown(tensors, path.name)
    return StoredTranslator(system, header)


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
