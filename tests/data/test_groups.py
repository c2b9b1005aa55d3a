"""Sets of groups: what is read, and what is said of groups that are missing or tiny."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.data import write_image
from portraitist.data.groups import Groups
from portraitist.errors import BadData


def fill(root: Path, side: str, group: str, count: int) -> None:
    (root / side / group).mkdir(parents=True)
    for k in range(count):
        write_image(root / side / group / f"{k}.png", np.full((8, 8, 3), 5 * k + len(group), np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for side, factor in (("photos", 2), ("drawings", 1)):
        fill(tmp_path, side, "women", 10 * factor)
        fill(tmp_path, side, "men", 4 * factor)
    return tmp_path


def test_groups_are_found_in_the_order_asked_for(root: Path) -> None:
    assert Groups.open(root, 8).names == ("men", "women")
    data = Groups.open(root, 8, ["women", "men"])
    assert data.names == ("women", "men") == tuple(data.drawings)
    assert [len(data.photos[n]) for n in data.names] == [20, 8] and len(data.drawings["men"]) == 4
    assert len(data.remarks) == 2 and all("men" in remark for remark in data.remarks)
    assert data.digest == Groups.open(root, 8, ["women", "men"]).digest != Groups.open(root, 8, ["women"]).digest


def test_mixed_groups_are_one_after_the_other(root: Path) -> None:
    data = Groups.open(root, 8, ["women", "men"])
    one = data.mixed("people")
    assert one.names == ("people",) and len(one.photos["people"]) == 28
    indices, flips = torch.tensor([0, 19, 20, 27]), torch.tensor([False, True, False, True])
    apart = torch.cat(
        [data.photos["women"].batch(indices[:2], flips[:2]), data.photos["men"].batch(indices[2:] - 20, flips[2:])]
    )
    assert torch.equal(one.photos["people"].batch(indices, flips), apart)
    alone = Groups.open(root, 8, ["men"])
    assert alone.mixed("x").photos["x"] is alone.photos["men"]


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"There is no folder .*photos.*drawings/GROUP"):
        Groups.open(tmp_path / "nowhere", 8)
    fill(root, "photos", "kids", 5)
    with pytest.raises(BadData, match=r"'kids' has no folder .*drawings/kids\..*with both: men, women"):
        Groups.open(root, 8)
    with pytest.raises(BadData, match=r"'elderly' has no folder .*photos/elderly and no folder .*drawings/elderly"):
        Groups.open(root, 8, ["women", "elderly"])
    (root / "drawings" / "kids").mkdir()
    with pytest.raises(BadData, match=r"kids holds 0 usable images.*At least 3"):
        Groups.open(root, 8, ["kids"])


def test_tiny_groups_are_refused_and_small_ones_told(root: Path) -> None:
    fill(root, "photos", "kids", 30)
    fill(root, "drawings", "kids", 2)
    with pytest.raises(BadData, match=r"kids holds 2 usable pictures, fewer than 3"):
        Groups.open(root, 8, ["kids"])
    (root / "drawings" / "kids" / "bad.png").write_bytes(b"no picture")
    fill(root, "drawings", "kids/more", 1)
    remarks = Groups.open(root, 8, ["kids"]).remarks
    assert len(remarks) == 2 and "bad.png" in remarks[0] and "only 3 pictures" in remarks[1]


def test_a_side_without_groups_is_told(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(BadData, match="no folder of a group"):
        Groups.open(tmp_path, 8)
