from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from portraitist.data.sheet import beside, grid, tile


def flat(value: int, height: int = 3, width: int = 4) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


def test_tiles_lie_row_by_row_on_white() -> None:
    sheet = tile([flat(v) for v in (10, 20, 30)], columns=2, gap=1)
    assert sheet.shape == (7, 9, 3)
    assert (sheet[:3, :4] == 10).all() and (sheet[:3, 5:] == 20).all() and (sheet[4:, :4] == 30).all()
    assert (sheet[3] == 255).all() and (sheet[:, 4] == 255).all() and (sheet[4:, 5:] == 255).all()


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (3, 2, 2), (9, 3, 3), (10, 4, 3)])
def test_a_sheet_is_about_square(count: int, columns: int, rows: int) -> None:
    assert tile([flat(0)] * count, gap=0).shape == (3 * rows, 4 * columns, 3)


def test_a_grid_turns_tensors_into_levels() -> None:
    images = torch.tensor([-1.0, 0.0, 1.0, 7.0])[:, None, None, None].expand(4, 3, 2, 2)
    sheet = grid(images, columns=4, gap=0)
    assert sheet[0, ::2, 0].tolist() == [0, 128, 255, 255]


def test_pictures_beside_each_other_share_a_height() -> None:
    sheet = beside([flat(1, 8, 8), flat(2, 4, 8), flat(3, 32, 16)], 16, gap=2)
    assert sheet.shape == (16, 16 + 2 + 32 + 2 + 8, 3)
    assert (sheet[:, :16] == 1).all() and (sheet[:, 16:18] == 255).all() and (sheet[:, 18:50] == 2).all()
    assert (sheet[:, -8:] == 3).all()
    assert beside([flat(7, 100, 1)], 10).shape == (10, 1, 3)
