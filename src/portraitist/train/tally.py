"""What has been reported since the last line of statistics; part of a snapshot, so that a resumed run logs the same."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Tally:
    """Sums and counts of scalars by name; in double precision, and where the scalars are."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, report: Mapping[str, Tensor]) -> None:
        """Count the scalars of one step."""
        for name, value in report.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.detach().double()
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the averages, and begin anew."""
        means = {name: float(value) / self.counts[name] for name, value in self.sums.items()}
        self.restore({})
        return means

    def record(self) -> dict[str, tuple[float, int]]:
        """Return all of it as JSON holds it: a sum and a count by name."""
        return {name: (float(value), self.counts[name]) for name, value in self.sums.items()}

    def restore(self, record: Mapping[str, tuple[float, int]]) -> None:
        """Become what :meth:`record` returned."""
        self.sums = {name: torch.tensor(value, dtype=torch.float64) for name, (value, _) in record.items()}
        self.counts = {name: count for name, (_, count) in record.items()}
