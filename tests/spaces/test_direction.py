from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.errors import UsageError
from portraitist.spaces import WPlus
from portraitist.spaces.direction import Direction, moved

RANDOM = torch.Generator().manual_seed(0)
CODE = WPlus(torch.randn(2, 6, 5, generator=RANDOM))
VECTOR = torch.nn.functional.normalize(torch.randn(5, generator=RANDOM), dim=0)
ROWS = torch.randn(6, 5, generator=RANDOM)


@settings(deadline=None, max_examples=30)
@given(
    strength=st.floats(-8, 8, width=32), unit=st.floats(0.125, 4, width=32), rows=st.sets(st.integers(0, 5), min_size=1)
)
def test_only_the_chosen_rows_move_and_by_strength_times_unit(strength: float, unit: float, rows: set[int]) -> None:
    direction = Direction("d", VECTOR, tuple(sorted(rows)), unit)
    step = moved(CODE, direction, strength).data - CODE.data
    for row in range(6):
        expected = strength * unit * VECTOR if row in rows else torch.zeros(5)
        torch.testing.assert_close(step[:, row], expected.expand(2, -1), rtol=1e-5, atol=1e-5)
        assert row in rows or torch.equal(step[:, row], torch.zeros(2, 5))


def test_strength_0_is_the_code_bit_for_bit_and_the_code_is_not_touched() -> None:
    before = CODE.data.clone()
    assert torch.equal(moved(CODE, Direction("d", VECTOR, (0, 3)), 0).data, CODE.data)
    moved(CODE, Direction("d", ROWS, (0, 3)), 5)
    assert torch.equal(CODE.data, before)


def test_a_direction_of_w_plus_moves_each_row_its_own_way() -> None:
    step = moved(CODE, Direction("d", ROWS, (1, 4), 2.0), 0.5).data - CODE.data
    torch.testing.assert_close(step[0, [1, 4]], ROWS[[1, 4]])
    assert not step[:, [0, 2, 3, 5]].any()


def test_rows_can_be_narrowed_but_not_widened() -> None:
    direction = Direction("d", VECTOR, (1, 2))
    step = moved(CODE, direction, 1, rows=range(2, 6)).data - CODE.data
    assert step[:, 2].any() and not step[:, [0, 1, 3, 4, 5]].any()
    with pytest.raises(UsageError, match="is left"):
        moved(CODE, direction, 1, rows=[5])


@pytest.mark.parametrize(
    ("vector", "rows", "unit"),
    [
        (torch.zeros(5), (0,), 1.0),
        (torch.full((5,), float("nan")), (0,), 1.0),
        (torch.ones(5), (0,), 0.0),
        (torch.ones(5), (0,), float("inf")),
        (torch.ones(2, 2, 2), (0,), 1.0),
        (torch.ones(5, dtype=torch.int64), (0,), 1.0),
        (torch.ones(5), (), 1.0),
        (torch.ones(5), (2, 1), 1.0),
        (torch.ones(5), (1, 1), 1.0),
        (torch.ones(5), (-1,), 1.0),
        (torch.ones(3, 5), (3,), 1.0),
    ],
)
def test_what_leads_nowhere_is_refused(vector: torch.Tensor, rows: tuple[int, ...], unit: float) -> None:
    with pytest.raises(UsageError):
        Direction("d", vector, rows, unit)


@pytest.mark.parametrize(
    "direction",
    [
        Direction("d", VECTOR, (6,)),
        Direction("d", torch.ones(7, 5), (0,)),
        Direction("d", torch.ones(4), (0,)),
    ],
)
def test_codes_of_other_sizes_are_refused(direction: Direction) -> None:
    with pytest.raises(UsageError, match="same base"):
        moved(CODE, direction, 1)
