"""How much drawn images differ from one another, beside real ones: what a generator loses that collapses."""

from __future__ import annotations

from torch import Tensor

from ..train.loop import Batches
from ..train.state import TrainState, path_of

CODES = 16
"""Fixed codes that each path draws."""


def variety(state: TrainState, codes: Tensor, batches: Batches, paths: int) -> dict[str, float]:
    """Return the deviation of pixels over drawn images, the least of all paths, and over the first batch of real ones.

    Args:
        state: Whose averaged generator draws.
        codes: Latents [N, z_dim].
        batches: Real images; the batch has an equal part for each path.
        paths: Of the generator.

    Returns:
        ``variety`` and ``variety_real``, in the range of the images; nothing where a part is a single image.
    """
    parts = batches.at(0).chunk(paths)
    if min(len(codes), *map(len, parts)) < 2:
        return {}
    drawn = [path_of(state.average, k).sample_batches(codes[:CODES].to(state.device)) for k in range(paths)]
    return {
        "variety": min(_deviation(images) for images in drawn),
        "variety_real": min(_deviation(images) for images in parts),
    }


def _deviation(images: Tensor) -> float:
    return float(images.float().std(0).mean())
