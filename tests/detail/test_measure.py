"""Looks from populations whose colours, places and detail are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from portraitist.detail import (
    MEDIA,
    Medium,
    Population,
    measure_look,
    measure_population,
    mixed_population,
    photo_population,
)
from portraitist.detail.filters import luminance
from portraitist.detail.look import BANDS, CELLS, COARSE, POINTS, SIDE, TENSORS, band_energy
from portraitist.detail.measure import mirror_partners, symmetric, transport
from portraitist.errors import BadData
from tests.detail.test_look import oval, soft

Seen = tuple[Tensor, Tensor | None, Tensor]
SPREAD = 4.0
"""Added to the variance of each colour."""


def mesh(seed: int = 0) -> Tensor:
    return torch.rand(POINTS, 2, generator=torch.Generator().manual_seed(seed))


def seen(count: int = 4, grey: bool = False) -> Iterator[Seen]:
    for k in range(count):
        picture = soft(SIDE, 10 + k)[0]
        picture = luminance(picture[None])[0].expand(3, -1, -1) if grey else picture
        yield picture, mesh(k), oval(SIDE)[0, 0]


@pytest.fixture(scope="module")
def people() -> Population:
    return measure_population(seen())


def covariance(seed: int) -> Tensor:
    root = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed))
    return 500 * torch.eye(3) + 60 * root @ root.T


def close(a: Tensor, b: Tensor, atol: float = 1e-3) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=atol)


def test_what_pictures_have_in_common_is_their_mean(people: Population) -> None:
    pictures = torch.stack([picture for picture, _, _ in seen()])
    person = oval(SIDE)
    assert people.count == 4
    assert close(people.points, torch.stack([mesh(k) for k in range(4)]).mean(dim=0), 1e-6)
    assert close(people.background, (pictures * (1 - person)).mean(dim=(0, 2, 3)) / (1 - person).mean())
    assert close(people.energy, band_energy(pictures).mean(dim=0))
    # Inside the person, where it fills a cell: the mean there, and a twentieth of the mean of all places.
    everywhere = (pictures * person).sum(dim=(0, 2, 3)) / (4 * person.sum())
    cell = pictures[..., 144:160, 128:144].mean(dim=(0, 2, 3))
    assert close(people.colour[:, 9, 8], (cell + 0.05 * everywhere) / 1.05, 0.01)
    # Where nobody reaches, that mean alone.
    assert close(people.colour[:, 0, 0], everywhere, 0.01)


def test_flat_pictures_have_the_spread_of_their_colours() -> None:
    colours = torch.tensor([[100.0, 120, 90], [140, 110, 100], [120, 130, 140]])
    pictures = [colour.view(3, 1, 1).expand(3, SIDE, SIDE) for colour in colours]
    found = measure_population((p, mesh(), torch.ones(SIDE, SIDE)) for p in pictures)
    about = colours - colours.mean(dim=0)
    assert close(found.covariance, about.T @ about / 3 + SPREAD * torch.eye(3), 0.01)
    assert close(found.colour, colours.mean(dim=0).view(3, 1, 1).expand(3, CELLS, CELLS), 0.01)
    assert close(found.energy, torch.zeros(BANDS, COARSE, COARSE)) and close(found.background, torch.zeros(3))


def test_pictures_without_a_mesh_count_but_for_their_points() -> None:
    pictures = list(seen(3))
    pictures[1] = (pictures[1][0], None, pictures[1][2])
    found = measure_population(pictures)
    assert found.count == 3 and close(found.points, (mesh(0) + mesh(2)) / 2, 1e-6)
    assert close(found.colour, measure_population(seen(3)).colour)


@pytest.mark.parametrize(("count", "faces"), [(0, 0), (1, 1), (3, 0)])
def test_too_few_pictures_or_faces_are_refused(count: int, faces: int) -> None:
    pictures = [(p, points if k < faces else None, person) for k, (p, points, person) in enumerate(seen(count))]
    with pytest.raises(BadData, match=f"of {count} pictures with {faces} faces.*at least two aligned pictures"):
        measure_population(pictures)


def test_leaving_out_colour_is_measuring_grey_pictures(people: Population) -> None:
    wanted, found = measure_population(seen(grey=True)), people.colourless()
    assert found.count == wanted.count
    for name, tensor in found.tensors().items():
        assert close(tensor, wanted.tensors()[name], 0.02), name


def test_grey_pictures_are_known(people: Population) -> None:
    assert not people.is_colourless
    assert people.colourless().is_colourless and measure_population(seen(grey=True)).is_colourless
    tinted = replace(
        people.colourless(), covariance=people.colourless().covariance + torch.diag(torch.tensor([0.0, 0, 60]))
    )
    assert not tinted.is_colourless
    assert not photo_population().is_colourless


@pytest.mark.parametrize("factor", [0.95, 1.0, 1.3])
def test_a_transport_takes_one_gaussian_to_another_exactly(factor: float) -> None:
    source = covariance(0)
    _, axes = torch.linalg.eigh(covariance(1))
    wanted = axes @ torch.diag(torch.tensor([0.9, 1.1, 1.0]) * factor) @ axes.T  # symmetric, within the bounds
    target = wanted @ source @ wanted
    found = transport(source, target)
    assert close(found, wanted) and close(found @ source @ found, target, 0.5)
    assert close(found, found.T, 1e-5)


def test_a_transport_beyond_its_bounds_is_clamped_axis_by_axis() -> None:
    scale = torch.diag(torch.tensor([3.0, 1.2, 0.1]))
    found = transport(400 * torch.eye(3), scale @ (400 * torch.eye(3)) @ scale)
    assert close(found, torch.diag(torch.tensor([1.45, 1.2, 0.8])))


def test_a_transport_of_colours_that_do_not_vary_is_finite() -> None:
    flat = torch.zeros(3, 3)
    for source, target in (
        (covariance(0), flat),
        (SPREAD * torch.eye(3), flat),
        (SPREAD * torch.eye(3), covariance(0)),
    ):
        values = torch.linalg.eigvalsh(transport(source, target))
        assert float(values.min()) > 0.79 and float(values.max()) < 1.46


def test_a_look_is_the_difference_of_two_populations(people: Population) -> None:
    style = replace(
        people,
        points=people.points + 0.02,
        colour=people.colour + 10,
        background=people.background - 5,
        covariance=1.21 * people.covariance,
        energy=2 * people.energy,
    )
    look = measure_look(style, people, MEDIA["paint"], shape=1.5, colour=0.5)
    both = symmetric(people, mirror_partners(people.points))
    # What moves to one side in a picture moves to the other in its mirror image.
    assert close(look.shape, torch.tensor([0.0, 0.03]).expand(POINTS, 2), 1e-5)
    assert torch.equal(look.centre, both.colour)
    assert close(look.shift, torch.full((3, CELLS, CELLS), 5.0))
    assert close(look.background, torch.full((3,), -5 * 0.5 / 2))
    assert close(look.stretch, 1.05 * torch.eye(3))
    assert close(look.energy, 2 * both.energy) and look.medium == MEDIA["paint"] and look.weight == 1
    assert {name: tuple(value.shape) for name, value in look.tensors().items()} == TENSORS


def test_a_style_like_the_photos_changes_no_colour_and_no_shape(people: Population) -> None:
    look = measure_look(people, people, MEDIA["smooth"])
    for found in (look.shape, look.shift, look.background, look.stretch - torch.eye(3)):
        assert close(found, torch.zeros_like(found))


def test_the_look_of_a_grey_style_is_grey(people: Population) -> None:
    grey = people.colourless()
    look = measure_look(grey, people, MEDIA["dry"])
    assert look.medium == replace(MEDIA["dry"], colourless=1.0)
    assert close(look.shift, torch.zeros(3, CELLS, CELLS)) and close(look.stretch, torch.eye(3))
    assert close(look.centre, symmetric(grey, mirror_partners(grey.points)).colour)


def test_photos_that_ship_are_whole() -> None:
    photos = photo_population()
    shapes = {name: tuple(value.shape) for name, value in photos.tensors().items()}
    colour, energy = (CELLS, CELLS), (BANDS, COARSE, COARSE)
    assert shapes == {
        "points": (POINTS, 2),
        "colour": (3, *colour),
        "background": (3,),
        "covariance": (3, 3),
        "energy": energy,
    }
    assert photos.count == 699 and all(torch.isfinite(value).all() for value in photos.tensors().values())
    assert 0 < float(photos.colour.min()) and float(photos.colour.max()) < 255
    assert float(photos.energy.min()) > 0 and float(torch.linalg.eigvalsh(photos.covariance).min()) > SPREAD
    # Faces are where alignment puts them, and are not mirrored.
    left, right, chin, brow = (photos.points[k] for k in (33, 263, 152, 10))
    assert 0.3 < float(left[0]) < 0.45 < 0.55 < float(right[0]) < 0.7
    assert float(brow[1]) < 0.4 < 0.7 < float(chin[1]) < 1
    assert float(photos.colour[0, 9, 8]) > float(photos.colour[2, 9, 8])  # skin is more red than blue


def test_photos_of_women_and_of_men_are_known_apart() -> None:
    every, women, men = photo_population(), photo_population({"female": 3}), photo_population({"male": 0.1})
    assert (women.count, men.count) == (286, 284)
    lips = [0, 13, 14, 17]
    red = [float((p.colour[0] - p.colour[1])[11, 8]) for p in (women, men)]
    assert red[0] > red[1]  # at the mouth
    jaw = [float(p.points[361, 0] - p.points[132, 0]) for p in (women, men)]
    assert jaw[0] < jaw[1] and every.points[lips].isfinite().all()
    both = photo_population({"female": 1, "male": 1})
    assert close(both.colour, (women.colour + men.colour) / 2) and both.count == 570
    assert photo_population({}) is every and photo_population({"unknown": 5}) is every
    assert close(photo_population({"female": 9, "unknown": 5, "male": 0}).points, women.points)


def test_a_mixture_of_populations_is_that_of_their_pictures_together() -> None:
    random = torch.Generator().manual_seed(4)

    def pictures(level: float, count: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        colours = level + 20 * torch.randn(count, 3, 1, 1, generator=random)
        meshes = torch.rand(count, POINTS, 2, generator=random)
        person = torch.ones(256, 256)
        return [(c.expand(3, 256, 256).contiguous(), m, person) for c, m in zip(colours, meshes, strict=True)]

    first, second = pictures(80, 3), pictures(160, 9)
    parts = [(measure_population(first), 3.0), (measure_population(second), 9.0)]
    found, wanted = mixed_population(parts), measure_population([*first, *second])
    assert found.count == wanted.count == 12
    for name, value in found.tensors().items():
        assert torch.allclose(value, wanted.tensors()[name], rtol=1e-3, atol=1e-3), name
    assert mixed_population([parts[0], (parts[1][0], 0.0)]).count == 3


def test_media_are_media() -> None:
    assert list(MEDIA) == ["smooth", "paint", "brush", "dry"]
    assert all(isinstance(medium, Medium) and 0 < medium.own <= 1 for medium in MEDIA.values())


def test_a_look_is_the_same_for_both_sides_of_a_face() -> None:
    photos = photo_population()
    lit = torch.linspace(0, 60, 16).expand(3, 16, 16)
    shifted = photos.points + torch.tensor([0.02, 0.0]) * (photos.points[:, :1] > 0.5)
    style = replace(photos, colour=photos.colour + lit, points=shifted, energy=photos.energy * lit[:1, ::2, ::2])
    look = measure_look(style, photos, Medium(), colour=1.0)
    assert torch.allclose(look.shift, look.shift.flip(-1), atol=1e-4)
    assert torch.allclose(look.shift.mean(), torch.tensor(30.0), atol=1e-3)  # the mean of both sides
    assert torch.equal(look.energy, look.energy.flip(-1))
    partners = mirror_partners(photos.points)
    assert torch.allclose(look.shape[partners, 0], -look.shape[:, 0], atol=1e-6)
    assert torch.allclose(look.shape[263, 0], torch.tensor(0.01), atol=1e-6)  # half of it went to the other side


def test_the_partner_of_a_point_lies_on_the_other_side() -> None:
    points = photo_population().points
    partners = mirror_partners(points)
    assert partners[[33, 133, 61]].tolist() == [263, 362, 291]  # corners of the eyes, and of the mouth
    assert torch.equal(partners[partners], torch.arange(468))
    assert int((partners == torch.arange(468)).sum()) < 60  # the midline
