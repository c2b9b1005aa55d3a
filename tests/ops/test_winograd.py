from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.ops import conv, conv_reference, plain_convolution, winograd, winograd_conv

sizes = st.integers(1, 10)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 3), i=st.integers(1, 4), o=st.integers(1, 4), h=sizes, w=sizes)
def test_tiles_equal_the_definition(n: int, i: int, o: int, h: int, w: int) -> None:
    x, weight = normal(n, i, h, w), normal(o, i, 3, 3, seed=1)
    torch.testing.assert_close(winograd_conv(x, weight), conv_reference(x, weight))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_direct_form_equals_the_definition(k: int) -> None:
    x, weight = normal(2, 3, 7, 5), normal(4, 3, k, k, seed=1)
    torch.testing.assert_close(conv(x, weight), conv_reference(x, weight))


def test_single_precision_loses_little() -> None:
    x, weight = normal(1, 128, 16, 16), normal(128, 128, 3, 3, seed=1)
    exact = F.conv2d(x, weight, padding=1)
    drawn = winograd_conv(x.float(), weight.float())
    assert ((drawn - exact).norm() / exact.norm()).item() < 5e-6


def test_the_choice_depends_on_width_side_and_precision_and_never_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_machine_gains", lambda: True)
    wide = torch.empty(128, 128, 3, 3)
    assert winograd.wins(torch.empty(1, 128, 32, 32), wide)
    assert winograd.wins(torch.empty(64, 128, 32, 32), wide)
    assert not winograd.wins(torch.empty(1, 128, 16, 32), wide)
    assert not winograd.wins(torch.empty(1, 128, 32, 32), torch.empty(64, 128, 3, 3))
    assert not winograd.wins(torch.empty(1, 128, 32, 32), torch.empty(128, 128, 1, 1))
    assert not winograd.wins(torch.empty(1, 128, 32, 32, dtype=torch.float64), wide.double())


def test_plain_convolution_is_forced_inside_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_machine_gains", lambda: True)
    x, weight = normal(1, 128, 32, 32, dtype=torch.float32), normal(128, 128, 3, 3, seed=1, dtype=torch.float32)
    direct = F.conv2d(x, weight, padding=1)
    with plain_convolution():
        assert torch.equal(conv(x, weight), direct)
    assert not torch.equal(conv(x, weight), direct)
    assert ((conv(x, weight) - direct).norm() / direct.norm()).item() < 1e-5
