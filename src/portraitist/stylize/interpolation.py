"""The weights of a mixture of styles.

Deep network interpolation (Wang et al. 2019, arXiv:1811.10515; for StyleGAN2 first shown by Pinkney and Adler 2020,
arXiv:2010.05334): the weights of a mixture are those of the base and, of each style, a part of what it differs by,

    base + sum_k w_k (style_k - base)
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from ..networks import Generator
from ..networks.generator import with_low_rows
from ..ops.devices import double


def mixed(base: Generator, styles: Sequence[tuple[Generator, float]]) -> Generator:
    """Add to a base what styles differ from it by, each with its weight.

    One style of weight 1 is that style bit for bit, and no style, or weights of 0, is the base. Tensors that equal the
    base's are shared with it, those of one style of weight 1 with that style: nothing of the result may be changed in
    place. Where some of the styles have a mapping network of the base for their first rows (FreezeSG), so has the
    mixture, for the most rows that any has; the mapping network of the others then counts for both.

    Args:
        base: What they were fine-tuned from.
        styles: Each with its weight, all on the device of the base.
    """
    chosen = [(style, weight) for style, weight in styles if weight]
    rows = max((style.anatomy.low_rows for style, _ in chosen), default=0)
    shape = _with_rows(base, rows)
    ends = [(_with_rows(style, rows).state_dict(), weight) for style, weight in chosen]
    kept, found = base.state_dict(), {}
    for name, start in shape.state_dict().items():
        other = [(end[name], weight) for end, weight in ends if not torch.equal(end[name], start)]
        found[name] = _sum(start, other) if other else kept.get(name, start)
    tensors = [*shape.parameters(), *shape.buffers()]
    generator = copy.deepcopy(shape, {id(tensor): tensor for tensor in tensors})  # copies the modules alone
    generator.load_state_dict(found, assign=True)
    return generator.eval()


def _sum(start: Tensor, ends: Sequence[tuple[Tensor, float]]) -> Tensor:
    (first, weight), *rest = ends
    if weight == 1 and not rest:
        return first
    exact = double(start)  # rounded once, so that the order of the styles does not show
    return (exact + sum(weight * (double(end) - exact) for end, weight in ends)).to(start)


def _with_rows(generator: Generator, rows: int) -> Generator:
    return generator if generator.anatomy.low_rows or not rows else with_low_rows(generator, rows)
