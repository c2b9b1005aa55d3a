"""The affine maps from w to the styles of layers, gathered as SeFa wants them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from torch import Tensor

from ..errors import UsageError
from .layers import StyledConv, ToRGB
from .synthesis import Synthesis


def modulation_weights(
    synthesis: Synthesis,
    resolutions: Collection[int] | None = None,
    *,
    to_rgb: Literal["first", "last", "all", "none"] = "first",
) -> list[Tensor]:
    """Return the weights [channels, w_dim] by which w reaches each layer, in the order the layers run.

    They are the effective weights: style = weight @ w + bias.

    Args:
        synthesis: Where to look.
        resolutions: Only the layers of these blocks; all when None.
        to_rgb: Which ToRGB layers count beside the convolutions. ``first`` is what the released code of UI2I and
            Cartoon-StyleGAN has (that of 4 pixels), ``last`` what that of SeFa has.

    Raises:
        UsageError: The choice holds no layer, or a resolution that the network does not have.
    """
    anatomy = synthesis.anatomy
    unknown = set(resolutions or ()) - set(anatomy.resolutions)
    if unknown:
        raise UsageError(f"This generator has no blocks of {sorted(unknown)} pixels; it has {anatomy.resolutions}.")
    sides = anatomy.resolutions
    drawing = {"first": sides[:1], "last": sides[-1:], "all": sides, "none": ()}[to_rgb]
    chosen = [
        layer
        for block in anatomy.blocks
        if resolutions is None or block.resolution in resolutions
        for layer in (block.layers if block.resolution in drawing else block.convs)
    ]
    if not chosen:
        raise UsageError("No layer is left to find directions of.", "Name at least one resolution.")
    return [_affine_weight(synthesis, layer.name.removeprefix("synthesis.")) for layer in chosen]


def _affine_weight(synthesis: Synthesis, name: str) -> Tensor:
    layer = synthesis.get_submodule(name)
    assert isinstance(layer, StyledConv | ToRGB)
    return layer.affine.weight.detach() * layer.affine.scale
