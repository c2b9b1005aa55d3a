"""What `portraitist evaluate quality` writes: a table of rows with what they were measured with, and a sheet.

print(Table("mine", rows, scorer.settings).markdown())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..data.images import Pixels, to_array
from ..data.sheet import tile
from ..errors import BadData
from ..evaluate.kernel import Interval
from ..evaluate.quality import MEASURES, Row
from .markdown import shown, table


@dataclass(frozen=True)
class Table:
    """Rows under one title, and what they were measured with."""

    title: str
    rows: Sequence[Row]
    settings: Mapping[str, Any]
    notes: Sequence[str] = field(default=())

    def markdown(self) -> str:
        """Return the table, with what its numbers mean below."""
        keys = [key for key in MEASURES if any(key in row.values for row in self.rows)]
        copies = any(row.copies for row in self.rows)
        head = ["", *(MEASURES[key] for key in keys), *["copies"] * copies]
        body = [[r.name, *(shown(r.values.get(key)) for key in keys), *[r.copies] * copies] for r in self.rows]
        warning = [f"**{self.settings['warning']}**", ""] if self.settings.get("warning") else []
        notes = [f"- {note}" for note in (*self.notes, *explained(self.settings, keys))]
        return "\n".join([f"# {self.title}", "", *warning, *table(head, body), *notes]) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        rows = [
            {
                "name": row.name,
                "copies": row.copies,
                "alarm": row.alarm,
                "values": {key: {"value": v.value, "spread": v.spread} for key, v in row.values.items()},
            }
            for row in self.rows
        ]
        return {"title": self.title, "settings": dict(self.settings), "notes": list(self.notes), "rows": rows}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Table:
        """Read what :meth:`as_json` gave.

        Raises:
            BadData: It is something else.
        """
        try:
            rows = [
                Row(
                    str(row["name"]),
                    {k: Interval(float(v["value"]), float(v["spread"])) for k, v in row["values"].items()},
                    str(row["copies"]),
                    bool(row["alarm"]),
                )
                for row in found["rows"]
            ]
            return cls(str(found["title"]), rows, dict(found["settings"]), tuple(map(str, found["notes"])))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadData(
                f"This was not written by `portraitist evaluate quality` ({error}).", "Run it again."
            ) from error


def explained(settings: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Say what each measure is, and with what it was measured."""
    k, k_density = settings["k"]
    texts = {
        "frechet": f"Fréchet: {settings['Fréchet']}, squared, bootstrap of {settings['draws']} draws. At so few "
        "exemplars it is mostly bias: compare within one table only.",
        "kernel": f"Kernel: {settings['kernel']}, unbiased, jackknife; not clipped: clearly below 0 is a copy alarm.",
        "kernel_subsets": "Kernel, subsets: the same over 100 subsets of at most 1000, as KID is given; ± 1.96 of "
        "their deviations, thus 0 where subsets hold all.",
        "kernel_trained": "Kernel to trained: to the exemplars trained on; below 0 for copies, the more so the fewer "
        "they are.",
        "precision": f"Precision, recall: k = {k}; density, coverage: k = {k_density}; at equal numbers of both sets.",
        "diversity": f"Diversity: {settings['distance']} over {settings['pairs']} random pairs of outputs.",
        "change": "Change: the same of outputs and their inputs; 0 for doing nothing, so never read it alone.",
        "identity": f"Identity: cosine of {settings['persons']}, beside that of the next input: its zero.",
        "layout": "Layout: correlation of luminance over 16 x 16 areas of outputs and inputs; needs no network.",
        "path_length": "Path length: PPL with that distance, in W at the ends of paths, steps of 1e-4, uncropped, 1st "
        "to 99th percentile.",
    }
    lines = [texts[key] for key in keys if key in texts]
    trained = settings.get("exemplars trained on")
    known = "those trained on are not known" if trained is None else f"trained on {trained} others"
    lines.insert(0, f"Scored on {settings['exemplars scored on']} exemplars; {known}. ± half of the 95 % interval.")
    return lines


def sheet(inputs: Tensor, rows: Mapping[str, Tensor], count: int = 8) -> Pixels:
    """Return a picture with a row per set of outputs, under the inputs."""
    columns = min(count, len(inputs))
    return tile([p for images in (inputs, *rows.values()) for p in to_array(images[:columns])], columns)
