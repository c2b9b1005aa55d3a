"""Damage to valid files: bits, cuts, moved and repeated pieces, odd numbers, and values of other types.

Files of this program carry digests, which stop nearly all of it; most of theirs are sealed again, so that what lies
behind the digests is tried too.
"""

from __future__ import annotations

import io
import json
import pickletools
import re
import zipfile
from collections.abc import Callable
from random import Random

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from portraitist.io.described import digest_of
from portraitist.io.headers import DIGEST, KEY
from portraitist.networks.digest import tensors_digest
from portraitist.train import snapshot

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
OPCODES = (*(bytes([code]) for code in b"N]}()\x8802teu"), b"K\x07", b"G@\x09!\xfbTD-\x18", b"X\x01\0\0\0a")
"""Values of other types, and what takes them off the stack."""
WORDS = (b"null", b"-1", b"1e999", b"[]", b"{}", b'""', b"true", b'"a"', b"NaN", b"9" * 400, b"[" * 2000, b'"\\ud800"')
"""What may stand for a value in JSON, and what breaks careless readers of it."""


def mutated(data: bytes, chance: Random) -> bytes:
    """Return a file with a few things wrong."""
    if data[8:9] == b"{" and KEY.encode() in data[:4096] and chance.random() < 0.8:
        return resealed(_retensored(data, chance) if chance.random() < 0.4 else _damaged(data, chance))
    return _damaged(data, chance)


def _damaged(data: bytes, chance: Random) -> bytes:
    if data[:2] == b"PK" and chance.random() < 0.6:
        return _repacked(data, chance)
    if data[:1] == b"\x80" and chance.random() < 0.6:
        return _swapped(data, chance)
    if data[:1] == b"{" and chance.random() < 0.6:
        return _reworded(data, chance)
    if data[8:9] == b"{" and chance.random() < 0.5:
        return _reheaded(data, chance)
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        # The beginnings and ends of files say more than their middles.
        where = chance.random() ** chance.choice((1, 3)) * len(changed)
        place = min(len(changed) - 1, int(where))
        if chance.random() < 0.3:
            place = len(changed) - 1 - place
        size = chance.choice((1, 4, 16, 256))
        kind = chance.randrange(6)
        if kind == 0:
            changed[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            width = chance.choice((1, 2, 4, 8))
            number = chance.choice(NUMBERS) % (1 << 8 * width)
            changed[place : place + width] = number.to_bytes(width, chance.choice(("little", "big")))
        elif kind == 2:
            del changed[place : place + size]
        elif kind == 3:
            changed[place:place] = changed[place : place + size]
        elif kind == 4:
            other = chance.randrange(len(changed))
            changed[place : place + size] = changed[other : other + size]
        else:
            del changed[max(1, place) :]
        if not changed:
            return b""
    return bytes(changed)


def _repacked(data: bytes, chance: Random) -> bytes:
    """Return a zip in which one member is mutated, with checksums that fit."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(buffer, "w") as after:
        members = before.infolist()
        pickles = [m for m in members if m.filename.endswith(".pkl")]
        chosen = pickles[0] if pickles and chance.random() < 0.8 else chance.choice(members)
        for member in members:
            content = before.read(member)
            if member is chosen and content:
                content = mutated(content, chance)
            after.writestr(member.filename, content)
    return buffer.getvalue()


def _swapped(data: bytes, chance: Random) -> bytes:
    """Return a pickle in which one opcode is replaced by one of another type, left out or repeated."""
    try:
        places = [place for _, _, place in pickletools.genops(data) if place is not None]
    except ValueError:
        return data[: chance.randrange(1, len(data))]
    at = chance.randrange(1, len(places) - 1)
    begin, end = places[at], places[at + 1]
    new = chance.choice((*OPCODES, b"", data[begin:end] * 2))
    return data[:begin] + new + data[end:]


def _reworded(data: bytes, chance: Random) -> bytes:
    """Return JSON in which one value, or one name, is another."""
    places = [found.span() for found in re.finditer(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null', data)]
    if not places:
        return data[: chance.randrange(1, len(data))]
    begin, end = chance.choice(places)
    return data[:begin] + chance.choice((*WORDS, data[begin:end] * 2, b"")) + data[end:]


def _reheaded(data: bytes, chance: Random) -> bytes:
    """Return a safetensors file in whose header one value is another, with a length that fits; also of JSON within."""
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size]
    if not 0 < size < len(data) or b"{" not in header:
        return data[: chance.randrange(1, len(data))]
    try:
        whole = json.loads(header)
        inner = {key: text for key, text in whole.get("__metadata__", {}).items() if text[:1] == "{"}
    except (ValueError, AttributeError, TypeError):
        whole, inner = {}, {}
    if inner and chance.random() < 0.7:
        key = chance.choice(sorted(inner))
        whole["__metadata__"][key] = _reworded(inner[key].encode(), chance).decode("utf-8", "replace")
        header = json.dumps(whole).encode()
    else:
        header = _reworded(header, chance)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def resealed(data: bytes) -> bytes:
    """Return a native file whose digests fit what it holds now, or what was given where it cannot be read so far."""
    try:
        metadata, tensors = _metadata(data), load(data)
        for key, seal in ((KEY, _seal_described), (snapshot.KEY, _seal_snapshot)):
            if key in metadata:
                metadata[key] = json.dumps(seal(json.loads(metadata[key]), tensors))
        return save(tensors, metadata)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError, RuntimeError):
        return data


def _metadata(data: bytes) -> dict[str, str]:
    found: dict[str, str] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    return found


def _seal_described(header: dict[str, object], tensors: dict[str, torch.Tensor]) -> object:
    bare = {key: value for key, value in header.items() if key != DIGEST}
    return {**bare, DIGEST: digest_of(bare, tensors)}


def _seal_snapshot(header: dict[str, object], tensors: dict[str, torch.Tensor]) -> object:
    counters = header["counters"]
    return {**header, "seal": snapshot.seal(counters), "digest": tensors_digest(tensors)}


_CHANGES: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
    lambda t: t.double(),
    lambda t: t.half(),
    lambda t: t.long(),
    lambda t: t != 0,
    lambda t: t.to(torch.complex64),
    lambda t: t.to(torch.float8_e5m2),
    lambda t: t * float("nan"),
    lambda t: t * 3e38,
    lambda t: t.reshape(-1)[:0],
    lambda t: t.reshape(-1)[0],
    lambda t: t[None],
    lambda t: t.reshape(-1),
    lambda t: t.expand(64, *t.shape),
    lambda t: t * 0,
)
"""What may become of a tensor: other numbers, other types, other shapes."""


def _retensored(data: bytes, chance: Random) -> bytes:
    """Return a safetensors file in which a tensor is another, is missing, or has another name."""
    metadata, tensors = _metadata(data), load(data)
    name = chance.choice(sorted(tensors))
    kind, value = chance.randrange(6), tensors.pop(name)
    if kind == 1:
        tensors[f"{name}{chance.choice(('', '.', 's', '/../x', chr(0x202E)))}x"] = value
    elif kind == 2 and tensors:
        other = chance.choice(sorted(tensors))
        tensors |= {name: tensors[other], other: value}
    elif kind > 2:
        tensors[name] = chance.choice(_CHANGES)(value)
    return save({key: value.contiguous().clone() for key, value in tensors.items()}, metadata)
