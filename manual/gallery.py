"""The gallery: people whom the bundled base made up, and what becomes of them in each bundled style."""

from __future__ import annotations

from pathlib import Path

import torch

from portraitist.data import write_image
from portraitist.data.sheet import grid
from portraitist.io import registry
from portraitist.spaces import Z, truncate

COLUMNS = 6
"""Pairs in a row."""
SEED = 5
TRUNCATION = 0.7
"""How near to the mean face the people are; 1 is the whole prior."""


def pages(folder: Path, people: int) -> dict[str, str]:
    """Draw the pictures into ``gallery/`` of a folder; return the page that shows them."""
    styles = [entry for entry in registry.entries() if entry.where == "bundled" and entry.header.kind == "style-pack"]
    lines = [
        "# Gallery",
        "",
        f"None of these {people} people exists: the base made them up. Each stands left as the base draws them and",
        "right as the style does, from the same code; no photo has a part in it. With a photo, the",
        "[detail stage](detail.md) takes from it what a code does not hold.",
        "",
    ]
    for entry in styles:
        name, header = entry.name, entry.header
        _draw(folder / "gallery" / f"{name}.png", entry, people)
        of = f", path `{header.paths[0]}`" if header.paths else ""
        lines += [f"## {name}", "", f"{header.description}{of}. {header.licence}.", ""]
        lines += [f"![{people} people of the base, and in the style {name}](gallery/{name}.png)", ""]
    return {"gallery.md": "\n".join(lines)}


def _draw(path: Path, entry: registry.ModelEntry, people: int) -> None:
    """Write a sheet of pairs: a person as the base draws them, and as the style does."""
    base = registry.base_of(entry.header, entry.path)
    style = registry.load(entry.name, attribute=(entry.header.paths or (None,))[0])
    z = Z.sample(people, base.generator.anatomy.z_dim, torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        drawn = [g.synthesize(truncate(g.map(z), g.mean, TRUNCATION)) for g in (base.generator, style.generator)]
    pairs = torch.stack(drawn, 1).flatten(0, 1)
    write_image(path, grid(pairs, 2 * COLUMNS))
