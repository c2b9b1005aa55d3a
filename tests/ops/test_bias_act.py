from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.ops import bias_act, bias_act_reference


@settings(max_examples=100, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    biased=st.booleans(),
    slope=st.sampled_from([0.0, 0.2, 1.0]),
    gain=st.sampled_from([0.5, 1.0, math.sqrt(2)]),
    clamp=st.sampled_from([None, 0.7]),
)
def test_equals_its_formula(shape: list[int], biased: bool, slope: float, gain: float, clamp: float | None) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bias = torch.linspace(-1, 1, shape[1], dtype=torch.float64) if biased else None
    given_ = x.clone()
    y = bias_act(x, bias, slope=slope, gain=gain, clamp=clamp)
    torch.testing.assert_close(y, bias_act_reference(given_, bias, slope=slope, gain=gain, clamp=clamp))
    assert torch.equal(x, given_), "the argument was overwritten"


def test_the_gain_keeps_the_mean_square_of_a_rectified_normal() -> None:
    x = torch.randn(1000, 1000, generator=torch.Generator().manual_seed(0))
    assert bias_act(x, slope=0.0).square().mean().item() == pytest.approx(1, abs=0.01)
