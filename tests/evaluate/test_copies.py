"""The copy alarm: silent on independent pictures, loud at one copy in twenty, mirrored or not."""

from __future__ import annotations

from math import comb

import pytest
import torch
from torch import Tensor

from portraitist.errors import BadData
from portraitist.evaluate import copy_test

WIDTH = 512
SCALES = torch.arange(1, WIDTH + 1) ** -0.4  # the spectrum of deep features falls about as i^-0.8


class Draw:
    """Rows of one seeded synthetic style."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, count: int) -> Tensor:
        return torch.randn(count, WIDTH, generator=self.random) * SCALES


def test_independent_pictures_raise_no_alarm() -> None:
    for seed in range(40):
        draw = Draw(seed)
        assert not copy_test(draw(500), draw(80), draw(20)).alarm


def test_one_copy_in_twenty_raises_it() -> None:
    for seed in range(20):
        draw = Draw(seed)
        outputs, train, held_out = draw(500), draw(80), draw(20)
        outputs[:25] = train[:25] + 0.3 * draw(25)
        report = copy_test(outputs, train, held_out)
        assert report.alarm
        assert report.count == 25
        assert report.nearest[:25].tolist() == list(range(25))


@pytest.mark.parametrize("exemplars", [20, 50, 100])
def test_a_memoriser_raises_it(exemplars: int) -> None:
    draw = Draw(exemplars)
    held, train = draw(exemplars // 5), draw(exemplars - exemplars // 5)
    report = copy_test(train.repeat(10, 1), train, held)
    assert report.alarm
    assert report.distance.max() == 0


def test_a_mirrored_exemplar_is_an_exemplar_but_not_another_one() -> None:
    draw = Draw(0)
    outputs, train, held_out = draw(500), draw(80), draw(20)
    mirrored = train + 0.2 * draw(80)  # faces are nearly symmetric
    outputs[:50] = mirrored[:50]
    report = copy_test(outputs, train, held_out, mirrored)
    assert report.alarm
    assert report.nearest[:50].tolist() == list(range(50))
    assert report.distance[:50].max() == 0
    # Counted as exemplars of their own, the mirrors would lower the threshold below what noisy copies keep.
    assert report.threshold > 2 * copy_test(outputs, torch.cat([train, mirrored]), held_out).threshold


def test_the_report_agrees_with_the_closed_form() -> None:
    train = torch.tensor([[0.0], [10.0], [14.0]])
    held_out = torch.tensor([[5.0]])
    outputs = torch.tensor([[3.7], [3.5], [11.0], [20.0]])
    report = copy_test(outputs, train, held_out)
    # References: 10, 4, 4 among the exemplars, 5 from the held-out one.
    assert report.threshold == pytest.approx(0.9 * 4)
    assert report.nearest.tolist() == [0, 0, 1, 2]
    assert report.distance.tolist() == pytest.approx([3.7, 3.5, 1, 6])
    assert report.count == 2
    assert report.expected == pytest.approx(4 / 5)
    tail = sum(comb(4, k) * 0.2**k * 0.8 ** (4 - k) for k in (2, 3, 4))
    assert report.p_value == pytest.approx(tail, rel=1e-12)
    assert not report.alarm


def test_no_output_nearby_is_certain() -> None:
    draw = Draw(3)
    report = copy_test(draw(100) + 100, draw(10), draw(5))
    assert report.count == 0
    assert report.p_value == pytest.approx(1)


def test_sets_that_tell_nothing_are_refused() -> None:
    draw = Draw(0)
    for outputs, train, held_out in ((0, 5, 5), (5, 1, 5), (5, 5, 0)):
        with pytest.raises(BadData, match="Copies cannot be recognised"):
            copy_test(draw(outputs), draw(train), draw(held_out))
