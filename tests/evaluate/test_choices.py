"""Shares and strengths of simulated raters: the truth lies within its interval as often as the interval says."""

from __future__ import annotations

import numpy as np
import pytest

from portraitist.errors import BadData
from portraitist.evaluate.choices import ChoiceScores, choice_scores, luce, wilson

TRUTH = np.array([1.0, 0.3, -0.3, -1.0])
Simulated = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def simulated(
    seed: int, raters: int, questions: int, show: int = 4, taste: float = 0.0, likes: float = 0.0
) -> Simulated:
    """Let raters choose by Luce's model; ``taste`` and ``likes`` are deviations of raters' and questions' strengths."""
    random = np.random.default_rng(seed)
    rater, question = (grid.ravel() for grid in np.meshgrid(np.arange(raters), np.arange(questions), indexing="ij"))
    strengths = TRUTH + taste * random.standard_normal((raters, 4))[rater]
    strengths = strengths + likes * random.standard_normal((questions, 4))[question]
    order = random.random(strengths.shape).argsort(1).argsort(1)
    shown = order < show
    chosen = np.where(shown, strengths + random.gumbel(size=strengths.shape), -np.inf).argmax(1)
    return shown, chosen, rater, question


def covered(found: ChoiceScores, shares: np.ndarray, strengths: np.ndarray) -> tuple[float, float]:
    inside = [[b.low <= x <= b.high for b, x in zip(found.shares, shares, strict=True)]]
    inside.append([b.low <= x <= b.high for b, x in zip(found.strengths, strengths, strict=True)])
    return float(np.mean(inside[0])), float(np.mean(inside[1]))


@pytest.mark.parametrize(
    ("raters", "questions", "taste", "likes"), [(10, 10, 0.0, 0.0), (20, 20, 1.0, 0.5), (1, 40, 0.0, 0.0)]
)
def test_known_strengths_lie_within_their_intervals(raters: int, questions: int, taste: float, likes: float) -> None:
    _, chosen, *_ = simulated(99, 400, 150, taste=taste, likes=likes)
    shares = np.bincount(chosen, minlength=4) / len(chosen)
    strengths = np.log(shares) - np.log(shares).mean()
    found = [choice_scores(*simulated(k, raters, questions, taste=taste, likes=likes)) for k in range(60)]
    both = np.array([covered(each, shares, strengths) for each in found]).mean(0)
    assert (both > 0.9).all(), both
    assert (np.mean([f.design_effect for f in found]) > 2.5) == (taste > 0)
    if taste:  # as many independent answers would promise too much
        narrow = [[wilson(round(b.value * 400), 400) for b in each.shares] for each in found]
        inside = [[b.low <= x <= b.high for b, x in zip(each, shares, strict=True)] for each in narrow]
        assert np.mean(inside) < 0.8


@pytest.mark.parametrize("show", [2, 3])
def test_strengths_are_recovered_where_questions_show_some_of_the_methods(show: int) -> None:
    found = [choice_scores(*simulated(k, 10, 12, show)) for k in range(60)]
    inside = [[b.low <= x <= b.high for b, x in zip(f.strengths, TRUTH, strict=True)] for f in found]
    assert np.mean(inside) > 0.9
    assert np.allclose(np.mean([[b.value for b in f.strengths] for f in found], axis=0), TRUTH, atol=0.1)


def test_of_two_pictures_a_strength_is_the_logarithm_of_the_odds() -> None:
    picked = np.zeros((400, 2), bool)
    picked[:300, 0] = picked[300:, 1] = True
    strengths, covariance = luce(np.ones((400, 2), bool), picked)
    assert strengths[0] - strengths[1] == pytest.approx(np.log(300.5 / 100.5))
    assert covariance[0, 0] == pytest.approx((1 / 300.5 + 1 / 100.5) / 4)


def test_a_method_that_nobody_chose_has_finite_numbers() -> None:
    found = choice_scores(np.ones((20, 3), bool), np.arange(20) % 2, np.zeros(20, int), np.arange(20))
    assert found.shares[2].value == found.shares[2].low == 0 < found.shares[2].high < 0.25
    assert np.isfinite([b.low for b in found.strengths]).all() and found.strengths[2].high < found.strengths[0].value


def test_wilson_of_fewer_answers_is_wider() -> None:
    narrow, wide = wilson(30, 100), wilson(30, 100, effect=4.0)
    assert narrow.low == pytest.approx(0.2189, abs=1e-4) and narrow.high == pytest.approx(0.3959, abs=1e-4)
    assert wide.low < narrow.low and wide.high > narrow.high and wilson(0, 0).high == 1


def test_nothing_cannot_be_scored() -> None:
    nothing = np.zeros(0, int)
    with pytest.raises(BadData, match="say nothing"):
        choice_scores(np.ones((0, 2), bool), nothing, nothing, nothing)
    with pytest.raises(BadData, match="not shown"):
        choice_scores(np.array([[True, False]]), np.array([1]), np.array([0]), np.array([0]))
