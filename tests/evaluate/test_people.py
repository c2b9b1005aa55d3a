"""Drawings of some people beside those of others: who is kept, whose skin changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from portraitist.errors import BadData
from portraitist.evaluate.people import by_group, cheeks, skin_tones
from portraitist.evaluate.pictures import PictureScorer
from portraitist.networks.features import DiscriminatorFeatures
from tests.conftest import make_model

SKINS = {(236, 200, 180): "light", (190, 140, 110): "medium", (80, 50, 35): "dark"}


class MeanColour(nn.Module):
    """An embedder that knows people by their mean colour."""

    name, digest = "mean colour", "0"

    def embed(self, pictures: Tensor) -> Tensor:
        return nn.functional.normalize(pictures.mean((2, 3)), dim=1)


def people(*colours: tuple[int, int, int]) -> np.ndarray:
    return np.stack([np.full((256, 256, 3), colour, np.uint8) for colour in colours])


def scorer(photos: np.ndarray) -> PictureScorer:
    discriminator = make_model().discriminator
    assert discriminator is not None
    return PictureScorer(photos, MeanColour(), DiscriminatorFeatures(discriminator))  # type: ignore[arg-type]


def test_lightness_and_b_are_those_of_cielab() -> None:
    # By the definition of CIELAB under D65: white, black, the grey of L* = 53.585, and pure blue.
    known = {(255, 255, 255): (100, 0), (0, 0, 0): (0, 0), (128, 128, 128): (53.585, 0), (0, 0, 255): (32.297, -107.86)}
    assert np.allclose(cheeks(people(*known)), list(known.values()), atol=0.02)


def test_only_the_cheeks_count() -> None:
    photos = people((200, 160, 140))
    photos[:, :135] = photos[:, 170:] = photos[:, :, 115:140] = 0
    assert np.allclose(cheeks(photos), cheeks(people((200, 160, 140))))


def test_skins_are_sorted_by_their_typology_angle() -> None:
    assert skin_tones(people(*SKINS)) == tuple(SKINS.values())


def test_each_group_is_measured_among_all() -> None:
    colours = [(200, 10, 20), (10, 200, 20), (20, 10, 200), (200, 200, 10), (10, 200, 200), (200, 10, 200)]
    photos = people(*colours)
    drawings = photos.copy()
    drawings[3:] = drawings[[4, 5, 3]]  # the last three are drawn as each other
    columns = {
        "kind": ("a",) * 3 + ("b",) * 3,
        "rare": ("x", "x", *["unknown"] * 4),
        "skin": ("dark",) * 3 + ("light",) * 3,
    }
    found = {(g.attribute, g.value): g for g in by_group(scorer(photos), drawings, columns)}
    assert list(found) == [("kind", "a"), ("kind", "b"), ("skin", "light"), ("skin", "dark")]  # two are too few
    kept, lost = found["kind", "a"], found["kind", "b"]
    assert (kept.people, kept.rank1.value, lost.rank1.value) == (3, 1, 0)
    assert kept.identity.value == pytest.approx(1) and lost.identity.value < 0.9
    assert (
        kept.lightness.value == 0 and lost.lightness.value == pytest.approx(0, abs=1e-9) and lost.lightness.spread > 1
    )
    assert kept.as_json()["rank1"] == {"value": 1.0, "spread": kept.rank1.spread}


def test_lighter_drawings_are_seen() -> None:
    photos = people(*[(100, 80, 70)] * 3)
    (group,) = by_group(scorer(photos), people(*[(150, 120, 105)] * 3), {"all": ("a",) * 3})
    assert group.lightness.value == pytest.approx(float(cheeks(people((150, 120, 105)))[0, 0] - cheeks(photos)[0, 0]))
    assert group.lightness.value > 10 and group.lightness.spread == 0


def test_each_photo_needs_a_value() -> None:
    photos = people(*SKINS)
    with pytest.raises(BadData, match="2 values of kind belong to 3 photos"):
        next(by_group(scorer(photos), photos, {"kind": ("a", "b")}))
    assert torch.equal(scorer(photos).persons(photos)[1], torch.ones(3, dtype=torch.bool))
