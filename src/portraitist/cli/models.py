"""``portraitist models``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from . import options

app = typer.Typer(help="List models that have a name, and add some.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def listing(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False
) -> None:
    """List the models that can be used by name: bundled ones and the user's own."""
    if context.invoked_subcommand is not None:
        return
    from dataclasses import asdict

    from ..io import registry

    found = registry.entries(lambda path, error: typer.echo(f"{path}: {error}", err=True))
    if as_json:
        lines = [asdict(e) | {"path": str(e.path)} for e in found]
        typer.echo(json.dumps(lines, indent=1))
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
    typer.echo(f"bundled models lie in {registry.bundled_folder()}\nyour models lie in    {registry.user_folder()}")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A native file of a model or an encoder, or a run folder.")],
    name: Annotated[str, typer.Option(help="Name to use it by; its own if absent.")] = "",
    overwrite: options.Overwrite = False,
) -> None:
    """Copy a model, or an encoder, into your folder of models, to be used by name."""
    from ..io import registry

    entry = registry.add(file, name=name, overwrite=overwrite)
    typer.echo(f"{entry.name}: {entry.path}")


@app.command()
def show(model: Annotated[str, typer.Argument(help="Name, file or run folder, of an encoder too.")]) -> None:
    """Show everything that a model file says about itself."""
    from dataclasses import asdict

    from ..io import registry

    try:
        path = registry.find(model)
    except UsageError as no_model:
        try:
            path = registry.find_encoder(model)
        except UsageError:
            raise no_model from None
    typer.echo(json.dumps(asdict(registry.read_any_header(path)), indent=1))
