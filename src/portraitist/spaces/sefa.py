"""Directions of W that change the drawing most, in closed form (SeFa; Shen and Zhou 2021, arXiv:2007.06600).

A step n in W changes the styles of the layers by A n, where A holds the rows of their affine maps. The unit steps
that change them most are the eigenvectors of A^T A with the largest eigenvalues.

    basis = sefa_basis(modulation_weights(generator.synthesis)).first(32)
    w = mean + basis.compose(v)         # v has 32 numbers
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Basis:
    """Orthonormal directions of W, those that change most first."""

    vectors: Tensor
    """[k, w_dim], one direction per row."""
    values: Tensor
    """[k], the squared change of all styles by a unit step along each direction; falling, never negative."""

    def __len__(self) -> int:
        return len(self.vectors)

    def first(self, k: int) -> Basis:
        """Return the ``k`` directions that change most."""
        if not 1 <= k <= len(self):
            raise ValueError(f"a basis of {len(self)} directions has no first {k}")
        return Basis(self.vectors[:k], self.values[:k])

    def compose(self, coordinates: Tensor) -> Tensor:
        """Return the steps [..., w_dim] with coordinates [..., k]."""
        return coordinates @ self.vectors

    def coordinates(self, steps: Tensor) -> Tensor:
        """Return the coordinates [..., k] of steps [..., w_dim]; what lies outside the span is dropped."""
        return steps @ self.vectors.t()

    def to(self, device: torch.device | str) -> Basis:
        """Return the basis on another device."""
        return Basis(self.vectors.to(device), self.values.to(device))


def sefa_basis(weights: Sequence[Tensor], *, normalise: bool = False) -> Basis:
    """Return all eigenvectors of A^T A for the stacked weights of some layers, in float32.

    Of the two signs of a direction the one is taken whose largest entry (the first among equals) is positive. Where
    eigenvalues coincide, any rotation of their directions would do as well, and which is found is up to LAPACK.

    Args:
        weights: Affine weights [channels, w_dim] of each layer, as ``networks.modulation_weights`` gathers them.
        normalise: Scale each row to unit length first, so that every channel counts the same: the authors' released
            code does so; UI2I (Huang et al. 2020, arXiv:2010.05713, Eq. 8) does not.
    """
    rows = torch.cat([w.detach().cpu().double() for w in weights])
    if normalise:
        rows = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)
    values, columns = torch.linalg.eigh(rows.t() @ rows)
    vectors = columns.t().flip(0)
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return Basis((vectors * largest.sign()).float(), values.flip(0).clamp(min=0).float())
