"""Who is in a picture: embedders of faces behind one protocol, images in, unit vectors out.

The default, the base's own discriminator, needs no download and is weak. IR-SE50 (Deng et al. 2019, arXiv:1801.07698)
and MobileFaceNet (Chen et al. 2018, arXiv:1804.07573) are built from tensors that the user supplies. All take faces
aligned as FFHQ's are and cut out of them the part that they were trained on.

    identity = MobileFaceNetIdentity(tensors)
    vectors = identity.embed(photos)        # [N, d], each of length 1
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import BadModel
from ..spaces import Z
from .digest import tensors_digest
from .discriminator import Discriminator
from .features import IMAGENET_DEVIATION, IMAGENET_MEAN, resized
from .generator import Generator
from .irse import BatchNorm, stem, units

COUNTER = "num_batches_tracked"
"""Last part of names that torch's batch norm stores and nothing needs."""
WINDOW = 112
"""Side of the pictures that face embedders see."""
REFERENCES = 64
"""Faces that a base draws to tell what all of its faces share."""


class Identity(Protocol):
    """What every user of identities asks for."""

    @property
    def name(self) -> str:
        """The network in a word; named beside every number that was measured with it."""

    @property
    def digest(self) -> str:
        """SHA-256 of the weights: two numbers can be compared when their digests are equal."""

    def embed(self, images: Tensor) -> Tensor:
        """Return unit vectors [N, d] of faces [N, 3, H, W] in [-1, 1], aligned as FFHQ's are; differentiable."""


@dataclass(frozen=True)
class Crop:
    """A square of a square picture of ``side`` pixels, all in pixels of that picture."""

    side: int
    top: int
    left: int
    size: int

    def cut(self, images: Tensor) -> Tensor:
        """Resize images to ``side`` and cut the square out: [N, C, size, size]."""
        return resized(images, self.side)[:, :, self.top : self.top + self.size, self.left : self.left + self.size]


PSP_CROP = Crop(side=256, top=35, left=32, size=188)
"""What pSp's identity loss cuts out of FFHQ faces for IR-SE50 (Richardson et al. 2021, arXiv:2008.00951)."""

# In FFHQ crops, as parts of the side: both eyes, and the middle of the mouth.
_FFHQ_POINTS = ((0.376, 0.476), (0.625, 0.476), (0.500, 0.730))
# The same points of the template of 112 pixels that ArcFace aligns faces to.
_ARCFACE_POINTS = ((38.2946, 51.6963), (73.5318, 51.5014), (56.1396, 92.2848))


def template_crop() -> Crop:
    """Return the square of FFHQ faces that lies closest, in least squares, to ArcFace's template of 112 pixels."""
    here, there = torch.tensor(_FFHQ_POINTS), torch.tensor(_ARCFACE_POINTS)
    a, b = here - here.mean(0), there - there.mean(0)
    scale = float((a * b).sum() / (a * a).sum())
    left, top = (here.mean(0) * scale - there.mean(0)).round().int().tolist()
    return Crop(side=round(scale), top=top, left=left, size=WINDOW)


class DiscriminatorIdentity(nn.Module):
    """The deepest maps of a discriminator over the face: no download, but no judge of persons either.

    It was never taught who is who. It tells pictures of one session apart by whatever stays the same in them, light and
    skin tone too; name it beside every number, and prefer an embedder of faces where one is at hand.
    """

    name = "discriminator identity"
    centre: Tensor

    def __init__(self, discriminator: Discriminator, reference: Tensor | None = None) -> None:
        """Take a frozen copy.

        Args:
            discriminator: That of the base.
            reference: Faces [N, 3, H, W], such as the base draws, whose mean is subtracted: what all faces share then
                makes no two of them alike. Nothing is subtracted when None.
        """
        super().__init__()
        self.network = copy.deepcopy(discriminator).eval().requires_grad_(False)
        self.register_buffer("centre", torch.zeros(()))
        if reference is not None:
            with torch.no_grad():
                self.centre = self._seen(reference).mean(0)
        self.digest = tensors_digest(self.state_dict())

    @classmethod
    def of_base(cls, generator: Generator, discriminator: Discriminator) -> Self:
        """Take a base's discriminator, with faces that the base draws as reference; both on one device."""
        z = Z.sample(REFERENCES, generator.anatomy.z_dim, torch.Generator().manual_seed(0)).data
        with torch.no_grad():
            faces = torch.cat([generator(part) for part in torch.split(z.to(generator.w_mean.device), 8)])
        return cls(discriminator.to(faces.device), faces)

    def embed(self, images: Tensor) -> Tensor:
        """Embed the maps of 8 and 4 pixels, averaged over quarters of the face."""
        return F.normalize(self._seen(images) - self.centre)

    def _seen(self, images: Tensor) -> Tensor:
        maps = self.network.features(resized(images, self.network.anatomy.resolution))[-2:]
        return torch.cat([F.normalize(F.adaptive_avg_pool2d(_face(x), 2).flatten(1)) for x in maps], 1)


class IRSE50Identity(nn.Module):
    """The IR-SE50 of ArcFace under the names of ``model_ir_se50.pth``: 512 numbers."""

    name = "IR-SE50"

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Build it; errors as in :func:`fit_network`."""
        super().__init__()
        with torch.device("meta"):
            self.input_layer = stem(64)
            self.body = units((64, 64, 128, 256, 512), (3, 4, 14, 3))
            self.output_layer = nn.ModuleDict(
                {"0": BatchNorm(512), "3": nn.Linear(512 * 7 * 7, 512), "4": BatchNorm(512)}
            )
        self.digest = fit_network(self, tensors, self.name)

    def embed(self, images: Tensor) -> Tensor:
        """Embed pSp's crop, averaged over areas to 112 pixels."""
        x = F.adaptive_avg_pool2d(PSP_CROP.cut(images), WINDOW)
        x = self.output_layer["0"](self.body(self.input_layer(x)))
        return F.normalize(self.output_layer["4"](self.output_layer["3"](x.flatten(1))))


class MobileFaceNetIdentity(nn.Module):
    """MobileFaceNet in the layout of TreB1eN's, that of photo2cartoon's ``model_mobilefacenet.pth``: 512 numbers."""

    name = "MobileFaceNet"

    def __init__(self, tensors: Mapping[str, Tensor], crop: Crop | None = None) -> None:
        """Build it; errors as in :func:`fit_network`.

        Args:
            tensors: Weights.
            crop: What it sees; :func:`template_crop` when None.
        """
        super().__init__()
        length = int(tensors["linear.weight"].shape[0]) if "linear.weight" in tensors else 512
        with torch.device("meta"):
            self.conv1 = _named(64, 3, 3, 2)
            self.conv2_dw = _named(64, 64, 3, groups=64)
            self.conv_23 = NamedBottleneck(64, 128, 64, 2)
            self.conv_3 = _residuals(64, 128, 4)
            self.conv_34 = NamedBottleneck(64, 256, 128, 2)
            self.conv_4 = _residuals(128, 256, 6)
            self.conv_45 = NamedBottleneck(128, 512, 128, 2)
            self.conv_5 = _residuals(128, 256, 2)
            self.conv_6_sep = _named(512, 128, 1)
            self.conv_6_dw = _named(512, 512, 7, groups=512, pad=0, rectify=False)
            self.linear = nn.Linear(512, length, bias=False)
            self.bn = BatchNorm(length)
        self.digest = fit_network(self, tensors, self.name)
        self.crop = crop or template_crop()

    def embed(self, images: Tensor) -> Tensor:
        """Embed the crop, in [-1, 1]."""
        x = self.conv2_dw(self.conv1(self.crop.cut(images)))
        for stage in (self.conv_23, self.conv_3, self.conv_34, self.conv_4, self.conv_45, self.conv_5):
            x = stage(x)
        x = self.conv_6_dw(self.conv_6_sep(x)).flatten(1)
        return F.normalize(self.bn(self.linear(x)))


class FoamliuIdentity(nn.Module):
    """MobileFaceNet in foamliu's layout: rectifiers without parameters, ImageNet's mean and deviation, 128 numbers."""

    name = "MobileFaceNet (foamliu)"
    shift: Tensor
    factor: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], crop: Crop | None = None) -> None:
        """Build it; arguments as of :class:`MobileFaceNetIdentity`."""
        super().__init__()
        with torch.device("meta"):
            self.conv1 = _plain(64, 3, 3, 2)
            self.dw_conv = nn.ModuleDict(
                {
                    "depthwise": nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False),
                    "bn1": BatchNorm(64),
                    "pointwise": nn.Conv2d(64, 64, 1, bias=False),
                    "bn2": BatchNorm(64),
                }
            )
            self.features = nn.Sequential(*_foamliu_blocks())
            self.conv2 = _plain(512, 128, 1)
            self.gdconv = nn.ModuleDict(
                {"depthwise": nn.Conv2d(512, 512, 7, groups=512, bias=False), "bn": BatchNorm(512)}
            )
            self.conv3 = nn.Conv2d(512, 128, 1)
            self.bn = BatchNorm(128)
        self.digest = fit_network(self, tensors, self.name)
        self.crop = crop or template_crop()
        mean, deviation = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        self.register_buffer("factor", 0.5 / deviation, persistent=False)
        self.register_buffer("shift", (0.5 - mean) / deviation, persistent=False)

    def embed(self, images: Tensor) -> Tensor:
        """Embed the crop."""
        x = F.relu6(self.conv1(self.crop.cut(images) * self.factor + self.shift))
        x = F.relu(self.dw_conv["bn1"](self.dw_conv["depthwise"](x)))
        x = F.relu(self.dw_conv["bn2"](self.dw_conv["pointwise"](x)))
        x = F.relu6(self.conv2(self.features(x)))
        x = self.gdconv["bn"](self.gdconv["depthwise"](x))
        return F.normalize(self.bn(self.conv3(x)).flatten(1))


def fit_network(network: nn.Module, tensors: Mapping[str, Tensor], name: str) -> str:
    """Give a network built on the meta device its weights, freeze it and return the digest of these.

    Raises:
        BadModel: A tensor is missing, extra or of another shape.
    """
    # Copies: a tensor that lies in a file's own memory need not be aligned, and sums then round otherwise.
    mine = {k: v.detach().float().clone() for k, v in tensors.items() if not k.endswith(COUNTER)}
    wanted = network.state_dict()
    missing, extra = sorted(set(wanted) - set(mine)), sorted(set(mine) - set(wanted))
    wrong = [f"{k} {tuple(v.shape)}" for k, v in mine.items() if k in wanted and v.shape != wanted[k].shape]
    for what, names in (("lack tensors", missing), ("hold tensors unknown", extra), ("hold other shapes", wrong)):
        if names:
            raise BadModel(f"These weights of {name} {what}: {names[:3]}.", "Give the whole file of this network.")
    network.load_state_dict(mine, assign=True)
    network.eval().requires_grad_(False)
    return tensors_digest(mine)


def _face(x: Tensor) -> Tensor:
    """Cut brows to chin out of maps [N, C, r, r] of FFHQ crops."""
    r = x.shape[-1]
    return x[:, :, round(0.3 * r) : round(0.85 * r), round(0.2 * r) : round(0.8 * r)]


class NamedBottleneck(nn.Module):
    """Widen by 1x1, convolve each channel, narrow by 1x1; beside a shortcut where asked."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int, *, residual: bool = False) -> None:
        super().__init__()
        self.conv = _named(width, inputs, 1)
        self.conv_dw = _named(width, width, 3, stride, groups=width)
        self.project = _named(outputs, width, 1, rectify=False)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, inputs, h, w] into [N, outputs, h / stride, w / stride]."""
        y: Tensor = self.project(self.conv_dw(self.conv(x)))
        return x + y if self.residual else y


class NumberedBottleneck(nn.Module):
    """The same with rectifiers that stop at 6, as MobileNetV2 has them; a shortcut wherever shapes allow."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Sequential(*_plain(width, inputs, 1), nn.ReLU6()),
            nn.Sequential(*_plain(width, width, 3, stride, groups=width), nn.ReLU6()),
            *_plain(outputs, width, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, inputs, h, w] into [N, outputs, h / stride, w / stride]."""
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class _Residuals(nn.Module):
    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.model = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


class _Named(nn.Module):
    """Convolution, batch norm and, where asked, a rectifier, under these names."""

    def __init__(self, conv: nn.Conv2d, rectify: bool) -> None:
        super().__init__()
        self.conv, self.bn = conv, BatchNorm(conv.out_channels)
        self.prelu = nn.PReLU(conv.out_channels) if rectify else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.prelu(self.bn(self.conv(x)))
        return y


def _named(
    outputs: int,
    inputs: int,
    size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    pad: int | None = None,
    rectify: bool = True,
) -> _Named:
    pad = size // 2 if pad is None else pad
    return _Named(nn.Conv2d(inputs, outputs, size, stride, pad, groups=groups, bias=False), rectify)


def _residuals(width: int, wide: int, count: int) -> _Residuals:
    return _Residuals([NamedBottleneck(width, wide, width, 1, residual=True) for _ in range(count)])


def _plain(outputs: int, inputs: int, size: int, stride: int = 1, *, groups: int = 1) -> nn.Sequential:
    """Return a convolution and batch norm, numbered."""
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, BatchNorm(outputs))


def _foamliu_blocks() -> list[NumberedBottleneck]:
    blocks, inputs = [], 64
    for factor, outputs, count, stride in (
        (2, 64, 5, 2),
        (4, 128, 1, 2),
        (2, 128, 6, 1),
        (4, 128, 1, 2),
        (2, 128, 2, 1),
    ):
        for k in range(count):
            blocks.append(NumberedBottleneck(inputs, factor * inputs, outputs, 1 if k else stride))
            inputs = outputs
    return blocks
