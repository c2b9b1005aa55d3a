"""The public names and their parameters are those of ``api_surface.txt``: a change of them is a decision.

Rewrite the file with ``python -m tests.test_api_surface`` where the change is meant, and say it in CHANGELOG.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_args, get_type_hints

FILE = Path(__file__).resolve().parents[1] / "api_surface.txt"
PACKAGES = ("", ".data", ".edit", ".faces", ".invert", ".spaces", ".stylize", ".surgery", ".web")


def surface() -> Iterator[str]:
    for package in PACKAGES:
        module = import_module(f"portraitist{package}")
        for name in sorted(module.__all__):
            yield from described(f"{module.__name__}.{name}", getattr(module, name))


def described(name: str, value: object) -> Iterator[str]:
    """Yield a line for a name, and for each public method of a class."""
    if inspect.isfunction(value) or (inspect.isclass(value) and not getattr(value, "_is_protocol", False)):
        yield f"{name}({', '.join(parameters(value))})"
    elif not isinstance(value, ModuleType):
        yield name
    if inspect.isclass(value):
        for key, method in sorted(vars(value).items()):
            if key.startswith("_"):
                continue
            if inspect.isfunction(method) or isinstance(method, classmethod | staticmethod):
                yield f"{name}.{key}({', '.join(parameters(getattr(value, key)))})"
            elif isinstance(method, property | cached_property):
                yield f"{name}.{key}"


def parameters(value: object) -> list[str]:
    """The names of what a function takes, ``*`` before those that are given by name only."""
    try:
        found = inspect.signature(value).parameters.values()  # type: ignore[arg-type]
    except ValueError:
        return []
    named = [f"{'*' if p.kind is p.KEYWORD_ONLY else ''}{p.name}" for p in found if p.kind is not p.VAR_KEYWORD]
    if len(named) < len(found) and inspect.ismethod(value):
        (listed,) = get_args(get_type_hints(value)["settings"])
        named += [f"*{key}" for key in listed.__annotations__]
    return [name for name in named if name != "self"]


def test_the_public_surface_is_the_one_that_is_listed() -> None:
    found, listed = set(surface()), set(FILE.read_text(encoding="utf-8").splitlines())
    assert found - listed == set(), "public, but not listed"
    assert listed - found == set(), "listed, but no longer there"


if __name__ == "__main__":
    FILE.write_text("\n".join(surface()) + "\n", encoding="utf-8")
