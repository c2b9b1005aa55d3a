"""Two models by name, to be made into one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..io import registry
from ..io.headers import NAME, Header
from ..io.model_file import Model


class Sides:
    """Both models and where they came from.

    Args:
        low: Name, file or run folder of the model that gives the low resolutions.
        high: And of the other.
        attribute: Path of multi-path styles.

    Raises:
        PortraitistError: There is no such model, it is damaged, or its base is not known.
    """

    def __init__(self, low: str, high: str, attribute: str | None = None) -> None:
        self._paths = [registry.find(name) for name in (low, high)]
        models = registry.load_together(self._paths, attribute=attribute)
        self.low, self.high = (_named(model, path) for model, path in zip(models, self._paths, strict=True))

    def find_base(self, header: Header) -> Model:
        """Return the base of one of them."""
        return registry.base_of(header, self._paths[header is not self.low.header])


def name_for(out: Path) -> str:
    """Return the word that a model is called by in a file: the file's own, if it can be one."""
    return out.stem if NAME.fullmatch(out.stem) else ""


def _named(model: Model, path: Path) -> Model:
    """Give a model that has no name of its own that of its file."""
    return replace(model, header=replace(model.header, name=model.header.name or registry.name_of(path)))
