"""Feature networks behind one protocol: images in, a list of feature maps out.

The default is the base's own discriminator, which needs no download. VGG16, AlexNet and SqueezeNet 1.1 are built from
tensors under torchvision's names, without torchvision; they tap the layers that LPIPS taps (Zhang et al. 2018,
arXiv:1801.03924, Sec. 3).

    features = DiscriminatorFeatures(model.discriminator)
    maps = features.taps(images)        # [N, C, h, w], from fine to coarse
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import BadModel
from .digest import tensors_digest
from .discriminator import Discriminator

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Features(Protocol):
    """What every user of features asks for."""

    @property
    def name(self) -> str:
        """The network in a word; named beside every number that was measured with it."""

    @property
    def digest(self) -> str:
        """SHA-256 of the weights: two numbers can be compared when their digests are equal."""

    def taps(self, images: Tensor) -> list[Tensor]:
        """Return maps [N, C, h, w] of images [N, 3, H, W] in [-1, 1], from fine to coarse."""


class DiscriminatorFeatures(nn.Module):
    """The maps a discriminator sees after ``from_rgb`` and after each block."""

    name = "discriminator"

    def __init__(self, discriminator: Discriminator) -> None:
        """Take a frozen copy, so that later training changes neither the features nor their digest."""
        super().__init__()
        self.network = copy.deepcopy(discriminator).eval().requires_grad_(False)
        self.digest = tensors_digest(self.network.state_dict())

    def taps(self, images: Tensor) -> list[Tensor]:
        """Return maps [N, C, r, r] for r = R, R / 2, ..., 4; images of another size are resized to R."""
        side = self.network.anatomy.resolution
        return self.network.features(resized(images, side))


class DeepestTaps:
    """The last taps of other features: what is at large, and not how it is drawn."""

    def __init__(self, features: Features, count: int) -> None:
        self.features, self.count = features, count
        self.name, self.digest = f"{features.name}, deepest {count}", features.digest

    def taps(self, images: Tensor) -> list[Tensor]:
        """Return the ``count`` coarsest maps; all where there are fewer."""
        return self.features.taps(images)[-self.count :]


class TrunkFeatures(nn.Module):
    """The convolutional trunk of a classifier of ImageNet; subclasses name the layers and where they are tapped."""

    name: str
    after: tuple[int, ...]
    """Numbers of the layers whose outputs are the taps."""
    smallest: int
    """Least side of an image, in pixels."""
    shift: Tensor
    factor: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], *, largest: int | None = None) -> None:
        """Build the trunk.

        Args:
            tensors: Weights under torchvision's names (``features.0.weight``, ...); a classifier's are left out.
            largest: Images with a longer side are resized to it first, as the StyleGAN2 projector does with 256.

        Raises:
            BadModel: A tensor is missing, extra or of another shape.
        """
        super().__init__()
        with torch.device("meta"):
            self.features = self.layers()
        mine = {k: v.detach().float() for k, v in tensors.items() if not k.startswith("classifier.")}
        check_fit(self.name, mine, self.state_dict())
        self.load_state_dict(mine, assign=True)
        self.eval().requires_grad_(False)
        self.digest = tensors_digest(self.state_dict())
        self.largest = largest
        mean, deviation = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        self.register_buffer("factor", 0.5 / deviation, persistent=False)
        self.register_buffer("shift", (0.5 - mean) / deviation, persistent=False)

    @staticmethod
    def layers() -> nn.Sequential:
        """Return the layers up to the last tap, numbered as torchvision numbers them."""
        raise NotImplementedError

    def taps(self, images: Tensor) -> list[Tensor]:
        """Return the maps after the rectifiers that LPIPS taps."""
        if min(images.shape[2:]) < self.smallest:
            raise BadModel(f"{self.name} needs images of at least {self.smallest} pixels, not {min(images.shape[2:])}.")
        if self.largest is not None and max(images.shape[2:]) > self.largest:
            images = resized(images, self.largest)
        x, seen = images * self.factor + self.shift, []
        for k, layer in enumerate(self.features):
            x = layer(x)
            if k in self.after:
                seen.append(x)
        return seen


class VGG16Features(TrunkFeatures):
    """VGG16 (Simonyan and Zisserman 2015, arXiv:1409.1556), tapped after relu1_2, 2_2, 3_3, 4_3 and 5_3."""

    name = "VGG16"
    after = (3, 8, 15, 22, 29)
    smallest = 16

    @staticmethod
    def layers() -> nn.Sequential:
        """Return 13 convolutions in five stages."""
        layers: list[nn.Module] = []
        inputs = 3
        for stage, (count, outputs) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))):
            layers += [nn.MaxPool2d(2)] if stage else []
            for _ in range(count):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
        return nn.Sequential(*layers)


class AlexNetFeatures(TrunkFeatures):
    """AlexNet (Krizhevsky 2014, arXiv:1404.5997), tapped after each rectifier."""

    name = "AlexNet"
    after = (1, 4, 7, 9, 11)
    smallest = 31

    @staticmethod
    def layers() -> nn.Sequential:
        """Return the five convolutions."""
        return nn.Sequential(
            *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
        )


class SqueezeNetFeatures(TrunkFeatures):
    """SqueezeNet 1.1 (Iandola et al. 2016, arXiv:1602.07360), tapped as LPIPS does, seven times."""

    name = "SqueezeNet"
    after = (1, 4, 7, 9, 10, 11, 12)
    smallest = 17

    @staticmethod
    def layers() -> nn.Sequential:
        """Return a convolution and eight fire modules."""
        return nn.Sequential(
            *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU()),
            *(nn.MaxPool2d(3, 2, ceil_mode=True), Fire(64, 16, 64), Fire(128, 16, 64)),
            *(nn.MaxPool2d(3, 2, ceil_mode=True), Fire(128, 32, 128), Fire(256, 32, 128)),
            *(nn.MaxPool2d(3, 2, ceil_mode=True), Fire(256, 48, 192), Fire(384, 48, 192)),
            *(Fire(384, 64, 256), Fire(512, 64, 256)),
        )


class Fire(nn.Module):
    """A 1x1 convolution that narrows, then a 1x1 and a 3x3 side by side."""

    def __init__(self, inputs: int, narrow: int, outputs: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, narrow, 1)
        self.expand1x1 = nn.Conv2d(narrow, outputs, 1)
        self.expand3x3 = nn.Conv2d(narrow, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, inputs, h, w] into [N, 2 outputs, h, w]."""
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


def resized(images: Tensor, side: int) -> Tensor:
    """Resize images [N, C, H, W] to ``side`` pixels with antialiasing; those of that size are returned as they are."""
    if images.shape[2:] == (side, side):
        return images
    # In full precision: there is no such kernel of bfloat16 on processors.
    full = images.to(torch.promote_types(images.dtype, torch.float32))
    return F.interpolate(full, (side, side), mode="bilinear", antialias=True, align_corners=False).to(images.dtype)


def check_fit(name: str, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not exactly those of a network.

    Raises:
        BadModel: One is missing, extra or of another shape.
    """
    if missing := sorted(set(wanted) - set(given)):
        raise BadModel(
            f"These weights lack {len(missing)} tensors of {name}: {missing[:3]}.",
            "Give torchvision's own weights of this network.",
        )
    if extra := sorted(set(given) - set(wanted)):
        raise BadModel(
            f"These weights hold tensors that {name} does not know: {extra[:3]}.",
            "Give torchvision's own weights of this network.",
        )
    wrong = [
        f"{k} {tuple(v.shape)}, not {tuple(wanted[k].shape)}" for k, v in given.items() if v.shape != wanted[k].shape
    ]
    if wrong:
        raise BadModel(
            f"These weights are not of {name}: {wrong[:3]}.", "Give torchvision's own weights of this network."
        )
