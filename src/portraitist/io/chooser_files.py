"""Files of choosers: what picks the path of a multi-path style for a face, and how often it was right.

stored = load_chooser("faces-chooser.safetensors")
stored.header.choices[0].margin
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from ..networks.chooser import Chooser
from ..networks.digest import tensors_digest
from .described import assembled, read_described, refuse_unknown, write_described
from .headers import ChooserHeader, check_chooser_header, parse_chooser_header

PREFIX = "C."


@dataclass(frozen=True)
class StoredChooser:
    """A chooser and what its file says about it."""

    chooser: Chooser
    header: ChooserHeader

    @property
    def digest(self) -> str:
        """SHA-256 over the names and values of all tensors."""
        return tensors_digest(self.tensors())

    def tensors(self) -> dict[str, Tensor]:
        """Return all stored tensors under their names in the file."""
        return {PREFIX + k: v for k, v in self.chooser.state_dict().items()}


def unlearned(header: ChooserHeader) -> Chooser:
    """Return a chooser of the sizes that a header names."""
    return Chooser(header.rows * header.dim, {choice.attribute: choice.values for choice in header.choices})


def save_chooser(path: Path | str, stored: StoredChooser, *, half: bool = False, overwrite: bool = False) -> Path:
    """Write a chooser whole, or leave what was there as it was; arguments as of :func:`.model_file.save_model`."""
    check_chooser_header(stored.header)
    return write_described(Path(path), stored.tensors(), asdict(stored.header), half=half, overwrite=overwrite)


def load_chooser(path: Path | str) -> StoredChooser:
    """Read a file of a chooser.

    Raises:
        BadModel: The file is damaged, incomplete or of another kind.
    """
    path = Path(path)
    header, tensors = read_described(path, parse_chooser_header, ["chooser"])
    chooser = assembled(lambda: unlearned(header), tensors, PREFIX, path.name)
    refuse_unknown(tensors, path.name)
    return StoredChooser(chooser, header)
