"""Three pictures of a photo that know no style: what no table of drawings goes without.

shown = baselines(photos, base_side=64)
shown["nothing"], shown["smoothed"], shown["base's size"]       # uint8 [N, 256, 256, 3] each
"""

from __future__ import annotations

import numpy as np
import torch

from ..data.images import resize
from ..detail.filters import smooth
from ..errors import UsageError
from .picture_signals import SIDE, Batch, check_batch

NOTHING, SMOOTHED, BASE_SIZE = "nothing", "smoothed", "base's size"
"""Names of the baselines."""
PASSES = 3
RADIUS = 4
"""Of the filter's disc, pixels."""
COLOUR_DEVIATION = 22.0
"""Difference of colours, summed over the channels in grey levels, at which a neighbour counts exp(-1/2) as much."""
SPACE_DEVIATION = 6.0
"""The same of distances, pixels."""


def baselines(photos: Batch, base_side: int) -> dict[str, Batch]:
    """Return what no style was needed for, by name.

    *Nothing* is the photo itself, *smoothed* the photo without fine texture (:func:`smoothed`), *base's size* the photo
    averaged over areas to the side of the base's pictures and enlarged again as drawings are, by Lanczos: what the base
    could hold of it at best.

    Args:
        photos: ``uint8 [N, 256, 256, 3]``.
        base_side: Side of the base's pictures in pixels, 4 or more.

    Raises:
        BadData: The photos have another layout.
        UsageError: The side is too small.
    """
    check_batch(photos, "photos")
    if base_side < 4:
        raise UsageError(f"No base draws pictures of {base_side} pixels.", "Give its resolution, at least 4.")
    # Larger bases hold all of a photo that is measured at 256 pixels.
    side = min(base_side, SIDE)
    small = np.stack([resize(resize(photo, side, method="area"), SIDE) for photo in photos])
    return {NOTHING: photos, SMOOTHED: smoothed(photos), BASE_SIZE: small}


def smoothed(photos: Batch, passes: int = PASSES) -> Batch:
    """Smooth photos but not their edges, as a painter's flat areas are: a bilateral filter, repeated.

    Tomasi and Manduchi 1998, "Bilateral filtering for gray and color images", on a disc of radius 4; distances of
    colours are summed over the channels, as OpenCV's ``bilateralFilter`` does.

    Args:
        photos: ``uint8 [N, H, W, 3]``, sides above 4 pixels.
        passes: How often; each pass is rounded to whole levels.
    """
    return np.stack([_smoothed(photo, passes) for photo in photos])


def _smoothed(photo: Batch, passes: int) -> Batch:
    planes = torch.from_numpy(np.ascontiguousarray(photo)).movedim(-1, 0)[None].float()
    for _ in range(passes):
        planes = smooth(planes, colour=COLOUR_DEVIATION, space=SPACE_DEVIATION, reach=RADIUS).round_()
    return planes[0].to(torch.uint8).movedim(0, -1).contiguous().numpy()
