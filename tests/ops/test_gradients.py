"""First and second derivatives of every public operation, in double precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from portraitist import ops

Case = tuple[Callable[..., Tensor], tuple[Tensor, ...]]


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


KERNEL = ops.taps(dtype=torch.float64)
SKEW = ops.taps((1.0, 2.0, 4.0), torch.float64)


def resampling(form: Callable[..., Tensor]) -> list[Case]:
    x = normal(1, 2, 4, 3)
    settings: list[dict[str, object]] = [
        {"pad": (2, 1)},
        {"up": 2, "pad": (2, 1), "gain": 4.0},
        {"down": 2, "pad": (1, 1)},
        {"up": 3, "down": 2, "pad": (-1, 3)},
        {"pad": (-1, 2)},
    ]
    return [(lambda x, s=s: form(x, SKEW, **s), (x,)) for s in settings]


def modulated(form: Callable[..., Tensor]) -> list[Case]:
    x, style, noise = normal(2, 2, 3, 2), normal(2, 2, seed=2), normal(1, 1, 3, 2, seed=3)
    return [
        (lambda x, w, s, p: form(x, w, s, gain=1.4, noise=p), (x, normal(2, 2, 3, 3, seed=1), style, noise)),
        (lambda x, w, s: form(x, w, s, up=2, kernel=KERNEL), (x, normal(2, 2, 3, 3, seed=1), style)),
        (lambda x, w, s: form(x, w, s, demodulate=False), (x, normal(2, 2, 1, 1, seed=1), style)),
    ]


def rectified(form: Callable[..., Tensor]) -> list[Case]:
    x, bias = normal(2, 3, 2, 2), normal(3, seed=1)
    return [
        (lambda x, b: form(x, b), (x, bias)),
        (lambda x: form(x, gain=1.0), (x,)),
        (lambda x, b: form(x, b, slope=1.0, clamp=0.8), (x, bias)),
    ]


def convolved(form: Callable[..., Tensor]) -> list[Case]:
    return [(form, (normal(1, 2, 5, 3), normal(2, 2, 3, 3, seed=1)))]


CHECKED: dict[str, list[Case]] = {
    "bias_act": rectified(ops.bias_act),
    "bias_act_reference": rectified(ops.bias_act_reference),
    "conv": convolved(ops.conv),
    "conv_reference": convolved(ops.conv_reference),
    "downsample": [(lambda x: ops.downsample(x, KERNEL), (normal(1, 2, 4, 6),))],
    "modulated_conv": modulated(ops.modulated_conv),
    "modulated_conv_reference": modulated(ops.modulated_conv_reference),
    "upfirdn": resampling(ops.upfirdn),
    "upfirdn_reference": resampling(ops.upfirdn_reference),
    "upsample": [(lambda x: ops.upsample(x, KERNEL), (normal(1, 2, 3, 2),))],
    "winograd_conv": convolved(ops.winograd_conv),
}
NOT_DIFFERENTIABLE = {"at_once", "keep_heap", "plain_convolution", "taps"}
CHECKED_ELSEWHERE = {
    "affine_warp": "test_warp.py",
    "affine_warp_reference": "test_warp.py",
    "augment": "test_augment.py",
    "diff_augment": "test_augment.py",
}


@pytest.mark.parametrize(("name", "case"), [(n, k) for n, cases in CHECKED.items() for k in range(len(cases))])
def test_first_and_second_derivatives(name: str, case: int) -> None:
    function, arguments = CHECKED[name][case]
    assert gradcheck(function, arguments)
    assert gradgradcheck(function, arguments)


def test_every_public_operation_is_checked() -> None:
    assert set(ops.__all__) - set(CHECKED) - NOT_DIFFERENTIABLE - set(CHECKED_ELSEWHERE) == set()
