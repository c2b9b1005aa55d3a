"""Blend the weights of two generators, resolution by resolution.

Pinkney and Adler 2020, "Resolution Dependent GAN Interpolation for Controllable Image Synthesis Between Domains",
arXiv:2010.05334, who showed first that a StyleGAN2 model and one fine-tuned from it can be recombined. Their Toonify
takes the low resolutions from the fine-tuned model and the high ones from the base, so that a caricature's shapes get
a photo's skin; the other direction keeps the person's shape and draws it in the style. It works while the two have a
common base and neither has moved far from it.

    toonified = blend(low=toon, high=faces, alpha=hard(faces.anatomy, upto=16))
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import BadModel, UsageError
from ..networks import Generator, GeneratorAnatomy

Side = Literal["low", "high"]


@torch.no_grad()
def blend(low: Generator, high: Generator, alpha: Mapping[int, float], mapping: Side = "low") -> Generator:
    """Return a new generator whose block of r pixels is ``(1 - alpha[r]) * low + alpha[r] * high``.

    Every parameter and buffer of a block takes part, the stored noise too; the constant belongs to the block of 4. At
    0 and 1 a block is that of one side, bit for bit.

    Args:
        low: Where ``alpha`` is 0.
        high: Where ``alpha`` is 1.
        alpha: Share of ``high`` in [0, 1] for each resolution, see :func:`hard` and :func:`smooth`.
        mapping: The side whose mapping networks and mean of w the new generator gets, unblended. In Pinkney and
            Adler's code it is always ``low``.

    Raises:
        BadModel: The generators have different sizes.
        UsageError: ``alpha`` leaves out a resolution, names a foreign one or leaves [0, 1].
    """
    check_sizes(low, high)
    _check_shares(low.anatomy, alpha)
    generator = copy.deepcopy(choose(low, high, mapping))
    anatomy, start, end = generator.anatomy, low.state_dict(), high.state_dict()
    for name, tensor in generator.state_dict().items():
        resolution = anatomy.place(name)
        if resolution is not None:
            tensor.copy_(_between(start[name], end[name], alpha[resolution]))
    return generator


def hard(anatomy: GeneratorAnatomy, upto: int) -> dict[int, float]:
    """Return shares that are 0 up to and including ``upto`` pixels and 1 above.

    ``upto=0`` gives all to ``high``. A switch at ``upto=32`` is Pinkney and Adler's at resolution 32, level 0.

    Raises:
        UsageError: There is no such resolution.
    """
    check_upto(anatomy, upto)
    return {r: float(r > upto) for r in anatomy.resolutions}


def smooth(anatomy: GeneratorAnatomy, middle: float, width: float) -> dict[int, float]:
    """Return shares that grow as a sigmoid of the resolution's logarithm.

    alpha = sigmoid(log2(r / middle) / width). Pinkney and Adler's code counts two positions a resolution where this
    counts one: its width is twice this one.

    Args:
        anatomy: The sizes of both generators.
        middle: Where both sides have a half, in pixels; it may lie between two resolutions.
        width: In doublings of the resolution: one width from the middle ``high`` has 0.27 or 0.73.

    Raises:
        UsageError: ``middle`` or ``width`` is not positive and finite.
    """
    if not (0 < middle < math.inf and 0 < width < math.inf):
        raise UsageError(
            f"A blend with its middle at {middle} pixels and a width of {width} is not possible.",
            "Both must be positive; a hard switch needs no width.",
        )
    # sigmoid(x) = (1 + tanh(x / 2)) / 2, which no x overflows.
    return {r: (1 + math.tanh(math.log2(r / middle) / width / 2)) / 2 for r in anatomy.resolutions}


def choose(low: Generator, high: Generator, side: Side) -> Generator:
    """Return the generator of one side; raise UsageError where it is neither."""
    if side not in get_args(Side):
        raise UsageError(f"'{side}' is no side of two generators.", "Use 'low' or 'high'.")
    return low if side == "low" else high


def check_sizes(low: Generator, high: Generator) -> None:
    """Raise BadModel where two generators differ in their sizes; a second mapping network does not count."""
    if low.anatomy.of_base != high.anatomy.of_base:
        raise BadModel(
            f"The two generators have different sizes: {low.anatomy} and {high.anatomy}.",
            "Take a base and a style of it, or two styles of one base.",
        )


def check_upto(anatomy: GeneratorAnatomy, upto: int) -> None:
    """Raise UsageError where ``upto`` is neither 0 nor a resolution of the generator."""
    if upto not in (0, *anatomy.resolutions):
        raise UsageError(
            f"The generators cannot be switched at {upto} pixels.",
            f"Use one of {', '.join(map(str, anatomy.resolutions))}, or 0 to take nothing from the low side.",
        )


def _check_shares(anatomy: GeneratorAnatomy, alpha: Mapping[int, float]) -> None:
    if set(alpha) != set(anatomy.resolutions):
        raise UsageError(
            f"The shares are for the resolutions {sorted(alpha)}, the generators have {list(anatomy.resolutions)}.",
            "Give one share for each resolution.",
        )
    for r, share in alpha.items():
        if not 0 <= share <= 1:
            raise UsageError(
                f"The share {share} at {r} pixels is outside [0, 1].", "0 is the low side, 1 the high one."
            )


def _between(start: Tensor, end: Tensor, share: float) -> Tensor:
    # The ends are taken as they are: interpolated there, a negative zero or an infinity would change.
    if share in (0, 1):
        return end if share else start
    return torch.lerp(start, end, share)
