"""Where a code lives: Z, Z+, W and W+ as types, so that no function can be handed the wrong one.

w = generator.map(Z.sample(4, 512, torch.Generator().manual_seed(0)))
image = generator.synthesize(truncate(w, generator.mean, psi=0.7))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Code:
    """A batch of codes; ``data`` is float and its first axis counts the codes."""

    data: Tensor

    axes = 2

    def __post_init__(self) -> None:
        if self.data.ndim != self.axes or not self.data.is_floating_point():
            raise ValueError(
                f"{type(self).__name__} holds a float tensor with {self.axes} axes, "
                f"not {self.data.dtype} of shape {tuple(self.data.shape)}"
            )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int | slice) -> Self:
        """Return some of the codes; a number keeps the batch axis."""
        if isinstance(index, slice):
            return type(self)(self.data[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no code {index} among {len(self)}")  # ends a loop over the codes
        return type(self)(self.data[index : index + 1 or None])

    def to(self, device: torch.device | str) -> Self:
        """Return the codes on another device."""
        return type(self)(self.data.to(device))


class Z(Code):
    """Latents of the prior, [N, z_dim], normal."""

    @classmethod
    def sample(cls, count: int, dim: int, generator: torch.Generator) -> Z:
        """Draw ``count`` latents; the same seed gives the same first latents whatever the count."""
        return cls(_rows(count, (dim,), generator))


class ZPlus(Code):
    """One latent of the prior per row, [N, rows, z_dim]."""

    axes = 3

    @classmethod
    def sample(cls, count: int, rows: int, dim: int, generator: torch.Generator) -> ZPlus:
        """Draw ``count`` codes with independent rows."""
        return cls(_rows(count, (rows, dim), generator))


class W(Code):
    """Codes after the mapping network, one for all rows, [N, w_dim]."""

    def broadcast(self, rows: int) -> WPlus:
        """Repeat each code over all rows."""
        return WPlus(self.data[:, None].expand(-1, rows, -1))


class WPlus(Code):
    """One code of W per row of the synthesis network, [N, rows, w_dim]."""

    axes = 3


def _rows(count: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    # torch draws fewer than 16 normals by another method than more: one draw a code keeps them equal in any batch.
    return torch.stack([torch.randn(shape, generator=generator, device=generator.device) for _ in range(count)])
