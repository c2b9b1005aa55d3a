"""The layers of DRIT++ that no other translator has, and its discriminator of contents.

Lee et al. 2020, "DRIT++: Diverse Image-to-Image Translation via Disentangled Representations" (arXiv:1905.01270), as
its authors' program builds them for pictures whose shapes differ (portraits): the attribute (here: appearance) is not a
gain of norms, as MUNIT's, but lies beside the features of every block of the decoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .translator_layers import appearance_layers, reflected

SLOPE = 0.01
WINDOW, LAST = 7, 4
"""Windows of the discriminator's convolutions: of those that halve, and of the one after them."""


class LeakyStem(nn.Module):
    """Reflect the rim, convolve seven pixels wide, rectify with a leak; no norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 7)

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, 3, R, R] into [N, channels, R, R]."""
        return F.leaky_relu(self.conv(reflected(x, 3)), SLOPE)


class InformedResidual(nn.Module):
    """A residual block that mixes what it is told into the features of each place, after either convolution."""

    def __init__(self, channels: int, told: int) -> None:
        """Choose sizes.

        Args:
            channels: Of the features.
            told: Numbers that lie beside the features.
        """
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(channels, channels, 3) for _ in range(2)])
        both = channels + told
        self.mixes = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(both, both, 1), nn.ReLU(), nn.Conv2d(both, channels, 1), nn.ReLU())
                for _ in range(2)
            ]
        )

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Return [N, C, h, w] of the same shape, told [N, numbers]."""
        beside = told[..., None, None].expand(-1, -1, *x.shape[2:])
        y = x
        for conv, mix in zip(self.convs, self.mixes, strict=True):
            y = mix(torch.cat([F.instance_norm(conv(reflected(y))), beside], 1))
        return x + y


class InformedResiduals(nn.Module):
    """DRIT++'s decoder: three linear layers turn the appearance into what each block is told."""

    def __init__(self, channels: int, count: int, appearance: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([InformedResidual(channels, channels) for _ in range(count)])
        self.tell = appearance_layers(appearance, channels, count * channels)

    def forward(self, content: Tensor, appearance: Tensor) -> Tensor:
        """Return [N, C, h, w] of the same shape, of content [N, C, h, w] and appearance [N or 1, numbers]."""
        x = content
        told = self.tell(appearance).expand(len(content), -1)
        for block, numbers in zip(self.blocks, told.chunk(len(self.blocks), 1), strict=True):
            x = block(x, numbers)
        return x


class LayerNormUp(nn.Module):
    """Twice the side by a transposed convolution, layer norm, rectifier."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, 3, 2, padding=1, output_padding=1)
        self.norm = nn.GroupNorm(1, outputs)  # over channels and places together; gamma and beta per channel

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, inputs, h, w] into [N, outputs, 2h, 2w]."""
        return F.relu(self.norm(self.conv(x)))


class PointToImage(nn.Module):
    """The last layer: each pixel by itself, and a tanh."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, inputs, H, W] into a picture [N, 3, H, W] in [-1, 1]."""
        return torch.tanh(self.conv(x))


class ContentDiscriminator(nn.Module):
    """Tells of which domain the contents are (L_adv^content): a score for each place of the last map."""

    def __init__(self, code: tuple[int, int, int]) -> None:
        """Choose sizes.

        Args:
            code: Shape of a content. Three convolutions halve it, fewer where nothing would be left for the next.
        """
        super().__init__()
        width, side, _ = code
        halvings = 0
        while halvings < 3 and (smaller := (side + 2 - WINDOW) // 2 + 1) >= LAST:
            halvings, side = halvings + 1, smaller
        self.halve = nn.ModuleList([nn.Conv2d(width, width, WINDOW, 2) for _ in range(halvings)])
        self.gather = nn.Conv2d(width, width, min(LAST, side))
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, contents: Tensor) -> Tensor:
        """Turn contents [N, C, h, w] into logits [N, 1, h', w'] of being a photo's."""
        x = contents
        for conv in self.halve:
            x = F.leaky_relu(conv(reflected(x)), SLOPE)
        logits: Tensor = self.last(F.leaky_relu(self.gather(x), SLOPE))
        return logits
