"""Discriminators of translators: a score for each patch, from afar and from near.

U-GAT-IT (Kim et al. 2020, arXiv:1907.10830) judges each domain by a deep (global) and a shallow (local) discriminator
under spectral norm (Miyato et al. 2018, arXiv:1802.05957), with attention by class activation; CycleGAN by one that
sees patches of 70 pixels (Isola et al. 2017, arXiv:1611.07004); MUNIT and the authors' later UNIT by three that see the
picture at ever smaller scales (Huang et al. 2018, arXiv:1804.04732, App. B.2). A head that tells groups of people apart
may stand on the features of the first (few-shot paper, Sec. 3.4).

    judges = PatchPanel(PanelAnatomy(groups=4))
    found = judges(drawings)                        # found.scores: a map per discriminator; found.groups [N, 4]
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .translator_anatomy import PanelAnatomy
from .translator_layers import reflected, weighed

SLOPE = 0.2
FIRST_ITERATIONS = 15
"""Of new layers; a training step adds one."""


class Judged(NamedTuple):
    """What the discriminators of one domain say of pictures."""

    scores: list[Tensor]
    """[N, 1, h, w] per discriminator; and [N, 2] per attention."""
    groups: Tensor | None
    """Logits of the groups of people [N, groups]; None without such a head."""


class Spectral(nn.Module):
    """A layer whose weight is divided by its largest singular value.

    The value is estimated by power iteration on ``weight_u`` and ``weight_v`` (names of torch's own files). Unlike
    torch's, a forward pass does not iterate: :meth:`iterate` does, so that what is computed does not depend on what
    else was computed before.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, plain: nn.Conv2d | nn.Linear) -> None:
        """Take the weights of a plain layer."""
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias
        outputs = len(plain.weight)
        self.register_buffer("weight_u", F.normalize(torch.randn(outputs), dim=0))
        self.register_buffer("weight_v", F.normalize(torch.randn(plain.weight[0].numel()), dim=0))
        if not self.weight.is_meta:  # a file's tensors take the place of those without numbers
            self.iterate(FIRST_ITERATIONS)

    def normed(self) -> Tensor:
        """Return the weight that is used."""
        product = (self.weight.flatten(1) @ self.weight_v).to(self.weight_u)  # of lower precision under autocast
        return self.weight / torch.dot(self.weight_u, product)

    @torch.no_grad()
    def iterate(self, count: int = 1) -> None:
        """Bring the estimate nearer to the singular value of the weight as it is now."""
        matrix = self.weight.flatten(1)
        for _ in range(count):
            self.weight_v.copy_(F.normalize(matrix.T @ self.weight_u, dim=0))
            self.weight_u.copy_(F.normalize(matrix @ self.weight_v, dim=0))


class SpectralConv(Spectral):
    """A convolution under spectral norm."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, bias: bool = True) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 4, stride, bias=bias))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [N, inputs, h, w] with windows of 4 pixels."""
        return F.conv2d(x, self.normed(), self.bias, self.stride)


class SpectralLinear(Spectral):
    """A fully connected layer to one number, without bias, under spectral norm."""

    def __init__(self, inputs: int) -> None:
        super().__init__(nn.Linear(inputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, inputs] into [N, 1]."""
        return F.linear(x, self.normed())


class AttentiveDiscriminator(nn.Module):
    """Reflected rims, spectral norm, attention by class activation."""

    def __init__(self, layers: int, channels: int) -> None:
        super().__init__()
        widths = [3, *(channels << k for k in range(layers - 1))]
        strides = [2] * (layers - 2) + [1]
        self.convs = nn.ModuleList(
            [SpectralConv(i, o, s) for i, o, s in zip(widths[:-1], widths[1:], strides, strict=True)]
        )
        self.width = widths[-1]
        self.average, self.peak = SpectralLinear(self.width), SpectralLinear(self.width)
        self.mix = nn.Conv2d(2 * self.width, self.width, 1)
        self.last = SpectralConv(self.width, 1, 1, bias=False)

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the scores [N, 1, h, w], those of the attention [N, 2], and the features [N, width, h, w]."""
        x = images
        for conv in self.convs:
            x = F.leaky_relu(conv(reflected(x)), SLOPE)
        logits = torch.cat([self.average(x.mean((2, 3))), self.peak(x.amax((2, 3)))], 1)
        # As the released code has it: the logits are of the normed weight, the features are weighed by the raw one.
        y = F.leaky_relu(self.mix(weighed(x, self.average.weight, self.peak.weight)), SLOPE)
        return [self.last(reflected(y)), logits], x


class PlainDiscriminator(nn.Module):
    """CycleGAN's: instance norm, no attention."""

    def __init__(self, layers: int, channels: int) -> None:
        super().__init__()
        widths = [3, *(min(channels << k, 8 * channels) for k in range(layers - 1))]
        strides = [2] * (layers - 2) + [1]
        self.convs = nn.ModuleList(
            [nn.Conv2d(i, o, 4, s, 1) for i, o, s in zip(widths[:-1], widths[1:], strides, strict=True)]
        )
        self.width = widths[-1]
        self.last = nn.Conv2d(self.width, 1, 4, 1, 1)

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the scores [N, 1, h, w] and the features [N, width, h, w]."""
        x = images
        for k, conv in enumerate(self.convs):
            y = conv(x)
            x = F.leaky_relu(F.instance_norm(y) if k else y, SLOPE)
        return [self.last(x)], x


class ScaledDiscriminator(nn.Module):
    """MUNIT's: halvings without norms, and a score for each place of the last map."""

    def __init__(self, layers: int, channels: int) -> None:
        super().__init__()
        widths = [3, *(channels << k for k in range(layers - 1))]
        self.convs = nn.ModuleList([nn.Conv2d(i, o, 4, 2) for i, o in pairwise(widths)])
        self.width = widths[-1]
        self.last = nn.Conv2d(self.width, 1, 1)

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the scores [N, 1, h, w] and the features [N, width, h, w]."""
        x = images
        for conv in self.convs:
            x = F.leaky_relu(conv(reflected(x)), SLOPE)
        return [self.last(x)], x


class PatchPanel(nn.Module):
    """All discriminators of one domain; the first also tells groups apart, where asked."""

    def __init__(self, anatomy: PanelAnatomy) -> None:
        super().__init__()
        self.anatomy = anatomy
        plain = ScaledDiscriminator if anatomy.scaled else PlainDiscriminator
        kind = AttentiveDiscriminator if anatomy.attentive else plain
        members = [kind(layers, anatomy.channels) for layers in anatomy.layers]
        self.members = nn.ModuleList(members)
        self.head = None
        if anatomy.groups:
            self.head = nn.Linear(members[0].width, anatomy.groups)
            # It begins without an opinion, so that it cannot push the generators before it has learned something.
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Judged:
        """Judge pictures [N, 3, R, R] in [-1, 1]."""
        scores: list[Tensor] = []
        groups: Tensor | None = None
        for k, member in enumerate(self.members):
            mine, features = member(images)
            scores += mine
            if k == 0 and self.head is not None:
                # Under spectral norm the features of groups differ by a hundredth. At that scale the head learns so
                # slowly that the translators run ahead of it and give every group a colour.
                means = features.mean((2, 3))
                groups = self.head(F.layer_norm(means, means.shape[1:]))
            if self.anatomy.scaled:
                images = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
        return Judged(scores, groups)

    def iterate(self, count: int = 1) -> None:
        """Let every spectral norm follow its weight; to be done once a step."""
        for layer in self.modules():
            if isinstance(layer, Spectral):
                layer.iterate(count)

    def extended(self, groups: int) -> PatchPanel:
        """Return a panel with the same discriminators and a new head for so many groups."""
        panel = PatchPanel(replace(self.anatomy, groups=groups))
        panel.members.load_state_dict(self.members.state_dict())
        return panel
