"""Pages and cards from the templates beside this file.

    Path("page.html").write_text(render("side_by_side.html", sections=sections, tables=[]), encoding="utf-8")

A page holds everything itself: pictures as base64 PNG, no script, and a content security policy under which a browser
asks for nothing. In a page every text is escaped; a template cannot forget it.
"""

from __future__ import annotations

import base64
import functools
import io
import json
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..data.images import Pixels

if TYPE_CHECKING:
    from jinja2 import Environment

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The content security policy: a browser shows inline pictures and styles, and asks for nothing."""


def render(template: str, **values: object) -> str:
    """Return what a template makes of values; a value that it needs and does not get is an error.

    Args:
        template: File name in the folder ``templates``.
        values: What the template shows, by name.
    """
    return _environment().get_template(template).render(values)


def png(pixels: Pixels) -> bytes:
    """Encode a picture ``uint8 [H, W, 3]``."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_uri(content: bytes) -> str:
    """Return a PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


@functools.cache
def _environment() -> Environment:
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "png": png,
        "data_uri": data_uri,
        "variables": _variables,
        "quoted": _quoted,
        "one_line": _one_line,
    }
    made.globals |= {"policy": POLICY}
    return made


def _variables(theme: object) -> str:
    """Return the colours of a theme that a page uses, as CSS variables."""
    names = ("paper", "raised", "ink", "faint", "rule", "accent")
    return "".join(f"--{name}:{getattr(theme, name)};" for name in names)


def _quoted(text: str) -> str:
    """Return a text as YAML reads it back; YAML takes the strings of JSON."""
    return json.dumps(text, ensure_ascii=False)


def _one_line(text: object) -> str:
    """Return a text on one line, in which nothing is markup of a table or of HTML."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")
