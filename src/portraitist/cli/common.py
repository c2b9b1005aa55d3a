"""What every command takes: --json, --verbose, --quiet and --config.

With --json a command prints one JSON object, on one line, as the last thing on stdout and the only one:

    {"command": "stylize", "exit_code": 0, "files": ["me.toon3d.png"], "lines": [], "photos": [...]}

``files`` are the files that it names in its output, ``lines`` what else it would have printed; other keys are the
command's own (:func:`note`). An error adds ``error`` and ``cure``, and is told on stderr as ever.
"""

from __future__ import annotations

import inspect
import io
import json
import logging
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import PortraitistError, UsageError
from .config import read_config
from .options import opt

PANEL = "General"
Command = Callable[..., None]


@dataclass
class Talk:
    """How the command in hand talks."""

    json: bool = False
    verbosity: int = 0
    """-1 quiet, 0 as usual, 1 verbose."""
    result: dict[str, Any] = field(default_factory=dict)
    """What the command has noted for --json."""
    context: typer.Context | None = None
    """Knows which options were typed."""
    clear: Callable[[], None] = lambda: None
    """Takes progress off the terminal's line, before something is printed there."""


_talk = Talk()


def talk() -> Talk:
    """Return how the command in hand talks."""
    return _talk


def note(**values: Any) -> None:
    """Note what --json shows of the command's result."""
    _talk.result |= values


def with_common(function: Command) -> Command:
    """Return a function for Typer that takes the common options as well."""
    signature = inspect.signature(function)
    extra = {
        "as_json": Annotated[bool, opt("End with one JSON object on stdout (docs/usage.md).", "--json", panel=PANEL)],
        "verbose": Annotated[bool, opt("Say more.", "--verbose", "-v", panel=PANEL)],
        "quiet": Annotated[bool, opt("Say only what is wrong; no progress.", "--quiet", "-q", panel=PANEL)],
    }
    common = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for key, kind in extra.items()
    ]
    config = Annotated[
        Path | None,
        opt(
            "Options from a YAML or JSON file; a run's settings.json will do. Options that are typed count more.",
            "--config",
            panel=PANEL,
            is_eager=True,
            callback=read_config,
        ),
    ]
    common.append(inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=config))

    def command(context: typer.Context, **values: Any) -> None:
        global _talk
        json_wanted, verbose, quiet = (values.pop(key) for key in extra)
        values.pop("config")
        if verbose and quiet:
            raise UsageError("--verbose and --quiet cannot be combined.", "Leave out one of them.")
        _talk = Talk(json_wanted, verbose - quiet, context=context)
        logger = logging.getLogger("portraitist")
        before = logger.level
        logger.setLevel({-1: logging.WARNING, 0: logging.INFO, 1: logging.DEBUG}[_talk.verbosity])
        try:
            if json_wanted:
                _as_json(function, values, context.command_path.partition(" ")[2])
            else:
                function(**values)
        finally:
            logger.setLevel(before)
            _talk = Talk()

    command.__doc__, command.__name__ = function.__doc__, function.__name__
    first = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [first, *signature.parameters.values(), *common]
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    )
    command.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return command


def _as_json(function: Command, values: dict[str, Any], name: str) -> None:
    """Run a command and print its result as JSON, whatever becomes of it."""
    printed, shown = io.StringIO(), {"command": name, "exit_code": 0}
    failure: dict[str, Any] = {}
    try:
        with redirect_stdout(printed):
            function(**values)
    except PortraitistError as error:
        failure = {"exit_code": error.exit_code, "error": error.message, "cure": error.cure}
        raise
    except typer.Exit as ended:
        failure = {"exit_code": ended.exit_code}
        raise
    except BaseException as error:
        failure = {"exit_code": getattr(error, "exit_code", 1), "error": str(error), "cure": ""}
        raise
    finally:
        lines = printed.getvalue().splitlines()
        files = [line for line in lines if os.path.isfile(line)]
        rest = [line for line in lines if line not in files]
        print_result({**shown, **failure, "files": files, "lines": rest, **_talk.result})


def print_result(result: dict[str, Any]) -> None:
    """Print the object of --json."""
    print(json.dumps(result, default=str))
