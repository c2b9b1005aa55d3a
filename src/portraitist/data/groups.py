"""Photos and drawings of several groups of people: ``photos/GROUP/*`` and ``drawings/GROUP/*``, nothing paired.

data = Groups.open("faces/", 72, ("women", "men"))
for line in data.remarks:
    print(line)
batch = data.photos["men"].batch(indices, flips)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from ..errors import BadData, UsageError
from .folder import ImageSet
from .sources import FolderSource

SIDES = ("photos", "drawings")
FEWEST = 3
"""Pictures of a group, on either side, below which nothing can be learned of it."""
FEW = 10
"""Below these there is a remark; the paper's smallest groups have as many drawings."""
LAYOUT = "Make the folders photos/GROUP and drawings/GROUP, with pictures in each."


class Pool(Protocol):
    """Pictures by index."""

    def __len__(self) -> int:
        """Return how many there are."""

    @property
    def digest(self) -> str:
        """SHA-256 over names and pixels."""

    @property
    def names(self) -> Sequence[str]:
        """What each is called."""

    def batch(self, indices: torch.Tensor, flips: torch.Tensor) -> torch.Tensor:
        """Return [N, 3, R, R] in [-1, 1] of the pictures at ``indices``, mirrored where ``flips``."""


@dataclass(frozen=True)
class Mixed:
    """Several pools as one, whose pictures are no longer told apart by group."""

    pools: Sequence[Pool]

    def __len__(self) -> int:
        return sum(map(len, self.pools))

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of the pools."""
        return hashlib.sha256("".join(pool.digest for pool in self.pools).encode()).hexdigest()

    @property
    def names(self) -> Sequence[str]:
        """Those of all pools."""
        return [name for pool in self.pools for name in pool.names]

    def batch(self, indices: torch.Tensor, flips: torch.Tensor) -> torch.Tensor:
        """Return [N, 3, R, R] in [-1, 1] of the pictures at ``indices``, mirrored where ``flips``."""
        found = []
        for index, flip in zip(indices.tolist(), flips, strict=True):
            for pool in self.pools:
                if index < len(pool):
                    break
                index -= len(pool)
            found.append(pool.batch(torch.tensor([index]), flip[None]))
        return torch.cat(found)


@dataclass(frozen=True)
class Groups:
    """Photos and drawings of each group."""

    photos: Mapping[str, Pool]
    drawings: Mapping[str, Pool]
    """Of the same groups, in the same order."""
    remarks: tuple[str, ...] = ()
    """What people should know: pictures left out, groups that are small."""

    @classmethod
    def open(cls, root: Path | str, resolution: int, groups: Sequence[str] = ()) -> Groups:
        """Read the pictures of groups.

        Args:
            root: The folder with ``photos`` and ``drawings``.
            resolution: Side of the pictures.
            groups: Which groups, in this order; all when empty.

        Raises:
            BadData: A folder is missing, a group is on one side only, or too small.
        """
        root = Path(root)
        known = {side: folders(root / side) for side in SIDES}
        chosen = tuple(groups) or tuple(sorted({name for side in SIDES for name in known[side]}))
        remarks: list[str] = []
        for name in chosen:
            if lacking := [str(root / side / name) for side in SIDES if name not in known[side]]:
                both = sorted(set(known["photos"]) & set(known["drawings"]))
                raise BadData(
                    f"The group '{name}' has no folder {' and no folder '.join(lacking)}.",
                    f"Groups with both: {', '.join(both) or 'none'}. {LAYOUT}",
                )
        found = {s: {name: _opened(root / s / name, resolution, remarks) for name in chosen} for s in SIDES}
        return cls(found["photos"], found["drawings"], tuple(remarks))

    @property
    def names(self) -> tuple[str, ...]:
        """The groups."""
        return tuple(self.photos)

    @property
    def digest(self) -> str:
        """SHA-256 over all names and pixels."""
        pools = [pool.digest for side in (self.photos, self.drawings) for pool in side.values()]
        return hashlib.sha256("".join([*self.names, *pools]).encode()).hexdigest()

    def mixed(self, name: str) -> Groups:
        """Return all groups as one, under a name."""
        photos, drawings = list(self.photos.values()), list(self.drawings.values())
        if len(photos) == 1:
            return Groups({name: photos[0]}, {name: drawings[0]}, self.remarks)
        return Groups({name: Mixed(photos)}, {name: Mixed(drawings)}, self.remarks)


def folders(side: Path) -> tuple[str, ...]:
    """Return the names of the groups of one side.

    Raises:
        BadData: The folder is missing, or it holds no folders.
    """
    if not side.is_dir():
        raise BadData(f"There is no folder {side}.", LAYOUT)
    found = tuple(sorted(p.name for p in side.iterdir() if p.is_dir() and not p.name.startswith(".")))
    if not found:
        raise BadData(f"The folder {side} has no folder of a group.", LAYOUT)
    return found


def _opened(folder: Path, resolution: int, remarks: list[str]) -> ImageSet:
    try:
        images = ImageSet.open(folder, resolution)
    except BadData as error:
        raise BadData(f"{error.message}", f"{error.cure} At least {FEWEST}, better {FEW} and more.") from error
    if len(images) < FEWEST:
        raise BadData(
            f"{folder} holds {len(images)} usable pictures, fewer than {FEWEST}.",
            f"Add pictures of this group ({FEW} and more are better), or leave the group out.",
        )
    remarks += [f"left out {folder / name}: {reason}" for name, _, reason in images.left_out]
    if len(images) < FEW:
        remarks.append(f"{folder} holds only {len(images)} pictures; its branch will know little beside them.")
    return images


def largest_group(root: Path | str) -> str:
    """Return the group with the most drawings.

    Raises:
        UsageError: Several have as many.
        BadData: There are no groups.
    """
    drawings = Path(root) / "drawings"
    counts = {name: len(FolderSource(drawings / name).names) for name in folders(drawings)}
    best = [name for name, count in counts.items() if count == max(counts.values())]
    if len(best) > 1:
        raise UsageError(f"{' and '.join(best)} have as many drawings.", "Name the common group with --group.")
    return best[0]
