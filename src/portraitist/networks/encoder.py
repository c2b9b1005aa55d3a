"""Encoders: from an image to a code of W+ or to a posterior over Z+, in one pass.

Three levels of a feature pyramid over an IR-SE backbone feed the rows of the code (Richardson et al. 2021, "pSp",
arXiv:2008.00951, Sec. 3). AgileGAN's hierarchical variational encoder (Song et al. 2021, Sec. 3.2) puts two heads on
top: the mean and the logarithm of the variance of a normal posterior of every row of Z+.

    kind   code                                                        what it is
    w+     W+, the mean w added                                        pSp; e4e with ``residual_rows``
    hvae   Z+, variational                                             AgileGAN
    vae    one z for all rows, variational                             its ablation 'w/o Z+'
    z+     Z+, deterministic                                           its ablation 'w/o variational'

Parameters are named as in pSp's files: ``input_layer``, ``body.{i}``, ``latlayer1``, ``latlayer2``,
``styles.{row}.convs.{2k}``, ``styles.{row}.linear``, and AgileGAN's ``fc_mu`` and ``fc_var``. Their EqualLinear is
``Linear`` here, with the same scale of 1 / sqrt(inputs), so the values are the same too.

    encoder = new_encoder(small(base.anatomy, "hvae"), base).eval()
    found = encoder(photos)                                  # found.mu, found.logvar: [N, rows, dim]
    image = base.synthesis(encoder.styles_of(found.mu, base))
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..spaces import WPlus, ZPlus
from .anatomy import GeneratorAnatomy
from .encoder_anatomy import LARGEST_INPUT, EncoderAnatomy, EncoderKind
from .features import resized
from .generator import Generator
from .irse import BatchNorm, stem, units
from .layers import Linear, channels_last

# Of the running statistics of posterior means: a hundred entries of every row want more than a few batches.
MOMENTUM = 0.02


def ir_se50(base: GeneratorAnatomy, kind: EncoderKind, *, equal: bool = False) -> EncoderAnatomy:
    """Return the encoder of the papers for a base: IR-SE50 and heads of 512 channels; some 270 million parameters.

    Args:
        base: What the codes are for.
        kind: What is encoded.
        equal: Split the rows in three equal parts (AgileGAN's text) instead of 3, 4 and the rest (its code, and pSp's).
    """
    return EncoderAnatomy(kind, _input(base), split_rows(base.rows, equal=equal), _dim(base, kind))


def small(base: GeneratorAnatomy, kind: EncoderKind, *, equal: bool = False) -> EncoderAnatomy:
    """Return an encoder of a few megabytes, about as fast as a small generator; arguments as of :func:`ir_se50`."""
    return EncoderAnatomy(
        kind,
        _input(base),
        split_rows(base.rows, equal=equal),
        _dim(base, kind),
        widths=(32, 32, 64, 96, 128),
        units=(1, 1, 2, 1),
        head_width=64,
    )


def split_rows(rows: int, *, equal: bool = False) -> tuple[int, int, int]:
    """Divide rows among the coarse, middle and fine level: 3, 4 and the rest, or in equal parts (6, 6, 6 of 18).

    What does not divide by three falls to the finer levels.
    """
    if equal:
        return (rows // 3, (rows + 1) // 3, (rows + 2) // 3)
    return (min(3, rows), min(4, max(0, rows - 3)), max(0, rows - 7))


@dataclass(frozen=True, eq=False)
class Encoded:
    """What an encoder says about images."""

    mu: Tensor
    """[N, rows, dim], the code itself or the mean of its posterior; [N, 1, dim] where all rows share one."""
    logvar: Tensor | None = None
    """Logarithm of the variance, of the same shape; None where the encoder is deterministic."""

    def sample(self, generator: torch.Generator, count: int = 1) -> Tensor:
        """Draw latents from the posterior (AgileGAN, Eq. 3): [count, N, rows, dim], differentiable.

        The first draws do not depend on ``count``.

        Raises:
            UsageError: The encoder is deterministic.
        """
        if self.logvar is None:
            raise UsageError("This encoder gives one code and no others like it.", "Use a variational encoder (hvae).")
        draws = [torch.randn(self.mu.shape, generator=generator, device=generator.device) for _ in range(count)]
        return self.mu + torch.stack(draws).to(self.mu) * (0.5 * self.logvar).exp()


class Encoder(nn.Module):
    """Images [N, 3, H, W] in [-1, 1] to codes; see the module."""

    latent_avg: Tensor

    def __init__(self, anatomy: EncoderAnatomy) -> None:
        """Build an untrained encoder; of the kind w+ with a mean w of 0, which :func:`new_encoder` sets."""
        super().__init__()
        self.anatomy = anatomy
        *_, middle, coarse = anatomy.widths
        fine = anatomy.widths[2]
        self.input_layer = stem(anatomy.widths[0])
        self.body = units(anatomy.widths, anatomy.units)
        self.latlayer1 = nn.Conv2d(middle, coarse, 1)
        self.latlayer2 = nn.Conv2d(fine, coarse, 1)
        sides = [side for side, count in zip(anatomy.level_sides, anatomy.levels, strict=True) for _ in range(count)]
        self.styles = nn.ModuleList(RowHead(coarse, anatomy.head_width, anatomy.dim, side) for side in sides)
        if anatomy.kind == "w+":
            self.register_buffer("latent_avg", torch.zeros(anatomy.rows, anatomy.dim))
        else:
            self.fc_mu = nn.Linear(anatomy.dim, anatomy.dim)
        if anatomy.standardised:
            own = 1 if anatomy.kind == "vae" else anatomy.rows
            self.standard = BatchNorm(own * anatomy.dim, affine=False, momentum=MOMENTUM)
        if anatomy.variational:
            self.fc_var = nn.Linear(anatomy.dim, anatomy.dim)
            # Training starts at the prior itself; means that are standardised cannot all be 0.
            for head in (self.fc_var,) if anatomy.standardised else (self.fc_mu, self.fc_var):
                nn.init.zeros_(head.weight)
                nn.init.zeros_(head.bias)

    def forward(self, images: Tensor) -> Encoded:
        """Encode images of any size; they are resized to the encoder's with antialiasing."""
        codes = self._rows(resized(images, self.anatomy.resolution))
        if self.anatomy.kind == "w+":
            return Encoded(codes + self.latent_avg)
        if self.anatomy.kind == "vae":
            codes = codes.mean(1, keepdim=True)
        mu = self.fc_mu(codes)
        if self.anatomy.standardised:
            mu = self.standard(mu.flatten(1)).view_as(mu)
        return Encoded(mu, self.fc_var(codes) if self.anatomy.variational else None)

    def codes(self, latents: Tensor) -> WPlus | ZPlus:
        """Wrap latents [N, rows or 1, dim], as :class:`Encoded` has them, in the space where they live."""
        rows = latents.expand(-1, self.anatomy.rows, -1)
        return WPlus(rows) if self.anatomy.kind == "w+" else ZPlus(rows)

    def styles_of(self, latents: Tensor, base: Generator) -> Tensor:
        """Return the codes of W+ [N, rows, w_dim] of latents [N, rows or 1, dim]; differentiable.

        Each row of Z+ goes through the mapping network of the base, whatever style is drawn with the code.
        """
        code = self.codes(latents)
        return code.data if isinstance(code, WPlus) else base.styles(code.data)

    def _rows(self, images: Tensor) -> Tensor:
        anatomy = self.anatomy
        _, fine_end, middle_end, coarse_end = accumulate(anatomy.units)
        x = self.input_layer(channels_last(images))
        seen = {}
        for k, unit in enumerate(self.body, 1):
            x = seen[k] = unit(x)
        coarse = seen[coarse_end]
        middle = _added(coarse, self.latlayer1(seen[middle_end]))
        fine = _added(middle, self.latlayer2(seen[fine_end]))
        maps = [m for m, n in zip((coarse, middle, fine), anatomy.levels, strict=True) for _ in range(n)]
        rows = torch.stack([head(m) for head, m in zip(self.styles, maps, strict=True)], 1)
        return torch.cat([rows[:, :1], rows[:, :1] + rows[:, 1:]], 1) if anatomy.residual_rows else rows


class RowHead(nn.Module):
    """Convolutions that halve a map down to one pixel, and a linear layer: one row of the code."""

    def __init__(self, inputs: int, width: int, outputs: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for k in range(max(1, side.bit_length() - 1)):
            layers += [nn.Conv2d(width if k else inputs, width, 3, 2, 1), nn.LeakyReLU()]
        self.convs = nn.Sequential(*layers)
        self.linear = Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Turn a map [N, I, side, side] into a row [N, O]."""
        row: Tensor = self.linear(self.convs(x).flatten(1))
        return row


def new_encoder(anatomy: EncoderAnatomy, base: Generator) -> Encoder:
    """Build an untrained encoder for a base; of the kind w+ it starts at the mean w.

    Raises:
        BadModel: Its codes do not fit the base.
    """
    anatomy.check_base(base.anatomy)
    encoder = Encoder(anatomy).to(base.w_mean.device)
    if anatomy.kind == "w+":
        encoder.latent_avg.copy_(base.mean.data[0])
    return encoder


def _added(coarse: Tensor, fine: Tensor) -> Tensor:
    """Add a map, enlarged, to the next finer one."""
    return F.interpolate(coarse, fine.shape[2:], mode="bilinear", align_corners=True) + fine


def _input(base: GeneratorAnatomy) -> int:
    return min(base.resolution, LARGEST_INPUT)


def _dim(base: GeneratorAnatomy, kind: EncoderKind) -> int:
    return base.w_dim if kind == "w+" else base.z_dim
