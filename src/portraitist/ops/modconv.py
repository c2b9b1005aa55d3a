"""Modulated convolution (Karras et al. 2020, arXiv:1912.04958, Eq. 1-3) without per-sample kernels.

The style scales the input channels, one shared kernel is applied, and the demodulation factor scales the output
channels. The textbook form, one kernel per sample in a grouped convolution, is the reference the tests compare with.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .fir import upfirdn, upfirdn_reference
from .winograd import conv

EPSILON = 1e-8


def modulated_conv(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    *,
    demodulate: bool = True,
    up: int = 1,
    kernel: Tensor | None = None,
    gain: float = 1.0,
    noise: Tensor | None = None,
) -> Tensor:
    """Convolve each sample with the kernel its style asks for.

    Args:
        x: Features [N, I, H, W].
        weight: Shared kernel [O, I, k, k], k odd, already scaled for equalised learning rate.
        style: Factor on each input channel [N, I].
        demodulate: Scale each output channel to unit expected deviation (Eq. 3).
        up: 1, or 2 to enlarge: a transposed convolution followed by the filter ``kernel``.
        kernel: One axis of the filter that follows enlarging, [t].
        gain: Factor on the result; folded into the output scale, so it costs nothing.
        noise: Added to the result, [N or 1, O or 1, H * up, W * up]; with demodulation in the same pass.

    Returns:
        Features [N, O, H * up, W * up].
    """
    scaled = x * style[:, :, None, None]
    if up == 1:
        y = conv(scaled, weight)
    else:
        y = enlarging_conv(scaled, weight, kernel, up)
    if noise is not None:
        noise = noise.to(y.dtype)  # in mixed precision it would carry all that follows to full precision
    if demodulate:
        factor = (demodulation(weight, style) * gain)[:, :, None, None]
        return y * factor if noise is None else torch.addcmul(noise, y, factor)
    y = y if gain == 1.0 else y * gain
    return y if noise is None else y + noise


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """Return the factor 1 / sqrt(sum over I, k, k of (style * weight)^2 + eps) per output channel (Eq. 3): [N, O]."""
    # A product with ones sums nine numbers faster than a reduction over the two short axes.
    area = weight.shape[-2] * weight.shape[-1]
    ones = torch.ones(area, dtype=weight.dtype, device=weight.device)  # exports see that these are known
    energy = (weight.square().reshape(-1, area) @ ones).reshape(weight.shape[:2])
    return torch.rsqrt(style.square() @ energy.t() + EPSILON)


def enlarging_conv(x: Tensor, weight: Tensor, kernel: Tensor | None, up: int) -> Tensor:
    """Enlarge features [N, I, H, W] by ``up`` with a transposed convolution and low-pass filter the result."""
    if kernel is None:
        raise ValueError("enlarging needs the filter that follows the transposed convolution")
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=up)
    return upfirdn(y, kernel, pad=enlarging_pad(weight.shape[-1], len(kernel), up), gain=up**2)


def enlarging_pad(k: int, t: int, up: int) -> tuple[int, int]:
    """Return the padding with which ``t`` taps give H * up rows after a transposed convolution of size ``k``."""
    p = t - up - (k - 1)
    return (p + 1) // 2 + up - 1, p // 2 + 1


def modulated_conv_reference(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    *,
    demodulate: bool = True,
    up: int = 1,
    kernel: Tensor | None = None,
    gain: float = 1.0,
    noise: Tensor | float = 0.0,
) -> Tensor:
    """Compute :func:`modulated_conv` as the paper writes it: one kernel per sample."""
    n, i, h, w = x.shape
    o, _, k, _ = weight.shape
    kernels = weight[None] * style[:, None, :, None, None]  # Eq. 1  [N, O, I, k, k]
    if demodulate:
        kernels = kernels * torch.rsqrt(kernels.square().sum((2, 3, 4), keepdim=True) + EPSILON)  # Eq. 2-3
    wide = x.reshape(1, n * i, h, w)
    if up == 1:
        y = F.conv2d(wide, kernels.reshape(n * o, i, k, k), padding=k // 2, groups=n)
        return y.reshape(n, o, h, w) * gain + noise
    if kernel is None:
        raise ValueError("enlarging needs the filter that follows the transposed convolution")
    y = F.conv_transpose2d(wide, kernels.transpose(1, 2).reshape(n * i, o, k, k), stride=up, groups=n)
    y = upfirdn_reference(y.reshape(n, o, *y.shape[2:]), kernel, pad=enlarging_pad(k, len(kernel), up), gain=up**2)
    return y * gain + noise
