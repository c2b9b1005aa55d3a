"""What people's choices among several pictures say of those who made them: shares and strengths, with intervals.

Every answer is a set of methods that was shown and the one that was chosen. A share is chosen / shown. The strengths
are those of Luce's choice model (Luce 1959, "Individual Choice Behavior"), P(i of S) = exp(s_i) / sum_S exp(s_j), which
for two pictures is the model of Bradley and Terry (1952, Biometrika 39, p. 324).

    found = choice_scores(shown, chosen, raters, questions)
    print(found.shares, found.strengths, found.design_effect)

Answers of one rater, and to one question, are more alike than others, so that they say less than as many independent
ones: the design effect says by what factor (Rao and Scott 1981, J. Am. Stat. Assoc. 76, p. 221), from variances that
are clustered both ways (Cameron, Gelbach and Miller 2011, J. Bus. Econ. Stat. 29, p. 238).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import BadData
from .recognition import Z, share

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PRIOR = 0.5
"""Answers for each method, in a question that shows all, that are added: a strength is then finite where a method was
chosen always or never (Jeffreys' prior of a multinomial)."""
_STEPS = 100
_DONE = 1e-10


@dataclass(frozen=True)
class Bounded:
    """A number, and between what it lies in 95 of 100 studies."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ChoiceScores:
    """What answers say, method by method."""

    shares: tuple[Bounded, ...]
    """Chosen / shown, with Wilson's interval for as many independent answers as these are worth."""
    strengths: tuple[Bounded, ...]
    """s_i, natural logarithms of odds, their mean 0: chosen exp(s_i - s_j) times as often as another. The interval is
    from the information matrix."""
    design_effect: float
    """How many of these answers say as much as one independent one; at least 1."""


def choice_scores(shown: npt.NDArray[np.bool_], chosen: Ints, raters: Ints, questions: Ints) -> ChoiceScores:
    """Score methods by the answers of raters.

    Args:
        shown: Whether an answer's question showed a method, [answers, methods].
        chosen: The method that was chosen, [answers].
        raters: Who answered, a number each, [answers].
        questions: What was asked, a number each, [answers].

    Raises:
        BadData: There are no answers, fewer than two methods, or what was chosen was not shown.
    """
    if not len(chosen) or shown.shape[1] < 2:
        raise BadData(f"{len(chosen)} answers about {shown.shape[1]} methods say nothing.", "Bring answers about two.")
    rows = np.arange(len(chosen))
    if not shown[rows, chosen].all():
        raise BadData("A method was chosen that was not shown.", "Use the answers as the page saved them.")
    picked = np.zeros(shown.shape, bool)
    picked[rows, chosen] = True
    effect = design_effect(shown, picked, raters, questions)
    shares = tuple(
        wilson(int(hits), int(count), effect) for hits, count in zip(picked.sum(0), shown.sum(0), strict=True)
    )
    strengths, covariance = luce(shown, picked)
    half = Z * np.sqrt(covariance.diagonal() * effect)
    bounded = tuple(Bounded(float(s), float(s - h), float(s + h)) for s, h in zip(strengths, half, strict=True))
    return ChoiceScores(shares, bounded, effect)


def wilson(hits: int, count: int, effect: float = 1.0) -> Bounded:
    """Return a share and Wilson's 95 % interval (1927) for count / effect independent trials; 0 to 1 for no trial."""
    if not count:
        return Bounded(float("nan"), 0.0, 1.0)
    found, worth = share(hits, count, effect), count / effect
    part, half = found.value, Z * found.spread
    centre = (part + Z**2 / (2 * worth)) / (1 + Z**2 / worth)
    # At shares of 0 and 1 rounding must not leave the share outside.
    return Bounded(part, min(max(0.0, centre - half), part), max(min(1.0, centre + half), part))


def luce(shown: npt.NDArray[np.bool_], picked: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the most likely strengths [methods], their mean 0, and their covariance, under a weak prior.

    Newton's method on a concave likelihood; ``picked`` has one method of each answer, [answers, methods].
    """
    methods = shown.shape[1]
    sets, which = np.unique(shown, axis=0, return_inverse=True)
    sets = np.concatenate([sets, np.ones((1, methods), bool)])
    counts = np.zeros(len(sets))
    np.add.at(counts, which.ravel(), 1.0)
    counts[-1] = PRIOR * methods
    wins = picked.sum(0) + PRIOR
    strengths = np.zeros(methods)

    def likelihood(s: Floats) -> float:
        return float(wins @ s - counts @ np.log(np.where(sets, np.exp(s), 0).sum(1)))

    for _ in range(_STEPS):
        gradient, information = _derivatives(strengths, sets, counts, wins)
        step = np.linalg.pinv(information, hermitian=True) @ gradient
        size = 1.0
        while likelihood(strengths + size * step) < likelihood(strengths) and size > _DONE:
            size /= 2
        strengths = strengths + size * step
        if np.abs(step).max() < _DONE:
            break
    _, information = _derivatives(strengths, sets, counts, wins)
    covariance: Floats = np.linalg.pinv(information, hermitian=True).astype(np.float64)
    return strengths - strengths.mean(), covariance


def _derivatives(strengths: Floats, sets: npt.NDArray[np.bool_], counts: Floats, wins: Floats) -> tuple[Floats, Floats]:
    """Return the gradient of the logarithm of the likelihood, and minus its second derivatives."""
    odds = np.where(sets, np.exp(strengths - strengths.max()), 0)
    chances = odds / odds.sum(1, keepdims=True)
    weighted = counts[:, None] * chances
    return wins - weighted.sum(0), np.diag(weighted.sum(0)) - weighted.T @ chances


def design_effect(shown: npt.NDArray[np.bool_], picked: npt.NDArray[np.bool_], raters: Ints, questions: Ints) -> float:
    """Return by what factor clusters of raters and questions widen the variance of the shares; at least 1.

    With one rater the effect of raters is unknown, and not in it.
    """
    part = picked.sum(0) / np.maximum(shown.sum(0), 1)
    rest = np.where(shown, picked - part, 0.0) / np.maximum(shown.sum(0), 1)
    cells = np.unique(np.stack([raters, questions]), axis=1, return_inverse=True)[1].ravel()
    both = _clustered(rest, raters) + _clustered(rest, questions) - _clustered(rest, cells)
    alone = float((rest**2).sum())
    return max(1.0, both / alone) if alone > 0 else 1.0


def _clustered(rest: Floats, clusters: Ints) -> float:
    """Return the sum over methods of the variance of a mean whose residuals go together within clusters."""
    names, which = np.unique(clusters, return_inverse=True)
    sums = np.zeros((len(names), rest.shape[1]))
    np.add.at(sums, which.ravel(), rest)
    correction = len(names) / (len(names) - 1) if len(names) > 1 else 1.0
    return correction * float((sums**2).sum())
