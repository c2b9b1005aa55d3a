"""Labels of pictures: a table of names and attributes, as spreadsheets save it, and the ``dataset.json`` of a set.

Names are compared as people write them: with either slash, with or without folders and suffix, in any case where that
leaves no doubt. What does not fit together is an error or a line in the log, never silent.

    columns = read_table(Path("labels.csv"), ["women/a.png", "men/b.png"])      # {"hair": ("dark", "unknown")}
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

import torch

from ..errors import BadData
from ..files import read_regular
from .suffixes import is_picture

UNKNOWN = "unknown"
"""The value of an attribute for a picture that no label names."""

T = TypeVar("T")
log = logging.getLogger("portraitist")


def attributes_of(
    own: Mapping[str, object], names: Sequence[str], table: Path | None
) -> tuple[dict[str, tuple[str, ...]], torch.Tensor | None]:
    """Return the attributes of pictures, column -> value a picture, and their label vectors, if they have such.

    Args:
        own: The labels that the set itself brings.
        names: The pictures.
        table: A table of further labels.

    Raises:
        BadData: Labels cannot be read, contradict each other or name none of the pictures.
    """
    columns: dict[str, tuple[str, ...]] = {}
    folders = tuple(str(PurePosixPath(name).parent) for name in names)
    if len(set(folders)) > 1:
        columns["folder"] = folders
    if own:
        labels = _matched(own, names, "dataset.json")
        vectors = _vectors(labels)
        if vectors is not None:
            return columns | ({} if table is None else read_table(table, names)), vectors
        columns["label"] = tuple(UNKNOWN if label is None else str(label) for label in labels)
    return columns | ({} if table is None else read_table(table, names)), None


def read_table(path: Path, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Read a table of UTF-8, or of UTF-16 as spreadsheets save it, with commas, semicolons, tabs or bars.

    Returns:
        Column -> the value of each picture, :data:`UNKNOWN` where it has none.

    Raises:
        BadData: It cannot be read, has no column ``file``, names a picture twice, or none of the pictures.
    """
    header, rows = _parsed(path)
    key = next((column for column in header if column.lower() == "file"), None)
    if key is None:
        found = f": it has {', '.join(map(repr, header))}"[:200] if header else ""
        raise BadData(
            f"The label file {path} has no column `file`{found}.", "Its first line must read: file,attribute,..."
        )
    by_file: dict[str, dict[str, str]] = {}
    for row in rows:
        name = row[key].replace("\\", "/").removeprefix("./")
        if by_file.setdefault(name, row) != row:
            raise BadData(f"The label file {path} gives {name} two lines that differ.", "Keep one of them.")
    of_each = _matched(by_file, names, str(path))
    if not any(of_each):
        raise BadData(f"The label file {path} names none of the images.", "Its `file` column must hold their names.")
    columns = [column for column in header if column and column != key]
    return {column: tuple((row or {}).get(column) or UNKNOWN for row in of_each) for column in columns}


def column_named(columns: Iterable[str], wanted: str) -> str | None:
    """Return the column of a name, in another case if need be; None where there is none or no telling which."""
    columns = list(columns)
    if wanted in columns:
        return wanted
    alike = [column for column in columns if column.casefold() == wanted.strip().casefold()]
    return alike[0] if len(alike) == 1 else None


def _parsed(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the header of a table and its rows, without the spaces around what they hold."""
    try:
        content = read_regular(path)
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig").lstrip("\r\n")
        first, _, rest = text.partition("\n")
        if told := re.fullmatch(r"sep=(.)\r?", first):
            separator, text = told[1], rest
        else:
            separator = max(",;\t|", key=first.count)
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator) if line]
    except (OSError, UnicodeError, csv.Error) as error:
        raise BadData(f"The label file {path} cannot be read: {error}.", "It must be a CSV file in UTF-8.") from None
    header = [column.strip() for column in lines[0]] if lines else []
    rows = [{column: cell.strip() for column, cell in zip(header, line, strict=False)} for line in lines[1:]]
    return header, [{column: row.get(column, "") for column in header} for row in rows]


def _matched(labels: Mapping[str, T], names: Sequence[str], what: str) -> list[T | None]:
    """Return the label of each picture, and tell of pictures and labels that find no other half."""
    folded: dict[str, set[str]] = {}
    for name in labels:
        folded.setdefault(name.casefold(), set()).add(name)
    found: list[T | None] = []
    used: set[str] = set()
    for name in names:
        key = next((key for form in _forms(name) if (key := _key(form, labels, folded)) is not None), None)
        found.append(None if key is None else labels[key])
        used |= set() if key is None else {key}
    if without := sum(label is None for label in found):
        log.warning("%s has no label for %d of the %d pictures", what, without, len(names))
    if idle := len(labels) - len(used):
        one = next(name for name in labels if name not in used)
        log.warning("%s names %d pictures that are not there, such as %s", what, idle, one)
    return found


def _forms(name: str) -> Iterable[str]:
    """Return how a table may write the name of a picture: the last two only without its suffix."""
    path = PurePosixPath(name)
    yield from (name, path.name)
    yield from (form for form in (str(path.with_suffix("")), path.stem) if not is_picture(form))


def _key(form: str, labels: Mapping[str, T], folded: Mapping[str, set[str]]) -> str | None:
    if form in labels:
        return form
    alike = folded.get(form.casefold(), set())
    return next(iter(alike)) if len(alike) == 1 else None


def _vectors(labels: Sequence[object]) -> torch.Tensor | None:
    if not any(isinstance(label, list) for label in labels):
        return None
    try:
        return torch.tensor(labels, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise BadData(
            "The label vectors in dataset.json differ in length, or images have none.",
            "Label every image alike.",
        ) from None
