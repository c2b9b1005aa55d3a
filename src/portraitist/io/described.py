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
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..errors import BadModel
from ..files import parse_json, refuse_existing, write_bytes

KEY = "portraitist"
STORED = ("F16", "BF16", "F32")
"""Types of number that a file may hold."""
FORMAT = 1
DIGEST = "digest"
"""Key of the header for the SHA-256 of all else: of the header, and of the tensors as they are stored."""
MOST = 20_000
"""Tensors that a file may hold; no network that exists comes near."""
LARGEST_HEADER = 8 << 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What may be a model's name: a word that is safe in file names, in web pages and on a terminal."""
LONGEST_TEXT = 10_000
# No network that exists comes near; a header beyond them is damaged or a trap.
WIDEST, DEEPEST = 1 << 14, 64

KINDS = {
    "model": "a model",
    "style-pack": "a style pack",
    "encoder": "an encoder",
    "directions": "a file of directions",
    "translator": "a translator",
    "painter": "a painter",
}
"""What may stand under ``kind`` in a header."""

AnyHeader = TypeVar("AnyHeader")
AnyModule = TypeVar("AnyModule", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class About:
    """What every network's file says about itself, whatever the network."""

    format: int = FORMAT
    name: str = ""
    """A word that people type; letters, digits, ``-`` and ``_``."""
    description: str = ""
    licence: str = ""
    """SPDX identifier of the terms that the weights may be used under."""
    credit: str = ""
    """Who must be named wherever the file is passed on."""
    lineage: list[dict[str, Any]] = field(default_factory=list)
    """Each training since the first: data, digest, images seen, device; or the file that it was read from."""


def header_parser(kind: type[AnyHeader], check: Callable[[AnyHeader], None]) -> Callable[[object], AnyHeader]:
    """Return what turns the JSON of a header into a header of this kind, and checks it."""
    adapter: TypeAdapter[AnyHeader] = TypeAdapter(kind)

    def parse(found: object) -> AnyHeader:
        header = adapter.validate_python(found)
        check(header)
        return header

    return parse


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
    path: Path, parse: Callable[[object], AnyHeader], kinds: Sequence[str], *, contents: bool = True
) -> tuple[AnyHeader, dict[str, Tensor]]:
    """Read a file that describes itself: its header, and its tensors as float32.

    Args:
        path: File to read.
        parse: Turns the JSON of the header into what the kind of file has; raises what is wrong with it.
        kinds: Those of ``KINDS`` that are wanted.
        contents: Read the tensors too.

    Raises:
        BadModel: The file is damaged, of another kind, or holds NaN; its digest is looked at where contents are read.
    """
    with _opened(path) as file:
        found = _found(file.metadata(), path.name)
        due = found.pop(DIGEST, None) if isinstance(found, dict) else None
        header = _parsed(found, path.name, parse, kinds)
        if not contents:
            return header, {}
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


def check_texts(names: Iterable[str], texts: Iterable[str]) -> None:
    """Refuse names and texts that could harm where they are shown.

    Raises:
        BadModel: There is such a one.
    """
    for name in names:
        if name and not NAME.fullmatch(name):
            raise BadModel(f"{name[:80]!r} cannot be a model's name.", "Use letters, digits, - and _.")
    for text in texts:
        if len(text) > LONGEST_TEXT or not text.replace("\n", "").isprintable():
            raise BadModel("A text of the header is too long or holds control characters.", "Write plain text.")


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


def refuse_many(path: Path) -> None:
    """Refuse a safetensors file of more tensors than any network has, before each is made.

    Raises:
        BadModel: It is one.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            found = file.read(min(size, _HEAD)).count(b'"dtype"')
    except OSError:
        return  # told by who opens it
    if found > MOST:
        raise BadModel(f"{path.name} holds more than {MOST:,} tensors.", "No network has so many; get another file.")


_HEAD = 100 << 20
"""Largest header of a safetensors file."""


def in_run_folder(path: Path | str, name: str) -> Path:
    """Return the file that a path is, or the one of this name in the run folder that it is."""
    path = Path(path)
    return path / name if os.path.isdir(path) else path


def _opened(path: Path) -> Any:
    if not os.path.isfile(path):  # unlike Path.is_file, false for names too long
        raise BadModel(f"There is no model file {path}.", "Check its path.")
    refuse_many(path)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise BadModel(
            f"{path.name} is not a complete model file ({error}).",
            "Copy it again; for checkpoints of other programs use `portraitist convert`.",
        ) from error


def _found(metadata: Mapping[str, str] | None, name: str) -> Any:
    """Return the JSON of a header."""
    text = (metadata or {}).get(KEY)
    if text is None or len(text) > LARGEST_HEADER:
        raise BadModel(f"{name} is a safetensors file, but not one of Portraitist.", "Use `portraitist convert`.")
    try:
        found = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise BadModel(f"The header of {name} is not JSON ({error}).", "Get the file again from its source.") from error
    return found


def _parsed(found: object, name: str, parse: Callable[[object], AnyHeader], kinds: Sequence[str]) -> AnyHeader:
    if isinstance(found, dict) and found.get("format") != FORMAT:
        raise BadModel(
            f"{name} has format {str(found.get('format'))[:20]}; this version reads {FORMAT}.", "Update Portraitist."
        )
    kind = found.get("kind") if isinstance(found, dict) else None
    if isinstance(kind, str) and kind in KINDS and kind not in kinds:
        raise BadModel(f"{name} is {KINDS[kind]}, not {KINDS[kinds[0]]}.", "Give a file of the kind that is asked for.")
    try:
        return parse(found)
    except (ValidationError, BadModel) as error:
        raise BadModel(f"The header of {name} is damaged ({error}).", "Get the file again from its source.") from error
