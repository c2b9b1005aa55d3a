"""What the detail stage needs to know of a style, from its exemplars.

look = look_of(pictures, MEDIA["smooth"], finder)       # aligned pictures, uint8 [S, S, 3]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from ..data import ImageSet
from ..data.images import Pixels, resize
from ..detail import PEOPLE, SIDE, Look, Medium, Population, measure_look, measure_population, photo_population
from ..detail.look import POINTS
from ..faces import FaceFinder
from ..faces.background import portrait_mask

ENOUGH = 8
"""Pictures without a face after which no further one is looked at."""
MOST = 300
"""Pictures that are looked at: means of more are the same."""


def population(pictures: Iterable[Pixels], finder: FaceFinder, *, most: int = MOST) -> Population:
    """Measure what aligned pictures, ``uint8 [S, S, 3]`` of any size, have in common; ``most`` are looked at.

    Raises:
        BadData: There are fewer than two, or the finder finds the 468 points of the face mesh in none.
    """
    return measure_population(_seen(islice(pictures, most), finder))


def look_of(
    exemplars: Iterable[Pixels],
    medium: Medium,
    finder: FaceFinder,
    *,
    shape: float = 1.0,
    colour: float = 0.8,
    people: Mapping[str, float] | None = None,
) -> Look:
    """Return the look of a style.

    Args:
        exemplars: Aligned pictures in the style, ``uint8 [S, S, 3]``; at 256 pixels their detail is known.
        medium: What it is drawn with.
        finder: Finds the points of their faces.
        shape: How far the parts of the face move towards the exemplars'.
        colour: How far colours do.
        people: Shares of women and men among the exemplars, from :func:`people_of`: they are compared with photos of
            the same mix.

    Raises:
        BadData: As :func:`population`.
    """
    return measure_look(population(exemplars, finder), photo_population(people), medium, shape=shape, colour=colour)


def people_of(exemplars: ImageSet) -> dict[str, int]:
    """Return how many exemplars the column ``gender`` of their labels calls female and male; empty without labels."""
    values = exemplars.attributes.get("gender", ())
    return {kind: values.count(kind) for kind in PEOPLE if kind in values}


def _seen(pictures: Iterable[Pixels], finder: FaceFinder) -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
    known = 0
    for count, picture in enumerate(pictures):
        if count == ENOUGH and not known:
            return
        picture = resize(picture, SIDE)
        meshes = [face.landmarks.full for face in finder.find(picture)[:1]]
        mesh = next((torch.from_numpy(m / SIDE) for m in meshes if m is not None and len(m) == POINTS), None)
        known += mesh is not None
        levels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
        yield levels, mesh, torch.from_numpy(portrait_mask(picture))
