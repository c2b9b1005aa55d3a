"""The residual unit, written out once more, and batch norm as torch has it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from portraitist.networks.irse import BatchNorm, Unit, stem, units


def shaken(module: nn.Module) -> nn.Module:
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in module.state_dict().values():
            value.uniform_(0.1, 0.6, generator=random)
    return module.eval()


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(16, 16, 1), (16, 16, 2), (16, 32, 2)])
def test_a_unit_is_what_the_paper_says(inputs: int, outputs: int, stride: int) -> None:
    unit = shaken(Unit(inputs, outputs, stride))
    s = unit.state_dict()
    x = torch.randn(2, inputs, 8, 8, generator=torch.Generator().manual_seed(1))

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        mean, variance, weight, bias = (
            s[f"{name}.{k}"][:, None, None] for k in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    y = F.conv2d(norm("res_layer.0", x), s["res_layer.1.weight"], padding=1)
    y = torch.where(y > 0, y, y * s["res_layer.2.weight"][:, None, None])
    y = norm("res_layer.4", F.conv2d(y, s["res_layer.3.weight"], stride=stride, padding=1))
    squeezed = y.mean((2, 3)) @ s["res_layer.5.fc1.weight"][:, :, 0, 0].T
    y = y * torch.sigmoid(squeezed.clamp(min=0) @ s["res_layer.5.fc2.weight"][:, :, 0, 0].T)[:, :, None, None]
    shortcut = F.max_pool2d(x, 1, stride)
    if inputs != outputs:
        shortcut = norm("shortcut_layer.1", F.conv2d(x, s["shortcut_layer.0.weight"], stride=stride))
    torch.testing.assert_close(unit(x), y + shortcut, rtol=1e-4, atol=1e-4)


def test_each_stage_halves_the_side_once() -> None:
    body = units((8, 8, 16, 16, 24), (2, 1, 1, 3))
    assert [unit.stride for unit in body] == [2, 1, 2, 2, 2, 1, 1]
    assert body(stem(8)(torch.zeros(2, 3, 32, 32))).shape == (2, 24, 2, 2)


def test_batch_norm_is_torchs_without_the_counter() -> None:
    ours, theirs = BatchNorm(4), nn.BatchNorm2d(4)
    assert set(theirs.state_dict()) - set(ours.state_dict()) == {"num_batches_tracked"}
    x = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours(x), theirs(x)) and torch.equal(ours.running_var, theirs.running_var)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))
