"""``portraitist export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..files import refuse_existing
from . import common, options
from .options import opt

ONNX, OTHERS = "ONNX", "Other formats"
PHOTOS_SIDE = 256


def command(
    *,
    what: Annotated[Path, typer.Argument(help="A style or a translator by name, or a painter; file or run folder.")],
    out: Annotated[Path, opt("File to write: .onnx; .pt or .safetensors for some.", "--out", "-o")],
    int8: Annotated[bool, opt("Let convolutions compute in eight bits.", "--int8", panel=ONNX)] = False,
    photos: Annotated[
        Path | None, opt("Aligned faces to compare on (default: faces that the base draws).", panel=ONNX)
    ] = None,
    identity: Annotated[
        Path | None, opt("Face embedder, IR-SE50 or MobileFaceNet: compares persons in eight bits.", panel=ONNX)
    ] = None,
    size: Annotated[int | None, opt("Side of a painter's pictures.", min=32, max=1024, panel=ONNX)] = None,
    encoder: Annotated[str | None, opt("Encoder of a style (default: the known one of the base).", panel=ONNX)] = None,
    attribute: options.Attribute = None,
    group: Annotated[str, opt("Group of a translator whose branch draws.", "--group")] = "",
    half: Annotated[bool, opt("Half precision (.safetensors).", "--half", panel=OTHERS)] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Write a network for programs without PyTorch.

    It is a painter, a translator, or a style with its encoder. An .onnx file takes aligned photos and gives drawings;
    it is compared with PyTorch before it is written, and what was found is printed. A translator can also be a .pt,
    which photo2cartoon loads, and painters and translators a .safetensors that can draw, but not be trained on.
    """
    refuse_existing(out, overwrite)
    ending = out.suffix.lower()
    of_onnx: dict[str, object] = {"--photos": photos, "--identity": identity, "--size": size}
    of_onnx |= {"--int8": int8 or None, "--encoder": encoder, "--attribute": attribute}
    if ending not in (".onnx", ".pt", ".pth", ".safetensors"):
        raise UsageError(f"Cannot tell a format from the name {out.name}.", "End it in .onnx, .pt or .safetensors.")
    if ending != ".onnx":
        if given := [name for name, value in of_onnx.items() if value is not None]:
            raise UsageError(f"{given[0]} is of .onnx files alone.", f"Leave out {given[0]}, or end the name in .onnx.")
        from ..export import rewrite

        typer.echo(rewrite(what, out, group=group, half=half, overwrite=overwrite))
        return
    if half:
        raise UsageError("Only .safetensors can be in half precision.", "Leave out --half.")
    if identity is not None and not int8:
        raise UsageError("--identity compares what eight bits change.", "Add --int8, or leave it out.")
    from dataclasses import asdict

    from ..export import export
    from ..io.identity_files import load_identity

    done = export(
        what,
        out,
        int8=int8,
        photos=None if photos is None else options.pictures(photos, PHOTOS_SIDE),
        identity=None if identity is None else load_identity(identity),
        group=group,
        attribute=attribute,
        encoder=encoder,
        side=size,
        overwrite=overwrite,
    )
    common.note(exported=asdict(done))
    if common.talk().verbosity >= 0:
        typer.echo(done, err=True)
    typer.echo(done.path)
