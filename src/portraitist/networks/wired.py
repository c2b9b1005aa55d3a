"""A feed-forward network given as data: a list of parts and what each of them reads.

So the small face networks, which come from another format, are ordinary modules: they load strictly, run on any
device, and can be traced and exported.

    network = Wired(steps, outputs, side=192)
    boxes, scores = network(pixels)           # pixels [B, 3, 192, 192], RGB in [0, 1]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Wired(nn.Module):
    """Parts that read the picture or what earlier parts gave.

    Attributes:
        side: Height and width of the pictures it reads, in pixels; no other size is read.
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]], outputs: Sequence[int], side: int) -> None:
        """Make the parts, with weights that are still to be loaded.

        Args:
            steps: Each has a ``part``, a name of ``PARTS``; what it ``reads``, the numbers of earlier values (0 is the
                picture, n what step n gave, counted from 1); and further keys, which go to the part.
            outputs: Numbers of the values to give.
            side: Height and width of the pictures in pixels.

        Raises:
            ValueError: A part is unknown, or reads what comes later.
        """
        super().__init__()
        self.side = side
        self.parts = nn.ModuleList()
        self.reads: list[tuple[int, ...]] = []
        for number, step in enumerate(steps):
            options = dict(step)
            name, reads = str(options.pop("part")), tuple(options.pop("reads"))
            if name not in PARTS or any(not 0 <= value <= number for value in reads):
                raise ValueError(f"Step {number + 1} is no part of a network: {name} reading {reads}.")
            self.parts.append(PARTS[name](**options))
            self.reads.append(reads)
        self.outputs = tuple(outputs)
        last = {value: number for number, reads in enumerate(self.reads) for value in reads if value not in outputs}
        self._forgotten = [[value for value in last if last[value] == number] for number in range(len(self.reads))]

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Give the outputs for pictures [B, 3, side, side], RGB in [0, 1]."""
        values = {0: pixels}
        for number, (part, reads) in enumerate(zip(self.parts, self.reads, strict=True)):
            values[number + 1] = part(*(values[value] for value in reads))
            for value in self._forgotten[number]:
                del values[value]
        return tuple(values[value] for value in self.outputs)


class Sum(nn.Module):
    """The sum of two values."""

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Add maps [B, C, H, W]."""
        return one + other


class Product(nn.Module):
    """The product of two values."""

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Multiply maps [B, C, H, W], of which one may be [B, C, 1, 1]."""
        return one * other


class Rescale(nn.Module):
    """A range of values moved to another."""

    def __init__(self, factor: float, shift: float) -> None:
        super().__init__()
        self.factor, self.shift = factor, shift

    def forward(self, value: Tensor) -> Tensor:
        """Give ``factor * value + shift``."""
        return self.factor * value + self.shift


class Rows(nn.Module):
    """A map read place by place as rows of numbers, as formats that keep channels last have it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, maps: Tensor) -> Tensor:
        """Turn [B, C, H, W] into [B, H * W * C / width, width]."""
        rows: Tensor = maps.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, self.width))
        return rows


class Chain(nn.Module):
    """Rows after rows."""

    def forward(self, *rows: Tensor) -> Tensor:
        """Join [B, N, width] along N."""
        return torch.cat(rows, dim=1)


class Spread(nn.Module):
    """Channels spread over blocks of 2 x 2 places, whose number changes more slowly than that of the channel.

    ``nn.PixelShuffle`` takes the channels in the other order.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Turn [B, 4 C, H, W] into [B, C, 2 H, 2 W]."""
        channels = maps.shape[1] // 4
        blocks: Tensor = maps.unflatten(1, (2, 2, channels)).permute(0, 3, 4, 1, 5, 2)
        return blocks.flatten(4, 5).flatten(2, 3)


class Pad(nn.Module):
    """Zeros around a map."""

    def __init__(self, sides: Sequence[int]) -> None:
        """Take the zeros before and after along width, height and, if given, channels."""
        super().__init__()
        self.sides = tuple(sides)

    def forward(self, maps: Tensor) -> Tensor:
        """Pad [B, C, H, W]."""
        return nn.functional.pad(maps, self.sides)


PARTS: Mapping[str, Callable[..., nn.Module]] = {
    "conv": nn.Conv2d,
    "transposed": nn.ConvTranspose2d,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "prelu": nn.PReLU,
    "hardswish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "maxpool": nn.MaxPool2d,
    "mean": nn.AdaptiveAvgPool2d,
    "resize": nn.Upsample,
    "pad": Pad,
    "sum": Sum,
    "product": Product,
    "rescale": Rescale,
    "rows": Rows,
    "chain": Chain,
    "spread": Spread,
}
"""What a step may be."""
