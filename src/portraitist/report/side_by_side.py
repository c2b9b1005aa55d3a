"""Several styles or runs on one page: what their files say of themselves, and what was measured of them.

sections = side_by_side(["toon3d", "runs/mine", "measured/mine"])
Path("report.html").write_text(html_page(sections))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..data.images import Pixels
from ..data.sheet import grid
from ..errors import BadData
from ..evaluate.kernel import Interval
from ..evaluate.quality import MEASURES
from ..files import parse_json, read_regular
from ..io import registry
from ..io.headers import Header, read_header
from ..io.model_file import load_model
from ..spaces import Z, truncate
from .markdown import shown, table
from .quality import Table
from .template import render

NUMBERS = "quality.json"
"""What ``portraitist evaluate quality`` leaves in its folder."""
SAMPLES = 8
TRUNCATION = 0.7


@dataclass(frozen=True, eq=False)
class Section:
    """One style or run."""

    name: str
    facts: Mapping[str, str]
    """What the file says; empty of a folder that holds numbers only."""
    tables: Sequence[Table]
    picture: Pixels | None
    """The same samples of every style, where there is a model."""


def side_by_side(names: Sequence[str]) -> list[Section]:
    """Read styles by name, file or run folder, and folders of numbers.

    Raises:
        PortraitistError: One is neither, or is damaged.
    """
    return [_section(name) for name in names]


def markdown_page(sections: Sequence[Section]) -> str:
    """Return the page as Markdown, without pictures."""
    parts = ["# Styles side by side", ""]
    for title, head, rows in _tables(sections):
        parts += [f"## {title}", "", *table(head, rows)]
    return "\n".join(parts)


def html_page(sections: Sequence[Section]) -> str:
    """Return the page as one file that holds everything itself and asks for nothing."""
    return render("side_by_side.html", sections=sections, tables=_tables(sections))


def _section(name: str) -> Section:
    path = Path(name)
    numbers = path / NUMBERS if path.is_dir() else path
    tables = _read(numbers) if numbers.name == NUMBERS and numbers.is_file() else []
    holds_model = not tables or any((path / file).is_file() for file in registry.RUN_FILES)
    if not holds_model:
        return Section(path.parent.name if path == numbers else path.name, {}, tables, None)
    file = registry.find(name)
    header, picture = _drawn(file)
    try:
        facts = _facts(header)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # these parts of a header may hold anything
        raise BadData(f"{file} has a malformed training record ({error}).", "Leave it out.") from error
    return Section(header.name or registry.name_of(file), facts, tables, picture)


def _read(path: Path) -> list[Table]:
    try:
        found = parse_json(read_regular(path))
    except (ValueError, OSError) as error:
        raise BadData(f"{path} cannot be read ({error}).", "Run `portraitist evaluate quality` again.") from error
    return [Table.from_json(one) for one in (found if isinstance(found, list) else [found])]


def _drawn(file: Path) -> tuple[Header, Pixels]:
    """Return the header of a model and a row of samples; of a pack with paths, a row for each."""
    header = read_header(file)
    rows = []
    for attribute in header.paths or (None,):
        model = load_model(file, find_base=lambda found: registry.base_of(found, file), attribute=attribute)
        generator = model.generator
        z = Z.sample(SAMPLES, generator.anatomy.z_dim, torch.Generator().manual_seed(0))
        with torch.no_grad():
            rows.append(generator.synthesize(truncate(generator.map(z), generator.mean, TRUNCATION)))
    return header, grid(torch.cat(rows), columns=SAMPLES)


def _facts(header: Header) -> dict[str, str]:
    metrics = header.metrics
    copies = metrics.get("copies") or {}
    held_out = metrics.get("held_out")
    held_out = Interval(float(held_out), float(metrics["held_out_spread"])) if held_out is not None else None
    last = header.lineage[-1] if header.lineage else {}
    return {
        "recipe": str(header.recipe.get("recipe", "")),
        "base": header.base_name,
        "exemplars": str(last.get("data", {}).get("count", "")),
        "images seen": str(last.get("images_seen", "")),
        "held-out kernel distance": shown(held_out),
        "likeness": f"{metrics['likeness']:.3f}" if "likeness" in metrics else "",
        "copy alarm": {"True": "yes", "False": "no"}.get(str(copies.get("alarm")), ""),
        "by": str(metrics.get("features", "")),
        "licence": header.licence,
    }


def _tables(sections: Sequence[Section]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return (title, head, rows); numbers of different networks stand in different tables."""
    found = []
    described = [s for s in sections if s.facts]
    if described:
        keys = [k for k in described[0].facts if any(s.facts[k] for s in described)]
        found.append(("What the files say", ["", *keys], [[s.name, *(s.facts[k] for k in keys)] for s in described]))
    groups: dict[tuple[str, ...], list[Table]] = {}
    for one in (t for s in sections for t in s.tables):
        networks = (str(one.settings.get(key) or "") for key in _NETWORKS)
        groups.setdefault((one.title.rpartition(": ")[2], *networks), []).append(one)
    for measured_on, tables in groups.items():
        head, rows = _merged(tables)
        found.append((f"Measured on {', '.join(filter(None, measured_on))}", head, rows))
    return found


_NETWORKS = ("Fréchet", "distance", "persons")
"""Settings that say which networks a table was measured with."""


def _merged(tables: Sequence[Table]) -> tuple[list[str], list[list[str]]]:
    keys = [key for key in MEASURES if any(key in row.values for t in tables for row in t.rows)]
    head = ["", "scored on", *(MEASURES[key] for key in keys), "copies"]
    rows = []
    for one in tables:
        style = one.title.rpartition(": ")[0]
        count: Any = one.settings.get("exemplars scored on", "")
        warned = " (!)" if one.settings.get("warning") else ""
        for row in one.rows:
            name = row.name if row.name == style else f"{style}: {row.name}"
            cells = [shown(row.values.get(key)) for key in keys]
            rows.append([name, f"{count}{warned}", *cells, row.copies])
    return head, rows
