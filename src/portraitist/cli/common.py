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
from collections.abc import Callable, Collection
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..io import licences
from .config import read_config
from .failures import Failure
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
_answered = False


def begin() -> None:
    """Forget that an object of --json was printed."""
    global _answered
    _answered = False


def talk() -> Talk:
    """Return how the command in hand talks."""
    return _talk


def refuse_given(names: Collection[str], why: str) -> None:
    """Refuse options that were typed, or that a file of options sets to other than their default, without effect.

    Args:
        names: Parameters of the command.
        why: What follows their option's name.

    Raises:
        UsageError: There is one.
    """
    context = _talk.context
    assert context is not None
    usual = {parameter.name: parameter.default for parameter in context.command.params}
    for name in sorted(names):
        source = context.get_parameter_source(name)
        typed, read = (source is not None and source.name == where for where in ("COMMANDLINE", "DEFAULT_MAP"))
        if typed or (read and context.params[name] != usual[name]):
            raise UsageError(f"--{name.replace('_', '-')} {why}.", "Leave it out.")


def note(**values: Any) -> None:
    """Note what --json shows of the command's result."""
    _talk.result |= values


def with_common(function: Command) -> Command:
    """Return a function for Typer that takes the common options as well."""
    signature = inspect.signature(function)
    extra = {
        "as_json": Annotated[bool, opt("End with one JSON object on stdout (docs/usage.md).", "--json", panel=PANEL)],
        "verbose": Annotated[bool, opt("Say more.", "--verbose", "-v", panel=PANEL)],
        "require_licence": Annotated[
            bool,
            opt("Refuse models that name no licence.", "--require-licence", panel=PANEL, envvar=licences.VARIABLE),
        ],
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
        json_wanted, verbose, require_licence, quiet = (values.pop(key) for key in extra)
        values.pop("config")
        if verbose and quiet:
            raise UsageError("--verbose and --quiet cannot be combined.", "Leave out one of them.")
        _talk = Talk(json_wanted, verbose - quiet, context=context)
        logger = logging.getLogger("portraitist")
        before = logger.level
        logger.setLevel({-1: logging.WARNING, 0: logging.INFO, 1: logging.DEBUG}[_talk.verbosity])
        try:
            with licences.requiring(require_licence):
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
    printed = io.StringIO()
    ending: Failure | int = 0
    try:
        with redirect_stdout(printed):
            function(**values)
    except typer.Exit as ended:
        ending = ended.exit_code
        raise
    except BaseException as error:
        ending = Failure.of(error) or Failure(str(error), "", 1)
        raise
    finally:
        lines = printed.getvalue().splitlines()
        files = [line for line in lines if os.path.isfile(line)]
        rest = [line for line in lines if line not in files]
        print_result(name, ending, files=files, lines=rest, **_talk.result)


def print_result(command: str, ending: Failure | int = 0, **found: Any) -> None:
    """Print the object of --json.

    Args:
        command: Its name.
        ending: What went wrong, or the exit code alone.
        found: Results by their keys; ``files`` and ``lines`` are empty without them.
    """
    global _answered
    _answered = True
    code = ending if isinstance(ending, int) else ending.exit_code
    failure = {} if isinstance(ending, int) else {"error": ending.message, "cure": ending.cure}
    print(
        json.dumps({"command": command, "exit_code": code, **failure, "files": [], "lines": [], **found}, default=str)
    )


def has_answered() -> bool:
    """Tell whether the object of --json was printed."""
    return _answered
