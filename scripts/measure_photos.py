"""Measure what aligned photos have in common, for the detail stage; writes src/portraitist/detail/photos.safetensors.

Of the set that docs/models.md names, only the photos under MIT and CC0 are taken.

    python scripts/measure_photos.py DATA/photos_256.zip DATA/labels_photos_256.csv

The table's column gender tells which are photos of women and of men (female, male): they are measured apart too.
"""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from collections.abc import Container, Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from portraitist.data.images import Pixels, read_image
from portraitist.detail import PEOPLE
from portraitist.faces import finder_named
from portraitist.runs.looks import population

FREE = ("sfhq", "sd3")
"""What the names of the photos under MIT and CC0 begin with."""


def photos(path: Path, chosen: Container[str]) -> Iterator[Pixels]:
    """Yield the photos of a zip that may be used freely, of those chosen."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if Path(name).name.startswith(FREE) and Path(name).name in chosen:
                yield read_image(io.BytesIO(archive.read(name)))


def main() -> None:
    """Measure, and write."""
    path, table = map(Path, sys.argv[1:])
    with table.open(encoding="utf-8") as file:
        genders = {row["file"]: row["gender"] for row in csv.DictReader(file)}
    tensors, finder = {}, finder_named()
    for kind in ("", *PEOPLE):
        chosen = {name for name, gender in genders.items() if kind in ("", gender)}
        found = population(photos(path, chosen), finder, most=1000)
        print(f"{kind or 'all'}: {found.count} photos")
        own = {"count": torch.tensor(found.count), **{k: v.contiguous() for k, v in found.tensors().items()}}
        tensors |= {f"{kind}.{name}".removeprefix("."): value for name, value in own.items()}
    target = Path(__file__).parents[1] / "src/portraitist/detail/photos.safetensors"
    save_file(tensors, target, metadata={"credit": "SFHQ (Copyright (c) 2022 David Beniaguev), MIT; SD3 faces, CC0"})


if __name__ == "__main__":
    main()
