"""Files that describe themselves: safetensors with a JSON header under the key ``portraitist``.

Models, style packs, encoders, translators, painters and directions are such files; each kind has a header, a dataclass,
and the anatomies in it say which tensors there must be. Reading is strict: a tensor that is missing, extra or of
another shape is an error that names it. A digest of header and tensors tells of damage that leaves both readable; files
of earlier versions have none. Nothing in a file is ever executed.

    header, tensors = read_described(path, header_parser(EncoderHeader, check_encoder_header), ["encoder"])
    encoder = assembled(lambda: Encoder(header.encoder), tensors, "E.", path.name)
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..errors import BadModel
from ..files import refuse_existing, write_bytes
from .headers import DIGEST, KEY, AnyHeader, found_json, incomplete, parsed, refuse_missing
from .licences import check_licence

STORED = ("F16", "BF16", "F32")
"""Types of number that a file may hold."""

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def write_described(
    path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any], *, half: bool, overwrite: bool
) -> Path:
    """Write tensors, all finite, with the header as JSON beside them; whole or not at all."""
    refuse_existing(path, overwrite)
    dtype = torch.float16 if half else torch.float32
    ready = {k: v.detach().to("cpu", dtype).contiguous().clone() for k, v in tensors.items()}
    for name, value in ready.items():
        if not torch.isfinite(value).all():
            raise BadModel(
                f"Tensor {name} holds NaN or infinity{' in half precision' if half else ''}.",
                "The training that made it diverged; go back to an earlier snapshot.",
            )
    described = {**header, DIGEST: digest_of(header, ready)}
    payload = save(ready, metadata={KEY: json.dumps(described, sort_keys=True)})
    write_bytes(path, payload, overwrite=overwrite)
    return path


def read_described(
    path: Path, parse: Callable[[object], AnyHeader], kinds: Sequence[str]
) -> tuple[AnyHeader, dict[str, Tensor]]:
    """Read a file that describes itself: its header, and its tensors as float32.

    Args:
        path: File to read.
        parse: Turns the JSON of the header into what the kind of file has; raises what is wrong with it.
        kinds: Those of ``KINDS`` that are wanted.

    Raises:
        BadModel: The file is damaged, of another kind, or holds NaN, or its digest does not fit.
        NoLicence: It names none, and one is required.
    """
    with _opened(path) as file:
        found = found_json(file.metadata(), path.name)
        due = found.pop(DIGEST, None) if isinstance(found, dict) else None
        header = parsed(found, path.name, parse, kinds)
        check_licence(path.name, header.licence)
        try:
            odd = {kind for name in file.keys() if (kind := file.get_slice(name).get_dtype()) not in STORED}
            if odd:
                raise BadModel(f"{path.name} holds tensors of {sorted(odd)}.", f"Store them as {', '.join(STORED)}.")
            stored = {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, RuntimeError) as error:
            raise BadModel(f"{path.name} cannot be read ({error}).", "Copy it again.") from error
    if due is not None and due != digest_of(found, stored):
        raise BadModel(
            f"{path.name} is damaged: its digest does not fit its content.", "Copy it again from where it was whole."
        )
    tensors = {name: value.float() for name, value in stored.items()}
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise BadModel(f"{path.name}: tensor {name} holds NaN or infinity.", "The training that wrote it diverged.")
    return header, tensors


def digest_of(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a header, as JSON holds it, and of tensors as they are stored."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_fit(build: Callable[[], nn.Module], tensors: Mapping[str, Tensor], prefix: str, name: str) -> None:
    """Compare a network with the tensors meant for it without allocating it, so that no header can ask for memory."""
    with torch.device("meta"):
        state = build().state_dict()
    missing = [k for k in state if prefix + k not in tensors]
    if missing:
        raise BadModel(
            f"{name} lacks {len(missing)} tensors of its anatomy: {missing[:5]}.", "Get the whole file from its author."
        )
    pairs = [(k, tuple(tensors[prefix + k].shape), tuple(v.shape)) for k, v in state.items()]
    wrong = [f"{k} {found}, not {due}" for k, found, due in pairs if found != due]
    if wrong:
        raise BadModel(f"{name} holds tensors of other shapes: {wrong[:5]}.", "Get the whole file from its author.")


def fill(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    """Move the tensors of one network out of ``tensors`` into it."""
    module.load_state_dict({k: tensors.pop(prefix + k) for k in module.state_dict()})


def refuse_unknown(tensors: Mapping[str, Tensor], name: str) -> None:
    """Refuse tensors that are left when all networks have taken theirs.

    Raises:
        BadModel: There are such.
    """
    if tensors:
        raise BadModel(
            f"{name} holds tensors that its anatomy does not know: {sorted(tensors)[:5]}.",
            "Get the whole file from its author.",
        )


def assembled(build: Callable[[], AnyModule], tensors: dict[str, Tensor], prefix: str, name: str) -> AnyModule:
    """Build a network in evaluation mode of tensors, which are taken out of ``tensors``, drawing no random numbers.

    Raises:
        BadModel: A tensor is missing or of another shape.
    """
    check_fit(build, tensors, prefix, name)
    with torch.device("meta"):
        module = build()
    # Copies, because a tensor that lies in a file's own memory need not be aligned, and sums then round otherwise.
    module.load_state_dict({k: tensors.pop(prefix + k).clone() for k in module.state_dict()}, assign=True)
    return module.eval()


def in_run_folder(path: Path | str, name: str) -> Path:
    """Return the file that a path is, or the one of this name in the run folder that it is."""
    path = Path(path)
    return path / name if os.path.isdir(path) else path


def _opened(path: Path) -> Any:
    refuse_missing(path)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise incomplete(path, error) from error


def stored_in_half(path: Path) -> bool:
    """Return whether a native file, which has been checked, holds its numbers in half precision."""
    with _opened(path) as file:
        return any(file.get_slice(name).get_dtype() == "F16" for name in file.keys())
