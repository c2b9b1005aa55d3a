"""Swap layers: low resolutions of one generator, high ones of another.

Two ways that give different pictures. By weights, the new model has the blocks of one side up to a resolution and
those of the other above (Pinkney and Adler 2020, arXiv:2010.05334). By features, both models run and the features of
one are handed to the other, as the released code of Cartoon-StyleGAN (Back 2021, arXiv:2106.12445) and of UI2I via
StyleGAN2 (Huang et al. 2020, arXiv:2010.05713) does. There the colours of the low resolutions stay the style's.

    swapped = swap(low=faces, high=toon, upto=16, by="features")
    picture = swapped.synthesize(code)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn

from ..errors import BadModel, UsageError
from ..networks import Generator, GeneratorAnatomy, Mapping, Seen, Synthesis
from ..networks.anatomy import SMALLEST
from ..networks.synthesis import SynthesisBlock
from ..ops import upsample
from ..spaces import W, WPlus, Z, ZPlus
from .blend import Side, blend, check_sizes, check_upto, choose, hard

By = Literal["features", "weights"]
_RELEASED = re.compile(r"(cartoon-stylegan|ui2i):([0-9])")


def swap(low: Generator, high: Generator, upto: int, by: By, mapping: Side = "low") -> Generator | FeatureSwap:
    """Return a model with the resolutions up to and including ``upto`` from ``low`` and those above from ``high``.

    ========================  ==========================================  =======================
    what                      by="weights"                                by="features"
    ========================  ==========================================  =======================
    features through `upto`   low                                         low
    features above            high                                        high
    ToRGB below `upto`        low, on low's features                      high, on high's features
    ToRGB of `upto`           low, on low's features                      high, on low's features
    ToRGB above               high                                        high
    ``upto=0``                the synthesis of high                       high
    ``upto`` = all            the synthesis of low                        low's features, every ToRGB of high
    ========================  ==========================================  =======================

    The papers' numbers, which :func:`released_upto` reads: ``swap_layer_num=k`` of Cartoon-StyleGAN is
    ``upto=2 ** (k + 2)``; ``swap_layer=1, 3, 5`` of UI2I, LS1, LS3 and LS5 in its tables, are 8, 16 and 32.

    Args:
        low: Gives the low resolutions; the source, in both papers.
        high: Gives the high resolutions; the target, in both papers.
        upto: A resolution in pixels, or 0.
        by: What is swapped. Weights give one generator of new tensors, which can be saved as any other; features give
            a :class:`FeatureSwap`, which shares the tensors of both.
        mapping: The side whose mapping networks and mean of w the result shows as its own.

    Raises:
        BadModel: The generators have different sizes.
        UsageError: There is no such resolution, way or side.
    """
    if by not in get_args(By):
        raise UsageError(f"Layers cannot be swapped by '{by}'.", "Use 'features' or 'weights'.")
    if by == "features":
        return FeatureSwap(low, high, upto, mapping)
    check_sizes(low, high)
    return blend(low, high, hard(low.anatomy, upto), mapping)


def released_upto(text: str) -> int:
    """Return the resolution that a text names: in pixels, or by the number that a paper's released code has for it.

    ``32``, ``cartoon-stylegan:3`` (its ``swap_layer_num``) and ``ui2i:5`` (its ``swap_layer``, LS5 of its tables) are
    the same. The released code swaps by features.

    Raises:
        UsageError: The text is neither.
    """
    if text.isascii() and text.isdecimal() and len(text) < 6:
        return int(text)
    if (found := _RELEASED.fullmatch(text)) is not None:
        number = int(found[2])
        if found[1] == "cartoon-stylegan" and number:
            return int(2 ** (number + 2))
        if found[1] == "ui2i" and number % 2:  # its loop counts convolutions, two a resolution
            return int(2 ** ((number + 5) // 2))
    raise UsageError(
        f"'{text[:40]}' names no resolution to swap at.",
        "Give it in pixels (32), or as cartoon-stylegan:K with K from 1 up, or as ui2i:1, ui2i:3, ui2i:5 and so on.",
    )


class FeatureSwap(nn.Module):
    """Two generators, one of which continues the features of the other; it stands in a ``Generator``'s place.

    The papers drive both sides with one code of W+, as :meth:`synthesize` does. From latents each side goes through its
    own mapping networks, so that :meth:`forward` equals drawing the code of :meth:`styles` only where both agree, as
    after FreezeFC. Stored noise is that of the side that draws.

    Args:
        low: Its features are taken, through ``upto``; its blocks above do not run.
        high: Draws all colours, and the features above.
        upto: A resolution in pixels; at 0 the model is ``high``.
        mapping: The side that answers :meth:`styles`, :meth:`map` and :attr:`w_mean`.

    Raises:
        BadModel: The generators have different sizes.
        UsageError: There is no such resolution or side.
    """

    def __init__(self, low: Generator, high: Generator, upto: int, mapping: Side = "low") -> None:
        super().__init__()
        check_sizes(low, high)
        check_upto(low.anatomy, upto)
        choose(low, high, mapping)
        self.low, self.high, self.upto, self.side = low, high, upto, mapping

    def forward(self, z: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Draw images [N, 3, R, R] from latents, which each side maps with its own mapping networks."""
        return self._draw(self.low.styles(z), self.high.styles(z), noise)

    def synthesize(self, code: WPlus | W, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Draw images [N, 3, R, R] from codes of W or W+, the same for both sides.

        Raises:
            BadModel: The code has other sizes than the generators'.
            TypeError: The code belongs to Z or Z+; map it first.
        """
        ws = _rows(code, self.anatomy)
        return self._draw(ws, ws, noise)

    def styles(self, z: Tensor) -> Tensor:
        """Map latents to codes of W+ [N, rows, w_dim] as one side does."""
        return self._owner.styles(z)

    def map(self, z: Z | ZPlus) -> WPlus:
        """Send codes of the prior through the mapping networks of one side."""
        return self._owner.map(z)

    @property
    def anatomy(self) -> GeneratorAnatomy:
        """The sizes of the side that maps; those of the other differ in nothing but ``low_rows``."""
        return self._owner.anatomy

    @property
    def mapping(self) -> Mapping:
        """The mapping network of one side."""
        return self._owner.mapping

    @property
    def w_mean(self) -> Tensor:
        """The mean of w of one side, [w_dim]."""
        return self._owner.w_mean

    @property
    def mean(self) -> WPlus:
        """The mean of the codes that :meth:`map` gives, [1, rows, w_dim]."""
        return self._owner.mean

    @property
    def _owner(self) -> Generator:
        return choose(self.low, self.high, self.side)

    def _draw(self, low_ws: Tensor, high_ws: Tensor, noise: Sequence[Tensor] | None) -> Tensor:
        synthesis, anatomy, upto = self.high.synthesis, self.anatomy, self.upto
        if not upto:
            whole: Tensor = synthesis(high_ws, noise)
            return whole
        features = _at(self.low.synthesis, upto, low_ws, noise).features
        image = _rgb(synthesis, upto, features, high_ws)
        if upto > SMALLEST:
            image = upsample(_at(synthesis, upto // 2, high_ws, noise).image, synthesis.kernel) + image
        used = sum(conv.resolution <= upto for conv in anatomy.convs)
        planes = None if noise is None else iter(noise[used:])
        for block in anatomy.blocks:
            if block.resolution > upto:
                features, _, image = synthesis.step(block, features, image, high_ws, planes)
        return image


def _rows(code: WPlus | W, anatomy: GeneratorAnatomy) -> Tensor:
    if not isinstance(code, W | WPlus):
        raise TypeError(f"synthesize takes W or WPlus, not {type(code).__name__}; map it first")
    ws = (code.broadcast(anatomy.rows) if isinstance(code, W) else code).data
    if ws.shape[1:] != (anatomy.rows, anatomy.w_dim):
        raise BadModel(
            f"A code of shape {tuple(ws.shape[1:])} does not fit these generators.",
            "Use codes of one of them or of their base.",
        )
    return ws


def _at(synthesis: Synthesis, resolution: int, ws: Tensor, noise: Sequence[Tensor] | None) -> Seen:
    """Run a synthesis network up to one resolution and no further."""
    return next(seen for seen in synthesis.walk(ws, noise) if seen.resolution == resolution)


def _rgb(synthesis: Synthesis, resolution: int, features: Tensor, ws: Tensor) -> Tensor:
    """Draw what one ToRGB makes of foreign features."""
    block = synthesis.blocks[str(resolution)]
    assert isinstance(block, SynthesisBlock)
    rgb: Tensor = block.to_rgb(features, ws[:, synthesis.anatomy.block(resolution).to_rgb.row])
    return rgb
