"""Files of painters: the network of one style, and what it was distilled from.

stored = load_painter("runs/painter")
drawn = stored.painter(photos).image
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from ..networks.digest import tensors_digest
from ..networks.painter import Painter
from ..networks.painter_anatomy import PainterAnatomy
from .described import assembled, in_run_folder, read_described, refuse_unknown, write_described
from .headers import About, check_painter_sizes, check_texts, header_parser

if TYPE_CHECKING:
    from .model_file import Model

FILE = "painter.safetensors"
"""Its name in a run folder."""
PREFIX = "P."


@dataclass(frozen=True)
class PainterHeader(About):
    """What a painter file says about itself."""

    painter: PainterAnatomy
    kind: Literal["painter"] = "painter"
    side: int = 256
    """Of the pictures that it was trained on, in pixels; it draws other sides too."""
    style_name: str = ""
    style_digest: str = ""
    """Of the style that its teacher drew; SHA-256 over the names and values of the generator's tensors."""
    teacher_digest: str = ""
    """Of all that determines the teacher's pictures."""
    training: dict[str, Any] = field(default_factory=dict)
    """Settings of the training that made it."""
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredPainter:
    """A painter and what its file says about it."""

    painter: Painter
    header: PainterHeader

    @property
    def digest(self) -> str:
        """SHA-256 over the names and values of all tensors."""
        return tensors_digest(self.tensors())

    def tensors(self) -> dict[str, Tensor]:
        """Return all stored tensors under their names in the file."""
        return {PREFIX + k: v for k, v in self.painter.state_dict().items()}


def save_painter(path: Path | str, stored: StoredPainter, *, half: bool = False, overwrite: bool = False) -> Path:
    """Write a painter whole, or leave what was there as it was; arguments as of :func:`.model_file.save_model`."""
    header = replace(stored.header, painter=stored.painter.anatomy)
    check_painter_header(header)
    return write_described(Path(path), stored.tensors(), asdict(header), half=half, overwrite=overwrite)


def load_painter(path: Path | str) -> StoredPainter:
    """Read a painter file, or that of a run folder.

    Raises:
        BadModel: The file is damaged, incomplete or of another kind.
    """
    path = in_run_folder(path, FILE)
    header, tensors = read_described(path, _parse_header, ["painter"])
    painter = assembled(lambda: Painter(header.painter), tensors, PREFIX, path.name)
    refuse_unknown(tensors, path.name)
    return StoredPainter(painter, header)


def default_painter(style: Model) -> StoredPainter | None:
    """Return the painter that a style pack carries and draws photos by; None where it draws them by codes."""
    about = style.header.painter
    return packed_painter(style) if about is not None and about.is_default else None


def packed_painter(style: Model) -> StoredPainter | None:
    """Return the painter that a style pack carries; None where there is none."""
    header, about = style.header, style.header.painter
    if style.painter is None or about is None:
        return None
    own = {key: getattr(header, key) for key in ("name", "description", "licence", "credit", "lineage")}
    packed = {key: getattr(about, key) for key in ("painter", "side", "teacher_digest", "training", "metrics")}
    digest = tensors_digest(style.generator.state_dict())
    return StoredPainter(style.painter, PainterHeader(**own, **packed, style_name=header.name, style_digest=digest))


def check_painter_header(header: PainterHeader) -> None:
    """Refuse names and sizes that no file may have.

    Raises:
        BadModel: One is too long or too large, or a name is none.
    """
    check_texts((header.name,), (header.description, header.licence, header.credit, header.style_name))
    check_painter_sizes(header.painter, header.side)


_parse_header = header_parser(PainterHeader, check_painter_header)
