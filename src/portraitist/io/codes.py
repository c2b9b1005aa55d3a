"""Files of codes: what space they live in, and which generator they belong to."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..errors import BadModel
from ..files import write_bytes
from ..spaces import Code, W, WPlus, Z, ZPlus

KEY = "portraitist-codes"
SPACES: dict[str, type[Code]] = {"Z": Z, "Z+": ZPlus, "W": W, "W+": WPlus}


def save_codes(path: Path, codes: Code, generator: str, *, overwrite: bool = False) -> None:
    """Write codes with their space and the digest of the generator that draws them."""
    space = next(name for name, kind in SPACES.items() if kind is type(codes))
    header = {KEY: json.dumps({"space": space, "generator": generator})}
    content = save({"codes": codes.data.detach().cpu().contiguous()}, metadata=header)
    write_bytes(path, content, overwrite=overwrite)


def load_codes(path: Path) -> tuple[Code, str]:
    """Read codes and the digest of the generator that draws them.

    Raises:
        BadModel: The file is damaged or holds no codes.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[KEY])
            return SPACES[header["space"]](file.get_tensor("codes")), str(header["generator"])
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise BadModel(f"{path} is no file of codes ({error}).", "Make one with `portraitist invert`.") from error
