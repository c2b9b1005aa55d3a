"""``portraitist models``."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ..errors import UsageError
from . import groups, options
from .common import note, print_result
from .options import opt

if TYPE_CHECKING:
    from ..io.places import Place

app = typer.Typer(help="List the models that have a name, add and share your own.", rich_markup_mode=None)


@dataclass(frozen=True)
class Access:
    """What a server asks for."""

    panel: ClassVar[str] = "Server"

    header: Annotated[
        list[str] | None, opt("'Name: value' for the server, such as credentials; may be repeated.", "--header")
    ] = None
    header_from: Annotated[
        list[str] | None, opt("Variable of the environment that holds one; may be repeated.", "--header-from")
    ] = None

    def to(self, text: str) -> Place:
        """Return the place that a user names.

        Raises:
            UsageError: It is none, or a header or a variable is none.
        """
        from ..io.places import place_at

        variables = self.header_from or []
        if unset := [name for name in variables if not os.environ.get(name)]:
            raise UsageError(f"The variable {unset[0]} is not set.", "Set it to 'Name: value', and export it.")
        return place_at(text, [*(self.header or []), *(os.environ[name] for name in variables)])


@app.callback(invoke_without_command=True)
def listing(
    context: typer.Context,
    licence: Annotated[
        str, opt("Only models under this licence (SPDX); permissive: any that allows use in products.")
    ] = "",
    as_json: Annotated[bool, opt("Everything, as one JSON object.", "--json")] = False,
) -> None:
    """List the models that have a name: bundled ones and your own."""
    if context.invoked_subcommand is not None:
        if licence or as_json:
            option, command = "--licence" if licence else "--json", context.invoked_subcommand
            raise UsageError(f"{option} before {command} is for the list of models.", "Leave it out, or write it last.")
        return
    from ..io import catalogue

    known = catalogue.entries(lambda path, error: typer.echo(f"{path}: {error}", err=True))
    found = catalogue.with_licence(known, licence) if licence else known
    others = [entry for entry in known if entry not in found]
    if as_json:
        models = [asdict(entry) for entry in found]
        print_result("models", models=models, left_out=len(others))
        return
    for entry in found:
        header = entry.header
        kind = f"style of {header.base_name}" if header.kind == "style-pack" else "base"
        paths = f" (--attribute {' | '.join(header.paths)})" if header.paths else ""
        what = f"{kind:<18} {header.generator.resolution:>4} px "
        typer.echo(options.listed(entry, what, header.description + paths))
    if others:
        licences = ", ".join(sorted({entry.header.licence or "licence unknown" for entry in others}))
        typer.echo(f"left out: {len(others)} other{'s' if len(others) > 1 else ''} ({licences})")
    typer.echo(f"bundled models lie in {catalogue.bundled_folder()}\nyour models lie in    {catalogue.user_folder()}")


@groups.add(app)
def add(
    file: Annotated[Path, typer.Argument(help="File of a model, encoder, chooser or translator, or a run folder.")],
    name: Annotated[str, opt("Name to use it by (default: its own).")] = "",
    overwrite: options.Overwrite = False,
) -> None:
    """Copy a file into your folder of models, to be used by name."""
    from ..io import registry

    entry = registry.add(file, name=name, overwrite=overwrite)
    typer.echo(f"{entry.name}: {entry.path}")


@groups.add(app)
def remove(name: Annotated[str, typer.Argument(help="Name of what you have added.")]) -> None:
    """Remove a file from your folder of models."""
    from ..io import catalogue

    typer.echo(f"removed {catalogue.remove(name)}")


@groups.add(app)
def show(
    model: Annotated[str, typer.Argument(help="Name, file or run folder.")],
    card: Annotated[bool, opt("A model card instead: Markdown in the form that model hubs show.", "--card")] = False,
) -> None:
    """Print the metadata of a model."""
    from ..io import catalogue
    from ..io.headers import read_any_header

    header = read_any_header(catalogue.find_any(model))
    if card:
        from ..report.model_card import model_card

        typer.echo(model_card(header, model), nl=False)
    else:
        typer.echo(json.dumps(asdict(header), indent=1))


@groups.add(app)
def push(
    *,
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Names, files or run folders.")],
    place: Annotated[
        str, typer.Argument(metavar="TARGET", help="Folder, or http(s) address of one that takes files (PUT).")
    ],
    access: Access,
    overwrite: options.Overwrite = False,
) -> None:
    """Copy models to a folder or a server that you name.

    Each gets a model card beside it; the index is written last.
    """
    target = access.to(place)
    from ..io import hub
    from ..report.model_card import model_card

    pushed = hub.push(names, target, card=model_card, overwrite=overwrite)
    note(models=[asdict(entry) for entry in pushed])
    for entry in pushed:
        typer.echo(f"{entry.name}: {entry.licence or 'licence unknown'}, {target}/{entry.file}")


@groups.add(app)
def pull(
    *,
    place: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Folder, or http(s) address, that models were pushed to.")
    ],
    access: Access,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Names there (default: all).")] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Copy models from a folder or a server that you name.

    They are checked, and the bases that they need come along if the place has them.
    """
    source = access.to(place)
    from ..io import hub

    pulled = hub.pull(source, names or (), overwrite=overwrite)
    note(models=[asdict(entry) for entry in pulled])
    for entry in pulled:
        typer.echo(f"{entry.name}: {entry.path}")
