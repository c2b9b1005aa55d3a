"""Bias, leaky rectifier, gain and clamp in one step, as every layer of StyleGAN2 ends."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

SLOPE = 0.2
GAIN = math.sqrt(2.0)


def bias_act(
    x: Tensor, bias: Tensor | None = None, *, slope: float = SLOPE, gain: float = GAIN, clamp: float | None = None
) -> Tensor:
    """Return ``clamp(gain * leaky_relu(x + bias))``; a slope of 1 is a linear layer.

    Args:
        x: Features [N, C, ...].
        bias: Added per channel [C].
        slope: Slope below zero.
        gain: Positive factor on the result; sqrt(2) keeps the variance of a rectified unit normal.
        clamp: Bound on the absolute value of the result, after the gain.

    Returns:
        Features of the shape of ``x``. In mixed precision maps keep the half precision of ``x``, which is what saves
        memory; vectors [N, C] are few, and take up the full precision of the bias.
    """
    # A positive gain commutes with the rectifier, and scaling the small bias is cheaper than scaling the result.
    y = x if gain == 1.0 else x * gain
    if bias is not None:
        scaled = bias * gain if x.ndim == 2 else (bias * gain).to(y.dtype)
        y = y + scaled.reshape(-1, *[1] * (x.ndim - 2))
    if slope != 1.0:
        # What was made here may be overwritten: its derivative can be told from the result.
        y = F.leaky_relu(y, slope, inplace=y is not x)
    return y if clamp is None else y.clamp(-clamp, clamp)


def bias_act_reference(
    x: Tensor, bias: Tensor | None = None, *, slope: float = SLOPE, gain: float = GAIN, clamp: float | None = None
) -> Tensor:
    """Compute :func:`bias_act` in the order of its formula."""
    if bias is not None:
        x = x + bias.reshape(-1, *[1] * (x.ndim - 2))
    y = gain * (x.clamp(min=0) + slope * x.clamp(max=0))
    return y if clamp is None else y.clamp(-clamp, clamp)
