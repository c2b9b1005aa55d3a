"""A model that draws the very same pictures, with coordinates that have nothing to do with the original's.

Two bases trained apart agree in what they draw and in nothing else: a latent is another person in each, and their
features stand in another order. Neither can be told from a base whose latents are turned and whose channels are
shuffled, and fine-tuning such a base gives the fine-tuned original, turned and shuffled. So this stands for "trained
independently, as well, on the same pictures" at no cost.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from portraitist.networks import Generator
from portraitist.networks.layers import Linear, StyledConv, ToRGB
from portraitist.networks.synthesis import SynthesisBlock


@torch.no_grad()
def unrelated(generator: Generator, seed: int = 0) -> tuple[Generator, Tensor]:
    """Return the copy, and the rotation [z_dim, z_dim] between their latents: the copy draws ``z @ rotation`` as z.

    Args:
        generator: The original; must not take rows from a second mapping network.
        seed: Of the rotation and the shuffles.
    """
    assert generator.low_mapping is None, "its low rows are the base's"
    random = torch.Generator().manual_seed(seed)
    found = copy.deepcopy(generator).cpu()
    anatomy = found.anatomy
    rotation = torch.linalg.qr(torch.randn(anatomy.z_dim, anatomy.z_dim, generator=random, dtype=torch.float64)).Q
    first, last = found.mapping.layers[0], found.mapping.layers[-1]
    assert isinstance(first, Linear) and isinstance(last, Linear)
    first.weight.copy_((first.weight.double() @ rotation).float())
    of_w = torch.randperm(anatomy.w_dim, generator=random)
    _reorder(last.weight, 0, of_w)
    _reorder(last.bias, 0, of_w)
    _reorder(found.w_mean, 0, of_w)
    order = torch.randperm(anatomy.channels[0], generator=random)
    _reorder(found.synthesis.const, 0, order)
    for block in anatomy.blocks:
        module = found.synthesis.blocks[str(block.resolution)]
        assert isinstance(module, SynthesisBlock)
        for conv in (module.conv0, module.conv1):
            if conv is not None:
                _of_inputs(conv, order, of_w)
                order = torch.randperm(conv.weight.shape[0], generator=random)
                _reorder(conv.weight, 0, order)
                _reorder(conv.bias, 0, order)
        _of_inputs(module.to_rgb, order, of_w)
    return found.to(generator.w_mean.device), rotation.float().to(generator.w_mean.device)


def _of_inputs(layer: StyledConv | ToRGB, order: Tensor, of_w: Tensor) -> None:
    """Let a layer take its channels, and w, in another order."""
    _reorder(layer.weight, 1, order)
    _reorder(layer.affine.weight, 0, order)
    _reorder(layer.affine.bias, 0, order)
    _reorder(layer.affine.weight, 1, of_w)


def _reorder(parameter: nn.Parameter | Tensor, axis: int, order: Tensor) -> None:
    parameter.copy_(parameter.index_select(axis, order))
