"""Photos that may be measured, and people who may be shown."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from skimage.data import astronaut
from torch import Tensor

from portraitist.data import ImageSet
from portraitist.data.images import Pixels, read_image
from portraitist.io.model_file import Model
from portraitist.spaces import WPlus, Z, truncate


def drawn_photos(photos: ImageSet, count: int) -> Tensor:
    """Draw photos with seed 0: [N, 3, R, R] in [-1, 1]; the first do not depend on how many."""
    order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(0))[:count]
    return photos.batch(order, torch.zeros(len(order), dtype=torch.bool))


def shown_people(folder: Path, count: int) -> list[Pixels]:
    """Return whole photos: Eileen Collins (NASA, public domain), and people of nobody (Stable Diffusion 3, CC0)."""
    files = sorted(folder.glob("sd3_*.jpg"))
    chosen = [files[k * len(files) // (count - 1)] for k in range(count - 1)]
    return [np.asarray(astronaut()), *(read_image(file) for file in chosen)]  # type: ignore[no-untyped-call]


def column_of(path: Path, column: str) -> dict[str, str]:
    """Return a column of a CSV file with one row for each file: name of the file -> value."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["file"]: row[column] for row in csv.DictReader(file)}


@torch.no_grad()
def samples(base: Model, count: int, seed: int) -> WPlus:
    """Return codes of the prior, truncated as samples are shown, [N, rows, w_dim]."""
    z = Z.sample(count, base.generator.anatomy.z_dim, torch.Generator().manual_seed(seed))
    return truncate(base.generator.map(z), base.generator.mean, 0.7)
