"""Classifiers of ImageNet whose last map, averaged over places, describes a picture: Inception-v3 and MobileNetV2.

The first is what the FID is defined on (Heusel et al. 2017, arXiv:1706.08500). Both are built from tensors that the
user supplies, without torchvision.

    features = InceptionFeatures(tensors)
    rows = features.describe(images)        # [N, 2048]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .digest import tensors_digest
from .features import IMAGENET_DEVIATION, IMAGENET_MEAN, Features, check_fit, resized


@runtime_checkable
class Describes(Features, Protocol):
    """A feature network with a customary row of numbers for a whole picture."""

    def describe(self, images: Tensor) -> Tensor:
        """Return rows [N, F] of images [N, 3, H, W] in [-1, 1]."""


class InceptionFeatures(nn.Module):
    """Inception-v3 (Szegedy et al. 2016, arXiv:1512.00567, Table 1) with the pooling that the FID's weights expect.

    Those weights were made in 2015 for a graph whose average pooling leaves the rim out of the count and whose last
    block pools by the maximum; torchvision's own network of this name does neither. Pictures are resized to 299 pixels
    by an antialiased cubic (Parmar et al. 2022, arXiv:2104.11222).
    """

    name = "Inception-v3"
    side = 299

    def __init__(self, tensors: Mapping[str, Tensor], *, standard: bool = False) -> None:
        """Build the network.

        Args:
            tensors: Weights under torchvision's names (``Conv2d_1a_3x3.conv.weight``, ...); those of classifiers are
                left out.
            standard: Whether they are known to be the ones that the FID is defined with; numbers may then carry the
                names FID and KID.

        Raises:
            BadModel: A tensor is missing, extra or of another shape.
        """
        super().__init__()
        with torch.device("meta"):
            self.network = Inception()
        heads = ("fc.", "AuxLogits.")
        mine = {
            k: v.detach().float()
            for k, v in tensors.items()
            if not k.startswith(heads) and not k.endswith("num_batches_tracked")
        }
        check_fit(self.name, mine, self.network.state_dict())
        self.network.load_state_dict(mine, assign=True)
        self.eval().requires_grad_(False)
        self.digest = tensors_digest(mine)
        self.standard = standard

    def taps(self, images: Tensor) -> list[Tensor]:
        """Return the last map, [N, 2048, 8, 8]."""
        if images.shape[2:] != (self.side, self.side):
            images = F.interpolate(images, (self.side, self.side), mode="bicubic", antialias=True, align_corners=False)
        return [self.network(images)]

    def describe(self, images: Tensor) -> Tensor:
        """Return its mean over places, [N, 2048]."""
        return self.taps(images)[0].mean((2, 3))


class MobileNetFeatures(nn.Module):
    """MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381, Table 2), batch norm folded into 52 convolutions."""

    name = "MobileNetV2"
    side = 128
    stages = ((2, 24, 2), (3, 32, 2), (4, 64, 2), (3, 96, 1), (3, 160, 2), (1, 320, 1))
    """Units, channels and stride of each stage after the first unit."""
    shift: Tensor
    factor: Tensor

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Build the network.

        Args:
            tensors: ``NN.weight`` and ``NN.bias`` for convolutions 00 to 51, in the order in which they run.

        Raises:
            BadModel: A tensor is missing, extra or of another shape.
        """
        super().__init__()
        with torch.device("meta"):
            self.convs = nn.ModuleDict({f"{k:02}": conv for k, conv in enumerate(self._layers())})
        mine = {k: v.detach().float() for k, v in tensors.items()}
        check_fit(self.name, mine, self.convs.state_dict())
        self.convs.load_state_dict(mine, assign=True)
        self.eval().requires_grad_(False)
        self.digest = tensors_digest(mine)
        mean, deviation = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        self.register_buffer("factor", 0.5 / deviation, persistent=False)
        self.register_buffer("shift", (0.5 - mean) / deviation, persistent=False)

    def taps(self, images: Tensor) -> list[Tensor]:
        """Return the last map, [N, 1280, 4, 4], of images resized to 128 pixels."""
        x = F.relu6(self._conv(0, resized(images, self.side) * self.factor + self.shift))
        x = self._conv(2, F.relu6(self._conv(1, x)))
        number = 3
        for count, _, _ in self.stages:
            for unit in range(count):
                y = F.relu6(self._conv(number + 1, F.relu6(self._conv(number, x))))
                y = self._conv(number + 2, y)
                x, number = x + y if unit else y, number + 3
        return [F.relu6(self._conv(number, x))]

    def describe(self, images: Tensor) -> Tensor:
        """Return its mean over places, [N, 1280]."""
        return self.taps(images)[0].mean((2, 3))

    def _conv(self, number: int, x: Tensor) -> Tensor:
        y: Tensor = self.convs[f"{number:02}"](x)
        return y

    @classmethod
    def _layers(cls) -> list[nn.Conv2d]:
        """Return the convolutions: a unit widens by 6, looks at each channel by itself, and narrows."""
        layers = [nn.Conv2d(3, 32, 3, 2, 1), nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.Conv2d(32, 16, 1)]
        inputs = 16
        for count, outputs, stride in cls.stages:
            for unit in range(count):
                wide = 6 * inputs
                layers += [
                    nn.Conv2d(inputs, wide, 1),
                    nn.Conv2d(wide, wide, 3, 1 if unit else stride, 1, groups=wide),
                    nn.Conv2d(wide, outputs, 1),
                ]
                inputs = outputs
        return [*layers, nn.Conv2d(inputs, 1280, 1)]


class Inception(nn.Module):
    """The trunk of Inception-v3: pictures [N, 3, 299, 299] in [-1, 1] to maps [N, 2048, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Normed(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Normed(32, 32, 3)
        self.Conv2d_2b_3x3 = Normed(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Normed(64, 80, 1)
        self.Conv2d_4a_3x3 = Normed(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = Fine(192, 32), Fine(256, 64), Fine(288, 64)
        self.Mixed_6a = FineToMiddle(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (Middle(w) for w in (128, 160, 160, 192))
        self.Mixed_7a = MiddleToCoarse(768)
        self.Mixed_7b, self.Mixed_7c = Coarse(1280), Coarse(2048, by_maximum=True)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        y: Tensor = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return y


class Normed(nn.Module):
    """A convolution without bias, batch norm, a rectifier."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.bn = Statistics(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Apply them."""
        return F.relu(self.bn(self.conv(x)))


class Statistics(nn.Module):
    """Batch norm by what it learned, never by the batch."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [N, C, h, w]."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=0.001)


def wide(inputs: int, outputs: int, side: int = 7) -> Normed:
    """Return a convolution over a row of pixels."""
    return Normed(inputs, outputs, (1, side), padding=(0, side // 2))


def tall(inputs: int, outputs: int, side: int = 7) -> Normed:
    """Return a convolution over a column of pixels."""
    return Normed(inputs, outputs, (side, 1), padding=(side // 2, 0))


class Fine(nn.Module):
    """A block of 35 pixels (Szegedy et al., Fig. 5): 224 channels and those of the pool."""

    def __init__(self, inputs: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Normed(inputs, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = Normed(inputs, 48, 1), Normed(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Normed(inputs, 64, 1)
        self.branch3x3dbl_2, self.branch3x3dbl_3 = Normed(64, 96, 3, padding=1), Normed(96, 96, 3, padding=1)
        self.branch_pool = Normed(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run all branches side by side."""
        middle = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), middle, double, self.branch_pool(averaged(x))], 1)


class FineToMiddle(nn.Module):
    """The step from 35 to 17 pixels: 480 channels beside those that come in."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = Normed(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Normed(inputs, 64, 1), Normed(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Normed(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Run all branches side by side."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class Middle(nn.Module):
    """A block of 17 pixels (Fig. 6): 768 channels in and out."""

    def __init__(self, narrow: int, channels: int = 768) -> None:
        super().__init__()
        self.branch1x1 = Normed(channels, 192, 1)
        self.branch7x7_1 = Normed(channels, narrow, 1)
        self.branch7x7_2, self.branch7x7_3 = wide(narrow, narrow), tall(narrow, 192)
        self.branch7x7dbl_1 = Normed(channels, narrow, 1)
        self.branch7x7dbl_2, self.branch7x7dbl_3 = tall(narrow, narrow), wide(narrow, narrow)
        self.branch7x7dbl_4, self.branch7x7dbl_5 = tall(narrow, narrow), wide(narrow, 192)
        self.branch_pool = Normed(channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run all branches side by side."""
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(averaged(x))], 1)


class MiddleToCoarse(nn.Module):
    """The step from 17 to 8 pixels: 512 channels beside those that come in."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Normed(inputs, 192, 1), Normed(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Normed(inputs, 192, 1)
        self.branch7x7x3_2, self.branch7x7x3_3 = wide(192, 192), tall(192, 192)
        self.branch7x7x3_4 = Normed(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Run all branches side by side."""
        crossed = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        first = self.branch3x3_2(self.branch3x3_1(x))
        return torch.cat([first, self.branch7x7x3_4(crossed), F.max_pool2d(x, 3, 2)], 1)


class Coarse(nn.Module):
    """A block of 8 pixels (Fig. 7): 2048 channels."""

    def __init__(self, inputs: int, *, by_maximum: bool = False) -> None:
        super().__init__()
        self.by_maximum = by_maximum
        self.branch1x1 = Normed(inputs, 320, 1)
        self.branch3x3_1 = Normed(inputs, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = wide(384, 384, 3), tall(384, 384, 3)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Normed(inputs, 448, 1), Normed(448, 384, 3, padding=1)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = wide(384, 384, 3), tall(384, 384, 3)
        self.branch_pool = Normed(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run all branches side by side."""
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self.by_maximum else averaged(x)
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(single),
                self.branch3x3_2b(single),
                self.branch3x3dbl_3a(double),
                self.branch3x3dbl_3b(double),
                self.branch_pool(pooled),
            ],
            1,
        )


def averaged(x: Tensor) -> Tensor:
    """Average 3 x 3 places, at the rim those that exist."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
