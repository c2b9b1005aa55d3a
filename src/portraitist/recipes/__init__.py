"""Recipes: trainings as values, each derived from another."""

from .baseline import from_scratch, grow
from .registry import RECIPES, Preset, Recipe, compose

__all__ = ["RECIPES", "Preset", "Recipe", "compose", "from_scratch", "grow"]
