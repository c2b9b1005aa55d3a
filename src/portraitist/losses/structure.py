"""Structure loss: the target draws the low resolutions as the source does.

Back 2021, "Fine-Tuning StyleGAN2 For Cartoon Face Generation", arXiv:2106.12445, Sec. 3.2, Eq. 2. The paper compares
the RGB outputs of the blocks of 4, 8 and 16 pixels (``tap="rgb"``); the authors' code compares features after the
second convolution from 8 pixels on (``tap="feature"``). The printed equation lacks the square that the code has.

    here      what it is                                           shape
    source    what the blocks of the frozen generator have drawn   Seen per block
    target    what those of the trained one have drawn             Seen per block
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks import Seen

Tap = Literal["rgb", "rgb_sum", "feature"]


def structure(source: Iterable[Seen], target: Iterable[Seen], tap: Tap = "rgb") -> Tensor:
    """Return the mean squared difference of what two generators have drawn, summed over the blocks given.

    Args:
        source: Blocks of the frozen generator; no gradient reaches them.
        target: The same blocks of the one that trains, from the same codes and noise.
        tap: ``rgb`` compares what each block alone adds to the image, ``rgb_sum`` the image up to each block,
            ``feature`` the features after its last convolution.
    """
    pairs = zip(source, target, strict=True)
    return torch.stack([F.mse_loss(_tapped(t, tap), _tapped(s, tap).detach()) for s, t in pairs]).sum()


def _tapped(seen: Seen, tap: Tap) -> Tensor:
    return {"rgb": seen.rgb, "rgb_sum": seen.image, "feature": seen.features}[tap]
