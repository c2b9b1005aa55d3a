"""One HTML page that holds everything itself: pictures as base64 PNG, no script, and a policy that forbids requests.

Path("page.html").write_text(page("Styles", image(pixels, "samples"), "img{max-width:100%}"), encoding="utf-8")
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from ..data.images import Pixels

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The content security policy: a browser shows inline pictures and styles, and asks for nothing."""


def page(title: str, body: str, style: str) -> str:
    """Return a whole page; ``body`` and ``style`` are markup, ``title`` is text."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}\n</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def image(pixels: Pixels, alt: str) -> str:
    """Return a picture ``uint8 [H, W, 3]`` as an element of its own size; ``alt`` says what it shows."""
    height, width = pixels.shape[:2]
    return f'<img src="{data_uri(png(pixels))}" alt="{html.escape(alt)}" width="{width}" height="{height}">'


def png(pixels: Pixels) -> bytes:
    """Encode a picture ``uint8 [H, W, 3]``."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_uri(content: bytes) -> str:
    """Return a PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def join_lines(parts: Iterable[str]) -> str:
    """Join pieces of markup, one a line."""
    return "\n".join(parts)
