"""Losses of painters have the values that constructed cases must have."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from portraitist.losses.painting import Views, ViewSettings, inconsistency, roughness, small_views


def views(shift: float = 0.0, light: float = 0.0) -> Views:
    return Views(torch.tensor([[[1.0, 0.0, shift], [0.0, 1.0, 0.0]]]), torch.tensor([light]))


def test_roughness_is_that_of_the_neighbours() -> None:
    assert roughness(torch.full((2, 2, 8, 8), 7.0)) == 0
    larger = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="xy"))[None] * 0.1
    assert float(roughness(larger)) == pytest.approx(0.01)
    step = torch.zeros(1, 2, 4, 5)
    step[:, 0, :, 2:] = 3.0  # one of four neighbours along x differs by 3
    assert float(roughness(step)) == pytest.approx(9 / 4 / 2)


def test_what_only_copies_is_consistent_and_what_adds_a_pattern_is_not() -> None:
    photos = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    moved = views(shift=2.0, light=0.25)
    assert inconsistency(moved.seen(photos), photos, moved) == 0
    assert float(inconsistency(moved.seen(photos) + 0.5, photos, moved)) == pytest.approx(0.5, rel=1e-5)
    stripes = (torch.arange(16) // 2 % 2).float().expand(1, 3, 16, 16)  # stay where they are while the photo moves
    assert float(inconsistency(moved.seen(photos) + stripes, photos + stripes, moved)) == pytest.approx(1.0, rel=1e-5)
    assert float(inconsistency(photos, photos, views(light=0.3))) == pytest.approx(0.3, rel=1e-5)


def test_what_lies_outside_the_picture_does_not_count() -> None:
    still, moved = torch.zeros(1, 3, 8, 8), views(shift=4.0)
    assert moved.inside(8, 8)[0, 0, 0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    drawn = still.clone()
    drawn[..., 4:] = 9.0
    assert inconsistency(drawn, still, moved) == 0
    drawn[..., 3] = 1.0
    assert float(inconsistency(drawn, still, moved)) == pytest.approx(1 / 4)


def test_views_stay_within_their_settings_and_turn_about_the_centre() -> None:
    settings = ViewSettings(shift=2.0, rotation=5.0, zoom=0.1, light=0.2, mirror=0.0)
    found = small_views(500, 64, torch.Generator().manual_seed(0), settings)
    centre = found.matrices @ torch.tensor([31.5, 31.5, 1.0])
    shift = centre - 31.5
    scale = found.matrices[:, :, :2].det().sqrt()
    turn = torch.atan2(found.matrices[:, 1, 0], found.matrices[:, 0, 0])
    for value, most in ((shift, 2.0), (scale - 1, 0.1), (turn, math.radians(5)), (found.light, 0.2)):
        assert 0.95 * most < float(value.abs().max()) <= most * 1.0001 and float(value.min()) < 0 < float(value.max())
    same = small_views(3, 64, torch.Generator().manual_seed(0), ViewSettings(0.0, 0.0, 0.0, 0.0, 0.0))
    image = torch.rand(3, 3, 64, 64)
    torch.testing.assert_close(same.seen(image), image)
    mirrored = small_views(3, 64, torch.Generator().manual_seed(0), ViewSettings(0.0, 0.0, 0.0, 0.0, 1.0))
    torch.testing.assert_close(mirrored.seen(image), image.flip(3))
    assert mirrored.inside(64, 64).all()
    # Some are mirrored, and the others are what they would be without.
    some = small_views(500, 64, torch.Generator().manual_seed(0), replace(settings, mirror=0.3))
    turned = some.matrices[:, :, :2].det() < 0
    assert 0.2 < float(turned.float().mean()) < 0.4
    assert torch.equal(some.matrices[~turned], found.matrices[~turned]) and torch.equal(some.light, found.light)
