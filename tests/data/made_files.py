"""Picture files made byte by byte, good and bad, for tests of the decoder."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, bits: int, colour: int, rows: list[bytes], *extra: bytes, idat: bytes | None = None
) -> bytes:
    """A PNG of unfiltered rows; ``extra`` chunks lie before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows)) if idat is None else idat
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def pixel_bomb(width: int, height: int) -> bytes:
    """A black PNG of any size in a thousandth of its bytes."""
    squeeze = zlib.compressobj(9)
    row = b"\0" * (1 + width * 3)
    idat = b"".join(squeeze.compress(row) for _ in range(height)) + squeeze.flush()
    return png(width, height, 8, RGB, [], idat=idat)


def encode(array: Pixels, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def moving_webp() -> bytes:
    """Return an animation of two pictures of 16 pixels."""
    buffer = io.BytesIO()
    Image.fromarray(noise(16, 16)).save(
        buffer, "WEBP", save_all=True, append_images=[Image.fromarray(noise(16, 16, 1))]
    )
    return buffer.getvalue()


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def scene(height: int, width: int, seed: int = 0) -> Pixels:
    """A smooth picture without symmetry, which survives JPEG."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        200 * x / width + 20,
        180 * y / height + 30,
        60 + 100 * (x + 2 * y) / (width + 2 * height) + seed % 50,
    ]
    return np.stack(planes, axis=-1).astype(np.uint8)


def exif(orientation: int, kind: int = 3) -> bytes:
    """A TIFF block (big-endian) with an orientation, a SHORT or of another type, and a GPS directory."""
    value = struct.pack(">" + {1: "B", 3: "H", 4: "I"}[kind], orientation).ljust(4, b"\0")
    entries = struct.pack(">HHI4s", 0x0112, kind, 1, value) + struct.pack(">HHII", 0x8825, 4, 1, 38)
    gps = struct.pack(">H", 1) + struct.pack(">HHI4s", 1, 2, 2, b"N\0\0\0") + struct.pack(">I", 0)
    return b"MM\0*" + struct.pack(">IH", 8, 2) + entries + struct.pack(">I", 0) + gps


def matrix_profile(colorants: npt.NDArray[np.float64], gamma: float, description: str) -> bytes:
    """An ICC version 2 display profile; ``colorants`` holds the XYZ (D50) of red, green, blue as rows."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: npt.ArrayLike) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(fixed(v) for v in np.asarray(values))

    text = description.encode() + b"\0"
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
        b"rXYZ": xyz(colorants[0]),
        b"gXYZ": xyz(colorants[1]),
        b"bXYZ": xyz(colorants[2]),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    at, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, at + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    white = fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    header = struct.pack(">I4sI", at + len(body), b"none", 0x02400000) + b"mntrRGB XYZ " + bytes(12) + b"acsp"
    return (header + bytes(28) + white).ljust(128, b"\0") + table + body
