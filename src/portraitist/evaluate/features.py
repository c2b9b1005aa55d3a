"""One row of numbers per picture: what a feature network sees, pooled over places.

features = DiscriminatorFeatures(base.discriminator)
held_out = embed(features, exemplars)       # [N, F]
score = kernel_distance(embed(features, samples), held_out)
print(f"{metric_name('kernel distance', features)}: {score:.4f}")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor

from ..errors import NonFinite
from ..losses.perceptual import unit_channels
from ..networks.classifiers import Describes
from ..networks.features import Features
from ..ops import at_once

STANDARD = {"Fréchet distance": "FID", "kernel distance": "KID"}
"""What the measures are called on the very network that they were published with."""


def metric_name(measure: str, features: Features) -> str:
    """Return what to call a measure, with the network and the beginning of its digest: numbers of two never compare.

    Only on Inception-v3 with the published weights is a Fréchet distance an FID and a kernel distance a KID.
    """
    name = STANDARD.get(measure, measure) if getattr(features, "standard", False) else measure
    return f"{name} ({features.name} sha256:{features.digest[:8]})"


def embed(features: Features, images: Tensor | Iterable[Tensor], batch: int = 32) -> Tensor:
    """Return the row of numbers by which a network describes each picture: [N, F].

    Networks that have a customary row (Inception-v3 and MobileNetV2: the mean of the last map) give that; of others it
    is :func:`pooled_features`, whose arguments and errors these are.
    """
    return _gathered(features.describe if isinstance(features, Describes) else partial(_rows, features), images, batch)


def pooled_features(features: Features, images: Tensor | Iterable[Tensor], batch: int = 32) -> Tensor:
    """Return the mean and the standard deviation over places of every channel, tap after tap: [N, F].

    The vector of channels at each place is first scaled to length sqrt(C). A row then has the squared length F / 2
    whatever the network and the picture, so that no channel and no tap drowns the others, and the cubic kernel of
    :func:`kernel_distance` stays between 1/8 and 27/8.

    Args:
        features: The network that looks; the discriminator of the base needs no download.
        images: Images [N, 3, H, W] in about [-1, 1] on the device of the network, or batches of such.
        batch: How many images of up to 64 pixels the network sees at once; of larger ones fewer.

    Returns:
        float32 on the CPU, without gradients; F is twice the number of channels of all taps.

    Raises:
        NonFinite: A picture, or what the network makes of it, holds NaN or infinity.
    """
    return _gathered(partial(_rows, features), images, batch)


@torch.no_grad()
def _gathered(look: Callable[[Tensor], Tensor], images: Tensor | Iterable[Tensor], batch: int) -> Tensor:
    batches = [images] if isinstance(images, Tensor) else images
    parts = (part for whole in batches for part in torch.split(whole, at_once(batch, whole.shape[-1])))
    rows = torch.cat([look(part).cpu() for part in parts])
    if not rows.isfinite().all():
        first = int((~rows.isfinite().all(1)).nonzero()[0, 0])
        raise NonFinite(f"The features of image {first} are not finite numbers.", "Score an earlier snapshot.")
    return rows


def _rows(features: Features, images: Tensor) -> Tensor:
    columns = []
    for tap in features.taps(images):
        x = unit_channels(tap.float()).flatten(2) * tap.shape[1] ** 0.5  # [N, C, places]
        columns += [x.mean(2), x.std(2, unbiased=False)]
    return torch.cat(columns, 1)
