"""Spaces of codes and what one does in them."""

from .algebra import Statistics, lerp, mix, statistics, truncate
from .codes import Code, W, WPlus, Z, ZPlus

__all__ = ["Code", "Statistics", "W", "WPlus", "Z", "ZPlus", "lerp", "mix", "statistics", "truncate"]
