"""Measure what aligned photos have in common, for the detail stage; writes src/portraitist/detail/photos.safetensors.

Of the set that docs/models.md names, only the photos under MIT and CC0 are taken.

    python scripts/measure_photos.py DATA/photos_256.zip
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from portraitist.data.images import Pixels, read_image
from portraitist.faces import finder_named
from portraitist.runs.looks import population

FREE = ("sfhq", "sd3")
"""What the names of the photos under MIT and CC0 begin with."""


def photos(path: Path) -> Iterator[Pixels]:
    """Yield the photos of a zip that may be used freely."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if Path(name).name.startswith(FREE):
                yield read_image(io.BytesIO(archive.read(name)))


def main() -> None:
    """Measure, and write."""
    found = population(photos(Path(sys.argv[1])), finder_named(), most=1000)
    target = Path(__file__).parents[1] / "src/portraitist/detail/photos.safetensors"
    tensors = {"count": torch.tensor(found.count), **{k: v.contiguous() for k, v in found.tensors().items()}}
    save_file(tensors, target, metadata={"credit": "SFHQ (Copyright (c) 2022 David Beniaguev), MIT; SD3 faces, CC0"})
    print(f"{target.name}: {found.count} photos")


if __name__ == "__main__":
    main()
