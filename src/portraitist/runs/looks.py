"""What the detail stage needs to know of a style, from its exemplars.

look = look_of(pictures, MEDIA["smooth"], finder)       # aligned pictures, uint8 [S, S, 3]
look = levelled(look, base, [style], encoder)           # the same for both sides of a face
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data import ImageSet
from ..data.images import Pixels, resize
from ..detail import PEOPLE, SIDE, Look, Medium, Population, measure_look, measure_population, photo_population
from ..detail.look import CELLS, POINTS, own_change
from ..faces import FaceFinder
from ..faces.background import face_oval, portrait_mask
from ..io.encoder_files import StoredEncoder
from ..io.model_file import Model
from ..ops import at_once

ENOUGH = 8
"""Pictures without a face after which no further one is looked at."""
MOST = 300
"""Pictures that are looked at: means of more are the same."""
SITTERS = 128
"""Faces of the base on which a style's drawings are compared side by side."""
MOST_OWN = 0.9
"""Largest share of the style's own drawing that is reckoned with."""


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


def levelled(
    look: Look,
    base: Model,
    styles: Sequence[Model],
    encoder: StoredEncoder | None = None,
) -> Look:
    """Return a look that takes back what a style's drawings do to one side of all faces.

    A short fine-tuning bends the weights: drawings get darker or lighter on one side, whichever way a photo faces, and
    part of a drawing enters the picture. The shift of the look's colours, which is the same for both sides before, gets
    the opposite.

    Args:
        look: Of the style.
        base: The style's base.
        styles: The style; or each path of it, which share the look.
        encoder: What turns photos into codes of the base. Faces that the base draws, and their mirror images, stand
            for photos; without an encoder, the codes that they were drawn from.
    """
    own, shift = min(look.medium.own, MOST_OWN), (look.shift + look.shift.flip(-1)) / 2
    look = replace(look, shift=shift)
    if not own or not styles:
        return look
    lean = torch.stack([_lean(look, base, style, encoder) for style in styles]).mean(dim=0)
    return replace(look, shift=shift - own / (1 - own) * lean)


@torch.no_grad()
def _lean(look: Look, base: Model, style: Model, encoder: StoredEncoder | None) -> Tensor:
    """Return by how much more a style changes one side of faces than the other, [3, 16, 16], negative when mirrored."""
    generator, mine = (deepcopy(model.generator).cpu() for model in (base, style))
    side = generator.anatomy.resolution
    latents = torch.randn(SITTERS, generator.anatomy.z_dim, generator=torch.Generator().manual_seed(0))
    person, total, count = torch.from_numpy(face_oval(side))[None, None], torch.zeros(3, CELLS, CELLS), 0
    for part in latents.split(at_once(16, side)):
        codes = [generator.styles(part)]
        if encoder is not None:
            seen = generator.synthesis(codes[0])
            each = (encoder.encoder(images).mu for images in (seen, seen.flip(3)))
            codes = [encoder.encoder.styles_of(latent, generator) for latent in each]
        for code in codes:
            before, after = ((g.synthesis(code).clamp(-1, 1) + 1) * 127.5 for g in (generator, mine))
            total += F.adaptive_avg_pool2d(own_change(before, after, look, person), CELLS).sum(dim=0)
            count += len(code)
    return (total - total.flip(-1)) / (2 * count)


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
