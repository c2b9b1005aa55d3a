"""Winograd convolution F(4x4, 3x3): a quarter of the products (Lavin and Gray 2016, arXiv:1509.09308).

Tiles of 6x6 pixels, four apart, and the kernels are carried to 36 planes, multiplied there as matrices of channels, and
carried back to tiles of 4x4. All of it is linear algebra of torch, so gradients of any order exist and are as cheap.
The relative error is about 1e-6 in single precision. It pays where convolution is no faster than a matrix product.

    y = conv(x, weight)                 # chooses by width, precision and machine
    with plain_convolution():           # forces the direct form
        y = conv(x, weight)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

TILE, REACH = 4, 6
NARROWEST = 128
"""Fewest channels, in and out, at which the transforms cost less than the products saved (measured; at 96 a draw)."""
SMALLEST = 32
"""Smallest side at which the tiles outweigh the transform of the kernels (measured; at 16 a loss for one image)."""

_plain: ContextVar[bool] = ContextVar("plain", default=False)


def conv(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve [N, I, H, W] with [O, I, k, k], k odd, by the cheaper method: [N, O, H, W]."""
    if wins(x, weight):
        return winograd_conv(x, weight)
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def conv_reference(x: Tensor, weight: Tensor) -> Tensor:
    """Compute :func:`conv` by its definition: a sum of shifted products."""
    k = weight.shape[-1]
    h, w = x.shape[2:]
    padded = F.pad(x, [k // 2] * 4)
    shifts = [
        torch.einsum("oi,nihw->nohw", weight[:, :, i, j], padded[:, :, i : i + h, j : j + w])
        for i in range(k)
        for j in range(k)
    ]
    return torch.stack(shifts).sum(0)


def wins(x: Tensor, weight: Tensor) -> bool:
    """Tell whether :func:`winograd_conv` is expected to be faster than the direct form.

    The batch has no say, so that an image comes out the same in any batch.
    """
    return (
        not _plain.get()
        and weight.shape[2:] == (3, 3)
        and min(weight.shape[:2]) >= NARROWEST
        and min(x.shape[2:]) >= SMALLEST
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x.device.type == "cpu"
        and _machine_gains()
    )


@contextmanager
def plain_convolution() -> Iterator[None]:
    """Force the direct form inside, for gradient checks and comparisons."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def winograd_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Compute ``conv2d(x, weight, padding=1)`` for kernels [O, I, 3, 3] by tiles; any side."""
    n, c, h, w = x.shape
    o = len(weight)
    rows, columns = -(-h // TILE), -(-w // TILE)
    if (rows * TILE, columns * TILE) != (h, w):
        x = F.pad(x, (0, columns * TILE - w, 0, rows * TILE - h))
    to_planes, _, to_pixels = (m.to(x) for m in _transforms())
    single = x.reshape(n * c, 1, *x.shape[2:])
    tiles = F.conv2d(single, to_planes.reshape(REACH * REACH, 1, REACH, REACH), stride=TILE, padding=1)
    tiles = tiles.reshape(n, c, REACH * REACH, rows * columns).permute(2, 1, 0, 3)
    products = torch.bmm(kernel_planes(weight), tiles.reshape(REACH * REACH, c, -1))
    pixels = (to_pixels @ products.reshape(REACH * REACH, -1)).reshape(TILE, TILE, o, n, rows, columns)
    # The one copy that joins the tiles lays the channels last, as the layers around like them.
    image = pixels.permute(3, 4, 0, 5, 1, 2).reshape(n, rows * TILE, columns * TILE, o)
    return image.permute(0, 3, 1, 2)[:, :, :h, :w]


def kernel_planes(weight: Tensor) -> Tensor:
    """Carry kernels [O, I, 3, 3] to the planes where convolution is a product: [36, O, I]."""
    o, i = weight.shape[:2]
    return (_transforms()[1].to(weight) @ weight.reshape(-1, 9).t()).reshape(REACH * REACH, o, i)


@cache
def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    # B, G and A of the paper (Sec. 4.3), points 0, 1, -1, 2, -2 and infinity, for both axes at once.
    b = [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
    g = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
    a = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
    one_axis = (torch.tensor(b).double(), torch.tensor(g).double() / 24, torch.tensor(a).double())
    to_planes, kernels, to_pixels = (torch.kron(m, m) for m in one_axis)
    return to_planes, kernels, to_pixels


@cache
def _machine_gains() -> bool:
    # With AVX-512 the direct convolution of oneDNN runs at more than twice the matrix product of MKL and more.
    return torch.backends.cpu.get_cpu_capability() == "AVX2"
