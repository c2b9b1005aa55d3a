"""All commands with their options, from the command line itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from portraitist.cli.main import app
from portraitist.report.markdown import table

PAGE = "commands.md"


def pages() -> dict[str, str]:
    """Return the page of all commands."""
    lines = ["# Commands", "", "What `--help` says, in one place. Every command has it, and needs no model for it.", ""]
    for name, command in _walk("portraitist", get_command(app)):
        lines += [f"## {name}", "", *(command.help or "").split("\f")[0].strip().splitlines(), ""]
        rows = [_row(p) for p in command.params if not getattr(p, "hidden", False) and "--help" not in p.opts]
        if rows:
            lines += table(["", "default", "what it is"], rows)
    return {PAGE: "\n".join(lines)}


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    if not children or command.invoke_without_command:
        yield name, command
    for word, child in children.items():
        yield from _walk(f"{name} {word}", child)


def _row(parameter: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        return [f"`{parameter.name.upper()}`", "", parameter.help or ""]
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    plain = isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""
    shown = f"`{default}`" if plain and parameter.show_default is not False else ""
    return [names, shown, " ".join((parameter.help or "").split())]
