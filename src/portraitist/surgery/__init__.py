"""Models made of two models without training: weights blended, or layers swapped.

Both sides are named in every function: ``low`` gives the low resolutions (pose, shape of the head), ``high`` the high
ones (texture, colour, line).
"""

from .blend import Side, blend, hard, smooth
from .join import Joined, ancestors, blend_models, swap_models
from .swap import By, FeatureSwap, released_upto, swap

__all__ = [
    "By",
    "FeatureSwap",
    "Joined",
    "Side",
    "ancestors",
    "blend",
    "blend_models",
    "hard",
    "released_upto",
    "smooth",
    "swap",
    "swap_models",
]
