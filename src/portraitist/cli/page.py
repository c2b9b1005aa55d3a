"""``portraitist page``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import common, options
from .common import refuse_given
from .options import opt


def command(
    *,
    out: Annotated[Path, opt("Folder to write.", "--out", "-o")],
    style: Annotated[
        list[str] | None, opt("Style by name, file or run folder; may be repeated.", "--style", "-s")
    ] = None,
    painter: Annotated[
        list[Path] | None, opt("Painter, file or run folder; may be repeated. Draws its style.", "--painter")
    ] = None,
    encoder: Annotated[str | None, opt("Encoder of the styles (default: the known one of the base).")] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Write an offline page that redraws photos in a browser.

    Open OUT/index.html by a double click or from any web server. Photos stay in the browser. A style without a painter
    is drawn from a code of the face, as `stylize --detail 0` does.
    """
    from ..export.offline import write_page

    if not style:
        refuse_given({"encoder"}, "is for --style: painters need no codes")
    page = write_page(out, styles=style or [], painters=painter or [], encoder=encoder, overwrite=overwrite)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    common.note(bytes=size)
    if common.talk().verbosity >= 0:
        typer.echo(f"{size / 1e6:.0f} MB; open it in a browser", err=True)
    typer.echo(page)
