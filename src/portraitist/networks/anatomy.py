"""The one description of a generator and a discriminator: block, resolution, rows of W+ and parameters.

Freezing, swapping, converting and style packs ask it; nobody matches strings. A StyleGAN2 generator of size S has
blocks of 4, 8, ..., S pixels and 2 log2(S) - 2 rows of W+; row 0 drives the convolution at 4, row 1 both the ToRGB of
4 and the first convolution of 8, and so on; the last row drives the last ToRGB alone.

    anatomy = GeneratorAnatomy(resolution=64, channels=(128, 128, 96, 48, 24))
    anatomy.block(8).conv0.row          # 1
    anatomy.rows_upto(8)                # 4: the rows that feed 4, 8 and the first convolution of 16
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from ..errors import BadModel

SMALLEST, LARGEST = 4, 1024


def channels_for(resolution: int, *, base: int = 16384, cap: int = 512) -> tuple[int, ...]:
    """Return channels at 4, 8, ..., ``resolution``: ``base`` divided by the side, at most ``cap``.

    The published 1024-pixel networks have ``base=32768`` (multiplier 2), those of 256 ``base=16384``.
    """
    return tuple(min(base // r, cap) for r in resolutions(resolution))


def resolutions(upto: int, start: int = SMALLEST) -> tuple[int, ...]:
    """Return start, 2 start, ..., ``upto``."""
    found = []
    while start <= upto:
        found.append(start)
        start *= 2
    return tuple(found)


@dataclass(frozen=True)
class Layer:
    """One convolution of a generator."""

    name: str
    """Prefix of its parameters, without the final dot."""
    row: int
    """The row of W+ that drives it."""
    resolution: int
    """Side of its output in pixels."""


@dataclass(frozen=True)
class Block:
    """The layers of one resolution."""

    resolution: int
    name: str
    conv0: Layer | None
    """The convolution that enlarges; the block of 4 pixels has none."""
    conv1: Layer
    to_rgb: Layer

    @property
    def convs(self) -> tuple[Layer, ...]:
        """The convolutions in the order they run."""
        return (self.conv1,) if self.conv0 is None else (self.conv0, self.conv1)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The convolutions and ToRGB in the order they run."""
        return (*self.convs, self.to_rgb)


@dataclass(frozen=True)
class GeneratorAnatomy:
    """Sizes of a generator; everything that a file must tell to build it again."""

    resolution: int
    """Side of the image: 4 times a power of two, at most 1024."""
    channels: tuple[int, ...]
    """Channels at 4, 8, ..., resolution."""
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    image_channels: int = 3
    clamp: float | None = None
    """Bound on every layer's output, as networks trained in half precision have it (256)."""
    low_rows: int = 0
    """Rows [0, low_rows) of W+ come from a second mapping network, that of the base (FreezeSG); 0 for none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        _check_sizes("generator", self.resolution, self.channels)
        if min(self.z_dim, self.w_dim, self.mapping_layers, self.image_channels) < 1:
            raise BadModel(f"A generator needs positive sizes, not {self}.")
        _check_clamp(self.clamp)
        if not 0 <= self.low_rows <= self.rows:
            raise BadModel(f"A generator with {self.rows} rows cannot take {self.low_rows} of them from its base.")

    @property
    def of_base(self) -> GeneratorAnatomy:
        """The sizes of the base it was fine-tuned from: the same, with one mapping network."""
        return replace(self, low_rows=0)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ..., resolution."""
        return resolutions(self.resolution)

    @property
    def rows(self) -> int:
        """Rows of W+."""
        return 2 * len(self.channels)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks from 4 pixels up."""
        return tuple(self._block(k, r) for k, r in enumerate(self.resolutions))

    def block(self, resolution: int) -> Block:
        """Return the block of one resolution."""
        for block in self.blocks:
            if block.resolution == resolution:
                return block
        raise BadModel(f"This generator has no block of {resolution} pixels; it has {self.resolutions}.")

    def width(self, resolution: int) -> int:
        """Return the channels of one resolution."""
        return self.channels[self.resolutions.index(self.block(resolution).resolution)]

    def rows_upto(self, resolution: int) -> int:
        """Return k such that rows [0, k) feed the blocks up to ``resolution``, their ToRGB included."""
        return self.block(resolution).to_rgb.row + 1

    @property
    def convs(self) -> Iterator[Layer]:
        """The modulated convolutions in the order they run, ToRGB left out; each has a noise plane."""
        return (layer for block in self.blocks for layer in block.convs)

    @property
    def layers(self) -> Iterator[Layer]:
        """All modulated convolutions in the order they run, ToRGB included."""
        return (layer for block in self.blocks for layer in block.layers)

    def place(self, parameter: str) -> int | None:
        """Return the resolution that a parameter of the generator belongs to; None for the mapping networks."""
        if parameter.startswith("synthesis.const"):
            return SMALLEST
        for block in self.blocks:
            if parameter.startswith(block.name + "."):
                return block.resolution
        return None

    def borrowed(self, parameter: str) -> bool:
        """Tell whether a parameter belongs to the mapping network of the base, which never trains."""
        return parameter.startswith("low_mapping.")

    def _block(self, k: int, r: int) -> Block:
        name = f"synthesis.blocks.{r}"
        first = Layer(f"{name}.conv0", 2 * k - 1, r) if k else None
        return Block(r, name, first, Layer(f"{name}.conv1", 2 * k, r), Layer(f"{name}.to_rgb", 2 * k + 1, r))


@dataclass(frozen=True)
class DiscriminatorAnatomy:
    """Sizes of a discriminator."""

    resolution: int
    channels: tuple[int, ...]
    """Channels at 4, 8, ..., resolution."""
    image_channels: int = 3
    group: int = 4
    """Images that share one minibatch standard deviation; 0 leaves the statistic out."""
    group_channels: int = 1
    clamp: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        _check_sizes("discriminator", self.resolution, self.channels)
        if min(self.image_channels, self.group_channels) < 1 or self.group < 0:
            raise BadModel(f"A discriminator needs positive sizes, not {self}.", "Only `group` may be 0.")
        _check_clamp(self.clamp)
        if self.group and self.channels[0] % self.group_channels:
            raise BadModel(
                f"{self.channels[0]} channels cannot be shared by {self.group_channels} group statistics.",
                "Choose group_channels that divide the channels at 4 pixels.",
            )

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ..., resolution."""
        return resolutions(self.resolution)

    def place(self, parameter: str) -> int:
        """Return the resolution at which a parameter of the discriminator works; 4 is its last block."""
        for r in self.resolutions:
            if parameter.startswith(f"blocks.{r}."):
                return r
        return self.resolution if parameter.startswith("from_rgb.") else SMALLEST


def _check_clamp(clamp: float | None) -> None:
    if clamp is not None and not 0 < clamp < math.inf:
        raise BadModel(f"A network cannot clamp its features to {clamp}.", "Give a positive number, or none.")


def _check_sizes(what: str, resolution: int, channels: tuple[int, ...]) -> None:
    expected = resolutions(resolution)
    if not expected or expected[-1] != resolution or resolution > LARGEST:
        raise BadModel(f"A {what} of {resolution} pixels is not possible.", "Use 4, 8, 16, ... up to 1024.")
    if len(channels) != len(expected) or min(channels) < 1:
        raise BadModel(f"A {what} of {resolution} pixels needs {len(expected)} positive widths, not {channels}.")
