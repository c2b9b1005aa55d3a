"""``portraitist``: parse, call one function of the library, report.

Nothing heavy is imported before a command runs, so that every ``--help`` answers at once.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from .._version import __version__
from . import (
    animate,
    common,
    convert,
    distill,
    edit,
    encoder,
    evaluate,
    export,
    groups,
    invert,
    look,
    models,
    page,
    prepare,
    recipes,
    refusals,
    sample,
    serve,
    stylize,
    surgery,
    train,
    translate,
)
from .failures import Failure

app = typer.Typer(
    name="portraitist",
    help="Turn portraits into your drawing style: train on about 100 drawings, then redraw any photo.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (stylize, animate, serve, train, distill, look, recipes, prepare, invert, sample, convert, export, page):
    groups.add(app, module.__name__.rpartition(".")[2])(module.command)
app.add_typer(edit.app, name="edit")
groups.add(app)(surgery.swap)
groups.add(app)(surgery.blend)
app.add_typer(encoder.app, name="encoder")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(models.app, name="models")
app.add_typer(translate.app, name="translate")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"portraitist {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Turn portraits into your drawing style: train on about 100 drawings, then redraw any photo."""


def main() -> None:
    """Run the command line; errors that are the user's to mend are one line on stderr and an exit code."""
    common.begin()
    _reopen_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be any bytes
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        code = app(prog_name="portraitist", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence()
        code = 1
    except typer.TyperException as error:
        code = _refuse(error)
    except BaseException as error:
        if (failure := Failure.of(error)) is None:
            raise
        if isinstance(error, OSError):
            _silence()
        code = _fail(failure)
    sys.exit(code)


def _reopen_closed() -> None:
    """Give a program that was started without standard streams ones that lead nowhere.

    Otherwise the files that it opens take their numbers, and what is printed goes into them.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)


def _silence() -> None:
    """Let what is still to be printed go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(error: typer.TyperException) -> int:
    """Report arguments that cannot be parsed; no arguments at all show the help."""
    message = error.format_message().replace(": Value error, ", ": ")  # how Typer introduces what its checks say
    if message.startswith("Usage:"):
        print(message)
        return error.exit_code
    context = getattr(error, "ctx", None)
    command = "portraitist" if context is None else context.command_path
    cure = refusals.cure_of(message, sys.argv[1:])
    return _fail(Failure(message, f"{cure} See `{command} --help`.".strip(), error.exit_code))


def _fail(failure: Failure) -> int:
    """Report a failure, as JSON too where that is asked for and no command has."""
    print(f"error: {' '.join(str(failure).split())}", file=sys.stderr)
    if "--json" in sys.argv[1:] and not common.has_answered():
        try:
            common.print_result(_command_of(sys.argv[1:]), failure)
            sys.stdout.flush()
        except OSError:
            _silence()
    return failure.exit_code


def _command_of(words: Sequence[str]) -> str:
    """Return the name of the command that words begin with."""
    command: object = get_command(app)
    names: list[str] = []
    for word in words:
        if (command := getattr(command, "commands", {}).get(word)) is None:
            break
        names.append(word)
    return " ".join(names)
