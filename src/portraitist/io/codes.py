"""Files of codes: what space they live in, and which generator they belong to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import BadData, BadModel
from ..files import CODE_SUFFIX, open_regular, parse_json, stems, write_bytes
from ..spaces import Code, W, WPlus, Z, ZPlus
from .described import digest_of
from .headers import DIGEST, refuse_many
from .model_file import Model, generator_digest
from .pickles import FLOATS

KEY = "portraitist-codes"
SPACES: dict[str, type[Code]] = {"Z": Z, "Z+": ZPlus, "W": W, "W+": WPlus}


def save_codes(path: Path, codes: Code, generator: str, *, overwrite: bool = False) -> None:
    """Write codes with their space and the digest of the generator that draws them."""
    write_bytes(path, encode_codes(codes, generator), overwrite=overwrite)


def encode_codes(codes: Code, generator: str) -> bytes:
    """Return the file that :func:`save_codes` writes."""
    space = next(name for name, kind in SPACES.items() if kind is type(codes))
    header = {"space": space, "generator": generator}
    tensors = {"codes": codes.data.detach().cpu().contiguous()}
    return save(tensors, metadata={KEY: json.dumps({**header, DIGEST: digest_of(header, tensors)})})


def load_codes(path: Path) -> tuple[Code, str]:
    """Read codes and the digest of the generator that draws them.

    Raises:
        BadModel: The file is damaged or holds no codes.
    """
    try:
        open_regular(path).close()  # a pipe would be waited for
        refuse_many(path)
        with safe_open(path, framework="pt") as file:
            header = parse_json((file.metadata() or {})[KEY])
            codes = file.get_tensor("codes")
            due = header.pop(DIGEST, None)  # none in files of earlier versions
            if due is not None and due != digest_of(header, {"codes": codes}):
                raise ValueError("it is damaged: its digest does not fit its content")
            if codes.dtype not in FLOATS or not codes.isfinite().all():
                raise ValueError("its codes are no finite numbers")
            return SPACES[header["space"]](codes.float()), str(header["generator"])
    except (
        SafetensorError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        NotImplementedError,
        RecursionError,
        OSError,
    ) as error:
        raise BadModel(
            f"{path} cannot be read as a file of codes ({error}).", "Make one with `portraitist invert`."
        ) from error


def load_known(folder: Path, names: Sequence[str], model: Model) -> dict[str, Tensor]:
    """Read the codes that ``portraitist invert`` wrote of pictures, each [rows, w_dim] in W+ of a model, by picture.

    Args:
        folder: Where ``STEM.code.safetensors`` lies for each picture.
        names: What the pictures are called, folders and suffixes included.
        model: What they were inverted into.

    Raises:
        BadData: A picture has no code.
        BadModel: A file holds no code, several, or one of another model.
    """
    paths: dict[str, Path] = {}
    begun = stems(names)
    for name, stem in zip(names, begun, strict=True):
        # The code of a.jpg keeps the suffix where there was an a.png, though that may have been left out since.
        whole, plain = (folder / f"{text}{CODE_SUFFIX}" for text in (name, stem))
        paths[name] = whole if name not in begun and whole.is_file() else plain
    if missing := [name for name, path in paths.items() if not path.is_file()]:
        raise BadData(
            f"{len(missing)} of {len(paths)} pictures have no code in {folder}, such as {missing[0]}.",
            f"Make them: portraitist invert PICTURES/ --aligned --base {model.header.name} -o {folder}",
        )
    digest = generator_digest(model)
    return {name: load_as_wplus(path, model, digest).data[0].cpu() for name, path in paths.items()}


def load_as_wplus(path: Path, model: Model, digest: str = "") -> WPlus:
    """Read one code of any space as a code of W+ of a model: [1, rows, w_dim], on the device of the model.

    Latents of Z and Z+ go through the mapping network; a code of W is repeated for every row. ``digest`` is that of the
    model's generator, for who reads many; it is computed if empty.

    Raises:
        BadModel: The file holds no code, several, or one of another model.
    """
    codes, owner = load_codes(path)
    generator, name = model.generator, model.header.name
    if owner not in ("", digest or generator_digest(model)):
        raise BadModel(f"{path} holds codes of another base.", f"Invert the photo for '{name}'.")
    if len(codes) != 1:
        raise BadModel(f"{path} holds {len(codes)} codes.", "Give a file of one.")
    anatomy, codes = generator.anatomy, codes.to(generator.w_mean.device)
    sizes = {Z: (anatomy.z_dim,), ZPlus: (anatomy.rows, anatomy.z_dim), W: (anatomy.w_dim,)}
    # A file that names no base is checked by its sizes alone.
    if tuple(codes.data.shape[1:]) != sizes.get(type(codes), (anatomy.rows, anatomy.w_dim)):
        raise BadModel(f"{path} does not fit '{name}'.", "Invert the photo again.")
    if isinstance(codes, Z | ZPlus):
        with torch.no_grad():
            return generator.map(codes)
    if isinstance(codes, W):
        return codes.broadcast(anatomy.rows)
    assert isinstance(codes, WPlus)
    return codes
