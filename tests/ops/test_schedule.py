from __future__ import annotations

import pytest

from portraitist.ops.schedule import ramp


def test_a_rate_rises_in_a_line_rests_and_falls_as_half_a_cosine() -> None:
    assert ramp(0, 0.05, 0.25) == 0 and ramp(0.025, 0.05, 0.25) == pytest.approx(0.5)
    assert ramp(0.05, 0.05, 0.25) == ramp(0.4, 0.05, 0.25) == ramp(0.75, 0.05, 0.25) == 1
    assert ramp(0.875, 0.05, 0.25) == pytest.approx(0.5) and ramp(1, 0.05, 0.25) == pytest.approx(0)


def test_without_ramps_the_rate_never_changes() -> None:
    assert [ramp(t, 0, 0) for t in (0, 0.5, 1)] == [1, 1, 1]
