"""A StyleGAN2 generator: mapping and synthesis behind one face that speaks codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor, nn

from ..errors import BadModel
from ..spaces import W, WPlus, Z, ZPlus
from .anatomy import GeneratorAnatomy
from .mapping import Mapping
from .synthesis import Synthesis


class Generator(nn.Module):
    """Mapping, synthesis and the mean of w.

    ``forward`` takes and gives plain tensors, for training and export; :meth:`map` and :meth:`synthesize` speak codes.
    """

    w_mean: Tensor

    def __init__(self, anatomy: GeneratorAnatomy) -> None:
        super().__init__()
        self.anatomy = anatomy
        self.mapping = Mapping(anatomy.z_dim, anatomy.w_dim, anatomy.mapping_layers)
        self.synthesis = Synthesis(anatomy)
        self.register_buffer("w_mean", torch.zeros(anatomy.w_dim))

    def forward(self, z: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Draw images [N, 3, R, R] in about [-1, 1] from latents [N, z_dim], one code for all rows."""
        ws = self.mapping(z)[:, None].expand(-1, self.anatomy.rows, -1)
        image: Tensor = self.synthesis(ws, noise)
        return image

    @overload
    def map(self, z: Z) -> W: ...
    @overload
    def map(self, z: ZPlus) -> WPlus: ...
    def map(self, z: Z | ZPlus) -> W | WPlus:
        """Send codes of the prior through the mapping network; each row of Z+ on its own."""
        if isinstance(z, Z):
            return W(self.mapping(z.data))
        return WPlus(self.mapping(z.data.flatten(0, 1)).reshape(*z.data.shape[:2], -1))

    def synthesize(self, code: WPlus | W, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Draw images [N, 3, R, R] in about [-1, 1] from codes of W or W+.

        Raises:
            BadModel: The code has other sizes than this generator's.
            TypeError: The code belongs to Z or Z+; map it first.
        """
        if not isinstance(code, W | WPlus):
            raise TypeError(f"synthesize takes W or WPlus, not {type(code).__name__}; map it first")
        ws = (code.broadcast(self.anatomy.rows) if isinstance(code, W) else code).data
        expected = (self.anatomy.rows, self.anatomy.w_dim)
        if tuple(ws.shape[1:]) != expected:
            raise BadModel(
                f"A code of shape {tuple(ws.shape[1:])} does not fit this generator, which takes {expected}.",
                "Use codes of this generator or of one fine-tuned from the same base.",
            )
        image: Tensor = self.synthesis(ws, noise)
        return image

    @property
    def mean(self) -> W:
        """The mean of w as a code, [1, w_dim]."""
        return W(self.w_mean[None])
