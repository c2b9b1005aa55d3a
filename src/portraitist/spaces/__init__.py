"""Spaces of codes and what one does in them."""

from .algebra import Statistics, lerp, mix, sample_w, statistics, truncate
from .codes import Code, W, WPlus, Z, ZPlus
from .sefa import Basis, sefa_basis

__all__ = [
    "Basis",
    "Code",
    "Statistics",
    "W",
    "WPlus",
    "Z",
    "ZPlus",
    "lerp",
    "mix",
    "sample_w",
    "sefa_basis",
    "statistics",
    "truncate",
]
