"""Portraitist: learn a way of drawing faces from a handful of exemplars and redraw photos of people in it.

    from portraitist import Stylizer

    portraits = Stylizer.load(["toon3d"]).stylize("me.jpg")

Importing the package is cheap; PyTorch is loaded when one of its names is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .io.registry import load as load
    from .networks import Discriminator as Discriminator
    from .networks import Generator as Generator
    from .spaces import W as W
    from .spaces import WPlus as WPlus
    from .spaces import Z as Z
    from .spaces import ZPlus as ZPlus
    from .stylize import Stylizer as Stylizer

__version__ = "0.1.0"

_HOMES = {
    "Discriminator": "networks",
    "Generator": "networks",
    "Stylizer": "stylize",
    "W": "spaces",
    "WPlus": "spaces",
    "Z": "spaces",
    "ZPlus": "spaces",
    "load": "io.registry",
}
__all__ = ["Discriminator", "Generator", "Stylizer", "W", "WPlus", "Z", "ZPlus", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module 'portraitist' has no attribute '{name}'")
