"""``portraitist serve``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ..errors import UsageError
from . import options
from .options import opt

REACH, BOUNDS = "Reach", "Bounds"


def command(
    *,
    style: Annotated[
        list[str] | None,
        opt("Name, file or run folder; may be repeated (default: all that have a name).", "--style", "-s"),
    ] = None,
    host: Annotated[str, opt("Address to listen on; beyond this machine a token is asked.", panel=REACH)] = "127.0.0.1",
    port: Annotated[int, opt("Port to listen on; 0 for a free one.", min=0, max=65535, panel=REACH)] = 8765,
    allow_host: Annotated[
        list[str] | None, opt("Name that the service is called by; may be repeated.", panel=REACH)
    ] = None,
    queue: Annotated[int, opt("Photos that wait at a time.", min=1, max=1000, panel=BOUNDS)] = 16,
    max_upload: Annotated[int, opt("Largest photo in MiB.", min=1, max=512, panel=BOUNDS)] = 64,
    draw_seconds: Annotated[float, opt("A drawing is stopped then.", min=1, panel=BOUNDS)] = 120.0,
    keep_seconds: Annotated[float, opt("Pictures that nobody fetches are dropped then.", min=1, panel=BOUNDS)] = 300.0,
    detector: options.Detector = "",
    device: options.Device = "auto",
) -> None:
    """Open a page and an HTTP service on this machine.

    Prints the address of the page; Ctrl-C ends it. Nothing of a photo is kept, and nothing is asked of other machines.
    Where --host lets other machines in, every request needs the token that the printed address ends in; the environment
    variable PORTRAITIST_TOKEN sets one of your own, which then is asked on this machine too.
    """
    from ..io import catalogue

    for name in style or []:
        catalogue.find(name)
    try:
        from ..web import Limits, Studio, serve
    except ImportError as error:
        raise UsageError(
            f"The page and the service need a package that is missing ({error.name}).",
            "Run pip install 'portraitist[web]'.",
        ) from error
    from ..faces import finder_named

    limits = Limits(upload_bytes=max_upload << 20, waiting=queue, draw_seconds=draw_seconds, keep_seconds=keep_seconds)
    studio = Studio(style or [], finder=finder_named(detector), device=options.device(device), limits=limits)
    serve(
        studio,
        host=host,
        port=port,
        token=os.environ.get("PORTRAITIST_TOKEN", ""),
        names=allow_host or (),
        limits=limits,
        say=typer.echo,
    )
