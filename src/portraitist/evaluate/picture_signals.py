"""What single pictures of aligned faces show by themselves: how sharp they are, and which eye is darker.

sharpness(drawings)         # [N], grey levels
eye_difference(drawings)    # [N], grey levels, left minus right
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BadData
from .models import LUMA

SIDE = 256
"""Side in pixels of all pictures that are measured here: a cycle a picture means the same for all of them."""
CUTOFF = 32
"""Cycles a picture above which detail is sharpness: a picture of 64 pixels holds no more than these."""
EYE_ROWS = (0.425, 0.525)
"""Top and bottom of both eye regions, as parts of the side; FFHQ's eye centres are at 0.476."""
LEFT_EYE_COLUMNS = (0.295, 0.455)
"""Ends of the region of the eye at the viewer's left, whose centre is at 0.376; that of the other eye mirrors it."""

Batch = npt.NDArray[np.uint8]
"""Pictures ``uint8 [N, 256, 256, 3]`` in sRGB."""
Values = npt.NDArray[np.float64]


def check_batch(pictures: npt.NDArray[Any], what: str, at_least: int = 1) -> None:
    """Refuse what is not ``uint8 [N, 256, 256, 3]``.

    Args:
        pictures: The pictures.
        what: What the error calls them.
        at_least: The fewest that will do.

    Raises:
        BadData: They have another type or shape, or are too few.
    """
    wanted = (SIDE, SIDE, 3)
    if not isinstance(pictures, np.ndarray) or pictures.dtype != np.uint8 or pictures.shape[1:] != wanted:
        found = f"{getattr(pictures, 'dtype', type(pictures).__name__)} {list(getattr(pictures, 'shape', []))}"
        raise BadData(
            f"The {what} are {found}, not uint8 [N, {SIDE}, {SIDE}, 3].",
            f"Resize them with `portraitist.data.resize(picture, {SIDE})` and stack them.",
        )
    if len(pictures) < at_least:
        raise BadData(f"{len(pictures)} {what} are too few to be measured.", f"Bring at least {at_least}.")


def sharpness(pictures: Batch) -> Values:
    """Return the root mean square of the luminance above 32 cycles a picture, in grey levels: [N], 0 to 127.5.

    The luminance (Rec. 709 weights, of 0 to 255) less its mean is multiplied by a Hann window, so that the borders make
    no frequencies of their own, and the result is divided by the window's root mean square. White noise of deviation s
    then has 0.975 s (the share of frequencies above the cutoff is 1 - pi / 64), a sine of amplitude a that is fine
    enough a / sqrt(2).

    Args:
        pictures: ``uint8 [N, 256, 256, 3]``.

    Raises:
        BadData: The pictures have another layout.
    """
    check_batch(pictures, "pictures")
    window = np.hanning(SIDE + 1)[:-1]
    window = np.outer(window, window) / np.mean(window**2)
    cycles = np.fft.fftfreq(SIDE, 1 / SIDE)
    fine = np.hypot(cycles[:, None], cycles[None]) > CUTOFF
    found = np.empty(len(pictures))
    for k, picture in enumerate(pictures):
        light = _luminance(picture)
        spectrum = np.fft.fft2((light - light.mean()) * window)
        found[k] = np.sqrt(np.sum(np.abs(spectrum[fine]) ** 2)) / SIDE**2  # Parseval's theorem
    return found


def eye_difference(pictures: Batch) -> Values:
    """Return the mean luminance of the left eye's region less that of the right eye's: [N], -255 to 255 grey levels.

    Left is the viewer's left. The regions mirror each other, so a mirrored picture has the negative value, exactly.

    Args:
        pictures: Faces ``uint8 [N, 256, 256, 3]``, aligned as FFHQ's are.

    Raises:
        BadData: The pictures have another layout.
    """
    check_batch(pictures, "pictures")
    top, bottom = (round(part * SIDE) for part in EYE_ROWS)
    begin, end = (round(part * SIDE) for part in LEFT_EYE_COLUMNS)
    light = _luminance(pictures[:, top:bottom])
    left, right = light[:, :, begin:end], light[:, :, SIDE - end : SIDE - begin][:, :, ::-1]
    found: Values = (left - right).mean((1, 2))
    return found


def _luminance(pictures: npt.NDArray[np.uint8]) -> Values:
    light: Values = pictures @ np.array(LUMA)
    return light
