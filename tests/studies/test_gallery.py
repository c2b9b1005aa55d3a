"""The gallery: whom it shows, and how the pairs lie."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from portraitist.errors import UsageError
from studies.gallery import ACROSS, GAP, GROUPS, SHOWN_SIDE, chosen, recoloured, sheet


def people(count: int) -> dict[str, str]:
    return {f"{group}{k:02}.jpg": group for group in (*GROUPS, "unknown") for k in range(count)}


def test_only_people_whom_anybody_may_show_are_chosen() -> None:
    groups = people(20)
    licences = {name: ("CC0-1.0", "MIT", "CC-BY-NC-SA-4.0", "")[k % 4] for k, name in enumerate(groups)}
    names = chosen(groups, licences)
    assert Counter(groups[name] for name in names) == GROUPS and len(set(names)) == sum(GROUPS.values())
    assert {licences[name] for name in names} <= {"CC0-1.0", "MIT"}
    assert names == chosen(dict(reversed(groups.items())), licences)
    # Every group is among the first four.
    assert {groups[name] for name in names[:4]} == set(GROUPS)


def test_a_group_with_too_few_is_named() -> None:
    groups = people(8)
    licences = {name: "MIT" for name in groups if name != "men00.jpg"}
    with pytest.raises(UsageError, match="Only 7 photos of men"):
        chosen(groups, licences)


def test_a_pair_is_a_photo_and_its_drawing() -> None:
    photos = np.full((5, 256, 256, 3), 10, np.uint8)
    found = sheet(photos, photos + 200)
    assert found.shape == (2 * SHOWN_SIDE + GAP, ACROSS * (2 * SHOWN_SIDE + GAP) - GAP, 3)
    assert (found[5, 5] == 10).all() and (found[5, SHOWN_SIDE + 20] == 210).all()
    assert (found[SHOWN_SIDE + GAP + 5, 2 * SHOWN_SIDE + GAP + 5] == 255).all()


def test_a_drawing_may_be_darker_without_leaving_the_colours() -> None:
    photos = np.full((2, 256, 256, 3), 100, np.uint8)
    assert recoloured(photos, photos - 40) == pytest.approx(0, abs=1e-4)
    redder = photos + np.array([30, 0, 0], np.uint8)
    # 30 more red is 8.97 more luminance (Rec. 601).
    assert recoloured(photos, redder) == pytest.approx((30 - 8.97 + 2 * 8.97) / 3, abs=1e-3)
