"""FIR filtering with zero insertion and decimation: the only resampling StyleGAN2 uses.

The filters are separable and symmetric; (1, 3, 3, 1) is the one of the papers (Karras et al. 2020,
arXiv:1912.04958). Everything is built from convolutions, so gradients of any order exist.

    smooth = upfirdn(x, taps((1, 3, 3, 1)), pad=(2, 1))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

BINOMIAL = (1.0, 3.0, 3.0, 1.0)


def taps(values: Sequence[float] = BINOMIAL, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return one axis of a separable filter, scaled to sum 1: [k]."""
    kernel = torch.tensor(values, dtype=dtype)
    return kernel if kernel.is_meta else kernel / kernel.sum()  # the meta device holds sizes alone


def upfirdn(
    x: Tensor, kernel: Tensor, *, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0), gain: float = 1.0
) -> Tensor:
    """Insert zeros, pad, convolve with a separable filter and decimate, in this order, along both axes.

    Args:
        x: Images [N, C, H, W].
        kernel: One axis of the filter, [k].
        up: Each pixel is followed by ``up - 1`` zeros.
        down: Every ``down``-th pixel is kept.
        pad: Zeros before and after each axis; negative values crop.
        gain: Factor on the result; ``up**2`` keeps the mean brightness.

    Returns:
        Images [N, C, H', W'] with H' = (H * up + pad[0] + pad[1] - k) // down + 1.
    """
    row = kernel.to(x.dtype)
    plane = (torch.outer(row, row) * gain).flip(0, 1).expand(x.shape[1], 1, -1, -1)
    if up == 1:
        return _filter(x, plane, down, pad)
    # A transposed convolution skips the inserted zeros; its full output is then cut to the padding asked for.
    size = plane.shape[-1]
    before, after = pad[0] - size + 1, up + pad[1] - size
    inside = max(0, -max(before, after))
    full = _spread(x, plane.flip(2, 3), up, inside)
    return _pad(full, before + inside, after + inside)[:, :, ::down, ::down]


def upsample(x: Tensor, kernel: Tensor, factor: int = 2) -> Tensor:
    """Enlarge images [N, C, H, W] by ``factor`` with the brightness kept."""
    p = len(kernel) - factor
    return upfirdn(x, kernel, up=factor, pad=((p + 1) // 2 + factor - 1, p // 2), gain=factor**2)


def downsample(x: Tensor, kernel: Tensor, factor: int = 2) -> Tensor:
    """Reduce images [N, C, H, W] by ``factor`` after low-pass filtering."""
    p = len(kernel) - factor
    return upfirdn(x, kernel, down=factor, pad=((p + 1) // 2, p // 2))


def upfirdn_reference(
    x: Tensor, kernel: Tensor, *, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0), gain: float = 1.0
) -> Tensor:
    """Compute :func:`upfirdn` literally: zeros, padding, a two-dimensional convolution, decimation."""
    n, c, h, w = x.shape
    sparse = x.new_zeros(n, c, h, up, w, up)
    sparse[:, :, :, 0, :, 0] = x
    sparse = F.pad(sparse.reshape(n, c, h * up, w * up), (*pad, *pad))
    plane = torch.outer(kernel, kernel).to(x.dtype).flip(0, 1) * gain
    filtered = F.conv2d(sparse, plane.expand(c, 1, *plane.shape), groups=c)
    return filtered[:, :, ::down, ::down]


def _filter(x: Tensor, plane: Tensor, down: int, pad: tuple[int, int]) -> Tensor:
    # One depthwise pass over both axes: fewer operations would be had with two, but memory traffic decides.
    both = max(0, min(pad))
    x = _pad(x, pad[0] - both, pad[1] - both)
    if torch.is_grad_enabled() and x.requires_grad:
        y: Tensor = _Correlate.apply(x, plane, down, both)  # type: ignore[no-untyped-call]
        return y
    return F.conv2d(x, plane, stride=down, padding=both, groups=x.shape[1])


def _spread(x: Tensor, plane: Tensor, up: int, pad: int) -> Tensor:
    """Filter [N, C, H, W] after zero insertion: the transpose of a strided filter."""
    if torch.is_grad_enabled() and x.requires_grad:
        y: Tensor = _Spread.apply(x, plane, up, pad, (0, 0))  # type: ignore[no-untyped-call]
        return y
    return F.conv_transpose2d(x, plane, stride=up, padding=pad, groups=x.shape[1])


class _Correlate(torch.autograd.Function):
    """A depthwise filter whose derivative is its own transpose.

    The taps never train, but torch's second derivative of a convolution also derives them, channel by channel: more
    than half of the time of an R1 step at 256 pixels.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, plane: Tensor, stride: int, pad: int) -> Tensor:
        t = plane.shape[-1]
        rest = tuple((side + 2 * pad - t) % stride for side in x.shape[2:])
        ctx.plane, ctx.how = plane, (stride, pad, rest)  # type: ignore[attr-defined]
        return F.conv2d(x, plane, stride=stride, padding=pad, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _Spread.apply(gradient, ctx.plane, *ctx.how), None, None, None  # type: ignore[no-untyped-call]


class _Spread(torch.autograd.Function):
    """The transpose of :class:`_Correlate`; ``rest`` are the rows and columns that its stride left over."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, plane: Tensor, stride: int, pad: int, rest: tuple[int, int]) -> Tensor:
        ctx.plane, ctx.how = plane, (stride, pad)  # type: ignore[attr-defined]
        return F.conv_transpose2d(x, plane, stride=stride, padding=pad, output_padding=rest, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _Correlate.apply(gradient, ctx.plane, *ctx.how), None, None, None, None  # type: ignore[no-untyped-call]


def _pad(x: Tensor, before: int, after: int) -> Tensor:
    if max(before, after) > 0:
        x = F.pad(x, (max(before, 0), max(after, 0)) * 2)
    if min(before, after) < 0:
        rows, columns = (slice(max(-before, 0), side - max(-after, 0)) for side in x.shape[2:])
        x = x[:, :, rows, columns]
    return x
