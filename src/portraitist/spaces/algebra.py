"""What one does with codes: truncate, mix, interpolate, and the statistics of w."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from .codes import W, WPlus

AnyW = TypeVar("AnyW", W, WPlus)


def truncate(code: AnyW, mean: AnyW, psi: float, rows: int | None = None) -> AnyW:
    """Pull codes towards the mean: ``mean + psi * (code - mean)`` (Karras et al. 2019, Sec. B).

    Args:
        code: Codes of W or W+.
        mean: The mean of such codes, one code of the same space.
        psi: 1 keeps the code, 0 gives the mean.
        rows: Only the first ``rows`` rows of W+ are pulled; all when None.
    """
    pulled = torch.lerp(mean.data.expand_as(code.data), code.data, psi)
    if rows is not None:
        if isinstance(code, W):
            raise ValueError("rows can be chosen in W+ only; broadcast the code first")
        pulled = torch.cat([pulled[:, :rows], code.data[:, rows:]], 1)
    return type(code)(pulled)


def mix(low: WPlus, high: WPlus, at: int) -> WPlus:
    """Take rows [0, at) from one code and the rest from another (style mixing, Karras et al. 2019, Sec. 3.1)."""
    if not 0 <= at <= low.data.shape[1]:
        raise ValueError(f"the crossover must lie in [0, {low.data.shape[1]}], not {at}")
    return WPlus(torch.cat([low.data[:, :at], high.data[:, at:]], 1))


def lerp(start: AnyW, end: AnyW, t: float) -> AnyW:
    """Go from one code (t = 0) to another (t = 1) in a straight line."""
    return type(start)(torch.lerp(start.data, end.data, t))


@dataclass(frozen=True)
class Statistics:
    """Mean and deviation of w under the prior."""

    mean: W
    """[1, w_dim]"""
    deviation: float
    """Root of the mean squared distance to the mean, as the projector's noise uses it."""


def statistics(mapping: Callable[[Tensor], Tensor], z_dim: int, *, count: int = 10_000, seed: int = 123) -> Statistics:
    """Measure w over latents of the prior; arguments as in :func:`sample_w`."""
    w = sample_w(mapping, z_dim, count=count, seed=seed)
    mean = w.mean(0, keepdim=True)
    deviation = float(((w - mean).square().sum() / len(w)).sqrt())
    return Statistics(W(mean.float()), deviation)


def sample_w(mapping: Callable[[Tensor], Tensor], z_dim: int, *, count: int = 10_000, seed: int = 123) -> Tensor:
    """Map latents of the prior: [count, w_dim] in double precision, so that the order of later sums hardly matters.

    Args:
        mapping: Latents [N, z_dim] to w [N, w_dim], on the CPU.
        z_dim: Size of a latent.
        count: Number of latents; 10,000 and seed 123 are those of the StyleGAN2 projector.
        seed: Seed of the latents.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        w = torch.cat([mapping(torch.randn(1000, z_dim, generator=generator)) for _ in range(-(-count // 1000))])
    return w[:count].double()
