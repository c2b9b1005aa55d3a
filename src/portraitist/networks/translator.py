"""Feed-forward translators of pictures, photo to drawing or back: an encoder, attention, a decoder; no latent code.

Anatomies of one plan: minivision's photo2cartoon, on which "Few-shot Fine-grained Cartoon Face Generation" builds
(Sec. 3.2), U-GAT-IT (Kim et al. 2020, arXiv:1907.10830), the residual network of CycleGAN (Zhu et al. 2017,
arXiv:1703.10593), UNIT (Liu et al. 2017, arXiv:1703.00848), MUNIT (Huang et al. 2018, arXiv:1804.04732) and DRIT++
(Lee et al. 2020, arXiv:1905.01270).

    part                     photo2cartoon   U-GAT-IT   CycleGAN   UNIT   MUNIT   DRIT++   at resolution R and width c
    stem                     x               x          x          x      x       x        [N, c, R, R]
    hourglass1, hourglass2   x                                                             the same
    down1, down2             x               x          x          x      x       x        [N, 4c, R/4, R/4]
    encode                   x               x          x          x      x       x        the same; residual blocks
    to_code                                                        x              x        the same; a residual block
    cam, style               x               x                                             the same; a style [N, 4c]
    from_code                                                      x              x        the same; a residual block
    appearance                                                            x       x        [N, 8], of [N, 3, R, R]
    decode                   x               x                     x      x       x        the same; residual blocks
    up1, up2                 x               x          x          x      x       x        [N, c, R, R]
    hourglass3, hourglass4   x                                                             [N, 3, R, R]
    out                      x               x          x          x      x       x        [N, 3, R, R] in [-1, 1]

UNIT, MUNIT and DRIT++ have a code between ``encode`` and ``decode``, which either translator of a pair may decode: what
the one encoded is drawn in its own domain by the other. The pairs of UNIT (its Sec. 2) and DRIT++ have ``to_code`` and
``from_code`` in common. The code of MUNIT and DRIT++ is of the content alone, and ``appearance`` (MUNIT's style, the
attribute of DRIT++) finds the rest in pictures of the *target* domain.

    translator = Translator(TranslatorAnatomy("photo2cartoon", 256, 32))
    drawn = translator(photos).image
    drawn = Translator(munit(64))(photos, appearance=torch.randn(len(photos), 8)).image
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from .drit_layers import InformedResiduals, LayerNormUp, LeakyStem, PointToImage
from .patch_discriminator import FIRST_ITERATIONS, Spectral
from .translator_anatomy import TranslatorAnatomy, TranslatorKind
from .translator_layers import (
    AdaptiveResiduals,
    AppearanceEncoder,
    Attention,
    Conv,
    DressedResiduals,
    Hourglass,
    Pointwise,
    Residuals,
    ResizedUp,
    SoftResiduals,
    Style,
    ToImage,
    TransposedUp,
    Up,
    WideUp,
)

Init = Literal["torch", "normal", "normal_convolutions", "kaiming"]
Makers = Callable[[], nn.Module]


class Translated(NamedTuple):
    """A picture in the other domain, and where the translator has looked."""

    image: Tensor
    """[N, 3, R, R] in [-1, 1]."""
    logits: Tensor | None
    """Of the auxiliary classifier of the source domain, [N, 2]; None without attention."""
    attention: Tensor | None
    """[N, 1, R/4, R/4]; None without attention."""


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

    def forward(self, images: Tensor, appearance: Tensor | None = None) -> Translated:
        """Translate pictures [N, 3, R, R] in [-1, 1].

        Args:
            images: The pictures.
            appearance: Of MUNIT and DRIT++, [N, 8]; 0, the mean of its prior N(0, 1), when None. For other kinds
                always None.
        """
        if self.anatomy.coded:
            return Translated(self.decoded(self.encoded(images), appearance), None, None)
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

    def encoded(self, images: Tensor) -> Tensor:
        """Return the code [N, 4c, R/4, R/4] of pictures: the mean of UNIT's q(z|x); the content of MUNIT and DRIT++."""
        x, _ = self.parts["encode"](self._run(images, self.anatomy.parts[:3]))
        if "to_code" in self.parts:
            x, _ = self.parts["to_code"](x)
        code: Tensor = x
        return code

    def appearance_of(self, images: Tensor) -> Tensor:
        """Return the appearance [N, 8] of pictures [N, 3, R, R] of the target domain."""
        found: Tensor = self.parts["appearance"](images)
        return found

    def decoded(self, code: Tensor, appearance: Tensor | None = None) -> Tensor:
        """Return pictures [N, 3, R, R] of a code, whichever translator of the pair encoded it; arguments as above."""
        if "from_code" in self.parts:
            code, _ = self.parts["from_code"](code)
        if self.anatomy.appearance:
            worn = code.new_zeros(1, self.anatomy.appearance) if appearance is None else appearance  # for all
            x = self.parts["decode"](code, worn)
        else:
            x, _ = self.parts["decode"](code)
        return self._run(x, self.anatomy.parts[-3:])

    def _run(self, x: Tensor, names: Sequence[str]) -> Tensor:
        for name in names:
            x = self.parts[name](x)
        return x


@torch.no_grad()
def initialise(module: nn.Module, how: Init, random: torch.Generator) -> None:
    """Draw new weights of all convolutions and fully connected layers.

    Args:
        module: Translators or discriminators.
        how: ``normal`` draws from N(0, 0.02) and sets biases to 0, as the paper (Sec. 4.2) and CycleGAN do;
            ``normal_convolutions`` draws the weights of convolutions so, and leaves biases and fully connected layers
            as they are made, as DRIT++ does; ``kaiming`` draws by what enters a layer (He et al. 2015) and sets biases
            to 0, as MUNIT does, but for discriminators; ``torch`` leaves all layers as they are made.
        random: Source of the numbers.
    """
    if how == "torch":
        return
    convolutions = how == "normal_convolutions"
    for layer in module.modules():
        if convolutions and isinstance(layer, nn.Linear) and not isinstance(layer, Pointwise):
            continue
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | Spectral):
            if how == "kaiming":
                nn.init.kaiming_normal_(layer.weight, generator=random)
            else:
                layer.weight.normal_(0, 0.02, generator=random)
            if layer.bias is not None and not convolutions:
                layer.bias.zero_()
        if isinstance(layer, Spectral):
            layer.iterate(FIRST_ITERATIONS)


def _makers(a: TranslatorAnatomy) -> dict[str, Makers]:
    c, wide, plain = a.channels, 4 * a.channels, a.kind == "cyclegan" or a.coded
    biased = a.kind == "photo2cartoon"
    inputs = wide if a.light else wide * (a.resolution // 4) ** 2
    window = 4 if a.kind in ("unit", "munit") else 3
    inside = a.blocks - bool(a.tied)  # of the residual blocks, those that are not shared
    ups: dict[TranslatorKind, Callable[[int, int], nn.Module]]
    ups = {"cyclegan": TransposedUp, "unit": WideUp, "munit": WideUp, "drit": LayerNormUp}
    up = ResizedUp if a.resized else ups.get(a.kind, Up)
    decode: dict[TranslatorKind, Makers] = {
        "photo2cartoon": lambda: SoftResiduals(wide, a.blocks),
        "ugatit": lambda: AdaptiveResiduals(wide, a.blocks),
        "unit": lambda: Residuals(wide, inside, bias=True),
        "munit": lambda: DressedResiduals(wide, a.blocks, a.appearance),
        "drit": lambda: InformedResiduals(wide, inside, a.appearance),
    }
    makers: dict[str, Makers] = {
        "stem": lambda: LeakyStem(c) if a.kind == "drit" else Conv(3, c, 7, bias=plain),
        "hourglass1": lambda: Hourglass(c),
        "hourglass2": lambda: Hourglass(c),
        "down1": lambda: Conv(c, 2 * c, window, 2, bias=plain),
        "down2": lambda: Conv(2 * c, wide, window, 2, bias=plain),
        "encode": lambda: Residuals(wide, inside, bias=plain),
        "to_code": lambda: Residuals(wide, 1, bias=True),
        "from_code": lambda: Residuals(wide, 1, bias=True),
        "cam": lambda: Attention(wide, bias=biased),
        "style": lambda: Style(inputs, wide, light=a.light, bias=biased),
        "appearance": lambda: AppearanceEncoder(c, a.appearance),
        "up1": lambda: up(wide, 2 * c),
        "up2": lambda: up(2 * c, c),
        "hourglass3": lambda: Hourglass(c),
        "hourglass4": lambda: Hourglass(c, residual=False),
        "out": lambda: PointToImage(c) if a.kind == "drit" else ToImage(3 if biased else c, bias=plain),
    }
    return {name: decode[a.kind] if name == "decode" else makers[name] for name in a.parts}
