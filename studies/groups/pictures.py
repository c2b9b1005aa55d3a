"""The labelled photos and drawings on white, and how many of each group a study of groups trains on."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from portraitist.data.images import Pixels, read_image, resize, write_image
from portraitist.errors import NoFaceFound
from portraitist.faces.background import cut_out

STORED = 286
# Pictures to train on and to hold out, as near to the paper's (Sec. 4.1) as the labelled ones allow.
PHOTOS = {"women": (400, 50), "men": (75, 50), "kids": (50, 50), "elderly": (50, 50)}


@dataclass(frozen=True)
class Drawings:
    """How many drawings of each group of a style are trained on at most, and how many are held out."""

    style: str
    counts: Mapping[str, tuple[int, int]]
    """The common group first."""


TOON3D = Drawings("toon3d", {"women": (138, 40), "men": (15, 10), "kids": (8, 5)})
CHARCOAL = Drawings("charcoal", {"women": (40, 13), "men": (13, 5), "elderly": (5, 2)})
OIL = Drawings("oil", {"men": (33, 10), "women": (13, 5), "elderly": (4, 2)})
SETS = {drawings.style: drawings for drawings in (TOON3D, CHARCOAL, OIL)}


def prepared(data: Path, folder: Path, drawings: Drawings) -> Path:
    """Put the labelled photos and drawings on white, once: FOLDER/STYLE/photos/GROUP and ../drawings/GROUP."""
    folder = folder / drawings.style
    # All drawings that are labelled: the classifier learns from them.
    groups = drawings.counts
    needed = {"photos": {g: sum(PHOTOS[g]) for g in groups}, "drawings": dict.fromkeys(groups, 10_000)}
    sources = {
        "photos": (data / "labels_photos_256.csv", data / "photos_256.zip"),
        "drawings": (data / f"labels_style_{drawings.style}.csv", data / f"style_{drawings.style}"),
    }
    for side, (labels, source) in sources.items():
        for group, names in chosen(labels, needed[side]).items():
            for name in names:
                target = folder / side / group / f"{Path(name).stem}.png"
                if not target.exists():
                    with suppress(NoFaceFound):
                        write_image(target, resize(cut_out(read(source, name)), STORED))
    return folder


def chosen(labels: Path, needed: Mapping[str, int]) -> dict[str, list[str]]:
    with labels.open(newline="", encoding="utf-8") as file:
        rows = sorted((row["file"], row["group"]) for row in csv.DictReader(file))
    return {group: [name for name, g in rows if g == group][:count] for group, count in needed.items()}


def read(source: Path, name: str) -> Pixels:
    if source.is_dir():
        return read_image(source / name)
    with zipfile.ZipFile(source) as file:
        return read_image(file.read(name), name=name)
