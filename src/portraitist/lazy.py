"""Names of a package that are imported when they are first used, so that the package itself costs nothing.

__getattr__ = lazily(__name__, {"Stylizer": "pipeline"})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package.

    Args:
        package: Its name.
        homes: Public name -> the module, below the package, that defines it; no module may have such a name itself.
    """

    def attribute(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f".{homes[name]}", package), name)
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    return attribute
