"""How near one set of pictures is to another, on rows of features: Fréchet distance, kernel subsets, neighbourhoods.

All take rows [N, F], as :func:`portraitist.evaluate.described` gives them, and are measured in double precision. Score
exemplars that the model has not seen: a model that copies its training exemplars has the best Fréchet distance of all
to them (Fréchet distances of a hundred exemplars are mostly bias), and a kernel distance clearly below 0.

    outputs, held_out = embed(features, pictures), embed(features, exemplars)
    print(frechet_interval(outputs, held_out).value, kernel_interval(outputs, held_out).value)
    print(neighbourhoods(held_out, outputs).recall.value)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import BadData
from .kernel import Interval, kernel_distance

DRAWS = 50
"""Bootstrap draws of an interval."""
LARGEST_SUBSET = 1000
"""Rows of a subset of :func:`kernel_subsets`, where there are as many."""


def frechet_distance(rows: Tensor, others: Tensor) -> float:
    """Return the squared Fréchet distance of the Gaussians of two sets of rows or codes, [N, ...] and [M, ...].

    Dowson and Landau 1982, Eq. 4: ``|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))`` with unbiased covariances; the FID of
    Heusel et al. 2017, arXiv:1706.08500, is this on a certain network. The trace of the root is the sum of the singular
    values of A B^T, where A and B are the centred sets over the roots of N - 1 and M - 1; so fewer rows than entries
    are no obstacle. They are a bias: of two sets of the same distribution the distance falls towards 0 only as N and M
    grow. Compare at equal N and M, and with what other samples of the reference itself get: of few rows, one row over
    and over has a smaller distance than a fresh set. :func:`energy_distance` and the kernel distance have no such bias.

    Raises:
        BadData: A set has fewer than 2 rows, or the rows have different sizes.
    """
    x, y = as_rows(rows, others, at_least=2)
    mean = (x.mean(0) - y.mean(0)).square().sum()
    a, b = _centred(x), _centred(y)
    # Sets of more rows than entries are shortened; where one has fewer, the product is small as it is.
    if min(len(a), len(b)) > a.shape[1]:
        a, b = (torch.linalg.qr(part, mode="r").R for part in (a, b))
    root = torch.linalg.svdvals(a @ b.T).sum()
    # It is never negative; rounding may be.
    return max(0.0, float(mean + a.square().sum() + b.square().sum() - 2 * root))


def frechet_interval(rows: Tensor, others: Tensor, *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Return :func:`frechet_distance` and its deviation over ``draws`` bootstrap sets of both sides.

    The deviation says how far other samples would have moved it. It says nothing of the bias, which is the same for
    all sets of these sizes; the mean of the bootstrap is larger still and therefore not used.

    Raises:
        BadData: As :func:`frechet_distance`, or fewer than 2 draws.
    """
    if draws < 2:
        raise BadData(f"{draws} bootstrap draws have no spread.", "Draw at least 2.")
    random = torch.Generator().manual_seed(seed)
    x, y = as_rows(rows, others, at_least=2)
    each = [frechet_distance(_redrawn(x, random), _redrawn(y, random)) for _ in range(draws)]
    return Interval(frechet_distance(x, y), float(torch.tensor(each, dtype=torch.float64).std()))


def energy_distance(codes: Tensor, others: Tensor) -> float:
    """Return the energy distance of two sets of codes, [N, ...] and [M, ...], in mean distances of the others.

    Székely and Rizzo 2013, "Energy statistics", Eq. 2.5: ``2 E|x - y| - E|x - x'| - E|y - y'|``, without the distances
    of codes to themselves, over ``E|y - y'|``. Its expectation is 0 when both sets come from one distribution, however
    few they are, so it may be negative. The mean of a wide Gaussian over and over has about 0.41.

    Raises:
        BadData: A set has fewer than 2 codes, or the codes have different sizes.
    """
    x, y = as_rows(codes, others, at_least=2)
    within = [float(torch.pdist(rows).mean()) for rows in (x, y)]
    return (2 * float(torch.cdist(x, y).mean()) - within[0] - within[1]) / within[1]


def kernel_subsets(
    rows: Tensor, others: Tensor, *, subsets: int = 100, size: int = LARGEST_SUBSET, seed: int = 0
) -> Interval:
    """Return the mean of the kernel distance over subsets drawn without replacement, and its deviation over them.

    The form in which Binkowski et al. 2018, arXiv:1801.01401, Sec. 4, and most tools report KID. Its expectation is
    that of :func:`portraitist.evaluate.kernel_distance`, which uses every pair and scatters less; the deviation is that
    of one subset, not of the mean, and 0 where a subset holds all rows of both. It is not clipped at 0.

    Args:
        rows: One set, [N, F].
        others: The other, [M, F].
        subsets: How many.
        size: Rows of each set in a subset; all of the smaller set where it has fewer.
        seed: Of the subsets.

    Raises:
        BadData: A set has fewer than 2 rows, the rows have different sizes, or no subset is asked for.
    """
    if subsets < 1:
        raise BadData(f"{subsets} subsets have no mean.", "Draw at least 1.")
    random = torch.Generator().manual_seed(seed)
    x, y = as_rows(rows, others, at_least=2)
    count = min(size, len(x), len(y))
    pairs = ([_some(part, count, random) for part in (x, y)] for _ in range(subsets))
    each = torch.tensor([kernel_distance(a, b) for a, b in pairs], dtype=torch.float64)
    return Interval(float(each.mean()), float(each.std(unbiased=False)))


@dataclass(frozen=True)
class Neighbourhoods:
    """How two sets of pictures cover each other, by the neighbours of each picture."""

    precision: Interval
    """Share of outputs that lie among the real pictures."""
    recall: Interval
    """Share of real pictures that lie among the outputs."""
    density: Interval
    """How many real neighbourhoods an output lies in, over k; about 1 for equal distributions, and may exceed it."""
    coverage: Interval
    """Share of real pictures with an output in their neighbourhood."""
    count: int
    """Rows of each set that were compared at a time."""


def neighbourhoods(
    real: Tensor, outputs: Tensor, *, k: int = 3, k_density: int = 5, draws: int = DRAWS, seed: int = 0
) -> Neighbourhoods:
    """Return precision and recall, density and coverage at equal numbers of both sets.

    Improved precision and recall: Kynkäänniemi et al. 2019, arXiv:1904.06991, Eq. 1 and 2, with k = 3; density and
    coverage: Naeem et al. 2020, arXiv:2002.09797, Eq. 4 and 5, with k = 5. A neighbourhood is the ball around a row
    that reaches its k-th nearest neighbour in its own set, rim excluded.

    All four depend on how many rows there are, so each draw takes as many of the larger set, without replacement, as
    the smaller has, and the values are means over draws. Spreads are deviations over bootstrap sets of the rows that
    are asked about, with the neighbourhoods as they are: redrawn rows would be their own neighbours.

    Args:
        real: Rows of real pictures, [M, F].
        outputs: Rows of a model's, [N, F].
        k: Which neighbour, for precision and recall.
        k_density: Which neighbour, for density and coverage.
        draws: Draws and bootstrap sets, at least 2.
        seed: Of both.

    Raises:
        BadData: A set has too few rows for k, or the rows have different sizes.
    """
    random = torch.Generator().manual_seed(seed)
    x, y = as_rows(real, outputs, at_least=max(k, k_density) + 1)
    count = min(len(x), len(y))
    among = [torch.cdist(a, b, compute_mode=_EXACT) for a, b in ((x, x), (y, y), (x, y))]
    values, redrawn = [], []
    for _ in range(draws):
        i, j = (torch.randperm(n, generator=random)[:count].sort().values for n in (len(x), len(y)))
        parts = among[0][i][:, i], among[1][j][:, j], among[2][i][:, j]
        asked = [*_coverings(*parts, k)[:2], *_coverings(*parts, k_density)[2:]]
        values.append(torch.stack([a.mean() for a in asked]))
        redrawn.append(torch.stack([_redrawn(a, random).mean() for a in asked]))
    mean, spread = torch.stack(values).mean(0), torch.stack(redrawn).std(0)
    four = [Interval(float(m), float(s)) for m, s in zip(mean, spread, strict=True)]
    return Neighbourhoods(four[0], four[1], four[2], four[3], count)


def as_rows(codes: Tensor, others: Tensor, at_least: int) -> tuple[Tensor, Tensor]:
    """Return two sets [N, ...] and [M, ...] as rows in double precision.

    Raises:
        BadData: A set has fewer rows than ``at_least``, or the rows have different sizes.
    """
    x, y = (t.detach().cpu().flatten(1).double() for t in (codes, others))
    if min(len(x), len(y)) < at_least or x.shape[1] != y.shape[1]:
        raise BadData(
            f"Sets of shapes {tuple(codes.shape)} and {tuple(others.shape)} cannot be compared.",
            f"Bring at least {at_least} of each, of one size.",
        )
    return x, y


# The quick way through a matrix product loses the digits that tell a copy from a near copy.
_EXACT = "donot_use_mm_for_euclid_dist"


def _coverings(real: Tensor, outputs: Tensor, across: Tensor, k: int) -> list[Tensor]:
    """Return what each row says of precision, recall, density and coverage, [n] each; ``across`` is [real, outputs]."""
    # The nearest of its own set is the row itself.
    reach, reach_outputs = (d.kthvalue(k + 1, 1).values for d in (real, outputs))
    within = across < reach[:, None]
    return [
        within.any(0).double(),
        (across < reach_outputs).any(1).double(),
        within.double().sum(0) / k,
        (across.amin(1) < reach).double(),
    ]


def _redrawn(rows: Tensor, random: torch.Generator) -> Tensor:
    """Draw as many rows, with replacement."""
    return rows[torch.randint(len(rows), (len(rows),), generator=random)]


def _some(rows: Tensor, count: int, random: torch.Generator) -> Tensor:
    return rows if count == len(rows) else rows[torch.randperm(len(rows), generator=random)[:count]]


def _centred(rows: Tensor) -> Tensor:
    centred: Tensor = (rows - rows.mean(0)) / (len(rows) - 1) ** 0.5
    return centred
