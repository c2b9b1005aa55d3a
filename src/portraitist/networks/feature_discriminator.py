"""A second discriminator: patches of what a frozen feature network sees, and of the finest detail.

Sauer, Chitta, Müller and Geiger 2021, "Projected GANs Converge Faster", arXiv:2111.01007: small discriminators over
several depths of a network trained on ImageNet. Here they stand beside the ordinary discriminator, not in its place,
and with one more for what a blur takes away: a generator that follows the gradients of features alone draws dots.

    second = FeatureDiscriminator.fitted(features, images, seed=0)
    scores = second(second.seen(features, images, small))        # one [N, patches] per depth, then that of detail
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .features import Features, TrunkFeatures

DEPTHS = 4
WIDTH = 64
DETAIL_WIDTH = 32
CONTRAST = 8.0
"""What the detail is multiplied by, as it is faint."""
SLOPE = 0.2


class FeatureDiscriminator(nn.Module):
    """One small network per depth, and one for detail; the features that it looks at are not part of it."""

    scale: Tensor

    def __init__(self, depths: Sequence[int], widths: Sequence[int]) -> None:
        """Make networks for feature maps.

        Args:
            depths: Numbers of the taps that are looked at.
            widths: Channels of each.
        """
        super().__init__()
        self.depths = tuple(depths)
        self.register_buffer("scale", torch.ones(len(self.depths)))  # root mean square of each map
        self.heads = nn.ModuleList(_head(width) for width in widths)
        self.detail = _detail_head()

    @classmethod
    def fitted(cls, features: Features, images: Tensor, seed: int) -> FeatureDiscriminator:
        """Make new networks for the maps that ``features`` give of ``images`` [N, 3, r, r] in [-1, 1]."""
        with torch.no_grad():
            maps = features.taps(images)
        depths = spread(len(maps), DEPTHS)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = cls(depths, [maps[k].shape[1] for k in depths]).to(images.device)
        made.scale.copy_(torch.stack([maps[k].float().square().mean().sqrt() for k in depths]))
        return made

    def seen(self, features: Features, images: Tensor, small: Tensor) -> list[Tensor]:
        """Return the maps [N, C, h, w] that are scored.

        Args:
            features: A feature network.
            images: Images [N, 3, R, R], whose detail is scored.
            small: What the feature network sees of them, [N, 3, r, r].
        """
        detail = CONTRAST * (images[..., 1:-1, 1:-1] - blurred(images))
        small, detail = (x.contiguous(memory_format=torch.channels_last) for x in (small, detail))  # faster on CPUs
        maps = features.taps(small)
        return [*(maps[k] for k in self.depths), detail]

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return scores [N, patches] of every depth, then of detail; higher is more real."""
        *deep, detail = maps
        pairs = zip(deep, self.scale, self.heads, strict=True)
        found = [head(x / scale) for x, scale, head in pairs]
        return [score.flatten(1).float() for score in (*found, self.detail(detail))]


def blurred(images: Tensor) -> Tensor:
    """Blur images [N, C, H, W] by [1 2 1] / 4 both ways; the result [N, C, H - 2, W - 2] lacks their rim."""
    return F.avg_pool2d(F.avg_pool2d(images, 2, stride=1), 2, stride=1)


def spread(taps: int, wanted: int) -> tuple[int, ...]:
    """Choose ``wanted`` of ``taps`` taps: the last and, where others are enough, not the first."""
    if taps <= wanted:
        return tuple(range(taps))
    return tuple(sorted({round(1 + k * (taps - 2) / (wanted - 1)) for k in range(wanted)}))


def with_mean_pooling(features: Features) -> Features:
    """Return a trunk that takes means where it took maxima; other features are returned as they are.

    Its gradients are smoother (Gatys, Ecker and Bethge 2016, "Image Style Transfer Using Convolutional Neural
    Networks", Sec. 2).
    """
    if not isinstance(features, TrunkFeatures):
        return features
    smooth = copy.deepcopy(features)
    for k, layer in enumerate(smooth.features):
        if isinstance(layer, nn.MaxPool2d):
            smooth.features[k] = nn.AvgPool2d(
                layer.kernel_size, layer.stride, ceil_mode=layer.ceil_mode, count_include_pad=False
            )
    return smooth


def patch_loss(scores: Sequence[Tensor], sign: float) -> Tensor:
    """Return the mean of softplus(sign * s) over patches, then heads: the logistic loss of StyleGAN2 for patches."""
    return torch.stack([F.softplus(sign * s).mean() for s in scores]).mean()


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, WIDTH, 1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(WIDTH, WIDTH // 2, 3, stride=2, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(WIDTH // 2, 1, 1),
    )


def _detail_head() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, DETAIL_WIDTH, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(DETAIL_WIDTH, DETAIL_WIDTH, 3, stride=2, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(DETAIL_WIDTH, DETAIL_WIDTH, 3, stride=2, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(DETAIL_WIDTH, 1, 1),
    )
