"""The API reference: a page for each public package, whose names and docstrings are read from the source."""

from __future__ import annotations

import inspect
from importlib import import_module

from portraitist.report.markdown import table

PACKAGES = {
    "portraitist": "Load models, redraw photos",
    "portraitist.stylize": "From a photo to a picture",
    "portraitist.data": "Pictures and sets of them",
    "portraitist.faces": "Find, align, paste back",
    "portraitist.invert": "From a photo to a code",
    "portraitist.spaces": "Codes",
    "portraitist.edit": "Directions and edits",
    "portraitist.surgery": "Swap and blend models",
    "portraitist.evaluate": "Measure",
    "portraitist.web": "The page and the service",
    "portraitist.errors": "What can go wrong",
}
"""Public packages, with what they are for."""
INDEX = "reference/index.md"
PAGES = [INDEX, *(f"reference/{name}.md" for name in PACKAGES)]


def pages() -> dict[str, str]:
    """Return the pages by their places in the site; the builder fills in the docstrings."""
    links = [[f"[`{name}`]({name}.md)", words] for name, words in PACKAGES.items()]
    index = ["# Python reference", "", *table(["package", "what it is for"], links)]
    return {INDEX: "\n".join(index)} | {f"reference/{name}.md": _page(name, words) for name, words in PACKAGES.items()}


def _page(package: str, words: str) -> str:
    module = import_module(package)
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items() if inspect.isclass(value) and value.__module__ == package
    ]
    lines = [f"# {package}", "", f"{words}.", ""]
    for name in sorted(names, key=str.lower):
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            lines += [f"::: {value.__module__}.{value.__qualname__}", ""]
    return "\n".join(lines)
