"""Sheets whose columns bear names.

write_image("sheet.png", labelled({"photo": photos, "toon3d": drawings}, side=160))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..data.images import Pixels, resize
from ..data.sheet import tile


def labelled(columns: Mapping[str, Sequence[Pixels]], side: int) -> Pixels:
    """Return a picture of columns of square pictures under their names, a row per picture.

    Args:
        columns: Name -> pictures ``uint8 [S, S, 3]``, as many in each.
        side: Side in pixels at which each is shown.
    """
    pictures = [resize(picture, side) for row in zip(*columns.values(), strict=True) for picture in row]
    heads = [_label(name, side) for name in columns]
    return np.concatenate([tile(heads, len(columns)), tile(pictures, len(columns))])


def _label(text: str, width: int) -> Pixels:
    """Write a name in the middle of a strip, as small as it must be."""
    strip = Image.new("RGB", (width, 24), "white")
    draw = ImageDraw.Draw(strip)
    size = next((s for s in range(14, 6, -1) if draw.textlength(text, ImageFont.load_default(s)) <= width - 4), 6)
    draw.text((width / 2, 12), text, "black", ImageFont.load_default(size), anchor="mm")
    return np.asarray(strip)
