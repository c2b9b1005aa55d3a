"""Directions of W that mean something: in closed form, or from codes with ratings.

    first, *others = sefa_directions(generator, [4, 8, 16])             # what changes the drawing most
    age = learn_direction("age", codes, ratings, rows=rows_of(generator.anatomy, [4, 8, 16]))
    older = moved(code, age, 2.0)

One unit of strength is one deviation of the codes along the direction, so that the sliders of all directions and bases
reach alike: beyond 3 there is hardly a code of the prior.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import UsageError
from ..networks import Generator, GeneratorAnatomy, modulation_weights
from ..spaces import W, WPlus, sample_w, sefa_basis
from ..spaces.direction import Direction

WEAK = 0.3
"""Held-out correlation below which a direction means little."""
PRIOR_CODES = 2000
FOLDS = 5


def rows_of(anatomy: GeneratorAnatomy, resolutions: Collection[int] | None = None) -> tuple[int, ...]:
    """Return the rows of W+ that feed the convolutions of some blocks; all rows when None.

    Each row belongs to one block, so that ranges side by side share none; a ToRGB has its row in common with the first
    convolution above it, and the last ToRGB of all counts with its block.

    Raises:
        UsageError: There is no such block.
    """
    if resolutions is None:
        return tuple(range(anatomy.rows))
    unknown = set(resolutions) - set(anatomy.resolutions)
    if unknown or not resolutions:
        raise UsageError(
            f"This generator has no blocks of {sorted(unknown)} pixels.",
            f"Choose some of {', '.join(map(str, anatomy.resolutions))}.",
        )
    rows = {layer.row for r in resolutions for layer in anatomy.block(r).convs}
    if anatomy.resolution in resolutions:
        rows.add(anatomy.block(anatomy.resolution).to_rgb.row)
    return tuple(sorted(rows))


def sefa_directions(
    generator: Generator, resolutions: Collection[int] | None = None, *, normalise: bool = False, count: int = 12
) -> list[Direction]:
    """Return the directions that change the styles of some layers most, the strongest first (SeFa).

    Shen and Zhou 2021, arXiv:2007.06600. UI2I (Huang et al. 2020) finds age with them, AgileGAN (Song et al. 2021,
    Fig. 16) pose and illumination.

    Args:
        generator: The base; its directions hold in every style fine-tuned from it.
        resolutions: The blocks whose layers count and whose rows move; all when None.
        normalise: Weigh every channel alike and count the last ToRGB, as SeFa's authors do; else channels count by
            their size, and the first ToRGB, as UI2I and Cartoon-StyleGAN do.
        count: How many.

    Raises:
        UsageError: There is no such block, or there are fewer directions.
    """
    anatomy = generator.anatomy
    rows = rows_of(anatomy, resolutions)
    if not 1 <= count <= anatomy.w_dim:
        raise UsageError(f"There are {anatomy.w_dim} directions, not {count}.", f"Ask for 1 to {anatomy.w_dim}.")
    weights = modulation_weights(generator.synthesis, resolutions, to_rgb="last" if normalise else "first")
    basis = sefa_basis(weights, normalise=normalise).first(count)
    deviations = _deviations(_prior(generator), basis.vectors)
    sides = sorted(resolutions or anatomy.resolutions)
    how = f"SeFa over the blocks of {', '.join(map(str, sides))} pixels{', rows normalised' if normalise else ''}"
    return [
        Direction(f"sefa{k + 1:02d}", vector, rows, float(unit), f"{how}: direction {k + 1}")
        for k, (vector, unit) in enumerate(zip(basis.vectors, deviations, strict=True))
    ]


def learn_direction(
    name: str,
    codes: W | WPlus,
    ratings: Tensor | Sequence[float],
    *,
    rows: Sequence[int],
    ridge: float = 1.0,
    per_row: bool = False,
) -> Direction:
    """Return the direction along which ratings of codes rise: the gradient of a ridge regression.

    Args:
        name: What is rated.
        codes: N codes of W; of W+, whose rows that move are averaged first.
        ratings: N numbers of any unit; codes whose rating is NaN do not count.
        rows: The rows of W+ that move.
        ridge: Penalty on the squared gradient, in mean variances of a code's entries. Without any, few or noisy
            ratings give a direction that leads out of the prior.
        per_row: Learn a vector for each row instead of one for all: what sits in some rows then moves in these alone.
            It wants codes of W+, as encoders give them.

    Raises:
        UsageError: There is no rating for each code, too few of them count, all are equal, or the penalty is negative.
    """
    if per_row and isinstance(codes, W):
        raise UsageError("Codes of W are alike in every row.", "Give codes of W+, or leave out per_row.")
    chosen = codes.data if isinstance(codes, W) else codes.data[:, list(rows)]
    x = chosen if isinstance(codes, W) else chosen.flatten(1) if per_row else chosen.mean(1)
    y = torch.as_tensor(ratings, dtype=torch.float64)
    if not 0 <= ridge < math.inf:
        raise UsageError(f"A penalty of {ridge} is not possible.", "Use 0 or more.")
    if y.shape != (len(x),):
        raise UsageError(f"{len(x)} codes want {len(x)} ratings, not {tuple(y.shape)}.")
    x, y = x.cpu().double()[torch.isfinite(y)], y[torch.isfinite(y)]
    if len(y) < 2 * FOLDS or float(y.std()) == 0:
        raise UsageError(
            f"'{name}' has {len(y)} ratings that count, or all are equal.", f"Give {2 * FOLDS} or more that differ."
        )
    gradient = _ridge(x, y, ridge)
    vector = gradient / torch.linalg.vector_norm(gradient)
    unit = _deviations(x, vector[None])[0]
    accuracy = _held_out(x, y, ridge)
    how = f"ridge regression on {len(y)} codes, held-out correlation {accuracy:.2f}"
    if per_row:
        whole = vector.new_zeros(codes.data.shape[1:])
        whole[list(rows)] = vector.view(len(rows), -1)
        vector, how = whole, f"{how}, row by row"
    return Direction(name, vector.float(), tuple(rows), float(unit), how, accuracy)


def orthogonalise(direction: Direction, others: Sequence[Direction]) -> Direction:
    """Take out of a direction what it has in common with others, so that they stay where they are.

    The conditional edits of Shen et al. 2020 (InterFaceGAN, arXiv:1907.10786), row by row. The unit of strength is
    kept.

    Raises:
        UsageError: Nothing is left, or the others belong to codes of other sizes.
    """
    if not others:
        return direction
    vectors = [d.vector.double() for d in (direction, *others)]
    per_row = max(v.ndim for v in vectors) == 2
    height = max(len(v) if v.ndim == 2 else 1 for v in vectors)
    if len({v.shape[-1] for v in vectors}) > 1 or any(v.ndim == 2 and len(v) != height for v in vectors):
        raise UsageError("The directions belong to codes of other sizes.", "Use those of one base.")
    own, *rest = (v if v.ndim == 2 else v.expand(height, -1) for v in vectors)
    span = torch.stack(rest, 1)
    left = own - (own[:, None] @ torch.linalg.pinv(span) @ span)[:, 0]
    length = torch.linalg.vector_norm(left)
    if length < 1e-6 * torch.linalg.vector_norm(own):
        raise UsageError(f"Nothing of '{direction.name}' is left without {', '.join(d.name for d in others)}.")
    kept = (left if per_row else left[0]) / length * torch.linalg.vector_norm(direction.vector.double())
    how = f"{direction.found}; without {', '.join(d.name for d in others)}"
    return replace(direction, vector=kept.float(), found=how)


def _prior(generator: Generator) -> Tensor:
    mapping, device = generator.mapping, generator.w_mean.device
    return sample_w(lambda z: mapping(z.to(device)).cpu(), generator.anatomy.z_dim, count=PRIOR_CODES)


def _deviations(codes: Tensor, vectors: Tensor) -> Tensor:
    """Return the deviation of codes [N, w_dim] along unit vectors [k, w_dim]."""
    along = (codes - codes.mean(0)).double() @ vectors.double().t()
    return along.std(0).clamp(min=torch.finfo(torch.float32).tiny)


def _ridge(x: Tensor, y: Tensor, ridge: float) -> Tensor:
    x, y = x - x.mean(0), y - y.mean()
    if ridge and len(x) < x.shape[1]:  # the same by the smaller matrix
        among = x @ x.t() + ridge * x.square().sum() / x.shape[1] * torch.eye(len(x), dtype=x.dtype)
        short: Tensor = x.t() @ torch.linalg.solve(among, y)
        return short
    covariance = x.t() @ x / len(x)
    penalty = ridge * covariance.diagonal().mean() * torch.eye(x.shape[1], dtype=x.dtype)
    # The pseudo-inverse, since without a penalty fewer codes than entries leave some directions open.
    gradient: Tensor = torch.linalg.pinv(covariance + penalty, hermitian=True) @ (x.t() @ y) / len(x)
    return gradient


def _held_out(x: Tensor, y: Tensor, ridge: float) -> float:
    """Return the correlation of ratings with what a regression says that has not seen them."""
    said = torch.empty_like(y)
    fold = torch.arange(len(y)) % FOLDS
    for k in range(FOLDS):
        rest, mean = fold != k, x[fold != k].mean(0)
        said[~rest] = (x[~rest] - mean) @ _ridge(x[rest], y[rest], ridge) + y[rest].mean()
    return float(torch.corrcoef(torch.stack([said, y]))[0, 1])
