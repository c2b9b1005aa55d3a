"""The detail stage of a photo: its close-up, where the face lies in it, and the pictures that take what it holds.

stage = DetailStage(amount=1.0, finder=lambda: MediaPipeFinder())
face = stage.face(crop.closeup)
picture, person = stage.redraw(face, base_picture, drawing, look)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data.images import Pixels, resize
from ..detail import Look, redraw_detail
from ..detail.look import POINTS, SIDE, FaceFrame
from ..errors import PortraitistError, UsageError
from ..faces import AlignedFace, FaceFinder, FixedPoints, Landmarks
from ..faces.background import Mask, portrait_mask

LARGEST = 512
"""Close-ups of more pixels are not made: a larger picture is an enlarged one."""
_TEMPLATE = Landmarks.from_points([(0.376, 0.476), (0.625, 0.476), (0.5, 0.6), (0.42, 0.73), (0.58, 0.73)])
"""Where the parts of an aligned face lie when nothing found them, in parts of the side."""


@dataclass(frozen=True, eq=False)
class CloseFace:
    """A close-up, and where the face lies in it."""

    image: Pixels
    landmarks: Landmarks
    """In parts of the side."""
    person: Mask
    """How much of each pixel is the person, [S, S]."""

    def frame(self, look: Look) -> FaceFrame:
        """Return the face as a look sees it."""
        found, shift = self.landmarks.full, look.shape
        mesh = found is not None and len(found) in (POINTS, POINTS - 10)  # with the irises, or without
        points = found if mesh and found is not None else self.landmarks.four
        moved = shift[: len(points)] if mesh else _tensor(Landmarks.from_points(shift.double().numpy()).four)
        left, right, *mouth = self.landmarks.four
        parts = np.stack([left, right, (mouth[0] + mouth[1]) / 2])
        return FaceFrame(_tensor(points), moved, _tensor(parts), torch.from_numpy(self.person)[None, None])


def check_amount(amount: float) -> None:
    """Refuse an amount of detail that is not from 0 to 1.

    Raises:
        UsageError: It is not.
    """
    if not 0 <= amount <= 1:
        raise UsageError(f"The detail {amount} is not in [0, 1].", "Give 0 for the drawing of the code alone.")


class DetailStage:
    """Lets pictures take from the photo what its code does not hold.

    Args:
        amount: 1 for the whole stage, 0 for the drawing of the code alone.
        finder: Returns what finds the points of faces that were aligned before.

    Raises:
        UsageError: The amount is not in [0, 1].
    """

    def __init__(self, amount: float, finder: Callable[[], FaceFinder]) -> None:
        check_amount(amount)
        self.amount = amount
        self._finder = finder

    def side(self, size: int | None) -> int:
        """Return the side of the close-ups that pictures of a size need; 0 where none is."""
        return min(max(size or SIDE, SIDE), LARGEST) if self.amount else 0

    def face(self, closeup: AlignedFace) -> CloseFace:
        """Find the person and the points of the face; those of alignment where they are known."""
        side = len(closeup.image)
        landmarks = closeup.landmarks or self._found(closeup.image)
        ready = _TEMPLATE if landmarks is None else landmarks.transformed(np.diag([1 / side, 1 / side, 1]))
        return CloseFace(closeup.image, ready, portrait_mask(closeup.image))

    def redraw(self, face: CloseFace, base: Pixels, drawing: Pixels, look: Look) -> tuple[Pixels, Mask]:
        """Return the picture of a face in a style, of the close-up's size, and how much of each pixel is the person.

        Args:
            face: The close-up.
            base: What the base draws from its code, of any size.
            drawing: What the style draws.
            look: Of the style.
        """
        photo, before, after = (_levels(resize(p, len(face.image))) for p in (face.image, base, drawing))
        with torch.no_grad():
            picture, person = redraw_detail(photo, before, after, look, face.frame(look))
            picture = after + self.amount * (picture - after)
        # What the person covered before shows what was behind it only inside the picture: it belongs to the change.
        covered = np.maximum(person[0, 0].numpy(), face.person)
        pixels: Pixels = picture[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
        return pixels, covered

    def _found(self, picture: Pixels) -> Landmarks | None:
        finder = self._finder()
        if isinstance(finder, FixedPoints):  # points of the photo, not of this square
            return None
        try:
            found = finder.find(picture)
        except PortraitistError:  # no finder is installed: the template stands for it
            return None
        return found[0].landmarks if found else None


def _levels(picture: Pixels) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()


def _tensor(points: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(points)).float()
