"""The synthesis network with input/output skips (Karras et al. 2020, arXiv:1912.04958, Sec. 4.1 and Fig. 7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..ops import taps, upsample
from .anatomy import Block, GeneratorAnatomy
from .layers import StyledConv, ToRGB, unit_normal


@dataclass(frozen=True)
class Seen:
    """What one block of the synthesis network has drawn."""

    resolution: int
    features: Tensor
    """[N, C, r, r] after the last convolution of the block."""
    rgb: Tensor
    """[N, 3, r, r], what this block alone adds to the image."""
    image: Tensor
    """[N, 3, r, r], the sum up to this block."""


class SynthesisBlock(nn.Module):
    """The layers of one resolution."""

    def __init__(self, anatomy: GeneratorAnatomy, block: Block) -> None:
        super().__init__()
        width, clamp = anatomy.width(block.resolution), anatomy.clamp
        self.conv0: StyledConv | None = None
        if block.conv0 is not None:
            below = anatomy.width(block.resolution // 2)
            self.conv0 = StyledConv(below, width, block.resolution, anatomy.w_dim, up=2, clamp=clamp)
        self.conv1 = StyledConv(width, width, block.resolution, anatomy.w_dim, clamp=clamp)
        self.to_rgb = ToRGB(width, anatomy.image_channels, anatomy.w_dim, clamp=clamp)


class Synthesis(nn.Module):
    """Draw images in about [-1, 1] from codes of W+."""

    kernel: Tensor

    def __init__(self, anatomy: GeneratorAnatomy) -> None:
        super().__init__()
        self.anatomy = anatomy
        self.const = nn.Parameter(unit_normal(anatomy.channels[0], 4, 4))
        self.blocks = nn.ModuleDict({str(b.resolution): SynthesisBlock(anatomy, b) for b in anatomy.blocks})
        self.register_buffer("kernel", taps(), persistent=False)

    def forward(self, ws: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Draw images [N, 3, R, R].

        Args:
            ws: Codes [N, rows, w_dim].
            noise: One plane [N or 1, 1, r, r] per convolution, in the order of ``anatomy.convs``, in place of
                the stored ones.
        """
        image = None
        for seen in self.walk(ws, noise):
            image = seen.image
        assert image is not None
        return image

    def walk(self, ws: Tensor, noise: Sequence[Tensor] | None = None) -> Iterator[Seen]:
        """Draw block by block, from 4 pixels up, and show what each has drawn."""
        features = self.const.expand(ws.shape[0], *self.const.shape)  # len() would fix the batch of an export
        image: Tensor | None = None
        planes = None if noise is None else iter(noise)
        for block in self.anatomy.blocks:
            features, rgb, image = self.step(block, features, image, ws, planes)
            yield Seen(block.resolution, features, rgb, image)

    def step(
        self, block: Block, features: Tensor, image: Tensor | None, ws: Tensor, noise: Iterator[Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run one block on the features and image of the block below; return features, its own rgb and the image."""
        module = self.blocks[str(block.resolution)]
        assert isinstance(module, SynthesisBlock)
        convs = (module.conv1,) if module.conv0 is None else (module.conv0, module.conv1)
        for layer, conv in zip(block.convs, convs, strict=True):
            features = conv(features, ws[:, layer.row], None if noise is None else next(noise))
        rgb: Tensor = module.to_rgb(features, ws[:, block.to_rgb.row])
        return features, rgb, rgb if image is None else upsample(image, self.kernel) + rgb

    def draw_noise(self, count: int, generator: torch.Generator) -> list[Tensor]:
        """Draw fresh noise planes [count, 1, r, r], one per convolution."""
        like = self.const
        return [
            torch.randn(count, 1, c.resolution, c.resolution, generator=generator, device=generator.device).to(like)
            for c in self.anatomy.convs
        ]
