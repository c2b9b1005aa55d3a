"""Files of encoders: a safetensors file that describes itself, as a model file does.

Its header names the base whose codes the encoder speaks. Those of pSp, e4e and AgileGAN: :mod:`.foreign_encoders`.

    stored = load_encoder("hvae.safetensors")
    stored.encoder(photos).mu
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor

from ..errors import BadModel
from ..networks.digest import tensors_digest
from ..networks.encoder import Encoder
from .described import assembled, read_described, refuse_unknown, write_described
from .headers import (
    EncoderHeader,
    check_encoder_header,
    parse_encoder_header,
)
from .model_file import Model, generator_digest

PREFIX = "E."


@dataclass(frozen=True)
class StoredEncoder:
    """An encoder and what its file says about it."""

    encoder: Encoder
    header: EncoderHeader

    @property
    def digest(self) -> str:
        """SHA-256 over the names and values of all tensors."""
        return tensors_digest(self.tensors())

    def tensors(self) -> dict[str, Tensor]:
        """Return all stored tensors under their names in the file."""
        return {PREFIX + k: v for k, v in self.encoder.state_dict().items()}


def save_encoder(path: Path | str, stored: StoredEncoder, *, half: bool = False, overwrite: bool = False) -> Path:
    """Write an encoder whole, or leave what was there as it was; arguments as of :func:`.model_file.save_model`."""
    header = replace(stored.header, encoder=stored.encoder.anatomy)
    check_encoder_header(header)
    return write_described(Path(path), stored.tensors(), asdict(header), half=half, overwrite=overwrite)


def load_encoder(path: Path | str, *, base: Model | None = None) -> StoredEncoder:
    """Read an encoder of our own layout.

    Args:
        path: File to read.
        base: The model whose codes are wanted; an encoder of another base is refused.

    Raises:
        BadModel: The file is damaged, incomplete, of another kind, or belongs to another base.
    """
    path = Path(path)
    header, tensors = read_described(path, parse_encoder_header, ["encoder"])
    encoder = assembled(lambda: Encoder(header.encoder), tensors, PREFIX, path.name)
    refuse_unknown(tensors, path.name)
    if base is not None:
        check_encoder_base(header, base)
    return StoredEncoder(encoder, header)


def check_encoder_base(header: EncoderHeader, base: Model) -> None:
    """Refuse a model whose generator is not the one that an encoder was trained for.

    Raises:
        BadModel: The sizes or the digest differ.
    """
    header.encoder.check_base(base.generator.anatomy)
    if header.base_digest and header.base_digest != generator_digest(base):
        raise BadModel(
            f"The encoder '{header.name}' was trained for '{header.base_name}' (digest {header.base_digest[:12]}...), "
            f"not for '{base.header.name}'.",
            "Load the base that it names, or an encoder of this base.",
        )
