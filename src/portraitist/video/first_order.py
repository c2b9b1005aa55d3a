"""A portrait moved by the first-order motion model, from weights that the user owns (``io.motion_files``).

puppet = FirstOrderPuppet(still, model)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..data.images import Pixels, resize
from ..errors import BadData
from ..networks.digest import tensors_digest
from ..networks.motion import FirstOrderMotion, Keypoints
from .driving import CROP, Movement


class FirstOrderPuppet:
    """A portrait that the model moves, by keypoints relative to the first frame.

    The first frame is the portrait; the model draws the others, at 256 pixels.

    Args:
        still: The portrait, uint8 [S, S, 3].
        model: The model.
        device: Where it runs.
    """

    reads = False

    def __init__(self, still: Pixels, model: FirstOrderMotion, device: str = "cpu") -> None:
        self.still, self.model, self._device = still, model.to(device).eval(), device
        self._source = self._levels(resize(still, CROP))
        with torch.no_grad():
            self._here: Keypoints = self.model.keypoints(self._source)

    @property
    def settings(self) -> dict[str, object]:
        """What determines the frames, beside the movement."""
        tensors = {**self.model.state_dict(), "still": torch.from_numpy(np.array(self.still))}
        return {"kind": "first order", "digest": tensors_digest(tensors), "device": self._device}

    def move(self, movement: Movement) -> Pixels:
        """Return the frame that a movement gives, uint8 [S, S, 3].

        Raises:
            BadData: The model's keypoints in the portrait or the first frame are no keypoints of a face.
        """
        if movement.is_first:
            return self.still
        with torch.no_grad():
            first, now = (self.model.keypoints(self._levels(crop)) for crop in (movement.first_crop, movement.crop))
            there = relative(self._here, first, now)
            drawn = self.model(self._source, self._here, there)[0].permute(1, 2, 0).cpu()
        picture: Pixels = (drawn * 255).round().clamp(0, 255).to(torch.uint8).numpy()
        return resize(picture, len(self.still))

    def _levels(self, picture: Pixels) -> Tensor:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float().to(self._device) / 255


def relative(source: Keypoints, first: Keypoints, now: Keypoints) -> Keypoints:
    """Return where keypoints of a picture go when those of a video have gone from ``first`` to ``now``.

    As the authors' demonstration: the way is scaled by the square root of the ratio of the areas of both convex hulls,
    and Jacobians are multiplied by what became of the video's.

    Args:
        source: Of the picture, [1, K, 2].
        first: Of the video's first frame.
        now: Of this frame.

    Raises:
        BadData: Keypoints lie on a line, or a Jacobian cannot be inverted.
    """
    scale = np.sqrt(hull_area(source) / hull_area(first))
    places = source.places + float(scale) * (now.places - first.places)
    if source.jacobians is None or first.jacobians is None or now.jacobians is None:
        return Keypoints(places, None)
    inverse, failed = torch.linalg.inv_ex(first.jacobians)
    jacobians = now.jacobians @ inverse @ source.jacobians
    if failed.any() or torch.linalg.inv_ex(jacobians).info.any():
        raise _useless()
    return Keypoints(places, jacobians)


def hull_area(points: Keypoints) -> float:
    """Return the area of the convex hull of the keypoints of one picture.

    Raises:
        BadData: They lie on a line.
    """
    from scipy.spatial import ConvexHull, QhullError

    try:
        return float(ConvexHull(points.places[0].detach().cpu().double().numpy()).volume)
    except (QhullError, ValueError) as error:
        raise _useless() from error


def _useless() -> BadData:
    return BadData(
        "The motion model finds no keypoints that span an area.", "Check that --motion holds a trained model of faces."
    )
