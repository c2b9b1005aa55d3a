"""Separate a person from the background, by the selfie segmentation inside the mediapipe wheel; nothing is downloaded.

photo2cartoon puts faces on white before and after it draws them: hair and skin of a learned style otherwise leak into
the background.

    mask = person_mask(aligned.image)               # how much of each pixel is the person
    on_white = composite(aligned.image, mask)
"""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from portraitist.errors import PortraitistError
from portraitist.faces.align import Pixels, check_photo
from portraitist.faces.wheel import silent_stderr, solutions

Mask = npt.NDArray[np.float32]
"""How much of each pixel is the person: [H, W] in [0, 1]."""
WHITE = (255, 255, 255)
_OVAL = (0.5, 0.58, 0.27, 0.36)
"""Centre and half axes of the face in an aligned square, in parts of its side."""
_MAKING = threading.Lock()


def person_mask(picture: Pixels) -> Mask:
    """Find the person in a picture, uint8 [H, W, 3]; the same picture always gives the same mask.

    Raises:
        PortraitistError: mediapipe is not installed.
    """
    check_photo(picture)
    with _MAKING:  # one picture at a time goes through the graph
        graph = _graph(os.getpid())
        found = graph.process(np.ascontiguousarray(picture)).segmentation_mask
    return np.clip(np.asarray(found, dtype=np.float32), 0, 1)


def portrait_mask(face: Pixels) -> Mask:
    """Return how much of each pixel of an aligned face, uint8 [S, S, 3], is the person.

    It is what the segmentation finds, and in any case the oval of the face; the oval alone where mediapipe is missing.
    """
    oval = face_oval(len(face))
    try:
        return np.maximum(person_mask(face), oval)
    except PortraitistError:
        return oval


def face_oval(side: int) -> Mask:
    """Return the oval that the face fills in an aligned square of this side, with a soft rim: [side, side] in [0, 1]."""
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y, width, height = _OVAL
    away = ((centres[None, :] - x) / width) ** 2 + ((centres[:, None] - y) / height) ** 2
    return np.asarray(np.clip((1.2 - away) / 0.4, 0, 1), dtype=np.float32)


def composite(picture: Pixels, mask: Mask, colour: tuple[int, int, int] = WHITE) -> Pixels:
    """Lay the masked part of a picture over a colour; a mask of another size is resized."""
    height, width = picture.shape[:2]
    if mask.shape != (height, width):
        mask = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR))
    share = mask[..., None]
    mixed: Pixels = np.rint(picture * share + np.array(colour, dtype=np.float32) * (1 - share)).astype(np.uint8)
    return mixed


@functools.lru_cache(maxsize=2)
def _graph(process: int) -> Any:
    """Return the graph of a process: a forked child must not use its parent's, whose threads it lacks."""
    with silent_stderr():
        graph = solutions().selfie_segmentation.SelfieSegmentation(model_selection=0)
        graph.process(np.zeros((64, 64, 3), dtype=np.uint8))  # it starts, and talks, with the first picture
    return graph
