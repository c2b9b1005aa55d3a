"""Separate a person from the background, by a small segmentation network of this package.

photo2cartoon puts faces on white before and after it draws them: hair and skin of a learned style otherwise leak into
the background.

    mask = person_mask(aligned.image)               # how much of each pixel is the person
    on_white = composite(aligned.image, mask)
    on_white = cut_out(aligned.image)               # the same, or NoFaceFound
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from portraitist.errors import NoFaceFound
from portraitist.faces.align import Pixels, check_photo

Mask = npt.NDArray[np.float32]
"""How much of each pixel is the person: [H, W] in [0, 1]."""
WHITE = (255, 255, 255)
LEAST_PERSON = 0.02
"""Share of an aligned face that is the person at least; where it is less, the segmentation has found nobody."""
_OVAL = (0.5, 0.58, 0.27, 0.36)
"""Centre and half axes of the face in an aligned square, in parts of its side."""


def person_mask(picture: Pixels) -> Mask:
    """Find the person in a picture, uint8 [H, W, 3]; the same picture always gives the same mask."""
    from portraitist.faces.blaze import outputs_of  # loads PyTorch
    from portraitist.faces.networks import network_named

    check_photo(picture)
    network = network_named("person")
    square = Image.fromarray(picture).resize((network.side, network.side), Image.Resampling.BILINEAR)
    (shares,) = outputs_of(network, [np.asarray(square)])
    height, width = picture.shape[:2]
    return _resized(shares[0, 0].numpy(), width, height)


def portrait_mask(face: Pixels) -> Mask:
    """Return how much of each pixel of an aligned face, uint8 [S, S, 3], is the person.

    It is what the segmentation finds, and in any case the oval of the face.
    """
    return np.maximum(person_mask(face), face_oval(len(face)))


def face_oval(side: int) -> Mask:
    """Return the oval that a face fills in an aligned square, with a soft rim: [side, side] in [0, 1]."""
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y, width, height = _OVAL
    away = ((centres[None, :] - x) / width) ** 2 + ((centres[:, None] - y) / height) ** 2
    return np.asarray(np.clip((1.2 - away) / 0.4, 0, 1), dtype=np.float32)


def person_or_oval(face: Pixels) -> Mask:
    """Return how much of each pixel of an aligned face is the person; the oval of the face where nobody is found."""
    mask = person_mask(face)
    return mask if mask.mean() >= LEAST_PERSON else face_oval(len(face))


def cut_out(face: Pixels) -> Pixels:
    """Put the person of an aligned face, uint8 [S, S, 3], on white, to be trained on.

    Raises:
        NoFaceFound: The segmentation finds nobody. All white pictures turn gradients into no numbers.
    """
    mask = person_mask(face)
    if mask.mean() < LEAST_PERSON:
        raise NoFaceFound(
            "No person stands out from the background.", "Put it on white yourself, into the folder of the others."
        )
    return composite(face, mask)


def composite(picture: Pixels, mask: Mask, colour: tuple[int, int, int] = WHITE) -> Pixels:
    """Lay the masked part of a picture over a colour; a mask of another size is resized."""
    height, width = picture.shape[:2]
    share = _resized(mask, width, height)[..., None]
    mixed: Pixels = np.rint(picture * share + np.array(colour, dtype=np.float32) * (1 - share)).astype(np.uint8)
    return mixed


def _resized(mask: Mask, width: int, height: int) -> Mask:
    if mask.shape == (height, width):
        return mask
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR))
