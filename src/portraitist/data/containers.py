"""What a picture file says of itself, read before a single pixel is decoded.

Size, orientation, animation and truncation are decided here from the bytes alone, so a picture that must be
refused costs neither time nor memory. What goes on to the decoder is stripped to the parts that pixels need:
text, thumbnails, EXIF, GPS and further pictures behind the first never reach it.

Formats: PNG (W3C PNG, third edition), JPEG (ITU-T T.81, annex B; EXIF 2.32), WebP (RFC 9649); others by ``stills``.

Example::

    header = inspect(Path("me.jpg").read_bytes(), "me.jpg")
    print(header.format, header.width, header.height, header.orientation)
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..errors import BadImage

StillFormat = Literal["GIF", "BMP", "TIFF", "HEIF"]
"""Formats that Pillow reads by itself, see ``stills``."""
ACCEPTED = "Save the picture as PNG, JPEG or WebP."

HEAD = 1 << 16
"""First bytes of a file that are read to tell whether it is a picture."""
_PNG = b"\x89PNG\r\n\x1a\n"
# Chunks that change pixels; eXIf, iCCP and acTL are read here and not passed on.
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
MAX_PROFILE = 4 << 20
"""Largest colour profile in bytes; printing profiles reach about 3 MB."""
_ICC = b"ICC_PROFILE\0"
# Start-of-frame markers: all of C0..CF but DHT (C4), JPG (C8) and DAC (CC).
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Ends a run of entropy-coded data: any marker but a stuffed zero, a fill byte or a restart.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_JPEG_FILL = re.compile(rb"\xff+")
# A file cut into more parts than this, or a JPEG of more scans, is made to waste time.
_MAX_PARTS = 50_000
_MAX_SCANS = 100
_STILLS: dict[bytes, StillFormat] = {b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
_HEIC = frozenset(b"heic heix heim heis mif1".split())
"""Brands of HEIC stills."""
_FOREIGN = {
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"PK\3\4": "ZIP",
    b"\0\0\1\0": "icon",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"<svg": "SVG",
}


@dataclass(frozen=True)
class Header:
    """What must be known of a picture before it is decoded."""

    format: Literal["PNG", "JPEG", "WEBP"] | StillFormat
    width: int
    """Pixels per row as stored, before orientation."""
    height: int
    bits: int
    """Bits per channel as stored."""
    orientation: int
    """EXIF orientation 1 to 8; 1 where the file says nothing or nonsense."""
    profile: bytes
    """Its colour profile; empty where it has none that is whole."""
    stream: bytes
    """The same picture without the parts that pixels do not need."""


def inspect(data: bytes, name: str) -> Header:
    """Read the header of a still picture and check that the file is whole.

    Raises:
        BadImage: ``empty``, ``not-an-image``, ``format`` (a picture of another format), ``animated``,
            ``truncated`` or ``colour`` (a colour profile that is too large).
    """
    try:
        return _reader(data, name)(data, name)
    except (struct.error, IndexError):
        raise truncated(name) from None


def is_known_head(head: bytes) -> bool:
    """Tell from its first bytes whether a file is a picture, of a format that is read or not."""
    known = (_PNG, b"\xff\xd8\xff", b"8BPS", b"\0\0\0\x0cjP  ", *(m for m in _STILLS if m != b"BM"))
    return head.startswith(known) or head[8:12] in (b"WEBP", b"avif") or _still_format(head) == "HEIF"


def refuse_foreign(head: bytes, name: str) -> None:
    """Refuse by its first bytes what is no picture of a format that is read.

    Raises:
        BadImage: ``empty``, ``not-an-image``, ``format`` or ``truncated``.
    """
    _reader(head, name)


def _reader(data: bytes, name: str) -> Callable[[bytes, str], Header]:
    if not data:
        raise BadImage(f"{name} is empty.", "Copy the picture again.", kind="empty")
    if data.startswith(_PNG):
        return _png
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp
    if (still := _still_format(data)) is not None:
        return lambda whole, name: _still(whole, name, still)
    raise _foreign(data, name)


def _still_format(head: bytes) -> StillFormat | None:
    """Return which format that Pillow reads by itself a file has, by its first bytes."""
    if head[4:8] == b"ftyp":
        size = min(int.from_bytes(head[:4], "big"), 256)
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, size, 4))}
        return "HEIF" if brands & _HEIC and not brands & {b"avif", b"avis"} else None
    return next((kind for magic, kind in _STILLS.items() if head.startswith(magic)), None)


def _still(data: bytes, name: str, kind: StillFormat) -> Header:
    from .stills import inspect_still  # Pillow is not needed to find pictures

    return inspect_still(data, name, kind)


def truncated(name: str) -> BadImage:
    """Make the error of a file that ends early or is damaged inside."""
    return BadImage(f"{name} ends early or is damaged.", "Copy the picture again from its source.", kind="truncated")


def _animated(name: str) -> BadImage:
    return BadImage(f"{name} is an animation.", "Save one frame of it as a still picture.", kind="animated")


def _foreign(data: bytes, name: str) -> BadImage:
    if data.startswith(b"version https://git-lfs"):
        return BadImage(
            f"{name} is a Git LFS pointer, not the picture itself.", "Run `git lfs pull`.", kind="not-an-image"
        )
    if _PNG.startswith(data[:8]) or data in (b"\xff\xd8", b"\xff") or (data[:4] == b"RIFF" and len(data) < 12):
        return truncated(name)
    known = next((kind for magic, kind in _FOREIGN.items() if data.startswith(magic)), None)
    if data[4:8] == b"ftyp":
        known = "AVIF" if data[8:12] in (b"avif", b"avis") else "video"
    if known:
        return BadImage(f"{name} is a {known} file.", ACCEPTED, kind="format")
    return BadImage(f"{name} is not a picture.", ACCEPTED, kind="not-an-image")


def _png(data: bytes, name: str) -> Header:
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    if data[12:16] != b"IHDR" or not width or not height:
        raise truncated(name)
    kept = [_PNG]
    orientation, profile, kind = 0, b"", b""
    seen: dict[bytes, int] = {}
    for kind, chunk, body in _png_chunks(data, name):
        # Decoders differ in what they make of these: some show them, some leave them out.
        if _PNG_BEFORE.get(kind, frozenset()) & seen.keys():
            raise truncated(name)
        if kind == b"tRNS" and colour == _PNG_PALETTE and 3 * len(body) > seen.get(b"PLTE", 0):
            raise truncated(name)
        seen[kind] = len(body)
        if kind == b"acTL" and struct.unpack_from(">I", body)[0] > 1:
            raise _animated(name)
        if kind == b"eXIf":
            orientation = orientation or exif_orientation(bytes(body))
        if kind == b"iCCP":
            profile = profile or _unpacked(bytes(body), name)
        if kind in _PNG_KEPT:
            kept.append(bytes(chunk))
    if kind != b"IEND":
        raise truncated(name)
    return Header("PNG", width, height, bits, orientation or 1, profile, b"".join(kept))


_PNG_PALETTE = 3
"""Type of colour whose pixels are numbers of colours in PLTE."""
_PNG_BEFORE = {
    b"PLTE": frozenset({b"PLTE", b"IDAT", b"tRNS"}),
    b"tRNS": frozenset({b"IDAT", b"tRNS"}),
    b"iCCP": frozenset({b"IDAT", b"PLTE"}),
}
"""Chunk -> those that it may not follow (PNG, third edition, 5.6)."""


def _unpacked(chunk: bytes, name: str) -> bytes:
    """Return the profile of an iCCP chunk: a name, a method of compression, deflated bytes."""
    try:
        profile = zlib.decompressobj().decompress(chunk.partition(b"\0")[2][1:], MAX_PROFILE + 1)
    except zlib.error:
        return b""
    return _capped(profile, name)


def _capped(profile: bytes, name: str) -> bytes:
    if len(profile) > MAX_PROFILE:
        raise BadImage(f"The colour profile of {name} is too large.", "Convert the picture to sRGB.", kind="colour")
    return profile


def _png_chunks(data: bytes, name: str) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Yield (type, whole chunk, body) up to IEND, with every checksum checked."""
    view, at, kind, parts = memoryview(data), len(_PNG), b"", 0
    while kind != b"IEND" and at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        kind = data[at + 4 : at + 8]
        end = at + 12 + length
        parts += 1
        if (
            parts > _MAX_PARTS
            or end > len(data)
            or zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]
        ):
            raise truncated(name)
        yield kind, view[at:end], view[at + 8 : end - 4]
        at = end


def _jpeg(data: bytes, name: str) -> Header:
    kept = [b"\xff\xd8"]
    frame: tuple[int, int, int] | None = None
    profile: list[bytes] = []
    orientation, scan = 0, 0
    for marker, begin, end in jpeg_segments(data, name):
        body = data[begin + 4 : end]
        if marker in JPEG_FRAMES:
            bits, height, width = struct.unpack_from(">BHH", body)
            frame = frame or (width, height, bits)
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = orientation or exif_orientation(body[6:])
        if marker == 0xE2 and body.startswith(_ICC):
            profile.append(body[len(_ICC) :])
        if marker == 0xDA:
            scan = begin
            break
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker in (0xE0, 0xEE):
            kept.append(data[begin:end])
    if frame is None or not scan or not frame[0] or not frame[1]:
        raise truncated(name)
    # Entropy-coded data never holds FF D9, so the first one after the scan starts closes this picture; what
    # lies behind it (further pictures of an MPO, a maker's trailer) is none of ours.
    kept.append(data[scan : jpeg_scans(data, scan, name)[1]])
    return Header("JPEG", *frame, orientation or 1, _capped(_joined(profile), name), b"".join(kept))


def _joined(parts: list[bytes]) -> bytes:
    """Return the profile that the ICC segments of a JPEG hold, each after its number and their count (ICC.1, B.4)."""
    whole = [part for part in parts if len(part) > 2]
    numbered = {part[0]: part[2:] for part in whole}
    if not whole or sorted(numbered) != list(range(1, whole[0][1] + 1)):
        return b""
    return b"".join(numbered[number] for number in sorted(numbered))


def jpeg_segments(data: bytes, name: str) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, begin, end) of each segment up to and including the first start of scan."""
    at, marker, parts = 2, 0, 0
    while marker != 0xDA:
        fill = _JPEG_FILL.match(data, at)
        if fill is None:
            raise truncated(name)
        at = fill.end() - 1
        marker = data[at + 1]
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        parts += 1
        if parts > _MAX_PARTS or end > len(data) or marker in (0x00, 0xD8, 0xD9):
            raise truncated(name)
        yield marker, at, end
        at = end


def jpeg_scans(data: bytes, scan: int, name: str) -> tuple[list[int], int]:
    """Return the offset of each start of scan from the first on, and that behind the end-of-image marker.

    Tables between the scans of a progressive picture are skipped as segments: their bytes may read FF D9.

    Raises:
        BadImage: The picture is not closed, or has more scans than any sound one.
    """
    at = scan
    starts: list[int] = []
    for _ in range(_MAX_PARTS):
        found = _JPEG_MARKER.search(data, at)
        if found is None or len(starts) > _MAX_SCANS:
            break
        marker = data[found.end() - 1]
        if marker == 0xD9:
            return starts, found.end()
        if marker == 0xDA:
            starts.append(found.start())
        at = found.end() + struct.unpack_from(">H", data, found.end())[0]
    raise truncated(name)


def _webp(data: bytes, name: str) -> Header:
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise truncated(name)
    size: tuple[int, int] | None = None
    profile = b""
    orientation, at = 0, 12
    for _ in range(_MAX_PARTS):
        if at + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + min(length, 1 << 16)]
        if kind in (b"ANIM", b"ANMF") or (kind == b"VP8X" and body[0] & 2):
            raise _animated(name)
        if kind == b"EXIF":
            orientation = orientation or exif_orientation(body.removeprefix(b"Exif\0\0"))
        if kind == b"ICCP":
            profile = profile or _capped(data[at + 8 : at + 8 + length], name)
        size = size or _webp_size(kind, body)
        at += 8 + length + (length & 1)
    if size is None or not all(size):
        raise truncated(name)
    return Header("WEBP", *size, 8, orientation or 1, profile, data)


def _webp_size(kind: bytes, body: bytes) -> tuple[int, int] | None:
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L" and body[0] == 0x2F:
        packed = struct.unpack_from("<I", body, 1)[0]
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    return None


def exif_orientation(tiff: bytes) -> int:
    """Return tag 0x0112 of the first directory of an EXIF block; 0 where it is missing or out of range.

    It should be a SHORT; what programs write as BYTE or LONG, signed or not, is read by its type (TIFF 6.0, section 2).
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 0
    try:
        start = struct.unpack_from(order + "I", tiff, 4)[0]
        for entry in range(struct.unpack_from(order + "H", tiff, start)[0]):
            at = start + 2 + 12 * entry
            tag, kind = struct.unpack_from(order + "HH", tiff, at)
            if tag == 0x0112 and kind in _WHOLE_NUMBERS:
                value = struct.unpack_from(order + _WHOLE_NUMBERS[kind], tiff, at + 8)[0]
                return int(value) if 1 <= value <= 8 else 0
    except struct.error:
        return 0
    return 0


_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""Types of TIFF and how ``struct`` calls them."""
