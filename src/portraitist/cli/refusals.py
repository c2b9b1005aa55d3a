"""What people type where a path belongs, and what to tell them: addresses, patterns, dashes, lists of files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..files import refuse_over

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}(?=[^/\\])", re.IGNORECASE)
"""Such as https://, of which a path has lost a slash; a single letter is a drive."""
_FREE = ("cluster", "credit", "header", "licence", "place")
"""Parameters that may be addresses."""
_WORKED_ON = frozenset("data exemplars file labels photos pictures source sources".split())
"""Parameters that name the files and folders that a command works on."""


def refuse_paths(values: Mapping[str, Any]) -> None:
    """Refuse paths that stand for something else than a file or a folder; other values pass.

    Args:
        values: What a command was given, by its parameters' names. Commands that take photos as words know ``-`` and
            patterns themselves.

    Raises:
        UsageError: One is an address, a pattern that matches no file by its own name, or a dash.
    """
    takes_words = isinstance(values.get("photo"), list)
    for name, value in values.items():
        if name not in _FREE and not (takes_words and name == "out" and str(value) == "-"):
            _refuse(value)


def refuse_missing(values: Mapping[str, Any]) -> None:
    """Refuse, before anything heavy is loaded, to work on what is not there.

    Args:
        values: What a command was given, by its parameters' names.

    Raises:
        UsageError: There is no such file or folder.
    """
    for name in _WORKED_ON & values.keys():
        for path in values[name] if isinstance(values[name], list) else [values[name]]:
            if isinstance(path, Path) and not os.path.lexists(path):
                raise UsageError(f"There is no file or folder {path}.", "Check the path.")


def _refuse(value: Any) -> None:
    if isinstance(value, list | tuple):
        for one in value:
            _refuse(one)
    elif isinstance(value, Path) and not os.path.lexists(value):
        _refuse_path(str(value))
    elif isinstance(value, str) and "://" in value:
        _refuse_address(value)


def refuse_same(values: Mapping[str, Any]) -> None:
    """Refuse to write over what is read, which --overwrite does not ask for.

    Args:
        values: What a command was given, by its parameters' names.

    Raises:
        UsageError: The file to write is one of the others.
    """
    for name in {"out", "target"} & values.keys():
        target = values[name]
        if isinstance(target, Path):
            given = [value for key, value in values.items() if key != name]
            others = [one for value in given for one in (value if isinstance(value, list | tuple) else [value])]
            refuse_over(target, [Path(other) for other in others if isinstance(other, Path | str)])


def cure_of(message: str, words: Sequence[str]) -> str:
    """Return what helps with arguments that could not be parsed, or nothing.

    Args:
        message: What the parser says.
        words: What was typed.
    """
    given = [word for word in words if os.path.lexists(word)]
    if message.startswith("No such option") and (dashed := [word for word in given if word.startswith("-")]):
        return f"A file whose name begins with a dash is given as ./{dashed[0]}."
    if not message.startswith("Got unexpected extra argument"):
        return ""
    folders = {os.path.dirname(word) or "." for word in given if os.path.isfile(word)}
    if len(folders) == 1 and "." not in folders:
        return f"It takes one path: for several files give the folder {folders.pop()}."
    return "It takes one path: for several files give their folder; names with spaces need quotes."


def _refuse_path(path: str) -> None:
    if path == "-":
        raise UsageError("Standard input and output are no files here.", "Give the path of a file or a folder.")
    _refuse_address(path)
    folder = os.path.dirname(path) or "."
    if re.search(r"[*?]|\[.+\]", os.path.basename(path)) and os.path.isdir(folder):
        raise UsageError(f"There is no file {path}, and patterns are not filled in.", f"Give the folder: {folder}")


def _refuse_address(text: str) -> None:
    if found := _ADDRESS.match(text):
        address = f"{found[1]}://{text[found.end() :]}"
        raise UsageError(f"{address} is an address, and nothing is downloaded.", "Save it here, and give its path.")
