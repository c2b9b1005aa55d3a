from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from portraitist.ops import downsample, taps, upfirdn, upfirdn_reference, upsample

kernels = st.lists(st.integers(1, 5).map(float), min_size=1, max_size=6)
pads = st.tuples(st.integers(-2, 5), st.integers(-2, 5))
sides = st.integers(1, 9)


def images(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@settings(max_examples=100, deadline=None)
@given(kernel=kernels, up=st.integers(1, 3), down=st.integers(1, 3), pad=pads, h=sides, w=sides, gain=st.floats(0.5, 4))
def test_equals_the_literal_form(
    kernel: list[float], up: int, down: int, pad: tuple[int, int], h: int, w: int, gain: float
) -> None:
    assume(min(h, w) * up + sum(pad) >= len(kernel) and min(h, w) * up + min(pad) > 0)
    x, axis = images(2, 3, h, w), taps(kernel, torch.float64)
    expected = upfirdn_reference(x, axis, up=up, down=down, pad=pad, gain=gain)
    torch.testing.assert_close(upfirdn(x, axis, up=up, down=down, pad=pad, gain=gain), expected)


def test_an_impulse_shows_the_kernel() -> None:
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1
    y = upfirdn(x, torch.tensor([1.0, 2.0, 4.0]), pad=(1, 1))
    assert torch.equal(y[0, 0, 2, 1:4], 2 * torch.tensor([1.0, 2.0, 4.0]))
    assert torch.equal(y[0, 0, 1:4, 2], 2 * torch.tensor([1.0, 2.0, 4.0]))


def test_taps_sum_to_one() -> None:
    assert torch.equal(taps(), torch.tensor([1, 3, 3, 1]) / 8)


@pytest.mark.parametrize(("factor", "length"), [(2, 2), (2, 3), (2, 4), (2, 5), (2, 6), (3, 3), (3, 4), (3, 6)])
def test_resampling_keeps_size_and_brightness(factor: int, length: int) -> None:
    kernel = taps([1.0] * length)
    flat = torch.ones(1, 2, 6, 12)
    small, large = downsample(flat, kernel, factor), upsample(flat, kernel, factor)
    assert small.shape == (1, 2, 6 // factor, 12 // factor)
    assert large.shape == (1, 2, 6 * factor, 12 * factor)
    if factor == 2 and length % 2 == 0:  # away from the border, a constant stays itself
        torch.testing.assert_close(small[:, :, 1:-1, 1:-1], torch.ones_like(small[:, :, 1:-1, 1:-1]))
        inner = large[:, :, 4:-4, 4:-4]
        torch.testing.assert_close(inner, torch.ones_like(inner))


def test_upsampling_is_the_adjoint_of_downsampling() -> None:
    kernel = taps(dtype=torch.float64)
    x, y = images(1, 2, 8, 8), images(1, 2, 4, 4)
    left, right = (downsample(x, kernel) * y).sum(), (x * upsample(y, kernel)).sum() / 4
    torch.testing.assert_close(left, right)


def test_the_layout_in_memory_does_not_change_the_result() -> None:
    x, kernel = images(2, 4, 7, 5), taps(dtype=torch.float64)
    turned = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(upfirdn(turned, kernel, pad=(2, 1)), upfirdn(x, kernel, pad=(2, 1)))
