"""The losses of translation against their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from portraitist.losses.translation import domain_loss, drawn_well, group_loss, person_loss, told_apart


def test_the_game_is_least_squares_with_real_1_and_drawn_0() -> None:
    sure = [torch.ones(2, 1, 3, 3), torch.ones(2, 2)]
    nothing = [torch.zeros(2, 1, 3, 3), torch.zeros(2, 2)]
    assert float(drawn_well(sure)) == 0 and float(drawn_well(nothing)) == 2
    assert float(told_apart(sure, nothing)) == 0 and float(told_apart(nothing, sure)) == 4
    assert float(told_apart([torch.tensor([0.5])], [torch.tensor([0.5])])) == 0.5


def test_maps_of_any_size_weigh_alike() -> None:
    assert float(drawn_well([torch.zeros(1, 1, 30, 30), torch.full((1, 2), 2.0)])) == 2


def test_attention_tells_source_from_target() -> None:
    undecided = torch.zeros(3, 2)
    assert float(domain_loss(undecided, undecided)) == pytest.approx(2 * math.log(2))
    assert float(domain_loss(undecided + 20, undecided - 20)) < 1e-6
    assert float(domain_loss(undecided - 20, undecided + 20)) == pytest.approx(40)


def test_groups_by_cross_entropy() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    share = math.exp(2) / (math.exp(2) + 2)
    assert float(group_loss(logits[:1], 0)) == pytest.approx(-math.log(share))
    assert float(group_loss(logits, 0)) == pytest.approx((-math.log(share) - math.log(share / math.exp(2))) / 2)


class Colours:
    """Persons are their mean colour."""

    name = "colours"
    digest = ""

    def embed(self, images: Tensor) -> Tensor:
        return torch.nn.functional.normalize(images.mean((2, 3)))


def test_persons_are_compared_and_only_what_was_made_of_them_learns() -> None:
    photos = torch.rand(2, 3, 4, 4).requires_grad_(True)
    made = photos.detach().clone().requires_grad_(True)
    assert float(person_loss(Colours(), photos, made).detach()) == pytest.approx(0, abs=1e-6)
    turned = torch.stack([photos[:, 1], -photos[:, 0], 0 * photos[:, 2]], 1).detach()
    other = photos.detach().clone()
    other[:, 2] = 0
    assert float(person_loss(Colours(), other, turned)) == pytest.approx(1, abs=1e-6)
    person_loss(Colours(), photos, made.flip(1)).backward()
    assert photos.grad is None and made.grad is not None
