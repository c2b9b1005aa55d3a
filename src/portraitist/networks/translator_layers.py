"""The layers that translators of pictures are made of: hourglasses, attention by class activation, adaptive norms.

From U-GAT-IT (Kim et al. 2020, arXiv:1907.10830) and minivision's photo2cartoon, which adds hourglasses (Newell et al.
2016, arXiv:1603.06937) and Soft-AdaLIN to it; CycleGAN's (Zhu et al. 2017, arXiv:1703.10593) and MUNIT's (Huang et al.
2018, arXiv:1804.04732, App. B) are among them too.

    here            paper or program                     shape
    activation map  CAM attention, Kim et al. Sec. 2.1   [N, C, h, w] -> the same, logits [N, 2], map [N, 1, h, w]
    AdaLIN          Kim et al. Eq. 2                     rho between instance and layer norm, given gamma and beta
    LIN             their norm of the decoder            rho likewise, gamma and beta learned
    Soft-AdaLIN     photo2cartoon                        gamma and beta between style and content
    AdaIN           Huang et al. 2018, Sec. 5.1          instance norm, gamma and beta of the appearance
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-5
LEVELS = 4
"""Halvings within an hourglass."""


class Attended(NamedTuple):
    """What attention by class activation gives."""

    features: Tensor
    """[N, C, h, w]."""
    logits: Tensor
    """Of the auxiliary classifier, by average and by maximum: [N, 2]."""
    attention: Tensor
    """The sum of the features over channels, [N, 1, h, w]: where the classifier looks."""


class Bounded(nn.Module):
    """A layer with shares that must stay in [0, 1]."""

    def bounded(self) -> list[nn.Parameter]:
        """Return the parameters that are shares."""
        raise NotImplementedError

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring the shares back into [0, 1]; to be done after each step of an optimiser."""
        for p in self.bounded():
            p.clamp_(0, 1)


def clamp_shares(module: nn.Module) -> None:
    """Bring all shares within a module back into [0, 1]."""
    for layer in module.modules():
        if isinstance(layer, Bounded):
            layer.clamp()


class Conv(nn.Module):
    """Reflect the rim, convolve, normalise each channel of each picture, rectify."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, *, bias: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, bias=bias)
        self.pad = (size - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, inputs, h, w] into [N, outputs, h / stride, w / stride]."""
        return F.relu(F.instance_norm(self.conv(reflected(x, self.pad))))


class ToImage(nn.Module):
    """The last convolution of a translator: seven pixels wide, and a tanh."""

    def __init__(self, inputs: int, *, bias: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 3, 7, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, inputs, H, W] into a picture [N, 3, H, W] in [-1, 1]."""
        return torch.tanh(self.conv(reflected(x, 3)))


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int, *, bias: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, bias=bias)
        self.conv2 = nn.Conv2d(channels, channels, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, C, h, w] of the same shape."""
        y = F.relu(F.instance_norm(self.conv1(reflected(x))))
        return x + F.instance_norm(self.conv2(reflected(y)))


class Residuals(nn.Module):
    """Residual blocks, and what each has found on average over the picture."""

    def __init__(self, channels: int, count: int, *, bias: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Residual(channels, bias=bias) for _ in range(count)])

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return features [N, C, h, w] and the content after each block [N, C]."""
        contents = []
        for block in self.blocks:
            x = block(x)
            contents.append(x.mean((2, 3)))
        return x, contents


class Multiscale(nn.Module):
    """Three convolutions, each after norm and rectifier, whose outputs lie side by side on the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        widths = ((channels, half), (half, quarter), (quarter, quarter))
        self.convs = nn.ModuleList([nn.Conv2d(i, o, 3, bias=False) for i, o in widths])

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, C, h, w] of the same shape."""
        found, y = [], x
        for conv in self.convs:
            y = conv(reflected(F.relu(F.instance_norm(y))))
            found.append(y)
        return x + torch.cat(found, 1)


class Hourglass(nn.Module):
    """Look at ever smaller copies of the features and add what was seen on the way back up.

    An intermediate picture of three channels leaves it on the way: with a residual it flows back into the features,
    without one it is the result.
    """

    def __init__(self, channels: int, *, residual: bool = True) -> None:
        super().__init__()
        self.skips, self.downs, self.ups = (
            nn.ModuleList([Multiscale(channels) for _ in range(LEVELS)]) for _ in range(3)
        )
        self.bottom, self.after = Multiscale(channels), Multiscale(channels)
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)
        self.to_image = nn.Conv2d(channels, 3, 1)
        self.residual = residual
        if residual:
            self.from_features = nn.Conv2d(channels, channels, 1)
            self.from_image = nn.Conv2d(3, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, C, H, W] into the same shape, or into [N, 3, H, W] without a residual."""
        kept, y = [], x
        for skip, down in zip(self.skips, self.downs, strict=True):
            kept.append(skip(y))
            y = down(F.avg_pool2d(y, 2))
        y = self.bottom(y)
        for up in self.ups:
            y = kept.pop() + F.interpolate(up(y), scale_factor=2.0, mode="nearest")
        y = F.relu(F.instance_norm(self.mix(self.after(y))))
        image: Tensor = self.to_image(y)
        return x + self.from_features(y) + self.from_image(image) if self.residual else image


class Attention(nn.Module):
    """Weigh channels by how much each tells the domains apart (class activation maps, Zhou et al. 2016)."""

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.average = nn.Linear(channels, 1, bias=bias)
        self.peak = nn.Linear(channels, 1, bias=bias)
        self.mix = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Attended:
        """Attend to features [N, C, h, w]."""
        logits = torch.cat([self.average(x.mean((2, 3))), self.peak(x.amax((2, 3)))], 1)
        y = F.relu(self.mix(weighed(x, self.average.weight, self.peak.weight)))
        return Attended(y, logits, y.sum(1, keepdim=True))


def weighed(x: Tensor, average: Tensor, peak: Tensor) -> Tensor:
    """Return features [N, C, h, w] weighed by each of two classifiers [1, C]: [N, 2C, h, w]."""
    return torch.cat([x * average[..., None, None], x * peak[..., None, None]], 1)


class Style(nn.Module):
    """Two fully connected layers over the features: what all of the picture should look like."""

    def __init__(self, inputs: int, channels: int, *, light: bool, bias: bool) -> None:
        """Choose what it sees.

        Args:
            inputs: Numbers that enter: channels when light, else all of [C, h, w].
            channels: Length of the style.
            light: See only averages over the picture.
            bias: Whether the layers add one.
        """
        super().__init__()
        self.light = light
        self.first = nn.Linear(inputs, channels, bias=bias)
        self.second = nn.Linear(channels, channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, C, h, w] into a style [N, C]."""
        y = x.mean((2, 3)) if self.light else x.flatten(1)
        return F.relu(self.second(F.relu(self.first(y))))


class AdaLIN(Bounded):
    """Between instance norm and layer norm, as rho says, with gamma and beta from outside."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((channels,), 0.9))

    def bounded(self) -> list[nn.Parameter]:
        """Return rho."""
        return [self.rho]

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Normalise [N, C, h, w], with gamma and beta [N, C]."""
        return between_norms(x, self.rho) * gamma[..., None, None] + beta[..., None, None]


class LIN(Bounded):
    """The same with gamma and beta that are learned; begins as layer norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(channels))
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def bounded(self) -> list[nn.Parameter]:
        """Return rho."""
        return [self.rho]

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [N, C, h, w]."""
        return between_norms(x, self.rho) * self.gamma[:, None, None] + self.beta[:, None, None]


class SoftAdaLIN(Bounded):
    """AdaLIN whose gamma and beta lie between what the style and what the content asks for, per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = AdaLIN(channels)
        self.gamma_share = nn.Parameter(torch.zeros(channels))
        self.beta_share = nn.Parameter(torch.zeros(channels))
        self.content_gamma, self.content_beta = _two_layers(channels), _two_layers(channels)
        self.style_gamma, self.style_beta = nn.Linear(channels, channels), nn.Linear(channels, channels)

    def bounded(self) -> list[nn.Parameter]:
        """Return the shares of the content; the norm within looks after its rho."""
        return [self.gamma_share, self.beta_share]

    def forward(self, x: Tensor, content: Tensor, style: Tensor) -> Tensor:
        """Normalise [N, C, h, w] for content and style, [N, C] each."""
        gamma = (1 - self.gamma_share) * self.style_gamma(style) + self.gamma_share * self.content_gamma(content)
        beta = (1 - self.beta_share) * self.style_beta(style) + self.beta_share * self.content_beta(content)
        y: Tensor = self.norm(x, gamma, beta)
        return y


class ConditionedResidual(nn.Module):
    """A residual block whose norms, ``SoftAdaLIN`` or ``AdaLIN``, are told what to scale and shift by."""

    def __init__(self, channels: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, bias=False)
        self.norm1 = norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, bias=False)
        self.norm2 = norm(channels)

    def forward(self, x: Tensor, *conditions: Tensor) -> Tensor:
        """Return [N, C, h, w] of the same shape; the conditions are those of the norm, [N, C] each."""
        y = F.relu(self.norm1(self.conv1(reflected(x)), *conditions))
        z: Tensor = x + self.norm2(self.conv2(reflected(y)), *conditions)
        return z


class SoftResiduals(nn.Module):
    """photo2cartoon's decoder: each block is told what the mirrored block of the encoder has found."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([ConditionedResidual(channels, SoftAdaLIN) for _ in range(count)])

    def forward(self, x: Tensor, contents: list[Tensor], style: Tensor) -> Tensor:
        """Return [N, C, h, w] of the same shape."""
        for block, content in zip(self.blocks, reversed(contents), strict=True):
            x = block(x, content, style)
        return x


class AdaptiveResiduals(nn.Module):
    """U-GAT-IT's decoder: one gamma and one beta for all blocks."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.gamma = nn.Linear(channels, channels, bias=False)
        self.beta = nn.Linear(channels, channels, bias=False)
        self.blocks = nn.ModuleList([ConditionedResidual(channels, AdaLIN) for _ in range(count)])

    def forward(self, x: Tensor, contents: list[Tensor], style: Tensor) -> Tensor:
        """Return [N, C, h, w] of the same shape; the contents have no part in it."""
        gamma, beta = self.gamma(style), self.beta(style)
        for block in self.blocks:
            x = block(x, gamma, beta)
        return x


class Pointwise(nn.Linear):
    """A convolution of one pixel, of what was averaged over all."""


class AppearanceEncoder(nn.Module):
    """MUNIT's encoder of styles, DRIT++'s of attributes.

    Four halvings without norms, which would take away colours; averages; a linear layer.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        """Choose sizes.

        Args:
            channels: Of the first layer; of the last four times as many.
            outputs: Numbers of an appearance.
        """
        super().__init__()
        widths = [channels, 2 * channels, *[4 * channels] * 3]
        self.first = nn.Conv2d(3, channels, 7)
        self.halve = nn.ModuleList([nn.Conv2d(i, o, 4, 2) for i, o in pairwise(widths)])
        self.last = Pointwise(widths[-1], outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Turn pictures [N, 3, R, R] into appearances [N, outputs]."""
        x = F.relu(self.first(reflected(images, 3)))
        for conv in self.halve:
            x = F.relu(conv(reflected(x)))
        appearance: Tensor = self.last(x.mean((2, 3)))
        return appearance


def appearance_layers(appearance: int, channels: int, outputs: int) -> nn.Sequential:
    """Return three linear layers from an appearance to what a decoder is told."""
    return nn.Sequential(
        *(nn.Linear(appearance, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU()),
        nn.Linear(channels, outputs),
    )


class DressedResiduals(nn.Module):
    """MUNIT's decoder: three linear layers turn the appearance into gamma and beta of every norm."""

    def __init__(self, channels: int, count: int, appearance: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Residual(channels, bias=True) for _ in range(count)])
        self.dress = appearance_layers(appearance, channels, 4 * count * channels)

    def forward(self, content: Tensor, appearance: Tensor) -> Tensor:
        """Return [N, C, h, w] of the same shape, of content [N, C, h, w] and appearance [N, numbers]."""
        x = content
        for block, numbers in zip(self.blocks, self.dress(appearance).chunk(len(self.blocks), 1), strict=True):
            assert isinstance(block, Residual)
            gamma1, beta1, gamma2, beta2 = numbers[..., None, None].chunk(4, 1)  # [N, C, 1, 1] each
            y = F.relu(F.instance_norm(block.conv1(reflected(x))) * gamma1 + beta1)
            x = x + F.instance_norm(block.conv2(reflected(y))) * gamma2 + beta2
        return x


class Up(nn.Module):
    """Twice the side by repeated pixels, convolution, LIN, rectifier."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, bias=False)
        self.norm = LIN(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, inputs, h, w] into [N, outputs, 2h, 2w]."""
        return F.relu(self.norm(self.conv(reflected(F.interpolate(x, scale_factor=2.0, mode="nearest")))))


class TransposedUp(nn.Module):
    """Twice the side by a transposed convolution, instance norm, rectifier, as in CycleGAN."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, 3, 2, padding=1, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, inputs, h, w] into [N, outputs, 2h, 2w]."""
        return F.relu(F.instance_norm(self.conv(x)))


class ResizedUp(nn.Module):
    """Twice the side by repeated pixels, convolution, instance norm, rectifier (Odena et al. 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, inputs, h, w] into [N, outputs, 2h, 2w]."""
        return F.relu(F.instance_norm(self.conv(reflected(F.interpolate(x, scale_factor=2.0, mode="nearest")))))


class WideUp(nn.Module):
    """Twice the side by repeated pixels, convolution of five pixels, layer norm, rectifier, as in MUNIT."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 5)
        self.norm = nn.GroupNorm(1, outputs)  # over channels and places together; gamma and beta per channel

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, inputs, h, w] into [N, outputs, 2h, 2w]."""
        y = reflected(F.interpolate(x, scale_factor=2.0, mode="nearest"), 2)
        return F.relu(self.norm(self.conv(y)))


def reflected(x: Tensor, width: int = 1) -> Tensor:
    """Continue [N, C, h, w] beyond its rim by reflection."""
    return F.pad(x, (width,) * 4, mode="reflect")


def between_norms(x: Tensor, rho: Tensor) -> Tensor:
    """Return rho [C] parts of instance norm and 1 - rho parts of layer norm of [N, C, h, w]; unbiased variances."""
    rho = rho[:, None, None]
    return rho * _normed(x, (2, 3)) + (1 - rho) * _normed(x, (1, 2, 3))


def _normed(x: Tensor, over: tuple[int, ...]) -> Tensor:
    variance, mean = torch.var_mean(x, over, keepdim=True)
    return (x - mean) / torch.sqrt(variance + EPSILON)


def _two_layers(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))
