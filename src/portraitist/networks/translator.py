"""Feed-forward translators of pictures, photo to drawing or back: an encoder, attention, a decoder; no latent code.

Three anatomies of one plan: minivision's photo2cartoon, on which "Few-shot Fine-grained Cartoon Face Generation"
builds (Sec. 3.2), U-GAT-IT (Kim et al. 2020, arXiv:1907.10830) and the residual network of CycleGAN (Zhu et al. 2017,
arXiv:1703.10593).

    part                     photo2cartoon   U-GAT-IT   CycleGAN   shape after it, at resolution R and width c
    stem                     x               x          x          [N, c, R, R]
    hourglass1, hourglass2   x                                     the same
    down1, down2             x               x          x          [N, 4c, R/4, R/4]
    encode                   x               x          x          the same; residual blocks
    cam, style               x               x                     the same; and a style [N, 4c]
    decode                   x               x                     the same; residual blocks
    up1, up2                 x               x          x          [N, c, R, R]
    hourglass3, hourglass4   x                                     [N, 3, R, R]
    out                      x               x          x          [N, 3, R, R] in [-1, 1]

    translator = Translator(TranslatorAnatomy("photo2cartoon", 256, 32))
    drawn = translator(photos).image
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor, nn

from ..errors import BadModel
from .patch_discriminator import FIRST_ITERATIONS, Spectral
from .translator_layers import (
    AdaptiveResiduals,
    Attention,
    Conv,
    Hourglass,
    Residuals,
    SoftResiduals,
    Style,
    ToImage,
    TransposedUp,
    Up,
)

TranslatorKind = Literal["photo2cartoon", "ugatit", "cyclegan"]
Init = Literal["torch", "normal"]
Makers = Callable[[], nn.Module]
# The hourglass halves its maps four times, and a norm needs more than one pixel.
_LEAST = {"photo2cartoon": 32, "ugatit": 16, "cyclegan": 16}
_PARTS = {
    "photo2cartoon": (
        *("stem", "hourglass1", "hourglass2", "down1", "down2", "encode", "cam", "style", "decode", "up1", "up2"),
        *("hourglass3", "hourglass4", "out"),
    ),
    "ugatit": ("stem", "down1", "down2", "encode", "cam", "style", "decode", "up1", "up2", "out"),
    "cyclegan": ("stem", "down1", "down2", "encode", "up1", "up2", "out"),
}


class Translated(NamedTuple):
    """A picture in the other domain, and where the translator has looked."""

    image: Tensor
    """[N, 3, R, R] in [-1, 1]."""
    logits: Tensor | None
    """Of the auxiliary classifier of the source domain, [N, 2]; None without attention."""
    attention: Tensor | None
    """[N, 1, R/4, R/4]; None without attention."""


@dataclass(frozen=True)
class TranslatorAnatomy:
    """Sizes of a translator, and which of its parts belong to one group of people alone."""

    kind: TranslatorKind = "photo2cartoon"
    resolution: int = 256
    channels: int = 32
    """Of the stem, c; a multiple of 4."""
    blocks: int = 4
    """Residual blocks of the encoder, and as many of the decoder where there is one."""
    light: bool = True
    """The style sees averages over the picture only; 18 times smaller at 256 pixels."""
    own_first: int = 4
    """So many parts, from the first on, does each group have for itself."""
    own_last: int = 4
    """So many up to the last."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(TranslatorKind):
            raise BadModel(f"There is no translator of the kind '{self.kind}'.")
        least = _LEAST[self.kind]
        if self.resolution < least or self.resolution % least:
            raise BadModel(
                f"A translator of the kind {self.kind} cannot see pictures of {self.resolution} pixels.",
                f"Use a multiple of {least}.",
            )
        if self.channels < 4 or self.channels % 4 or self.blocks < 1:
            raise BadModel(f"A translator cannot have {self.channels} channels and {self.blocks} blocks.")
        if min(self.own_first, self.own_last) < 0 or self.own_first + self.own_last > len(self.parts):
            raise BadModel(
                f"Of {len(self.parts)} parts, groups cannot own {self.own_first} at the start and {self.own_last} at "
                "the end."
            )

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of all parts, in the order in which a picture passes them."""
        return _PARTS[self.kind]

    @property
    def own(self) -> tuple[str, ...]:
        """The parts that each group has for itself: low layers of the encoder, top layers of the decoder."""
        return tuple(p for k, p in enumerate(self.parts) if k < self.own_first or k >= len(self.parts) - self.own_last)

    @property
    def shared(self) -> tuple[str, ...]:
        """The parts that all groups have together."""
        return tuple(p for p in self.parts if p not in self.own)

    @property
    def attentive(self) -> bool:
        """Whether there is attention by class activation."""
        return "cam" in self.parts


def photo2cartoon(resolution: int = 256, channels: int = 32, *, light: bool = True) -> TranslatorAnatomy:
    """Return the anatomy of photo2cartoon; light and 32 channels wide is what was released."""
    return TranslatorAnatomy("photo2cartoon", resolution, channels, 4, light, 4, 4)


def ugatit(resolution: int = 256, channels: int = 64, *, light: bool = False) -> TranslatorAnatomy:
    """Return that of U-GAT-IT; groups own the two outermost parts at either end."""
    return TranslatorAnatomy("ugatit", resolution, channels, 4, light, 2, 2)


def cyclegan(resolution: int = 256, channels: int = 64) -> TranslatorAnatomy:
    """Return that of CycleGAN: nine residual blocks, six below 256 pixels."""
    return TranslatorAnatomy("cyclegan", resolution, channels, 9 if resolution >= 256 else 6, True, 2, 2)


class Translator(nn.Module):
    """From pictures of one domain to pictures of another."""

    def __init__(self, anatomy: TranslatorAnatomy) -> None:
        """Make new parts."""
        super().__init__()
        self.anatomy = anatomy
        self.parts = nn.ModuleDict({name: make() for name, make in _makers(anatomy).items()})

    @classmethod
    def of_parts(cls, anatomy: TranslatorAnatomy, parts: Mapping[str, nn.Module]) -> Self:
        """Join parts that exist: a view, which trains and moves with them."""
        view = cls.__new__(cls)
        nn.Module.__init__(view)
        view.anatomy = anatomy
        view.parts = nn.ModuleDict({name: parts[name] for name in anatomy.parts})
        return view

    def forward(self, images: Tensor) -> Translated:
        """Translate pictures [N, 3, R, R] in [-1, 1]."""
        names = self.anatomy.parts
        middle = names.index("encode")
        x, contents = self.parts["encode"](self._run(images, names[:middle]))
        if not self.anatomy.attentive:
            return Translated(self._run(x, names[middle + 1 :]), None, None)
        found = self.parts["cam"](x)
        style = self.parts["style"](found.features)
        x = self.parts["decode"](found.features, contents, style)
        image = self._run(x, names[names.index("decode") + 1 :])
        return Translated(image, found.logits, found.attention)

    def _run(self, x: Tensor, names: Sequence[str]) -> Tensor:
        for name in names:
            x = self.parts[name](x)
        return x


@torch.no_grad()
def initialise(module: nn.Module, how: Init, random: torch.Generator) -> None:
    """Draw new weights of all convolutions and fully connected layers.

    Args:
        module: Translators or discriminators.
        how: ``normal`` draws from N(0, 0.02) and sets biases to 0, as the paper (Sec. 4.2) and CycleGAN do; ``torch``
            leaves the layers as they are made.
        random: Source of the numbers.
    """
    if how == "torch":
        return
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | Spectral):
            layer.weight.normal_(0, 0.02, generator=random)
            if layer.bias is not None:
                layer.bias.zero_()
        if isinstance(layer, Spectral):
            layer.iterate(FIRST_ITERATIONS)


def _makers(a: TranslatorAnatomy) -> dict[str, Makers]:
    c, wide, plain = a.channels, 4 * a.channels, a.kind == "cyclegan"
    biased = a.kind == "photo2cartoon"
    inputs = wide if a.light else wide * (a.resolution // 4) ** 2
    up = TransposedUp if plain else Up
    decode = SoftResiduals if biased else AdaptiveResiduals
    makers: dict[str, Makers] = {
        "stem": lambda: Conv(3, c, 7, bias=plain),
        "hourglass1": lambda: Hourglass(c),
        "hourglass2": lambda: Hourglass(c),
        "down1": lambda: Conv(c, 2 * c, 3, 2, bias=plain),
        "down2": lambda: Conv(2 * c, wide, 3, 2, bias=plain),
        "encode": lambda: Residuals(wide, a.blocks, bias=plain),
        "cam": lambda: Attention(wide, bias=biased),
        "style": lambda: Style(inputs, wide, light=a.light, bias=biased),
        "decode": lambda: decode(wide, a.blocks),
        "up1": lambda: up(wide, 2 * c),
        "up2": lambda: up(2 * c, c),
        "hourglass3": lambda: Hourglass(c),
        "hourglass4": lambda: Hourglass(c, residual=False),
        "out": lambda: ToImage(3 if biased else c, bias=plain),
    }
    return {name: makers[name] for name in a.parts}
