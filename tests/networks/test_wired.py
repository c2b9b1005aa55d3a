"""A network that is given as data."""

from __future__ import annotations

import pytest
import torch

from portraitist.networks.wired import Pad, Rows, Spread, Wired


def test_parts_read_the_picture_or_what_earlier_parts_gave() -> None:
    steps = [
        {"part": "rescale", "reads": [0], "factor": 2.0, "shift": -1.0},
        {"part": "sum", "reads": [0, 1]},
        {"part": "product", "reads": [2, 2]},
        {"part": "rows", "reads": [2], "width": 1},
        {"part": "chain", "reads": [4, 4]},
    ]
    picture = torch.rand(2, 3, 4, 4)
    squares, rows = Wired(steps, [3, 5], side=4)(picture)
    assert torch.allclose(squares, (3 * picture - 1) ** 2)
    assert rows.shape == (2, 2 * 3 * 16, 1) and torch.allclose(rows[:, :48, 0], rows[:, 48:, 0])


@pytest.mark.parametrize("step", [{"part": "exec", "reads": [0]}, {"part": "relu", "reads": [1]}])
def test_what_is_no_part_or_reads_what_comes_later_is_refused(step: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Step 1"):
        Wired([step], [1], side=4)


def test_layouts_that_keep_channels_last_are_followed() -> None:
    last = torch.arange(2 * 2 * 8.0).view(1, 2, 2, 8)
    maps = last.permute(0, 3, 1, 2)
    assert torch.equal(Rows(4)(maps), last.reshape(1, 8, 4))
    spread = Spread()(maps).permute(0, 2, 3, 1)  # [1, 4, 4, 2]
    for y in range(4):
        for x in range(4):
            block = 2 * (y % 2) + x % 2
            assert torch.equal(spread[0, y, x], last[0, y // 2, x // 2, 2 * block : 2 * block + 2])
    assert Pad([0, 1, 2, 0, 0, 3])(maps).shape == (1, 11, 4, 3)
