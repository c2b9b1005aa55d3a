"""What can be measured on a drawn face, and the direction along which it changes: pose, light, smile.

AgileGAN (Song et al. 2021, Fig. 16) turns heads and moves the light along directions that a person picked from those of
SeFa. Here samples are drawn and measured, and the direction is learned from the numbers.

    yaw = on_faces(BlazeFinder(), turn)
    pose = measured_direction("pose", generator, yaw, rows=rows_of(generator.anatomy, [4, 8]))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..data.images import Pixels, resize, to_array
from ..errors import UsageError
from ..faces import FaceFinder, Landmarks
from ..networks import Generator
from ..ops.colour import LUMA
from ..spaces import WPlus, Z, truncate
from ..spaces.direction import Direction
from .directions import learn_direction

Measure = Callable[[Pixels], float]
"""Turns a picture of an aligned face into a number; NaN where there is none."""

# Below this finders miss faces.
SMALLEST = 256
# The tip of the nose in the schemes of `Landmarks.from_points`.
_NOSE = {5: 2, 68: 30, 468: 1, 478: 1}


def turn(face: Landmarks) -> float:
    """Return how far the nose lies to the picture's right of the eyes' middle, in distances of the eyes.

    A proxy of yaw: 0 from the front, about 0.5 in a three-quarter view.

    Raises:
        UsageError: The finder gives no nose.
    """
    if face.full is None or len(face.full) not in _NOSE:
        raise UsageError("The finder returns no nose, which shows how far a head is turned.", "Use another finder.")
    eyes = face.right_eye - face.left_eye
    nose = face.full[_NOSE[len(face.full)]] - (face.left_eye + face.right_eye) / 2
    return float(nose @ eyes / (eyes @ eyes))


def smile(face: Landmarks) -> float:
    """Return the width of the mouth in distances of the eyes; a smile widens it by about a quarter."""
    return float(np.linalg.norm(face.mouth_right - face.mouth_left)) / face.eye_distance


def light(picture: Pixels) -> float:
    """Return how much brighter the right half of an aligned face is than the left: (R - L) / (R + L), in [-1, 1].

    Brightness is the luma of an ellipse where the FFHQ alignment puts the skin, from the brows to the chin.
    """
    height, width = picture.shape[:2]
    y, x = (np.arange(height) + 0.5)[:, None] / height, (np.arange(width) + 0.5) / width
    face = ((x - 0.5) / 0.2) ** 2 + ((y - 0.6) / 0.25) ** 2 < 1
    luma = picture @ np.array(LUMA)
    left, right = luma[face & (x < 0.5)].mean(), luma[face & (x > 0.5)].mean()
    return float((right - left) / max(right + left, 1e-9))


def on_faces(finder: FaceFinder, measure: Callable[[Landmarks], float]) -> Measure:
    """Measure the landmarks of the largest face that is found; NaN where none is."""

    def of(picture: Pixels) -> float:
        found = finder.find(resize(picture, max(SMALLEST, len(picture))))
        return measure(found[0].landmarks) if found else math.nan

    return of


def measured_direction(
    name: str,
    generator: Generator,
    measure: Measure,
    *,
    rows: Sequence[int],
    count: int = 500,
    truncation: float = 0.7,
    seed: int = 0,
    ridge: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Direction:
    """Draw samples of the base, measure them, and return the direction along which the measure rises.

    Args:
        name: What to call it.
        generator: The base.
        measure: What is measured; pictures that give NaN do not count.
        rows: Rows of W+ that the direction moves.
        count: Samples drawn.
        truncation: Of the samples; towards 0 they get plainer and easier to measure.
        seed: Of the samples.
        ridge: As of :func:`.directions.learn_direction`.
        progress: Called after each sample with the samples done and all.

    Raises:
        UsageError: Too few pictures could be measured.
    """
    latents = Z.sample(count, generator.anatomy.z_dim, torch.Generator().manual_seed(seed))
    codes, numbers = [], []
    for k in range(count):
        code = truncate(generator.map(latents[k].to(generator.w_mean.device)), generator.mean, truncation)
        numbers.append(measure(drawn(generator, code)))
        codes.append(code.data.detach())
        if progress is not None:
            progress(k + 1, count)
    return learn_direction(name, WPlus(torch.cat(codes)), numbers, rows=rows, ridge=ridge)


def drawn(generator: Generator, code: WPlus) -> Pixels:
    """Draw one code as a picture of the generator's own size."""
    with torch.no_grad():
        return to_array(generator.synthesize(code)[0])


MEASURES: dict[str, Callable[[FaceFinder], Measure]] = {
    "pose": lambda finder: on_faces(finder, turn),
    "light": lambda finder: light,
    "smile": lambda finder: on_faces(finder, smile),
}
"""Name of a direction -> what makes its measure from a face finder."""
