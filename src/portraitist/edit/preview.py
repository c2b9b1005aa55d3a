"""A sheet that shows what directions change."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ..data.images import Pixels, to_array
from ..data.sheet import tile
from ..networks import Generator
from ..spaces import Z, truncate
from ..spaces.direction import Direction
from .paths import sweep

STRENGTHS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
TRUNCATION = 0.7


@torch.no_grad()
def preview(generator: Generator, directions: Iterable[Direction], seed: int = 0) -> Pixels:
    """Draw one sample of the prior moved along directions: a row per direction, strengths -3 to 3 from left to right.

    Returns:
        ``uint8 [H, W, 3]``.
    """
    z = Z.sample(1, generator.anatomy.z_dim, torch.Generator().manual_seed(seed)).to(generator.w_mean.device)
    code, pictures = truncate(generator.map(z), generator.mean, TRUNCATION), []
    for direction in directions:
        pictures += list(to_array(generator.synthesize(sweep(code, direction, STRENGTHS))))
    return tile(pictures, columns=len(STRENGTHS))
