"""The warp of a face: dots go where their landmarks go, and nothing folds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from portraitist.detail.shape import carried, displacement, warp

FACE = torch.tensor([[0.38, 0.48], [0.62, 0.48], [0.5, 0.6], [0.42, 0.72], [0.58, 0.72], [0.3, 0.6], [0.7, 0.6]])


def dots(points: Tensor, side: int) -> Tensor:
    """One round spot a plane at each of some points, [N, 1, S, S]."""
    centres = (torch.arange(side) + 0.5) / side
    away = (centres[None, None, :] - points[:, 0, None, None]) ** 2 + (
        centres[None, :, None] - points[:, 1, None, None]
    ) ** 2
    return torch.exp(-away / (2 * 0.012**2))[:, None]


def middles(planes: Tensor) -> Tensor:
    """Where the spots lie, in pixels [N, 2]."""
    planes = planes[:, 0].clamp_min(0) ** 2
    centres = torch.arange(planes.shape[-1]) + 0.5
    total = planes.sum(dim=(1, 2))
    return (
        torch.stack([(planes.sum(dim=1) * centres).sum(dim=1), (planes.sum(dim=2) * centres).sum(dim=1)], dim=1)
        / total[:, None]
    )


def jacobian(moved: Tensor) -> Tensor:
    """Determinants of the map from the moved picture to the picture, at pixels."""
    across, down = torch.diff(moved[0], dim=2)[:, :-1], torch.diff(moved[0], dim=1)[:, :, :-1]
    return (1 + across[0]) * (1 + down[1]) - across[1] * down[0]


@pytest.mark.parametrize("side", [256, 512])
def test_dots_at_landmarks_move_to_their_targets(side: int) -> None:
    shift = torch.tensor([[-15, 6], [15, 4], [4, -12], [-6, 14], [9, 12], [-12, 0], [6, -6]]) / 1000
    found = middles(warp(dots(FACE, side), displacement(FACE, FACE + shift, side)))
    assert torch.allclose(middles(dots(FACE, side)), FACE * side, atol=0.05)
    # The slack keeps back a part of the shifts, which are up to 4 pixels at a side of 256.
    assert float((found - (FACE + shift) * side).norm(dim=1).max()) < 0.55 * side / 256


def test_a_shift_of_all_goes_the_way_it_says() -> None:
    found = displacement(FACE, FACE + torch.tensor([0.03, 0.0]), 64)
    assert found.shape == (1, 2, 64, 64)
    # Where a picture moves right, its pixels come from the left.
    assert float(found[0, 0, 38, 32]) == pytest.approx(-0.03 * 64, abs=0.15) and abs(float(found[0, 1, 38, 32])) < 0.15


def test_the_border_is_held() -> None:
    moved = displacement(FACE, FACE + torch.tensor([0.03, -0.02]), 256)
    for edge in (moved[..., 0, :], moved[..., -1, :], moved[..., :, 0], moved[..., :, -1]):
        assert float(edge.abs().max()) < 0.6  # of 7.7 pixels
    assert float(moved.abs().max()) > 7


def test_no_shift_is_the_identity() -> None:
    picture = 255 * torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    moved = displacement(FACE, FACE, 48)
    assert float(moved.abs().max()) < 1e-5
    assert torch.allclose(warp(picture, moved), picture, atol=0.01)


def test_a_displacement_is_the_same_part_of_any_side() -> None:
    shift = 0.02 * torch.randn(len(FACE), 2, generator=torch.Generator().manual_seed(1))
    small, large = (displacement(FACE, FACE + shift, side) for side in (128, 512))
    reduced = torch.nn.functional.avg_pool2d(large, 4) / 4
    assert float((reduced - small).abs().max()) < 0.03  # of 5.5 pixels


def test_what_is_mild_is_not_weakened_and_what_would_fold_is() -> None:
    apart = torch.tensor([[-0.06, 0.0], [0.06, 0.0]])
    mild, wild = (displacement(FACE[:2], FACE[:2] + k * apart, 256) for k in (0.3, 6.0))
    assert float(jacobian(mild).min()) > 0.35 and float(jacobian(wild).min()) > 0
    spots = middles(warp(dots(FACE[:2], 256), mild))
    assert torch.allclose(spots, 256 * (FACE[:2] + 0.3 * apart), atol=0.7)
    assert float(wild.abs().max()) < 0.36 * 256  # of what was asked for


@pytest.mark.parametrize("kind", ["crossing", "shear", "turn"])
def test_no_map_folds(kind: str) -> None:
    middle = FACE.mean(dim=0)
    about = FACE - middle
    turn = math.radians(130)
    linear = {
        "crossing": torch.tensor([[-1.0, 0.0], [0.0, 1.0]]),
        "shear": torch.tensor([[1.0, 1.6], [1.6, 1.0]]),
        "turn": torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]),
    }[kind]
    found = displacement(FACE, middle + about @ linear.T, 256)
    assert float(found.abs().max()) > 2
    assert float(jacobian(found).min()) > 0


def test_a_turn_carries_the_middle_and_leaves_the_border() -> None:
    still = torch.zeros(1, 2, 64, 64)
    assert carried(still, torch.tensor([[1.0, 0, 0], [0, 1, 0]])).abs().max() < 1e-5
    aside = carried(still, torch.tensor([[1.0, 0, -0.05], [0, 1, 0]]))  # each place shows what lay to its left
    assert torch.allclose(aside[0, 0, 28:36, 28:36], torch.tensor(-0.05 * 64), atol=1e-3)
    assert aside[0, 1].abs().max() < 1e-3 and aside[..., :1].abs().max() < 0.1 and aside[..., :1, :].abs().max() < 0.1
    parts = torch.full((1, 2, 64, 64), 2.0)
    both = carried(parts, torch.tensor([[1.0, 0, -0.05], [0, 1, 0]]))
    assert torch.allclose(both[0, 0, 28:36, 28:36], torch.tensor(2 - 0.05 * 64), atol=1e-3)


def test_a_turn_that_would_fold_is_weakened() -> None:
    far = carried(torch.zeros(1, 2, 64, 64), torch.tensor([[1.0, 0, 0.5], [0, 1, 0]]))
    places = torch.arange(64.0) + 0.5 + far[0, 0]
    assert torch.diff(places, dim=1).min() > 0.3 and 3 < far.max() < 16


def test_with_less_slack_the_points_are_met() -> None:
    lids = torch.cat([FACE, FACE[:1] + torch.tensor([0.0, 0.03])])
    target = lids.clone()
    target[0] += torch.tensor([0.0, 0.01])  # comes down, and the lower one stays
    missed = []
    for slack in (1e-3, 1e-5):
        flow = displacement(lids, target, 256, slack)
        x, y = (target[0] * 256).long().tolist()
        missed.append(float(torch.dist(flow[0, :, y, x] / 256, lids[0] - target[0])))
    assert missed[1] < 0.6 * missed[0]
