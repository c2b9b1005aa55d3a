"""The detail stage of a photo: its close-up, where the face lies in it, and the pictures that take what it holds.

stage = DetailStage(amount=1.0, finder=lambda: BlazeFinder())
face = stage.face(crop.closeup)
picture = stage.prepare(face, base_picture, look).picture(drawing)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from ..data.images import Pixels, resize
from ..detail import Look
from ..detail.look import POINTS, SIDE, FaceFrame, PreparedPhoto, prepare_detail
from ..errors import UsageError
from ..faces import AlignedFace, FaceFinder, FixedPoints, Landmarks
from ..faces.background import Mask, portrait_mask
from ..networks.digest import tensors_digest

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
        mesh = found is not None and len(found) >= POINTS  # points of irises may follow those of the mesh
        points = found[:POINTS] if mesh and found is not None else self.landmarks.four
        moved = shift if mesh else _tensor(Landmarks.from_points(shift.double().numpy()).four)
        left, right, *mouth = self.landmarks.four
        parts = np.stack([left, right, (mouth[0] + mouth[1]) / 2])
        return FaceFrame(_tensor(points), moved, _tensor(parts), torch.from_numpy(self.person)[None, None])


@dataclass(frozen=True, eq=False)
class PreparedFace:
    """One face, ready to be drawn in a style."""

    photo: PreparedPhoto
    before: Mask
    """How much of each pixel of the close-up is the person, [S, S]."""
    amount: float

    def picture(self, drawing: Pixels) -> Pixels:
        """Return the picture that a drawing of the style, of any size, gives: of the close-up's size."""
        after = _levels(resize(drawing, len(self.before)))
        with torch.no_grad():
            picture = after + self.amount * (self.photo.picture(after) - after)
        pixels: Pixels = picture[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
        return pixels

    @property
    def covered(self) -> Mask:
        """How much of each pixel is the person, in the photo or in the pictures.

        What the person covered in the photo alone shows what was behind it in the picture only: part of the change.
        """
        covered: Mask = np.maximum(self.photo.person[0, 0].numpy(), self.before)
        return covered


class DetailStage:
    """Lets pictures take from the photo what its code does not hold.

    Args:
        amount: 1 for the whole stage, 0 for the drawing of the code alone.
        finder: Returns what finds the points of faces that were aligned before.
        photos: Whether photos are drawn; the codes of other pictures are drawn alone.

    Raises:
        UsageError: The amount is not in [0, 1].
    """

    def __init__(self, amount: float, finder: Callable[[], FaceFinder], *, photos: bool = True) -> None:
        if not 0 <= amount <= 1:
            raise UsageError(f"The detail {amount} is not in [0, 1].", "Give 0 for the drawing of the code alone.")
        self.amount = amount if photos else 0.0
        self._finder = finder

    def side(self, size: int | None) -> int:
        """Return the side of the close-ups that pictures of a size need; 0 where none is."""
        return min(max(size or SIDE, SIDE), LARGEST) if self.amount else 0

    def settings(self, looks: Mapping[str, Look]) -> object:
        """Return what determines the pictures of styles with these looks; nothing where no style takes part."""
        if not self.amount or not looks:
            return None
        digests = {name: [tensors_digest(k.tensors()), asdict(k.medium), k.weight] for name, k in looks.items()}
        return [self.amount, digests]

    def face(self, closeup: AlignedFace) -> CloseFace:
        """Find the person and the points of the face; those of alignment where they are known."""
        side = len(closeup.image)
        landmarks = closeup.landmarks or self._found(closeup.image)
        ready = _TEMPLATE if landmarks is None else landmarks.transformed(np.diag([1 / side, 1 / side, 1]))
        return CloseFace(closeup.image, ready, portrait_mask(closeup.image))

    def prepare(self, face: CloseFace, base: Pixels, look: Look) -> PreparedFace:
        """Return what draws a face in a style; what its drawings share is made once.

        Args:
            face: The close-up.
            base: What the base draws from its code, of any size.
            look: Of the style.
        """
        photo, before = (_levels(resize(p, len(face.image))) for p in (face.image, base))
        with torch.no_grad():
            return PreparedFace(prepare_detail(photo, before, look, face.frame(look)), face.person, self.amount)

    def _found(self, picture: Pixels) -> Landmarks | None:
        finder = self._finder()
        if isinstance(finder, FixedPoints):  # points of the photo, not of this square
            return None
        found = finder.find(picture)
        return found[0].landmarks if found else None


def _levels(picture: Pixels) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()


def _tensor(points: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(points)).float()
