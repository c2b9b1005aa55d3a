"""Pictures of formats that Pillow reads by itself: GIF, BMP, TIFF and, where pillow-heif is installed, HEIC.

Their headers are read before a pixel is decoded, so that the caps on size hold for them too. Of a GIF that moves and of
a TIFF of several pages the first picture is read, which is logged. Pillow and libheif turn TIFF and HEIC upright
themselves: they have the orientation 1 here. Photos of phones in HEIC have 8 or 10 bits; 10 become 8.
"""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np
from PIL import Image

from ..errors import BadImage
from .containers import ACCEPTED, MAX_PROFILE, Header, StillFormat, truncated

log = logging.getLogger("portraitist")

MODES = frozenset("1 L LA P RGB RGBA CMYK I;16 I;16B I;16L".split())
"""Kinds of pixel that are read; others count more levels than a picture shows."""


def inspect_still(data: bytes, name: str, kind: StillFormat) -> Header:
    """Read the header of a picture.

    Args:
        data: The file.
        name: What errors call it.
        kind: What its first bytes say it is.

    Raises:
        BadImage: ``truncated``, ``too-large``, ``format`` (pixels that are not read, or no pillow-heif) or ``colour``.
    """
    if kind == "HEIF":
        image = _heif(data, name)
        bits, several = 8, False
    else:
        image = _opened(data, name, kind)
        bits = 16 if image.mode.startswith("I;16") else 8
        several = _moves(image)
    if image.mode not in MODES:
        raise BadImage(f"{name} is a {kind} file of the kind {image.mode}.", ACCEPTED, kind="format")
    if several:
        log.warning("%s holds several pictures: the first is taken", name)
    profile = image.info.get("icc_profile") or b""
    if len(profile) > MAX_PROFILE:
        raise BadImage(f"The colour profile of {name} is too large.", "Convert the picture to sRGB.", kind="colour")
    width, height = image.size
    if not width or not height:
        raise truncated(name)
    return Header(kind, width, height, bits, 1, bytes(profile), data)


def as_shown(image: Image.Image) -> Image.Image:
    """Return a decoded picture as other programs show it, where Pillow does not.

    Pillow does not look at which end of 16-bit grey TIFF is white. BMP with an opacity of 0 everywhere does not use it.
    """
    if image.format == "TIFF" and image.mode.startswith("I;16"):
        tags = getattr(image, "tag_v2", {})
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            return Image.fromarray(65535 - np.asarray(image).astype(np.uint16))
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")
    return image


_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0


def decode_heif(data: bytes, name: str) -> Image.Image:
    """Decode a HEIC picture, upright.

    Raises:
        BadImage: It is damaged, or pillow-heif is missing.
    """
    picture: Image.Image = _heif(data, name).to_pillow()
    return picture


def _opened(data: bytes, name: str, kind: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=[kind])
    except MemoryError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImage(f"{name} has too many pixels.", "Save a smaller copy.", kind="too-large") from None
    except Exception:
        raise truncated(name) from None


def _moves(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # a damaged second picture is of no interest
        return True


def _heif(data: bytes, name: str) -> Any:
    try:
        from pillow_heif import open_heif
    except ImportError:
        raise BadImage(
            f"{name} is a HEIC file, and the package that reads these is missing.",
            "Run pip install 'portraitist[heic]', or save the picture as PNG, JPEG or WebP.",
            kind="format",
        ) from None
    try:
        return open_heif(data, convert_hdr_to_8bit=True)
    except MemoryError:
        raise
    except Exception:
        raise truncated(name) from None
