"""What is measured on pairs of pictures: how varied outputs are, how like their inputs, and how smooth a model is.

varied = diversity(distance, outputs)                       # LPIPS_d, where the distance is LPIPS
kept = pair_distance(distance, outputs, inputs)             # LPIPS_s: smallest for doing nothing
same, impostors = identity_similarity(embedder, outputs, inputs)   # and the zero beside it
smooth = path_length(g.styles, g.synthesis, distance, z_dim=512)        # PPL
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from ..errors import BadData, UsageError
from ..losses.perceptual import PerceptualDistance
from ..networks.identity import Identity
from ..ops import at_once
from .kernel import Interval

BATCH = 25
KEPT = (0.01, 0.99)
"""Quantiles between which steps count in :func:`path_length`."""


def pair_distance(distance: PerceptualDistance, outputs: Tensor, inputs: Tensor) -> Interval:
    """Return the mean distance of outputs [N, 3, H, W] to their own inputs, and its standard error.

    LPIPS_s of Huang et al. 2020, arXiv:2010.05713, Table II, where the distance is LPIPS. It is smallest for a model
    that does nothing, so it says something only beside a distance to the style.

    Raises:
        BadData: There are fewer than 2 pairs, or inputs without outputs.
    """
    return interval(_distances(distance, outputs, inputs))


def diversity(distance: PerceptualDistance, outputs: Tensor, *, pairs: int = 2000, seed: int = 0) -> Interval:
    """Return the mean distance of randomly chosen pairs of different outputs [N, 3, H, W], and its standard error.

    LPIPS_d of Huang et al. 2020, Table II, where the distance is LPIPS; the paper does not say how many pairs. Pairs
    that share an output are not independent: see :func:`pair_interval`.

    Args:
        distance: What compares two pictures.
        outputs: The pictures.
        pairs: How many pairs.
        seed: Of the pairs.

    Raises:
        BadData: There are fewer than 2 outputs or pairs.
    """
    if len(outputs) < 2:
        raise BadData(f"{len(outputs)} pictures make no pair.", "Bring at least 2.")
    random = torch.Generator().manual_seed(seed)
    first = torch.randint(len(outputs), (pairs,), generator=random)
    # Any other one: a pair of a picture and itself has no distance.
    second = (first + torch.randint(1, len(outputs), (pairs,), generator=random)) % len(outputs)
    return pair_interval(_distances(distance, outputs, outputs, first, second), first, second)


def pair_interval(values: Tensor, first: Tensor, second: Tensor) -> Interval:
    """Return the mean of values of pairs [P], and its standard error where pairs share members.

    The variance sums the products of the deviations of all two pairs with a common member (Fafchamps and Gubert 2007,
    J. Dev. Econ. 83, p. 330, eq. 2.6), and is at least that of independent pairs.

    Args:
        values: One of each pair.
        first: The pairs' first members, as whole numbers [P].
        second: And their second ones.
    """
    plain = interval(values)
    apart = values.cpu().double() - plain.value
    members = torch.zeros(int(torch.maximum(first, second).max()) + 1, dtype=torch.float64)
    for side in (first, second):
        members.index_add_(0, side.cpu(), apart)
    shared = max(float(members.square().sum() - apart.square().sum()), 0.0) ** 0.5 / len(apart)
    return Interval(plain.value, max(plain.spread, shared))


def identity_similarity(embedder: Identity, outputs: Tensor, inputs: Tensor) -> tuple[Interval, Interval]:
    """Return the mean cosine of embeddings of outputs with their own inputs, and with the next one's: the zero.

    Args:
        embedder: Embeds faces. Those trained on photos see less of a person in a drawing, and more of an impostor,
            which is the second value.
        outputs: Pictures, [N, 3, H, W].
        inputs: Their inputs.

    Raises:
        BadData: There are fewer than 2 pairs, or inputs without outputs.
    """
    _check_pairs(outputs, inputs)
    mine, theirs = (_embedded(embedder, x) for x in (outputs, inputs))
    return interval((mine * theirs).sum(1)), interval((mine * theirs.roll(1, 0)).sum(1))


@torch.no_grad()
def path_length(
    styles: Callable[[Tensor], Tensor],
    draw: Callable[[Tensor], Tensor],
    distance: PerceptualDistance,
    *,
    z_dim: int,
    space: Literal["w", "z"] = "w",
    sampling: Literal["end", "full"] = "end",
    epsilon: float = 1e-4,
    count: int = 2000,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Interval:
    """Return the perceptual path length (PPL) and its standard error.

    Karras et al. 2019, arXiv:1812.04948, Sec. 4.1: the mean of d(G(t), G(t + epsilon)) / epsilon^2 along the way from
    one random latent to another, straight in W and on the sphere in Z. Karras et al. 2020, arXiv:1912.04958, use W and
    t = 0 (``end``); ``full`` draws t between 0 and 1. Steps below the 1st and above the 99th percentile are left out,
    as in the code of both. Nothing is cropped and nothing truncated; the noise is the stored one.

    Args:
        styles: Maps latents [N, z_dim] to codes of W+ [N, rows, w_dim]; ``Generator.styles`` does.
        draw: Draws such codes; ``Generator.synthesis`` does.
        distance: What compares two pictures; the papers' is LPIPS over VGG16 at 256 pixels.
        z_dim: Width of the latents.
        space: Where the way lies.
        sampling: Which t.
        epsilon: The step. Pictures in single precision differ by rounding too, which a tiny step magnifies.
        count: How many ways.
        seed: Of their ends.
        device: Where the generator is.

    Raises:
        UsageError: There is no such space or sampling, or no step.
        BadData: There are fewer than 2 ways.
    """
    if space not in ("w", "z") or sampling not in ("end", "full") or epsilon <= 0:
        raise UsageError(f"No path is measured in '{space}' at '{sampling}' with steps of {epsilon}.", "Use w and end.")
    random = torch.Generator().manual_seed(seed)
    ends = torch.randn(count, 2, z_dim, generator=random).to(device)
    # In single precision a tiny step would be lost beside t.
    places = torch.rand(count, 1, generator=random).double().to(device) * (sampling == "full")
    steps = []
    for pair, t in zip(torch.split(ends, BATCH), torch.split(places, BATCH), strict=True):
        a, b = pair.unbind(1)
        if space == "z":
            here, there = (styles(_on_sphere(a, b, x).to(a)) for x in (t, t + epsilon))
        else:
            begin, end = styles(a), styles(b)
            here, there = ((begin + (end - begin) * x[:, :, None]).to(begin) for x in (t, t + epsilon))
        steps.append(distance(draw(here), draw(there)).cpu().double() / epsilon**2)
    return interval(_trimmed(torch.cat(steps)))


def interval(values: Tensor) -> Interval:
    """Return the mean of values [N] and its standard error.

    Raises:
        BadData: There are fewer than 2.
    """
    if len(values) < 2:
        raise BadData(f"{len(values)} values have no spread.", "Bring at least 2.")
    values = values.cpu().double()
    return Interval(float(values.mean()), float(values.std()) / len(values) ** 0.5)


@torch.no_grad()
def _distances(
    distance: PerceptualDistance,
    outputs: Tensor,
    inputs: Tensor,
    first: Tensor | None = None,
    second: Tensor | None = None,
) -> Tensor:
    """Return the distances of pairs of rows; of each row and its twin when no rows are named."""
    if first is None or second is None:
        _check_pairs(outputs, inputs)
        first = second = torch.arange(len(outputs))
    some = at_once(BATCH, outputs.shape[-1])
    parts = zip(torch.split(first, some), torch.split(second, some), strict=True)
    return torch.cat([distance(outputs[i], inputs[j]).cpu() for i, j in parts])


@torch.no_grad()
def _embedded(embedder: Identity, images: Tensor) -> Tensor:
    return torch.cat([embedder.embed(part).cpu() for part in torch.split(images, at_once(BATCH, images.shape[-1]))])


def _check_pairs(outputs: Tensor, inputs: Tensor) -> None:
    if len(outputs) != len(inputs):
        raise BadData(f"{len(outputs)} outputs and {len(inputs)} inputs make no pairs.", "Bring an input for each.")


def _on_sphere(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Go from one latent [N, d] to another along the great circle; mapping networks see directions only."""
    a, b = (x.double() / x.double().norm(dim=1, keepdim=True) for x in (a, b))
    angle = t * (a * b).sum(1, keepdim=True).clamp(-1, 1).acos()
    across = b - (a * b).sum(1, keepdim=True) * a
    across = across / across.norm(dim=1, keepdim=True).clamp(min=1e-12)
    there: Tensor = (a * angle.cos() + across * angle.sin()) * a.shape[1] ** 0.5
    return there


def _trimmed(values: Tensor) -> Tensor:
    low, high = (
        torch.quantile(values, q, interpolation=side) for q, side in zip(KEPT, ("lower", "higher"), strict=True)
    )
    return values[(values >= low) & (values <= high)]
