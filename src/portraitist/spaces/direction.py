"""A named step in W or W+: what an edit of a code is.

older = moved(code, direction, 2.0)                    # two units along it
older = moved(code, direction, 2.0, rows=range(4))     # in the first four rows only
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from .codes import WPlus


@dataclass(frozen=True, eq=False)
class Direction:
    """Which way codes go, in which rows, and how far one unit of strength is.

    Raises:
        UsageError: The vector is no direction, or the rows are none of its.
    """

    name: str
    vector: Tensor
    """[w_dim], the same in every row that moves, or [rows, w_dim]. Those that are found here have unit length over
    all entries."""
    rows: tuple[int, ...]
    """Rows of W+ that move, rising; the others rest."""
    unit: float = 1.0
    """How far strength 1 goes along the vector."""
    found: str = ""
    """How it was found, for people to read."""
    accuracy: float | None = None
    """Correlation of ratings with what a regression says that has not seen them; None of what was not rated."""
    judged: float | None = None
    """By how many deviations pictures change, from strength -2 to 2, in what the direction is called after, as read
    by something that had no part in finding it; None where nobody has looked."""

    def __post_init__(self) -> None:
        if self.vector.ndim not in (1, 2) or not self.vector.is_floating_point() or not self.vector.numel():
            raise UsageError(f"A direction is [w_dim] or [rows, w_dim], not {tuple(self.vector.shape)}.")
        if not torch.isfinite(self.vector).all() or not self.vector.any() or not 0 < self.unit < float("inf"):
            raise UsageError(f"The direction '{self.name}' leads nowhere.", "It must be finite and not zero.")
        below = len(self.vector) if self.vector.ndim == 2 else float("inf")
        if not self.rows or list(self.rows) != sorted(set(self.rows)) or not 0 <= self.rows[0] <= self.rows[-1] < below:
            raise UsageError(f"The rows {self.rows} of the direction '{self.name}' are no rows of a code.")

    def step(self, rows: int) -> Tensor:
        """Return what one unit of strength adds to a code: [rows, w_dim], 0 in the rows that rest.

        Raises:
            UsageError: Codes with so few rows have none of its.
        """
        if self.rows[-1] >= rows or (self.vector.ndim == 2 and len(self.vector) != rows):
            raise UsageError(
                f"The direction '{self.name}' does not fit codes of {rows} rows.", "Use one found on the same base."
            )
        step = self.vector.new_zeros(rows, self.vector.shape[-1])
        chosen = list(self.rows)
        step[chosen] = self.unit * (self.vector if self.vector.ndim == 1 else self.vector[chosen])
        return step


def moved(code: WPlus, direction: Direction, strength: float, *, rows: Iterable[int] | None = None) -> WPlus:
    """Move codes [N, rows, w_dim] along a direction; strength 0 gives them back bit for bit.

    Args:
        code: Where to begin.
        direction: Which way.
        strength: How many units; negative goes the other way.
        rows: Of the rows that the direction moves only these; all when None.

    Raises:
        UsageError: The direction belongs to codes of other sizes, or no row is left to move.
    """
    step = direction.step(code.data.shape[1]).to(code.data)
    if step.shape != code.data.shape[1:]:
        raise UsageError(
            f"The direction '{direction.name}' has {step.shape[1]} numbers a row, the code {code.data.shape[2]}.",
            "Use a direction found on the same base.",
        )
    chosen = sorted(set(direction.rows) & set(direction.rows if rows is None else rows))
    if not chosen:
        raise UsageError(
            f"None of the rows that '{direction.name}' moves is left.", f"It moves the rows {list(direction.rows)}."
        )
    data = code.data.clone()
    data[:, chosen] += strength * step[chosen]
    return WPlus(data)
