"""Photos that may be measured, and people who may be shown."""

from __future__ import annotations

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


@torch.no_grad()
def samples(base: Model, count: int, seed: int) -> WPlus:
    """Return codes of the prior, truncated as samples are shown, [N, rows, w_dim]."""
    z = Z.sample(count, base.generator.anatomy.z_dim, torch.Generator().manual_seed(seed))
    return truncate(base.generator.map(z), base.generator.mean, 0.7)
