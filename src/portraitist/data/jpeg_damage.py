"""Damage in the coded pixels of a JPEG, of which decoders warn at most.

JPEG has no checksums. Where a decoder loses its way (a code that is none, a scan that ends too early or too late,
restart markers out of order), it goes on with wrong pixels and a warning, and Pillow hides the warning. So the coded
data is read once by a decoder that tells, at an eighth of the size, which costs about half of decoding. Damage
that leads to valid codes is not seen: nothing in the file tells it from a picture. Nor is damage seen in the few files
whose channels are sampled in a way that the second decoder does not know, or coded arithmetically.

What sound files of other programs have, and decoders warn of too, is no damage: a few bytes too many before the end,
padding there, unused numbers at the start of a scan (Samsung's phones), a JFIF or Adobe marker of an unknown version.

    refuse_damaged(inspect(data, name).stream, name)
"""

from __future__ import annotations

import re

import simplejpeg

from .containers import JPEG_FRAMES, jpeg_scans, jpeg_segments, truncated

SURPLUS = 4
"""Bytes too many before the end, beside up to eight that the decoder has taken in already, that are carelessness."""
_COLOURS = {1: "GRAY", 3: "RGB", 4: "CMYK"}
_SEQUENTIAL = (0xC0, 0xC1, 0xC9)
_DAMAGE = ("Corrupt JPEG data", "Premature end", "Inconsistent progression")
"""How the warnings of libjpeg begin that tell of wrong pixels."""
_AT_THE_END = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")


def refuse_damaged(stream: bytes, name: str) -> None:
    """Refuse a JPEG whose coded pixels are damaged.

    Args:
        stream: The file, stripped as ``inspect`` does.
        name: What errors call it.

    Raises:
        BadImage: It is damaged (``truncated``).
    """
    plain, channels = _without_harmless(stream, name)
    if channels not in _COLOURS:
        return  # the decoder of the pixels has its own say
    warning = _warning(plain, _COLOURS[channels])
    if warning.startswith(_DAMAGE) and not _is_surplus(warning, plain):
        raise truncated(name)


def _warning(stream: bytes, colours: str) -> str:
    """Return what libjpeg complains of first; empty where it does not."""
    try:
        simplejpeg.decode_jpeg(stream, colours, fastdct=True, fastupsample=True, min_height=1, min_width=1)
    except ValueError as error:
        return str(error)
    return ""


def _without_harmless(stream: bytes, name: str) -> tuple[bytes, int]:
    """Return the stream without what is warned of in vain, and the number of its channels."""
    kept, channels, sequential, scan = [stream[:2]], 0, False, 0
    for marker, begin, end in jpeg_segments(stream, name):
        if marker in JPEG_FRAMES:
            channels, sequential = stream[begin + 9], marker in _SEQUENTIAL
        if marker == 0xDA:
            scan = begin
        elif not 0xE0 <= marker <= 0xEF:
            kept.append(stream[begin:end])
    coded = bytearray(stream[scan:])
    for start in jpeg_scans(stream, scan, name)[0] if sequential else []:
        end = start - scan + 2 + int.from_bytes(stream[start + 2 : start + 4], "big")
        coded[end - 3 : end] = b"\0\x3f\0"  # all coefficients at once, of which alone a sequential picture consists
    return b"".join(kept) + bytes(coded), channels


def _is_surplus(warning: str, stream: bytes) -> bool:
    found = _AT_THE_END.fullmatch(warning)
    return found is not None and (int(found[1]) <= SURPLUS or not any(stream[-2 - int(found[1]) : -2]))
