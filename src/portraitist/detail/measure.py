"""Find the look of a style: what tells its exemplars from photos.

style = measure_population(seen)                     # pictures, points of their faces, and where the persons are
look = measure_look(style, photo_population(), MEDIA["brush"], shape=1.5)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor

from ..errors import BadData
from ..ops.colour import LUMA
from .look import BANDS, CELLS, COARSE, SIDE, Look, band_energy
from .medium import Medium

MEDIA = {
    "smooth": Medium(smoothing=2, own=0.5),
    "paint": Medium(smoothing=2, edges=1, strokes=3, length=8, own=0.4),
    "brush": Medium(smoothing=3, edges=3, strokes=5, length=8, own=0.4),
    "dry": Medium(smoothing=2, edges=4, strokes=4, length=4, own=0.3),
}
"""Media by name: flat colour, thin paint, a broad brush, and charcoal or chalk."""

PEOPLE = ("female", "male")
"""Kinds of people whose photos are known apart, as label files write them in the column ``gender``."""

# The lips in the face mesh: outer and inner contour.
_LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
_STRETCH = (0.8, 1.45)
"""Least and largest factor of a colour axis: populations of few pictures have extreme ones."""
_SPREAD = 4.0
"""Grey levels squared, added to each colour's variance."""


@dataclass(frozen=True, eq=False)
class Population:
    """What aligned pictures of one kind have in common; all of 256 pixels a side."""

    count: int
    points: Tensor
    """Mean points of the face mesh, [468, 2], in parts of the side."""
    colour: Tensor
    """Mean colour of the person, [3, 16, 16] in grey levels."""
    background: Tensor
    """Mean colour behind the person, [3]."""
    covariance: Tensor
    """Of the person's colours about that mean, [3, 3]."""
    energy: Tensor
    """Mean square of each band of luminance, [4, 8, 8]."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors, by name."""
        names = ("points", "colour", "background", "covariance", "energy")
        return {name: getattr(self, name) for name in names}

    @property
    def is_colourless(self) -> bool:
        """Whether its colours are greys: they vary along the grey axis alone."""
        values, axes = torch.linalg.eigh(self.covariance)
        grey = float(axes[:, 2].sum().abs()) / 3**0.5
        return grey > 0.999 and float(values[1]) < 2 * _SPREAD

    def colourless(self) -> Population:
        """Return what the same pictures have in common without their colours; all is linear in them."""
        luma = torch.tensor(LUMA)
        spread = self.covariance - _SPREAD * torch.eye(3)
        return replace(
            self,
            colour=torch.einsum("c,chw->hw", luma, self.colour).expand(3, -1, -1).clone(),
            background=(luma @ self.background).expand(3).clone(),
            covariance=(luma @ spread @ luma).expand(3, 3) + _SPREAD * torch.eye(3),
        )


def measure_population(pictures: Iterable[tuple[Tensor, Tensor | None, Tensor]]) -> Population:
    """Measure pictures, one by one.

    Args:
        pictures: Each as picture [3, 256, 256] in grey levels, points of its face mesh [468, 2] in parts of the side
            (None where none was found), and how much of each pixel is the person, [256, 256] in [0, 1].

    Raises:
        BadData: There are fewer than two, or no mesh was found in any.
    """
    count, points = 0, []
    inside, weights = torch.zeros(3, CELLS, CELLS), torch.zeros(1, CELLS, CELLS)
    behind, behind_weight = torch.zeros(3), 0.0
    energy, colours = torch.zeros(BANDS, COARSE, COARSE), []
    for picture, mesh, person in pictures:
        count += 1
        if mesh is not None:
            points.append(mesh.float())
        inside += F.adaptive_avg_pool2d(picture * person, CELLS)
        weights += F.adaptive_avg_pool2d(person[None], CELLS)
        behind += (picture * (1 - person)).mean(dim=(1, 2))
        behind_weight += float((1 - person).mean())
        energy += band_energy(picture[None])[0]
        colours.append((F.avg_pool2d(picture, 4), F.avg_pool2d(person[None], 4)))
    if count < 2 or not points:
        raise BadData(
            f"A look cannot be measured of {count} pictures with {len(points)} faces.",
            "Give at least two aligned pictures (256 pixels) whose faces are found.",
        )
    # Where hardly anybody reaches, the mean of all places counts.
    everywhere = inside.sum(dim=(1, 2)) / weights.sum()
    colour = (inside + 0.05 * count * everywhere.view(3, 1, 1)) / (weights + 0.05 * count)
    mean = F.interpolate(colour[None], SIDE // 4, mode="bilinear", align_corners=False)[0]
    total, covariance = 0.0, torch.zeros(3, 3)
    for small, person in colours:
        about = ((small - mean) * person.sqrt()).flatten(1)
        covariance += about @ about.T
        total += float(person.sum())
    return Population(
        count,
        torch.stack(points).mean(dim=0),
        colour,
        behind / max(behind_weight, 1e-6),
        covariance / total + _SPREAD * torch.eye(3),
        energy / count,
    )


def symmetric(population: Population, partners: Tensor) -> Population:
    """Return what the pictures and their mirror images have in common.

    Exemplars are lit from one side more often than from the other, and a style is learned from them mirrored too: what
    is left of it would be drawn into the same side of every face, whichever way it faces.

    Args:
        population: Of the pictures.
        partners: From :func:`mirror_partners`.
    """
    mirrored = population.points[partners].clone()
    mirrored[:, 0] = 1 - mirrored[:, 0]
    return replace(
        population,
        points=(population.points + mirrored) / 2,
        colour=(population.colour + population.colour.flip(-1)) / 2,
        energy=(population.energy + population.energy.flip(-1)) / 2,
    )


def mirror_partners(points: Tensor) -> Tensor:
    """Return for each point of a mean face mesh [468, 2] the index of the one that is its mirror image."""
    mirrored = points.clone()
    mirrored[:, 0] = 2 * points[:, 0].mean() - mirrored[:, 0]
    partners = torch.cdist(mirrored, points).argmin(dim=1)
    # Each is the partner of its partner; on the midline and where two points all but coincide, it is its own.
    return torch.where(partners[partners] == torch.arange(len(points)), partners, torch.arange(len(points)))


def measure_look(
    style: Population, photos: Population, medium: Medium, *, shape: float = 1.0, colour: float = 0.8
) -> Look:
    """Return the look of a style, the same for both sides of a face; of a grey style, without colour.

    Args:
        style: Of its exemplars.
        photos: Of photos.
        medium: What it is drawn with.
        shape: How far the parts of the face move towards the exemplars': 1 to their mean place, more exaggerates.
        colour: How far colours do.
    """
    partners = mirror_partners(photos.points)
    style, photos = symmetric(style, partners), symmetric(photos, partners)
    if style.is_colourless:
        photos, medium = photos.colourless(), replace(medium, colourless=1.0)
    stretch = torch.eye(3) + colour * (transport(photos.covariance, style.covariance) - torch.eye(3))
    shift = colour * (style.colour - photos.colour)
    return Look(
        shape * _shift(photos.points, style.points),
        photos.colour.clone(),
        shift,
        colour / 2 * (style.background - photos.background),
        stretch,
        style.energy.clone(),
        medium,
    )


def _shift(photos: Tensor, style: Tensor) -> Tensor:
    """Return where the points move, [468, 2]; the lips as a whole, so that a smile stays one among closed mouths."""
    shift, lips = style - photos, list(_LIPS)
    shift[lips] = shift[lips].mean(dim=0)
    return shift


def mixed_population(parts: Iterable[tuple[Population, float]]) -> Population:
    """Return what pictures of several kinds have in common, each kind with a weight of at least 0; one is above."""
    parts = [(population, weight) for population, weight in parts if weight > 0]
    total = sum(weight for _, weight in parts)
    mean = {
        name: torch.stack([population.tensors()[name] * (weight / total) for population, weight in parts]).sum(0)
        for name in parts[0][0].tensors()
    }
    # Colours vary within each kind, and from kind to kind.
    for population, weight in parts:
        about = (population.colour - mean["colour"]).flatten(1)
        mean["covariance"] = mean["covariance"] + weight / total * (about @ about.T) / about.shape[1]
    return Population(sum(population.count for population, _ in parts), **mean)


def photo_population(like: Mapping[str, float] | None = None) -> Population:
    """Return what aligned photos have in common: 699 of SFHQ (MIT) and SD3 (CC0), ``scripts/measure_photos.py``.

    Args:
        like: Shares of :data:`PEOPLE` among the exemplars that the photos are compared with, in any unit. Without
            them a style of which most exemplars are women looks as if it drew every man as one.
    """
    known = _photo_populations()
    shares = {kind: share for kind, share in (like or {}).items() if kind in PEOPLE and share > 0}
    return mixed_population((known[kind], share) for kind, share in shares.items()) if shares else known[""]


@cache
def _photo_populations() -> Mapping[str, Population]:
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in load((files(__package__) / "photos.safetensors").read_bytes()).items():
        kind, _, field = name.rpartition(".")
        found.setdefault(kind, {})[field] = tensor
    return {kind: Population(int(tensors.pop("count")), **tensors) for kind, tensors in found.items()}


def transport(source: Tensor, target: Tensor) -> Tensor:
    """Return the symmetric map of colours that takes one covariance [3, 3] to another (Pitié and Kokaram 2007).

    Its eigenvalues are kept within bounds: s^-1/2 (s^1/2 t s^1/2)^1/2 s^-1/2, with s the source and t the target.
    """
    root = _root(source)
    inverse = torch.linalg.inv(root)
    values, axes = torch.linalg.eigh(inverse @ _root(root @ target @ root) @ inverse)
    found: Tensor = axes @ torch.diag(values.clamp(*_STRETCH)) @ axes.T
    return found


def _root(matrix: Tensor) -> Tensor:
    values, axes = torch.linalg.eigh((matrix + matrix.T) / 2)
    found: Tensor = axes @ torch.diag(values.clamp_min(1e-6).sqrt()) @ axes.T
    return found
