"""How far two sets of pictures are apart, for sets as small as a handful of exemplars.

The kernel distance is unbiased at any number of pictures, where the Fréchet distance of 100 exemplars is mostly bias
and smallest for a model that copies them. Held-out exemplars must be scored, never those that were trained on: there
a distance clearly below 0 is a sign of copying.

    score = kernel_interval(pooled_features(features, samples), pooled_features(features, held_out))
    print(f"{score.value:.4f} ± {score.spread:.4f}")
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..errors import BadData


@dataclass(frozen=True)
class Interval:
    """A number and how far chance may have moved it."""

    value: float
    spread: float
    """Standard error: one deviation."""

    @property
    def half_width(self) -> float:
        """Half of the interval that covers the truth in 95 of 100 cases, where errors are normal."""
        return 1.96 * self.spread


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """Return the squared maximum mean discrepancy of rows [M, F] and [N, F] under the kernel (x.y / F + 1)^3.

    Binkowski et al. 2018, arXiv:1801.01401, Sec. 4: the U-statistic, summed in double precision. Its expectation is
    0 when both sets come from one distribution, so it may be negative; it is not clipped.

    Raises:
        BadData: A set has fewer than 2 rows.
    """
    return _Sums(x, y, at_least=2).distance()


def kernel_interval(x: Tensor, y: Tensor) -> Interval:
    """Return :func:`kernel_distance` and its standard error, by leaving out each row of either set in turn.

    Raises:
        BadData: A set has fewer than 3 rows.
    """
    # Why the jackknife: a bootstrap draws rows twice, and the pairs of a row with its own copy carry the diagonal that
    # the unbiased estimate leaves out. The jackknife draws nothing, so it needs no seed, and it follows from the row
    # sums. Between equal distributions it is about sqrt(2) too wide (subsets of one half would be sqrt(3)).
    sums = _Sums(x, y, at_least=3)
    variance = sum(_jackknife(left_out) for left_out in sums.distances_left_out())
    return Interval(sums.distance(), float(variance) ** 0.5)


class _Sums:
    """Row sums of the three kernel matrices, without the diagonals of the first two."""

    def __init__(self, x: Tensor, y: Tensor, at_least: int) -> None:
        if min(len(x), len(y)) < at_least:
            raise BadData(
                f"A kernel distance of sets of {len(x)} and {len(y)} images cannot be measured.",
                f"Bring at least {at_least} of each.",
            )
        x, y = x.detach().cpu().double(), y.detach().cpu().double()
        self.within_x, self.within_y = _without_diagonal(_kernel(x, x)).sum(1), _without_diagonal(_kernel(y, y)).sum(1)
        between = _kernel(x, y)
        self.x_to_y, self.y_to_x = between.sum(1), between.sum(0)

    def distance(self) -> float:
        m, n = len(self.within_x), len(self.within_y)
        within = self.within_x.sum() / (m * (m - 1)) + self.within_y.sum() / (n * (n - 1))
        return float(within - 2 * self.x_to_y.sum() / (m * n))

    def distances_left_out(self) -> tuple[Tensor, Tensor]:
        """Return the distance without row i of x, [M], and without row j of y, [N], each up to a constant."""
        without_x = _left_out(self.within_x, self.x_to_y, len(self.within_y))
        without_y = _left_out(self.within_y, self.y_to_x, len(self.within_x))
        return without_x, without_y


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _without_diagonal(matrix: Tensor) -> Tensor:
    return matrix - matrix.diag().diag()


def _left_out(within: Tensor, across: Tensor, others: int) -> Tensor:
    # A row stands in its own row and its own column; the other set's own term is the constant.
    m = len(within)
    return (within.sum() - 2 * within) / ((m - 1) * (m - 2)) - 2 * (across.sum() - across) / ((m - 1) * others)


def _jackknife(left_out: Tensor) -> Tensor:
    return (len(left_out) - 1) * left_out.var(unbiased=False)
