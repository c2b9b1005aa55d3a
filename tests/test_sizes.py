"""No file is longer than 480 lines and no function than 80; of a command the typed signature is not counted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

FOLDERS = ("src", "scripts", "studies", "benchmarks", "manual", "examples")
FILES = sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 480, 80


def functions(text: str, *, is_command: bool) -> Iterator[tuple[str, int]]:
    """Yield the name of each function and its lines, those of the body alone in a module of commands."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0].lineno if is_command else node.lineno
            yield node.name, (node.end_lineno or 0) - first + 1


def too_long(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    found = [f"{path}: {lines} lines"] if lines > LONGEST_FILE else []
    is_command = path.parent == REPOSITORY / "src" / "portraitist" / "cli"
    for name, count in functions(text, is_command=is_command):
        if count > LONGEST_FUNCTION:
            found.append(f"{path}: {name} has {count} lines")
    return found


def test_files_and_functions_are_short() -> None:
    assert len(FILES) > 300
    assert [line for path in FILES for line in too_long(path)] == []


@pytest.mark.parametrize(("is_command", "expected"), [(False, 4), (True, 2)])
def test_signatures_count_but_for_commands(is_command: bool, expected: int) -> None:
    text = "def f(\n    a: int,\n) -> None:\n    pass\n    pass\n"
    assert dict(functions(text, is_command=is_command)) == {"f": expected + (not is_command)}
