"""The residual discriminator with minibatch standard deviation (Karras et al. 2020, arXiv:1912.04958, Sec. 4.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .anatomy import DiscriminatorAnatomy
from .layers import Conv, Linear


class ResidualBlock(nn.Module):
    """Two convolutions beside a filtered 1x1 skip; halves the side."""

    def __init__(self, inputs: int, outputs: int, clamp: float | None) -> None:
        super().__init__()
        half = math.sqrt(0.5)
        self.conv0 = Conv(inputs, inputs, 3, clamp=clamp)
        self.conv1 = Conv(inputs, outputs, 3, down=True, gain=half, clamp=clamp)
        self.skip = Conv(inputs, outputs, 1, down=True, rectify=False, gain=half)

    def forward(self, x: Tensor) -> Tensor:
        """Reduce [N, I, r, r] to [N, O, r / 2, r / 2]."""
        y: Tensor = self.conv1(self.conv0(x)) + self.skip(x)
        return y


class Head(nn.Module):
    """The last block: group statistic, a convolution at 4x4 and the score."""

    def __init__(self, anatomy: DiscriminatorAnatomy) -> None:
        super().__init__()
        self.group, self.group_channels = anatomy.group, anatomy.group_channels
        width = anatomy.channels[0]
        extra = anatomy.group_channels if anatomy.group else 0
        self.conv = Conv(width + extra, width, 3, clamp=anatomy.clamp)
        self.fc = Linear(width * 16, width, rectify=True)
        self.out = Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Score features [N, C, 4, 4]: [N]."""
        if self.group:
            x = torch.cat([x, minibatch_deviation(x, self.group, self.group_channels)], 1)
        score: Tensor = self.out(self.fc(self.conv(x).flatten(1)))[:, 0]
        return score


class Discriminator(nn.Module):
    """Tell how real images look: [N, 3, R, R] in about [-1, 1] to scores [N]."""

    def __init__(self, anatomy: DiscriminatorAnatomy) -> None:
        super().__init__()
        self.anatomy = anatomy
        widths = dict(zip(anatomy.resolutions, anatomy.channels, strict=True))
        self.from_rgb = Conv(anatomy.image_channels, widths[anatomy.resolution], 1, clamp=anatomy.clamp)
        self.blocks = nn.ModuleDict(
            {
                str(r): ResidualBlock(widths[r], widths[r // 2], anatomy.clamp)
                for r in reversed(anatomy.resolutions)
                if r > 4
            }
        )
        self.final = Head(anatomy)

    def forward(self, images: Tensor) -> Tensor:
        """Score images; scores of one batch depend on each other through the group statistic."""
        score: Tensor = self.final(self.features(images)[-1])
        return score

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the features after ``from_rgb`` and after each block: [N, C, r, r] for r = R, R / 2, ..., 4."""
        seen = [self.from_rgb(images)]
        for block in self.blocks.values():
            seen.append(block(seen[-1]))
        return seen


def minibatch_deviation(x: Tensor, group: int, channels: int) -> Tensor:
    """Return the deviation within groups of the batch, averaged over features and pixels: [N, channels, H, W].

    Sample i shares its group with i + N / group, i + 2 N / group, ... A batch that the group does not divide uses the
    largest smaller group that does.
    """
    n, c, h, w = x.shape
    size = max(g for g in range(1, min(group, n) + 1) if n % g == 0)
    y = x.reshape(size, -1, channels, c // channels, h, w)
    deviation = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((2, 3, 4))  # [N / size, channels]
    return deviation[:, :, None, None].repeat(size, 1, h, w)
