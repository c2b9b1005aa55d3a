"""What BlazeFace says of square pictures: boxes, eyes and scores (arXiv 1907.05047).

The network looks at a grid of places and gives for each a box, six keypoints relative to the place, and a score. Places
that speak of the same face are averaged by their scores, as in the paper ("Post-processing").
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from portraitist.faces.align import Pixels
from portraitist.faces.landmarks import Points
from portraitist.networks.wired import Wired

_GRIDS = {2304: ((48, 1),), 896: ((16, 2), (8, 6))}
"""Number of places -> places along a side, and how often each is looked at; the far and the near network."""
_SAME = 0.3
"""Boxes that share more of their union than this belong to one face."""
_BATCH = 6
"""Pictures that go through a network together; more use more memory and save no time."""


@dataclass(frozen=True, eq=False)
class Box:
    """A face in a square picture; lengths in parts of its side.

    Attributes:
        centre: Of the box, (x, y).
        side: The longer one of the box.
        tilt: Angle in radians by which the line of the eyes is turned clockwise from level.
        score: How sure the network is, in [0, 1].
    """

    centre: Points
    side: float
    tilt: float
    score: float


def boxes_of(network: Wired, squares: Sequence[Pixels], confidence: float) -> list[list[Box]]:
    """Find the faces of square pictures, uint8 [side, side, 3] each, surest first.

    Args:
        network: ``far`` or ``near``.
        squares: Of the network's side.
        confidence: Least score, in [0, 1].
    """
    found = []
    for start in range(0, len(squares), _BATCH):
        values, logits = (output.numpy() for output in outputs_of(network, squares[start : start + _BATCH]))
        scores = 1 / (1 + np.exp(-np.clip(logits[..., 0], -100, 100).astype(np.float64)))
        for rows, row_scores in zip(values, scores, strict=True):
            keep = row_scores >= confidence
            if keep.any():
                numbers = rows[keep].astype(np.float64) / network.side
                numbers[:, :2] += _places(len(rows))[keep]
                numbers[:, 4:] += np.tile(_places(len(rows))[keep], 6)
                found.append(_merged(numbers, row_scores[keep]))
            else:
                found.append([])
    return found


def outputs_of(network: Wired, squares: Sequence[Pixels]) -> tuple[torch.Tensor, ...]:
    """Run a network on pictures, uint8 [side, side, 3] each."""
    with torch.inference_mode():
        batch = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)  # in memory, channels stay last
        outputs: tuple[torch.Tensor, ...] = network(batch.float() / 255)
        return outputs


@functools.cache
def _places(count: int) -> npt.NDArray[np.float64]:
    """Centres of the places, [count, 2], in parts of the side."""
    grids = []
    for side, times in _GRIDS[count]:
        along = (np.arange(side) + 0.5) / side
        x, y = np.meshgrid(along, along)
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), times, axis=0))
    return np.concatenate(grids)


def _merged(numbers: npt.NDArray[Any], scores: npt.NDArray[Any]) -> list[Box]:
    """Average what speaks of one face. Rows: centre, width and height of the box, then six keypoints, eyes first."""
    left = np.stack([numbers[:, :2] - numbers[:, 2:4] / 2, numbers[:, :2] + numbers[:, 2:4] / 2])
    rest, boxes = np.argsort(-scores, kind="stable"), []
    while len(rest):
        same = _overlap(left[:, rest[:1]], left[:, rest]) > _SAME
        same[0] = True
        group, rest = rest[same], rest[~same]
        mean = np.average(numbers[group], axis=0, weights=scores[group])
        dx, dy = mean[6:8] - mean[4:6]
        boxes.append(Box(mean[:2], float(max(mean[2:4])), float(np.arctan2(dy, dx)), float(scores[group[0]])))
    return boxes


def _overlap(one: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What boxes, as first and last corners [2, N, 2], share of their union."""
    shared = np.clip(np.minimum(one[1], others[1]) - np.maximum(one[0], others[0]), 0, None).prod(axis=1)
    areas = [np.clip(corners[1] - corners[0], 0, None).prod(axis=1) for corners in (one, others)]
    return np.asarray(shared / np.maximum(areas[0] + areas[1] - shared, 1e-12))
