"""The one description of a translator and of its discriminators: everything that a file must tell to build them again.

What the parts do: :mod:`.translator`, :mod:`.patch_discriminator`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import BadModel

GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What may name a group: a word that is safe in names of files and tensors."""
AUTO = "auto"
"""Stands for the group that the classifier takes a photo for, and so is the name of none."""
MOST_GROUPS = 1000
TranslatorKind = Literal["photo2cartoon", "ugatit", "cyclegan", "unit", "munit", "drit"]
# The hourglass halves its maps four times, and a norm needs more than one pixel.
_LEAST = {"photo2cartoon": 32, "ugatit": 16, "cyclegan": 16, "unit": 16, "munit": 16, "drit": 16}
_PARTS = {
    "photo2cartoon": (
        *("stem", "hourglass1", "hourglass2", "down1", "down2", "encode", "cam", "style", "decode", "up1", "up2"),
        *("hourglass3", "hourglass4", "out"),
    ),
    "ugatit": ("stem", "down1", "down2", "encode", "cam", "style", "decode", "up1", "up2", "out"),
    "cyclegan": ("stem", "down1", "down2", "encode", "up1", "up2", "out"),
    "unit": ("stem", "down1", "down2", "encode", "to_code", "from_code", "decode", "up1", "up2", "out"),
    "munit": ("stem", "down1", "down2", "encode", "appearance", "decode", "up1", "up2", "out"),
    "drit": (
        *("stem", "down1", "down2", "encode", "to_code", "from_code", "appearance", "decode", "up1", "up2", "out"),
    ),
}


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
    appearance: int = 0
    """Numbers of the appearance of MUNIT (its style) and DRIT++ (its attribute); 0 for all other kinds."""
    resized: bool = False
    """Whether CycleGAN's networks double the side by repeated pixels and a convolution in place of transposed
    convolutions, which leave a grid (Odena et al. 2016, doi 10.23915/distill.00003)."""

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
        if self.blocks < 2 and self.tied:
            raise BadModel(f"The kind {self.kind} needs 2 residual blocks at least: the innermost are shared.")
        if set(self.tied) & set(self.own):
            raise BadModel(
                f"The two translators of the kind {self.kind} share the code, so groups cannot own parts of it.",
                "Own less.",
            )
        if self.resized and self.kind != "cyclegan":
            raise BadModel(f"Translators of the kind {self.kind} have no transposed convolutions to replace.")
        if self.appearance < 0 or bool(self.appearance) != ("appearance" in self.parts):
            raise BadModel(f"Translators of the kind {self.kind} have no appearance of {self.appearance} numbers.")

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

    @property
    def coded(self) -> bool:
        """Whether a code lies between encoder and decoder, which the other translator of the pair can decode too."""
        return self.kind in ("unit", "munit", "drit")

    @property
    def adversarial(self) -> bool:
        """Whether a discriminator sees the codes, which should not tell of their domain."""
        return self.kind == "drit"

    @property
    def drawn(self) -> int:
        """Side in pixels at which photos are drawn.

        CycleGAN's networks draw any side. At twice the side that they learned at they keep more of the person, and the
        strokes are finer (docs/results/translators.md, measured from 128 pixels); 256 pixels at most, or their own side
        where that is more.
        """
        return max(self.resolution, min(2 * self.resolution, 256)) if self.kind == "cyclegan" else self.resolution

    @property
    def tied(self) -> tuple[str, ...]:
        """The parts that both translators of a pair have in common (weight sharing of UNIT and DRIT++)."""
        return ("to_code", "from_code") if self.kind in ("unit", "drit") else ()

    @property
    def code(self) -> tuple[int, int, int]:
        """Shape of the code of a picture, where there is one."""
        return 4 * self.channels, self.resolution // 4, self.resolution // 4


def photo2cartoon(resolution: int = 256, channels: int = 32, *, light: bool = True) -> TranslatorAnatomy:
    """Return the anatomy of photo2cartoon; light and 32 channels wide is what was released."""
    return TranslatorAnatomy("photo2cartoon", resolution, channels, 4, light, 4, 4)


def ugatit(resolution: int = 256, channels: int = 64, *, light: bool = False) -> TranslatorAnatomy:
    """Return that of U-GAT-IT; groups own the two outermost parts at either end."""
    return TranslatorAnatomy("ugatit", resolution, channels, 4, light, 2, 2)


def cyclegan(resolution: int = 256, channels: int = 64) -> TranslatorAnatomy:
    """Return that of CycleGAN: nine residual blocks, six below 256 pixels."""
    return TranslatorAnatomy("cyclegan", resolution, channels, 9 if resolution >= 256 else 6, True, 2, 2)


def unit(resolution: int = 256, channels: int = 64) -> TranslatorAnatomy:
    """Return that of UNIT: four residual blocks to the code and four from it, of which the innermost are shared."""
    return TranslatorAnatomy("unit", resolution, channels, 4, True, 2, 2)


def munit(resolution: int = 256, channels: int = 64) -> TranslatorAnatomy:
    """Return that of MUNIT: four residual blocks to the content, four from it, an appearance of 8 numbers."""
    return TranslatorAnatomy("munit", resolution, channels, 4, True, 2, 2, 8)


def drit(resolution: int = 256, channels: int = 64) -> TranslatorAnatomy:
    """Return that of DRIT++: four residual blocks either side of the content, the innermost shared; 8 numbers."""
    return TranslatorAnatomy("drit", resolution, channels, 4, True, 2, 2, 8)


@dataclass(frozen=True)
class PanelAnatomy:
    """Sizes of the discriminators of one domain."""

    layers: tuple[int, ...] = (7, 5)
    """Of each discriminator, as U-GAT-IT counts them: n - 2 convolutions that halve, and two that do not."""
    channels: int = 32
    attentive: bool = True
    """Spectral norm and attention, as U-GAT-IT; instance norm and neither, as CycleGAN, when False."""
    groups: int = 0
    """Groups of people that are told apart; 0 for no such head."""
    scaled: bool = False
    """MUNIT's: each sees the picture at half the side of the one before, without norms; of n layers n - 1 halve."""

    def __post_init__(self) -> None:
        if not self.layers or min(self.layers) < 3 or max(self.layers) > 12 or self.channels < 1 or self.groups < 0:
            raise BadModel(f"Discriminators of {self.layers} layers and {self.channels} channels cannot be built.")
        if self.scaled and self.attentive:
            raise BadModel("Discriminators at several scales have no attention.", "Set attentive to false.")


def attentive_panel(resolution: int = 256, channels: int = 32) -> PanelAnatomy:
    """Return U-GAT-IT's two discriminators: 7 and 5 layers at 256 pixels, one less for each halving."""
    depth = resolution.bit_length() - 1
    return PanelAnatomy((max(depth - 1, 3), max(depth - 3, 3)), channels, True)


def patch_panel(resolution: int = 256, channels: int = 64) -> PanelAnatomy:
    """Return CycleGAN's: one that sees patches of 70 pixels, of 34 below 128 pixels."""
    return PanelAnatomy((5 if resolution >= 128 else 4,), channels, False)


def scaled_panel(resolution: int = 256, channels: int = 64) -> PanelAnatomy:
    """Return MUNIT's: three scales, four halvings each, fewer below 64 pixels."""
    return PanelAnatomy((min(resolution.bit_length() - 2, 5),) * 3, channels, False, scaled=True)


def check_groups(groups: Sequence[str]) -> None:
    """Refuse names of groups that are none, or that come twice.

    Raises:
        BadModel: They are such names.
    """
    bad = [group for group in groups if not GROUP.fullmatch(group) or group == AUTO or list(groups).count(group) > 1]
    if bad or not groups:
        raise BadModel(
            f"{[b[:80] for b in bad]} cannot name groups." if bad else "A translator needs a group.",
            f"Name each once: letters, digits, - and _, but not {AUTO}.",
        )
