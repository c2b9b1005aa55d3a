"""Whether two pictures show the same person, by an embedder of faces.

Song et al. 2021, "AgileGAN", Eq. 6, calls it the cosine similarity; what is minimised is 1 minus that.
"""

from __future__ import annotations

from torch import Tensor


def identity_distance(mine: Tensor, theirs: Tensor) -> Tensor:
    """Return 1 minus the cosine of unit vectors [N, d], as an ``Identity`` gives them: [N], between 0 and 2."""
    return 1 - (mine * theirs).sum(1)
