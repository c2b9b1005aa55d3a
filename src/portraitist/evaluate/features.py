"""One row of numbers per picture: what a feature network sees, pooled over places.

features = DiscriminatorFeatures(base.discriminator)
held_out = pooled(features, exemplars)          # [N, F]
score = kernel_distance(pooled(features, samples), held_out)
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..errors import NonFinite
from ..losses.perceptual import unit_channels
from ..networks.features import Features


@torch.no_grad()
def pooled(features: Features, images: Tensor | Iterable[Tensor], batch: int = 32) -> Tensor:
    """Return the mean and the standard deviation over places of every channel, tap after tap: [N, F].

    The vector of channels at each place is first scaled to length sqrt(C). A row then has the squared length F / 2
    whatever the network and the picture, so that no channel and no tap drowns the others, and the cubic kernel of
    :func:`kernel_distance` stays between 1/8 and 27/8.

    Args:
        features: The network that looks; the discriminator of the base needs no download.
        images: Images [N, 3, H, W] in about [-1, 1] on the device of the network, or batches of such.
        batch: How many images the network sees at once.

    Returns:
        float32 on the CPU, without gradients; F is twice the number of channels of all taps.

    Raises:
        NonFinite: A picture, or what the network makes of it, holds NaN or infinity.
    """
    batches = [images] if isinstance(images, Tensor) else images
    rows = torch.cat([_rows(features, part) for whole in batches for part in torch.split(whole, batch)])
    if not rows.isfinite().all():
        first = int((~rows.isfinite().all(1)).nonzero()[0, 0])
        raise NonFinite(f"The features of image {first} are not finite numbers.", "Score an earlier snapshot.")
    return rows


def _rows(features: Features, images: Tensor) -> Tensor:
    columns = []
    for tap in features.taps(images):
        x = unit_channels(tap.float()).flatten(2) * tap.shape[1] ** 0.5  # [N, C, places]
        columns += [x.mean(2), x.std(2, unbiased=False)]
    return torch.cat(columns, 1).cpu()
