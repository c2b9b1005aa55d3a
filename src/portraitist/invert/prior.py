"""How probable a code is under the mapping network, as a Gaussian of what goes into its last rectifier.

Undoing the rectifier makes the distribution of w close to normal; whitening it gives the space P_N of Zhu et al. 2020,
arXiv:2012.09036, Sec. 3.2. The squared length there says how unusual a code is: about 1 per dimension for
codes of the prior.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.bias_act import SLOPE
from ..spaces import sample_w

FLOOR = 1e-3
"""Least variance along a direction, relative to the largest: directions that w never takes are not divided by zero."""


@dataclass(frozen=True)
class Prior:
    """The Gaussian of w."""

    mean: Tensor
    """Mean of w itself, not of the Gaussian: [w_dim]."""
    deviation: float
    """Root of the mean squared distance of w to its mean."""
    centre: Tensor
    """Mean of the Gaussian, [w_dim]."""
    whitening: Tensor
    """[w_dim, w_dim]"""

    def whiten(self, ws: Tensor) -> Tensor:
        """Return coordinates [..., w_dim] of codes in P_N: unit normals for codes of the prior."""
        return (unrectified(ws) - self.centre) @ self.whitening

    def penalty(self, ws: Tensor) -> Tensor:
        """Return the mean squared coordinate of codes [N, rows, w_dim]: [N], about 1 for codes of the prior."""
        return self.whiten(ws).square().mean((1, 2))

    def to(self, device: torch.device) -> Prior:
        """Return the prior on another device."""
        return Prior(self.mean.to(device), self.deviation, self.centre.to(device), self.whitening.to(device))


def fit_prior(mapping: Callable[[Tensor], Tensor], z_dim: int, *, count: int = 10_000, seed: int = 123) -> Prior:
    """Fit the Gaussian to latents of the prior; arguments as in :func:`portraitist.spaces.sample_w`."""
    w = sample_w(mapping, z_dim, count=count, seed=seed)
    mean, p = w.mean(0), unrectified(w)
    centre = p.mean(0)
    variances, directions = torch.linalg.eigh((p - centre).t().cov())
    whitening = directions * torch.rsqrt(variances.clamp(min=FLOOR * float(variances[-1])))
    deviation = float((w - mean).square().sum(1).mean().sqrt())
    return Prior(mean.float(), deviation, centre.float(), whitening.float())


def unrectified(w: Tensor) -> Tensor:
    """Undo the leaky rectifier that ends the mapping network, up to its gain."""
    return torch.where(w < 0, w / SLOPE, w)
