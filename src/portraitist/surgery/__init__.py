"""Models made of two models without training: weights blended, or layers swapped.

Both sides are named in every function: ``low`` gives the low resolutions (pose, shape of the head), ``high`` the high
ones (texture, colour, line).
"""

from .blend import Side, blend, hard, smooth
from .compatibility import ModelCompatibility, compatibility
from .join import Joined, blend_models, swap_models
from .swap import By, FeatureSwap, released_upto, swap

__all__ = [
    "By",
    "FeatureSwap",
    "Joined",
    "ModelCompatibility",
    "Side",
    "blend",
    "blend_models",
    "compatibility",
    "hard",
    "released_upto",
    "smooth",
    "swap",
    "swap_models",
]
