"""``portraitist convert``."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..files import refuse_existing
from . import groups, options
from .common import refuse_given
from .options import opt


def command(
    *,
    source: Annotated[Path, typer.Argument(help="A checkpoint: .safetensors, rosinality .pt, NVIDIA or TF .pkl.")],
    target: Annotated[Path, typer.Argument(help="File to write; the ending decides: .safetensors, .pt or .pkl.")],
    template: Annotated[Path | None, opt("A .pkl of the same sizes, whose program will open the one written.")] = None,
    attribute: options.Attribute = None,
    authorship: groups.Authorship,
    half: Annotated[bool, opt("Store a native file in half precision.", "--half")] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Convert checkpoints of other programs, and back.

    Converts the generator and the discriminator, if the file holds them. Sizes are read from the file. Nothing in the
    file is executed.
    """
    refuse_existing(target, overwrite)
    from ..io import licences, registry
    from ..io.foreign import Networks
    from ..io.formats import as_model, kind_of_ending, lost_in, read_networks, sniff, write_networks
    from ..io.model_file import save_model

    if source.is_dir() or sniff(source) == "native":
        with licences.requiring(licences.required() and not authorship.licence):
            model = registry.load(source, attribute=attribute)  # a style pack needs its base
        networks = Networks(model.generator, model.discriminator, {"format": "native"})
    else:
        refuse_given({"attribute"}, "chooses a path of a style, and this is a file of another program")
        networks, model = read_networks(source), None
        for note in (text for key, text in networks.notes.items() if key != "format"):
            typer.echo(note, err=True)
    licences.check_licence(source.name, authorship.licence or (model.header.licence if model else ""))
    kind = kind_of_ending(target)
    if kind != "nvidia":
        refuse_given({"template"}, "is for a .pkl that is written")
    if kind == "native":
        model = model or as_model(networks)
        header = replace(model.header, **{key: value for key, value in asdict(authorship).items() if value})
        save_model(target, replace(model, header=header), half=half, overwrite=overwrite)
    elif authorship != groups.Authorship() or half:
        raise UsageError("Only a native file (.safetensors) carries a name, a licence, a credit or half precision.")
    elif kind == "nvidia" and template is None:
        write_networks(target, networks, kind="nvidia-state", overwrite=overwrite)
        typer.echo("without --template: a state dict under NVIDIA's names, which its programs load with torch.load")
    else:
        write_networks(target, networks, template=template, overwrite=overwrite)
        if lost := lost_in(kind, networks):
            typer.echo(lost, err=True)
    typer.echo(target)
