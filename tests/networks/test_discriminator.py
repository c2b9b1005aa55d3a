from __future__ import annotations

import pytest
import torch

from portraitist.networks import Discriminator, DiscriminatorAnatomy, channels_for
from portraitist.networks.discriminator import minibatch_deviation
from portraitist.networks.layers import Conv


def judge(size: int = 16, group: int = 4) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(DiscriminatorAnatomy(size, channels_for(size, base=2048, cap=8), group=group))


def images(n: int, size: int = 16) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [4, 8, 16, 32, 64, 1024])
def test_shapes(size: int) -> None:
    d = judge(size)
    with torch.no_grad():
        assert d(images(2, size)).shape == (2,)
        sides = [f.shape[-1] for f in d.features(images(1, size))]
    assert sides == list(reversed(d.anatomy.resolutions))


def test_every_parameter_has_a_gradient() -> None:
    d = judge()
    d(images(4)).square().sum().backward()
    for name, parameter in d.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_without_the_group_statistic_images_are_judged_alone() -> None:
    d, x = judge(group=0), images(4)
    torch.testing.assert_close(d(x), torch.cat([d(one[None]) for one in x]))


def test_the_group_statistic_couples_its_group_and_no_other() -> None:
    d, x = judge(group=2), images(4)
    changed = x.clone()
    changed[0] += 1
    moved = (d(changed) - d(x)).abs() > 1e-6
    assert moved.tolist() == [True, False, True, False]


def test_minibatch_deviation_in_closed_form() -> None:
    x = torch.arange(4.0)[:, None, None, None].expand(4, 6, 3, 3)
    everything = minibatch_deviation(x, group=4, channels=1)
    torch.testing.assert_close(everything, torch.full((4, 1, 3, 3), 1.25**0.5))
    pairs = minibatch_deviation(x, group=2, channels=1)  # 0 with 2, 1 with 3
    torch.testing.assert_close(pairs, torch.ones(4, 1, 3, 3))
    apart = minibatch_deviation(x * torch.tensor([1.0, 1, 1, 3, 3, 3])[None, :, None, None], group=2, channels=2)
    torch.testing.assert_close(apart[:, :, 0, 0], torch.tensor([[1.0, 3.0]]).expand(4, 2))


@pytest.mark.parametrize(("n", "size"), [(6, 3), (5, 1), (3, 3), (8, 4)])
def test_a_batch_that_the_group_does_not_divide_takes_the_largest_that_does(n: int, size: int) -> None:
    x = torch.randn(n, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(minibatch_deviation(x, 4, 1), minibatch_deviation(x, size, 1))
    if size == 1:
        torch.testing.assert_close(minibatch_deviation(x, 4, 1), torch.full((n, 1, 2, 2), 1e-4))


def test_layers_start_at_unit_deviation() -> None:
    torch.manual_seed(0)
    y = Conv(128, 128, 3)(torch.randn(2, 128, 32, 32))
    assert y.square().mean().sqrt().item() == pytest.approx(1, abs=0.1)


def test_clamp_bounds_a_layer_after_its_gain() -> None:
    y = Conv(8, 8, 3, gain=0.5, clamp=1.0)(10 * torch.randn(1, 8, 8, 8))
    assert y.abs().max().item() == 0.5
