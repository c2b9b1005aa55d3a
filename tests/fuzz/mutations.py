"""Damage to valid files: bits, cuts, moved and repeated pieces, odd numbers, and values of other types."""

from __future__ import annotations

import io
import json
import pickletools
import re
import zipfile
from random import Random

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
OPCODES = (*(bytes([code]) for code in b"N]}()\x8802teu"), b"K\x07", b"G@\x09!\xfbTD-\x18", b"X\x01\0\0\0a")
"""Values of other types, and what takes them off the stack."""
WORDS = (b"null", b"-1", b"1e999", b"[]", b"{}", b'""', b"true", b'"a"', b"NaN", b"9" * 400, b"[" * 2000, b'"\\ud800"')
"""What may stand for a value in JSON, and what breaks careless readers of it."""


def mutated(data: bytes, chance: Random) -> bytes:
    """Return a file with a few things wrong."""
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
