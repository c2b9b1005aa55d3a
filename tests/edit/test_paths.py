from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.edit import slerp, spread, sweep, through
from portraitist.errors import UsageError
from portraitist.spaces import WPlus, Z
from portraitist.spaces.direction import Direction, moved

RANDOM = torch.Generator().manual_seed(0)
CODES = [WPlus(torch.randn(1, 4, 5, generator=RANDOM)) for _ in range(3)]
LATENTS = [Z(torch.randn(1, 64, generator=RANDOM)) for _ in range(3)]


@pytest.mark.parametrize("codes", [CODES, LATENTS])
@pytest.mark.parametrize("ease", ["smooth", "linear"])
def test_a_way_goes_through_its_codes_bit_for_bit(codes: list[WPlus], ease: str) -> None:
    way = through(codes, 9, ease=ease)  # type: ignore[arg-type]
    assert len(way) == 9 and type(way) is type(codes[0])
    for frame, code in zip((0, 4, 8), codes, strict=True):
        assert torch.equal(way.data[frame], code.data[0])


def test_a_loop_ends_one_step_before_its_beginning() -> None:
    way = through(CODES, 9, loop=True, ease="linear")
    for frame, code in zip((0, 3, 6), CODES, strict=True):
        torch.testing.assert_close(way.data[frame], code.data[0])
    torch.testing.assert_close(way.data[8], torch.lerp(CODES[2].data[0], CODES[0].data[0], 2 / 3))


def test_linear_keeps_one_speed_and_smooth_starts_softly() -> None:
    def steps(ease: str) -> list[float]:
        way = through(CODES[:2], 11, ease=ease).data  # type: ignore[arg-type]
        return [float((b - a).norm()) for a, b in pairwise(way)]

    linear, smooth = steps("linear"), steps("smooth")
    assert max(linear) == pytest.approx(min(linear), rel=1e-4)
    assert (
        smooth[0] < 0.3 * linear[0]
        and smooth[5] > 1.4 * linear[5]
        and sum(smooth) == pytest.approx(sum(linear), rel=1e-4)
    )


@settings(deadline=None, max_examples=40)
@given(t=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_a_great_circle_keeps_the_length_and_divides_the_angle(t: float, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    a, b = (
        torch.nn.functional.normalize(torch.randn(1, 6, generator=random, dtype=torch.float64), dim=1) for _ in range(2)
    )
    found = slerp(Z(a), Z(b), t).data
    assert float(found.norm()) == pytest.approx(1, abs=1e-6)
    whole, part = (math.acos(max(-1.0, min(1.0, float((a * x).sum())))) for x in (b, found))
    assert part == pytest.approx(t * whole, abs=1e-5)


def test_slerp_of_a_latent_with_itself_is_itself() -> None:
    torch.testing.assert_close(slerp(LATENTS[0], LATENTS[0], 0.3).data, LATENTS[0].data)
    torch.testing.assert_close(slerp(LATENTS[0], Z(2 * LATENTS[0].data), 0.5).data, 1.5 * LATENTS[0].data)


def test_a_sweep_is_the_edits_one_by_one() -> None:
    direction = Direction("d", torch.arange(1.0, 6.0), (1, 2), 0.5)
    strengths = [-2.0, 0.0, 1.5]
    found = sweep(CODES[0], direction, strengths, rows=iter([2, 3]))
    for k, strength in enumerate(strengths):
        assert torch.equal(found[k].data, moved(CODES[0], direction, strength, rows=[2]).data)
    assert torch.equal(found[1].data, CODES[0].data)


def test_strengths_are_even_and_symmetric() -> None:
    assert spread(-3, 3, 7) == [-3, -2, -1, 0, 1, 2, 3]
    values = spread(-0.7, 0.7, 9)
    assert values[4] == 0 and values == [-v for v in reversed(values)] and values[0] == -0.7 and values[-1] == 0.7
    with pytest.raises(UsageError, match="two ends"):
        spread(0, 1, 1)


@pytest.mark.parametrize(("count", "frames", "ease"), [(1, 9, "linear"), (3, 2, "linear"), (3, 9, "bumpy")])
def test_ways_that_cannot_be_gone_are_refused(count: int, frames: int, ease: str) -> None:
    with pytest.raises(UsageError):
        through(CODES[:count], frames, ease=ease)  # type: ignore[arg-type]
