from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.ops import modulated_conv, modulated_conv_reference, taps

sizes = st.integers(1, 6)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(1, 3),
    i=sizes,
    o=sizes,
    h=sizes,
    w=sizes,
    k=st.sampled_from([1, 3, 5]),
    up=st.sampled_from([1, 2]),
    length=st.integers(2, 6),
    demodulate=st.booleans(),
    noisy=st.booleans(),
)
def test_equals_one_kernel_per_sample(
    n: int, i: int, o: int, h: int, w: int, k: int, up: int, length: int, demodulate: bool, noisy: bool
) -> None:
    x, weight, style = normal(n, i, h, w), normal(o, i, k, k, seed=1), normal(n, i, seed=2)
    kernel = taps([float(1 + j % 3) for j in range(length)], torch.float64)
    noise = normal(1, 1, h * up, w * up, seed=3) if noisy else None
    y = modulated_conv(x, weight, style, demodulate=demodulate, up=up, kernel=kernel, gain=1.5, noise=noise)
    expected = modulated_conv_reference(
        x, weight, style, demodulate=demodulate, up=up, kernel=kernel, gain=1.5, noise=0.0 if noise is None else noise
    )
    assert y.shape == (n, o, h * up, w * up)
    torch.testing.assert_close(y, expected)


def test_is_n_separate_convolutions() -> None:
    x, weight, style = normal(2, 3, 5, 5), normal(4, 3, 3, 3, seed=1), normal(2, 3, seed=2)
    y = modulated_conv(x, weight, style, demodulate=False)
    for sample, factors, drawn in zip(x, style, y, strict=True):
        torch.testing.assert_close(drawn[None], F.conv2d(sample[None], weight * factors[:, None, None], padding=1))


def test_demodulation_forgets_the_scale_of_the_style() -> None:
    x, weight, style = normal(2, 3, 5, 5), normal(4, 3, 3, 3, seed=1), normal(2, 3, seed=2)
    torch.testing.assert_close(modulated_conv(x, weight, style), modulated_conv(x, weight, 7 * style))


def test_demodulation_gives_unit_deviation() -> None:
    x = normal(2, 64, 40, 40)
    y = modulated_conv(x, normal(8, 64, 3, 3, seed=1), normal(2, 64, seed=2))[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(y.std((2, 3)), torch.ones(2, 8, dtype=torch.float64), atol=0.1, rtol=0)


def test_enlarging_needs_a_filter() -> None:
    for form in (modulated_conv, modulated_conv_reference):
        with pytest.raises(ValueError, match="filter"):
            form(normal(1, 2, 4, 4), normal(2, 2, 3, 3), normal(1, 2), up=2)
