"""How near two models are, and how much of a picture's layout its stylized twin keeps.

distance = PerceptualDistance(DiscriminatorFeatures(base.discriminator))
model_distance(base.generator, style.generator, distance, z_dim=base.generator.anatomy.z_dim)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import BadData
from ..losses.perceptual import PerceptualDistance
from .kernel import Interval
from .pairs import interval

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue, ITU-R BT.709."""


@torch.no_grad()
def model_distance(
    first: Callable[[Tensor], Tensor],
    second: Callable[[Tensor], Tensor],
    distance: PerceptualDistance,
    *,
    z_dim: int,
    count: int = 2000,
    seed: int = 0,
    batch: int = 16,
    device: torch.device | str = "cpu",
) -> Interval:
    """Return the mean perceptual distance of two models' pictures of the same latents, and its standard error.

    Huang et al. 2020, arXiv:2010.05713, Eq. 1 and Table I, with the paper's 2000 latents. What it leaves open: each
    model uses its own mapping, the noise is that stored in the model, and nothing is truncated. Name the distance
    beside the number, the paper's is LPIPS.

    Args:
        first: Draws images [N, 3, R, R] in about [-1, 1] from latents [N, z_dim]; a ``Generator`` does.
        second: The same of the other model.
        distance: What compares two pictures.
        z_dim: Width of the latents, drawn from N(0, I).
        count: How many latents.
        seed: Of the latents.
        batch: How many pictures are drawn at once; the latents do not depend on it.
        device: Where the models are.

    Raises:
        BadData: Fewer than 2 latents.
    """
    pair = {"first": first, "second": second}
    found = distance_matrix(pair, distance, z_dim=z_dim, count=count, seed=seed, batch=batch, device=device)
    return found["first", "second"]


@torch.no_grad()
def distance_matrix(
    models: Mapping[str, Callable[[Tensor], Tensor]],
    distance: PerceptualDistance,
    *,
    z_dim: int,
    count: int = 2000,
    seed: int = 0,
    batch: int = 16,
    device: torch.device | str = "cpu",
    on_batch: Callable[[int], object] = lambda count: None,
) -> dict[tuple[str, str], Interval]:
    """Return the :func:`model_distance` of every two models over the same latents, each drawn once by each model.

    Args:
        models: What draws, by name; all from latents of one width, in pictures of one size.
        distance: As of :func:`model_distance`, and so are the other arguments.
        z_dim: Width of the latents.
        count: How many latents.
        seed: Of the latents.
        batch: How many pictures are drawn at once.
        device: Where the models are.
        on_batch: Told of the number of latents done with.

    Returns:
        The distances by pairs of names, in the order of ``models``.

    Raises:
        BadData: Fewer than 2 latents.
    """
    if count < 2:
        raise BadData(f"A model distance over {count} latents has no spread.", "Draw at least 2.")
    z = torch.randn(count, z_dim, generator=torch.Generator().manual_seed(seed))
    each: dict[tuple[str, str], list[Tensor]] = {pair: [] for pair in combinations(models, 2)}
    for part in torch.split(z, batch):
        pictures = {name: draw(part.to(device)) for name, draw in models.items()}
        for (first, second), values in each.items():
            values.append(distance(pictures[first], pictures[second]).cpu().double())
        on_batch(len(part))
    return {pair: interval(torch.cat(values)) for pair, values in each.items()}


def structure_distance(images: Tensor, others: Tensor, side: int = 16) -> Tensor:
    """Return the mean squared difference of colours averaged over ``side`` x ``side`` areas: [N].

    Args:
        images: Pictures [N, 3, H, W] in about [-1, 1].
        others: Their twins, [N, 3, H', W'].
        side: How many areas along a side: what is finer than H / side pixels does not count.
    """
    return (_areas(images, side) - _areas(others, side)).square().mean((1, 2, 3))


def layout_similarity(images: Tensor, others: Tensor, side: int = 16) -> Tensor:
    """Return Pearson's correlation of luminance averaged over ``side`` x ``side`` areas: [N] in [-1, 1].

    1 means the same layout of light and dark, whatever colours and contrast a style has. A blank picture has no layout
    and is like none: 0.

    Args:
        images: Pictures [N, 3, H, W] in about [-1, 1].
        others: Their twins, [N, 3, H', W'].
        side: How many areas along a side.
    """
    return (_layout(images, side) * _layout(others, side)).sum(1)


def _areas(images: Tensor, side: int) -> Tensor:
    return F.adaptive_avg_pool2d(images, side)


def _layout(images: Tensor, side: int) -> Tensor:
    """Return luminances [N, side * side] of mean 0 and length 1."""
    light = torch.einsum("nchw,c->nhw", _areas(images, side), images.new_tensor(LUMA)).flatten(1)
    light = light - light.mean(1, keepdim=True)
    length = light.norm(dim=1, keepdim=True)
    # A blank picture leaves nothing but rounding; stretched to unit length it would look like a layout.
    return torch.where(length > 1e-4, light / length.clamp(min=1e-4), 0)
