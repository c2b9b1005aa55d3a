"""The mapping network: from the prior Z to the space W where directions mean something."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from .layers import Linear

LEARNING_RATE = 0.01  # of the mapping relative to the rest; Karras et al. 2019, arXiv:1812.04948, Sec. C


class Mapping(nn.Module):
    """Fully connected layers over a normalised latent: [N, z_dim] -> [N, w_dim]."""

    def __init__(self, z_dim: int, w_dim: int, layers: int) -> None:
        super().__init__()
        sizes = [z_dim, *[w_dim] * layers]
        self.layers = nn.ModuleList(Linear(i, o, rectify=True, learning_rate=LEARNING_RATE) for i, o in pairwise(sizes))

    def forward(self, z: Tensor) -> Tensor:
        """Map latents [N, z_dim]; their length does not matter, only their direction."""
        x = normalize(z)
        for layer in self.layers:
            x = layer(x)
        return x


def normalize(z: Tensor) -> Tensor:
    """Scale each latent [..., z_dim] to unit mean square over its last axis (never over rows of Z+)."""
    return z * torch.rsqrt(z.square().mean(-1, keepdim=True) + 1e-8)
