"""``portraitist models``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from . import groups, options
from .common import print_result
from .options import opt

app = typer.Typer(help="List the models that have a name, and add your own.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def listing(
    context: typer.Context, as_json: Annotated[bool, opt("Everything, as one JSON object.", "--json")] = False
) -> None:
    """List the models that have a name: bundled ones and your own."""
    if context.invoked_subcommand is not None:
        return
    from dataclasses import asdict

    from ..io import catalogue

    found = catalogue.entries(lambda path, error: typer.echo(f"{path}: {error}", err=True))
    if as_json:
        print_result(
            {"command": "models", "exit_code": 0, "files": [], "lines": [], "models": [asdict(e) for e in found]}
        )
        return
    for entry in found:
        header = entry.header
        kind = f"style of {header.base_name}" if header.kind == "style-pack" else "base"
        description = " ".join(header.description.split())
        if header.paths:
            description = f"{description} (--attribute {' | '.join(header.paths)})".lstrip()
        typer.echo(
            f"{entry.name:<16} {kind:<18} {header.generator.resolution:>4} px  {entry.where:<8} "
            f"{header.licence or 'licence unknown':<18} {entry.sha256[:12] or 'no digest':<12}  {description}"
        )
    typer.echo(f"bundled models lie in {catalogue.bundled_folder()}\nyour models lie in    {catalogue.user_folder()}")


@groups.add(app)
def add(
    file: Annotated[Path, typer.Argument(help="File of a model, an encoder or a chooser, or a run folder.")],
    name: Annotated[str, opt("Name to use it by (default: its own).")] = "",
    overwrite: options.Overwrite = False,
) -> None:
    """Copy a model, an encoder or a chooser into your folder of models, to be used by name."""
    from ..io import registry

    entry = registry.add(file, name=name, overwrite=overwrite)
    typer.echo(f"{entry.name}: {entry.path}")


@groups.add(app)
def remove(name: Annotated[str, typer.Argument(help="Name of a model, an encoder or a chooser of your own.")]) -> None:
    """Remove a model, an encoder or a chooser from your folder of models."""
    from ..io import catalogue

    typer.echo(f"removed {catalogue.remove(name)}")


@groups.add(app)
def show(
    model: Annotated[str, typer.Argument(help="Name, file or run folder.")],
    card: Annotated[bool, opt("A model card instead: Markdown in the form that model hubs show.", "--card")] = False,
) -> None:
    """Print the metadata of a model, an encoder or a chooser."""
    from dataclasses import asdict

    from ..io import catalogue
    from ..io.headers import read_any_header

    try:
        path = catalogue.find(model)
    except UsageError as no_model:
        for find in (catalogue.find_encoder, catalogue.find_chooser):
            try:
                path = find(model)
                break
            except UsageError:
                continue
        else:
            raise no_model from None
    header = read_any_header(path)
    if card:
        from ..report.model_card import model_card

        typer.echo(model_card(header, model), nl=False)
    else:
        typer.echo(json.dumps(asdict(header), indent=1))
