"""Recipes: trainings as values, each derived from another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from .baseline import from_scratch as from_scratch
    from .baseline import grow as grow
    from .baseline import held as held
    from .baseline import train_on as train_on
    from .catalogue import RECIPES as RECIPES
    from .catalogue import Preset as Preset
    from .catalogue import Recipe as Recipe
    from .registry import compose as compose
    from .registry import known_terms as known_terms

__getattr__ = lazily(
    __name__,
    {
        "Preset": "catalogue",
        "RECIPES": "catalogue",
        "Recipe": "catalogue",
        "compose": "registry",
        "from_scratch": "baseline",
        "grow": "baseline",
        "held": "baseline",
        "known_terms": "registry",
        "train_on": "baseline",
    },
)
__all__ = [
    "RECIPES",
    "Preset",
    "Recipe",
    "compose",
    "from_scratch",
    "grow",
    "held",
    "known_terms",
    "train_on",
]
