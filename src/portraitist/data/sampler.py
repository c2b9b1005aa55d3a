"""An endless shuffled order over a set of images that any process can enter at any point.

Nothing is kept between batches: what comes at image count p follows from (seed, p) alone, so a run that
resumes sees the images that an undisturbed run sees. The shuffle sorts hashed indices (SplitMix64, Steele, Lea and
Flood 2014), which no release of a random library can change.

Example::

    order = BatchOrder(n=1699, batch=8, seed=0)
    indices, flips = order.at(images_seen=160_000)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..errors import UsageError

_SHUFFLE, _MIRROR = 1, 2


@dataclass(frozen=True)
class BatchOrder:
    """Which images come when, and which of them mirrored.

    Each epoch is a permutation of all images; a batch may straddle two epochs.
    """

    n: int
    """Number of images in the set."""
    batch: int
    """Images per step."""
    seed: int = 0
    mirror: bool = True

    def __post_init__(self) -> None:
        if self.n < 1 or self.batch < 1:
            raise UsageError(f"Cannot draw batches of {self.batch} from {self.n} images.", "Both must be at least 1.")

    def at(self, images_seen: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (indices ``int64``, flips ``bool``), each ``[batch]``, from an image count on."""
        positions = np.arange(self.batch, dtype=np.int64) + images_seen
        epochs, places = np.divmod(positions, self.n)
        indices = np.empty(self.batch, dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            indices[here] = _permutation(self.n, self.seed, int(epoch))[places[here]]
        flips = _hash(self.seed, _MIRROR, positions.astype(np.uint64)) >> np.uint64(63) == 1
        return torch.from_numpy(indices), torch.from_numpy(flips & self.mirror)


class Images(Protocol):
    """Images by index."""

    @property
    def names(self) -> Sequence[str]:
        """What each is called."""

    def __len__(self) -> int:
        """Return how many there are."""

    def batch(self, indices: torch.Tensor, flips: torch.Tensor) -> torch.Tensor:
        """Return [N, 3, R, R] in [-1, 1] of the images at ``indices``, mirrored where ``flips``."""


@dataclass(frozen=True)
class ImageBatches:
    """Image sets in the endless order of a seed; a batch holds as many of each."""

    sets: Sequence[Images]
    batch: int
    seed: int
    mirror: bool

    def at(self, images: int) -> torch.Tensor:
        """Return the batch [N, 3, R, R] in [-1, 1] that follows ``images`` images."""
        return torch.cat([s.batch(*order) for s, order in self._orders(images)])

    def names(self, images: int) -> list[str]:
        """Return what the images of that batch are called."""
        return [s.names[index] for s, (indices, _) in self._orders(images) for index in indices.tolist()]

    def mirrored(self, images: int) -> torch.Tensor:
        """Return which images of that batch are mirrored, ``bool [N]``."""
        return torch.cat([flips for _, (_, flips) in self._orders(images)])

    def _orders(self, images: int) -> list[tuple[Images, tuple[torch.Tensor, torch.Tensor]]]:
        n, each = len(self.sets), self.batch // len(self.sets)
        orders = [BatchOrder(len(s), each, self.seed, mirror=self.mirror) for s in self.sets]
        return [(s, o.at(images // n)) for s, o in zip(self.sets, orders, strict=True)]


@lru_cache(maxsize=4)
def _permutation(n: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    keys = _hash(seed, _SHUFFLE, np.uint64(epoch) + np.zeros(1, np.uint64))
    return np.argsort(_mix(keys + _mix(np.arange(n, dtype=np.uint64))), kind="stable")


def _hash(seed: int, stream: int, counter: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    key = np.array([seed % 2**64], dtype=np.uint64)
    return _mix(_mix(_mix(key) + np.uint64(stream)) + counter)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble 64-bit integers by one SplitMix64 step (wraps modulo 2^64)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
