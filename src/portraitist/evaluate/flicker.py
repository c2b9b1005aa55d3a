"""Flicker of a redrawn video: how much consecutive drawings differ beyond what moved, beside the source's own.

The motion is taken out by the landmarks: both frames are cut out around the face, aligned, and the earlier cut is
warped by a thin-plate spline so that its landmarks lie where those of the later one do. What is left over the oval of
the face is the mean absolute difference in grey levels. It holds noise, changes of light and errors of the landmarks
too, which is why it counts relative to the same number of the source.

flicker = Flicker()
for source, drawing, landmarks in frames:
    flicker.add(source, drawing, landmarks)
flicker.ratio       # 1: as steady as the source
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..data.images import Pixels
from ..detail.shape import displacement, warp
from ..errors import BadImage
from ..faces import Landmarks, align
from ..faces.background import face_oval

SIDE = 192
"""Side of the aligned cuts that are compared."""


@dataclass(eq=False)
class Flicker:
    """Collects the differences of consecutive frames; two frames at a time are in memory."""

    source: list[float] = field(default_factory=list)
    """Differences of the source, one a pair of frames, in grey levels."""
    drawing: list[float] = field(default_factory=list)
    """Differences of the drawings of the same pairs."""
    _before: tuple[Tensor, Tensor] | None = field(default=None, repr=False)

    def add(self, source: Pixels, drawing: Pixels, landmarks: Landmarks | None) -> None:
        """Take one more frame.

        Args:
            source: The frame as it was, uint8 [H, W, 3].
            drawing: The same redrawn.
            landmarks: Of the face in it, as read from the source; None where it is not seen.
        """
        now = None if landmarks is None else _cut(source, drawing, landmarks)
        if now is not None and self._before is not None:
            (before, from_), (after, to) = self._before, now
            left = (warp(before, displacement(from_, to, SIDE)) - after).abs().mean(dim=1)
            oval = torch.from_numpy(face_oval(SIDE))
            differences = (left * oval).sum(dim=(1, 2)) / oval.sum()
            self.source.append(float(differences[0]))
            self.drawing.append(float(differences[1]))
        self._before = now

    @property
    def ratio(self) -> float:
        """Mean difference of the drawings by that of the source; NaN without two frames that follow one another."""
        return float(np.mean(self.drawing) / np.mean(self.source)) if self.source else float("nan")


def _cut(source: Pixels, drawing: Pixels, landmarks: Landmarks) -> tuple[Tensor, Tensor] | None:
    """Return both pictures of a face [2, 3, S, S] and its points [N, 2] in parts of the side."""
    try:
        cuts = [align(frame, landmarks, SIDE) for frame in (source, drawing)]
    except BadImage:
        return None
    inside = cuts[0].landmarks
    assert inside is not None
    points = inside.four if inside.full is None else inside.full
    pictures = np.stack([cut.image for cut in cuts]).transpose(0, 3, 1, 2)
    return torch.from_numpy(pictures).float(), torch.from_numpy(points / SIDE).float()
