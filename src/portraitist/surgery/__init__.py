"""Models made of two models without training: weights blended, or layers swapped.

Both sides are named in every function: ``low`` gives the low resolutions (pose, shape of the head), ``high`` the high
ones (texture, colour, line).
"""

from .blend import Side, blend, hard, smooth
from .swap import FeatureSwap, swap

__all__ = ["FeatureSwap", "Side", "blend", "hard", "smooth", "swap"]
