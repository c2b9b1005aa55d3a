"""Recipes: trainings as values, each derived from another."""

from .baseline import baseline, from_scratch

__all__ = ["baseline", "from_scratch"]
