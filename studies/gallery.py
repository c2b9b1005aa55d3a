"""What each bundled style draws of 24 people who do not exist: a page of pairs, photo and drawing.

    python -m studies gallery --photos ../shared/data/photos_256.zip --labels ../shared/data/labels_photos_256.csv \
        --origins ../shared/data/photos_256.csv

The people are the first of each group that a fixed seed draws among the photos whose licence lets anybody show them.
They are not chosen by what comes out. Says of each style how far its colours are from the photos'.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from portraitist.data import ImageSet
from portraitist.data.images import Pixels, resize, write_image
from portraitist.data.sheet import tile
from portraitist.errors import UsageError
from portraitist.evaluate.picture_signals import SIDE, Batch
from portraitist.files import write_bytes
from portraitist.ops.colour import colours_of_areas
from portraitist.report.markdown import BLANK, prose
from portraitist.stylize import Stylizer

from .material import column_of
from .pictures import draw

STYLES = ("toon3d", "anime", "oil", "charcoal", "toon3d-open", "charcoal-open")
GROUPS = {"women": 8, "men": 8, "elderly": 4, "kids": 4}
"""People of each group, by the labels of the photos."""
SHOWABLE = ("CC0-1.0", "MIT")
SEED = 0
ACROSS, SHOWN_SIDE, GAP = 4, 176, 8
AREA = 16
"""Side in pixels of the areas whose colours are compared."""


PEOPLE = ", ".join(f"{count} {group}" for group, count in GROUPS.items())
HEAD = f"""Written by `python -m studies gallery`, with `--photos FILE --labels FILE --origins FILE`. Each pair is a
photo and what `stylize` draws of it by default. The photos are Stable Diffusion 3 faces (CC0) and SFHQ (MIT), drawn
by lot: {PEOPLE}. They are not chosen by what came out. The painters saw such photos when they learned. Colours are
compared over areas of {AREA} pixels, less their luminance."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies gallery", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder or ZIP of aligned photos")
    parser.add_argument("--labels", type=Path, required=True, help="CSV file with file and group")
    parser.add_argument("--origins", type=Path, required=True, help="CSV file with file and licence")
    parser.add_argument("--styles", default=",".join(STYLES))
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheets")
    given = parser.parse_args(arguments)
    names = chosen(column_of(given.labels, "group"), column_of(given.origins, "licence"))
    photos = pictures_named(ImageSet.open(given.photos, SIDE), names)
    lines = ["# Gallery: 24 people who do not exist", BLANK, *prose(HEAD)]
    for style in given.styles.split(","):
        pictures = draw(Stylizer.load([style]), photos).pictures[style]
        picture = write_image(given.out / f"gallery_{style}.jpg", sheet(photos, pictures))
        moved = f"Colours of areas are {recoloured(photos, pictures):.1f} grey levels from the photos'."
        lines += [f"## {style}", BLANK, *prose(moved), f"![24 photos and drawings in {style}]({picture.name})", BLANK]
    write_bytes(given.out / "gallery.md", ("\n".join(lines).rstrip() + "\n").encode(), overwrite=True)
    print(given.out / "gallery.md")


def chosen(groups: Mapping[str, str], licences: Mapping[str, str]) -> list[str]:
    """Return the files of people who may be shown, so many of each group, in turns.

    Raises:
        UsageError: A group has too few.
    """
    mixed = random.Random(SEED)
    found: dict[str, list[str]] = {}
    for group, count in GROUPS.items():
        names = sorted(n for n, of in groups.items() if of == group and licences.get(n) in SHOWABLE)
        if len(names) < count:
            raise UsageError(f"Only {len(names)} photos of {group} may be shown.", f"Bring {count} at least.")
        found[group] = mixed.sample(names, count)
    turns = max(GROUPS.values())
    return [
        names[k * len(names) // turns] for k in range(turns) for names in found.values() if _has_turn(k, len(names))
    ]


def _has_turn(k: int, count: int) -> bool:
    """Return whether a group of so many people has one more in this turn."""
    turns = max(GROUPS.values())
    return k == 0 or k * count // turns > (k - 1) * count // turns


def pictures_named(photos: ImageSet, names: Sequence[str]) -> Batch:
    """Return photos by name, ``uint8 [N, 256, 256, 3]``."""
    rows = {name: k for k, name in enumerate(photos.names)}
    if missing := [name for name in names if name not in rows]:
        raise UsageError(f"There is no photo {missing[0]} among them.", "Give the photos that the labels are of.")
    return np.stack([photos[rows[name]].permute(1, 2, 0).numpy() for name in names])


def sheet(photos: Batch, drawings: Batch) -> Pixels:
    """Return pairs of a photo and its drawing, so many to a row."""
    pairs = [np.concatenate([photo, drawing], axis=1) for photo, drawing in zip(photos, drawings, strict=True)]
    small = [resize(pair, (SHOWN_SIDE, 2 * SHOWN_SIDE)) for pair in pairs]
    return tile(small, ACROSS, GAP)


def recoloured(photos: Batch, drawings: Batch) -> float:
    """Return how far the colours of areas, less their luminance, are from the photos', in grey levels."""
    drawn, photo = (torch.from_numpy(each).permute(0, 3, 1, 2).float() for each in (drawings, photos))
    return float(colours_of_areas(drawn - photo, AREA).abs().mean())
