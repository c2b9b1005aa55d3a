"""Ratings of photos: what :func:`.directions.learn_direction` learns from."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from ..data import ImageSet
from ..data.labels import UNKNOWN, column_named
from ..errors import UsageError


def ratings(rated: ImageSet, columns: Sequence[str] = (), required: Sequence[str] = ()) -> dict[str, Tensor]:
    """Return the ratings of photos, [N] per column of their labels; NaN where a photo has none.

    Args:
        rated: Photos with labels.
        columns: Those wanted; all columns of numbers when empty.
        required: Further columns.

    Raises:
        UsageError: A column that is named is missing or holds something else, or no column holds numbers.
    """
    found = {}
    for column in dict.fromkeys([*(columns or rated.attributes), *required]):
        if (held := column_named(rated.attributes, column)) is None:
            raise UsageError(f"There is no column '{column}'.", f"Columns: {', '.join(rated.attributes)}.")
        try:
            numbers = [float("nan" if v == UNKNOWN else v) for v in rated.attributes[held]]
        except ValueError as error:
            if column in (*columns, *required):
                raise UsageError(f"The column '{column}' holds something else than numbers ({error}).") from None
            continue
        found[column] = torch.tensor(numbers)
    if not found:
        raise UsageError("The labels hold no column of numbers.", "Their first line must read: file,age,...")
    return found


def as_word(column: str) -> str:
    """Return what a column is called as a direction: a word that may stand in a command."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", column)
