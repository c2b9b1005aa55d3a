"""The networks of the offline page: they draw at any strength, and styles of one base share what finds the code.

network = StrongPainter(stored.painter)
drawings = network(photos, torch.tensor([0.7]))         # [N, 3, S, S]
codes = Coder(encoder, base.generator)(photos)          # [N, rows, w_dim]
drawings = StrongStyle(base.generator, style.generator)(codes, torch.tensor([0.7]))
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..networks.encoder import Encoder
from ..networks.generator import Generator
from ..networks.painter import Painted, Painter


class StrongPainter(nn.Module):
    """A painter whose shapes and paint are taken in part, or exaggerated."""

    def __init__(self, painter: Painter) -> None:
        super().__init__()
        self.painter = copy.deepcopy(painter).cpu().eval().requires_grad_(False)

    def forward(self, photos: Tensor, strength: Tensor) -> Tensor:
        """Draw photos [N, 3, S, S] in [-1, 1]; at a strength of 0 they stay, at 1 they are what the painter paints."""
        painted: Painted = self.painter(photos)
        return painted.at(photos, strength).clamp(-1, 1)


class Coder(nn.Module):
    """From photos to codes of a base."""

    def __init__(self, encoder: Encoder, base: Generator) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).cpu().eval().requires_grad_(False)
        self.base = copy.deepcopy(base).cpu().eval().requires_grad_(False)

    def forward(self, photos: Tensor) -> Tensor:
        """Return the codes [N, rows, w_dim] of photos [N, 3, S, S] in [-1, 1]."""
        codes: Tensor = self.encoder.styles_of(self.encoder(photos).mu, self.base)
        return codes


class StrongStyle(nn.Module):
    """The drawings of a style whose weights lie on the line from the base's."""

    def __init__(self, base: Generator, style: Generator) -> None:
        super().__init__()
        self.synthesis = copy.deepcopy(base.synthesis).cpu().eval().requires_grad_(False)
        mine, theirs = self.synthesis.state_dict(), style.synthesis.state_dict()
        self.changed = [name for name, value in mine.items() if not torch.equal(value, theirs[name].cpu())]
        for k, name in enumerate(self.changed):
            self.register_buffer(f"change{k}", theirs[name].cpu() - mine[name])

    def forward(self, codes: Tensor, strength: Tensor) -> Tensor:
        """Draw codes [N, rows, w_dim]: [N, 3, R, R] in [-1, 1]."""
        weights = dict(self.synthesis.state_dict(keep_vars=True))
        for k, name in enumerate(self.changed):
            change: Tensor = getattr(self, f"change{k}")
            weights[name] = weights[name] + (strength * change.reshape(-1)).reshape(change.shape)
        drawings: Tensor = functional_call(self.synthesis, weights, (codes,))
        return drawings.clamp(-1, 1)
