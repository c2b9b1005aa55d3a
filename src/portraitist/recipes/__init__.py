"""Recipes: trainings as values, each derived from another."""

from .baseline import from_scratch, grow
from .registry import RECIPES, Preset, Recipe, compose, known_terms

__all__ = ["RECIPES", "Preset", "Recipe", "compose", "from_scratch", "grow", "known_terms"]
