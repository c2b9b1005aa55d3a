"""A StyleGAN2 generator: mapping and synthesis behind one face that speaks codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..errors import BadModel
from ..ops import at_once
from ..spaces import W, WPlus, Z, ZPlus, mix
from .anatomy import GeneratorAnatomy
from .mapping import Mapping
from .synthesis import Synthesis


class Generator(nn.Module):
    """Mapping, synthesis and the mean of w.

    ``forward`` takes and gives plain tensors, for training and export; :meth:`map` and :meth:`synthesize` speak codes.
    """

    w_mean: Tensor
    low_mean: Tensor

    def __init__(self, anatomy: GeneratorAnatomy) -> None:
        super().__init__()
        self.anatomy = anatomy
        self.mapping = Mapping(anatomy.z_dim, anatomy.w_dim, anatomy.mapping_layers)
        self.low_mapping: Mapping | None = None
        if anatomy.low_rows:
            self.low_mapping = Mapping(anatomy.z_dim, anatomy.w_dim, anatomy.mapping_layers)
            self.register_buffer("low_mean", torch.zeros(anatomy.w_dim))
        self.synthesis = Synthesis(anatomy)
        self.register_buffer("w_mean", torch.zeros(anatomy.w_dim))

    def forward(self, z: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Draw images [N, 3, R, R] in about [-1, 1] from latents, as :meth:`styles` takes them."""
        image: Tensor = self.synthesis(self.styles(z), noise)
        return image

    def styles(self, z: Tensor) -> Tensor:
        """Map latents [N, z_dim], or one per row [N, rows, z_dim], to codes of W+ [N, rows, w_dim].

        The rows that feed the low resolutions of a FreezeSG model come from the mapping network of its base.
        """
        ws = self._mapped(self.mapping, z)
        if self.low_mapping is None:
            return ws
        # Both map every row: products of another size round otherwise, and the low rows would not be the base's.
        low = self.anatomy.low_rows
        return torch.cat([self._mapped(self.low_mapping, z)[:, :low], ws[:, low:]], 1)

    @torch.no_grad()
    def sample_batches(self, z: Tensor, batch: int = 32) -> Tensor:
        """Draw latents [N, z_dim] with the stored noise and without gradients: [N, 3, R, R].

        ``batch`` are drawn at a time; of more than 64 pixels fewer, so that the memory stays the same.
        """
        return torch.cat([self(part) for part in torch.split(z, at_once(batch, self.anatomy.resolution))])

    def map(self, z: Z | ZPlus) -> WPlus:
        """Send codes of the prior through the mapping network; each row of Z+ on its own."""
        return WPlus(self.styles(z.data))

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

    def maps_like(self, other: Generator) -> bool:
        """Tell whether both have the same mapping network, so that a latent means the same in both."""
        mine, its = self.mapping.state_dict(), other.mapping.state_dict()
        return mine.keys() == its.keys() and all(torch.equal(mine[name].cpu(), its[name].cpu()) for name in mine)

    @property
    def mean(self) -> WPlus:
        """The mean of the codes that :meth:`map` gives, [1, rows, w_dim]."""
        mean = W(self.w_mean[None]).broadcast(self.anatomy.rows)
        if self.low_mapping is None:
            return mean
        return mix(W(self.low_mean[None]).broadcast(self.anatomy.rows), mean, self.anatomy.low_rows)

    def _mapped(self, mapping: Mapping, z: Tensor) -> Tensor:
        if z.ndim == 2:
            w: Tensor = mapping(z)
            return w[:, None].expand(-1, self.anatomy.rows, -1)
        # Each row on its own: the mapping network normalises over the entries of one latent.
        return torch.unflatten(mapping(z.flatten(0, 1)), 0, z.shape[:2])


def with_low_rows(base: Generator, rows: int) -> Generator:
    """Return a copy of a base whose first ``rows`` rows of W+ will go on coming from the base's mapping network."""
    generator = Generator(replace(base.anatomy, low_rows=rows)).to(base.w_mean.device)
    low = {f"low_mapping.{name}": value for name, value in base.mapping.state_dict().items()}
    generator.load_state_dict({**base.state_dict(), **low, "low_mean": base.w_mean})
    return generator
