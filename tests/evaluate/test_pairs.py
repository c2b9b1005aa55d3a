"""Pairs of outputs, outputs and inputs, and paths: closed forms of a linear generator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from portraitist.errors import BadData, UsageError
from portraitist.evaluate import diversity, identity_similarity, pair_distance, path_length
from portraitist.evaluate.pairs import KEPT, pair_interval
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.features import DiscriminatorFeatures
from tests.conftest import make_model

SIDE = 2


class Squared(PerceptualDistance):
    """The squared distance of pixels, summed: with it paths of linear models have a closed form."""

    def __init__(self) -> None:
        discriminator = make_model().discriminator
        assert discriminator is not None
        super().__init__(DiscriminatorFeatures(discriminator))

    def __call__(self, images: Tensor, others: Tensor) -> Tensor:
        return (images - others).square().sum((1, 2, 3))


class Direction:
    """Embeds a picture as its first two values, scaled to length 1."""

    name, digest = "direction", "0"

    def embed(self, images: Tensor) -> Tensor:
        return torch.nn.functional.normalize(images.flatten(1)[:, :2], dim=1)


def matrix(dim: int) -> Tensor:
    return torch.randn(3 * SIDE * SIDE, dim, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def linear(dim: int) -> tuple[object, object]:
    a = matrix(dim)

    def styles(z: Tensor) -> Tensor:
        return (2 * z.double())[:, None]

    def draw(ws: Tensor) -> Tensor:
        return (ws[:, 0] @ a.T).reshape(-1, 3, SIDE, SIDE)

    return styles, draw


def steps(count: int, dim: int) -> Tensor:
    """What a linear model moves per unit of path: |A (w1 - w0)|^2, trimmed as the paper's code does."""
    ends = torch.randn(count, 2, dim, generator=torch.Generator().manual_seed(0))
    values = ((2 * (ends[:, 1] - ends[:, 0]).double()) @ matrix(dim).T).square().sum(1)
    low, high = (torch.quantile(values, q, interpolation=s) for q, s in zip(KEPT, ("lower", "higher"), strict=True))
    return values[(values >= low) & (values <= high)]


@pytest.mark.parametrize("sampling", ["end", "full"])
def test_the_path_length_of_a_linear_generator_has_a_closed_form(sampling: str) -> None:
    styles, draw = linear(4)
    found = path_length(styles, draw, Squared(), z_dim=4, count=300, sampling=sampling)  # type: ignore[arg-type]
    expected = steps(300, 4)
    assert len(expected) < 300
    assert found.value == pytest.approx(float(expected.mean()), rel=1e-6)
    assert found.spread == pytest.approx(float(expected.std()) / len(expected) ** 0.5, rel=1e-6)


def test_the_step_of_a_linear_generator_does_not_matter_in_w() -> None:
    styles, draw = linear(4)
    values = [
        path_length(styles, draw, Squared(), z_dim=4, count=60, epsilon=e).value  # type: ignore[arg-type]
        for e in (1e-4, 1e-2, 1.0)
    ]
    assert values == pytest.approx([values[0]] * 3, rel=1e-6)


def test_in_z_the_way_is_on_the_sphere() -> None:
    dim = 4
    # With an orthonormal model a step is as long as its arc: (epsilon angle)^2 times the square of the radius.
    basis = torch.linalg.qr(torch.randn(12, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    styles, draw = lambda z: z.double()[:, None], lambda ws: (ws[:, 0] @ basis.T).reshape(-1, 3, SIDE, SIDE)
    found = path_length(styles, draw, Squared(), z_dim=dim, count=400, space="z", epsilon=1e-2)
    a, b = torch.randn(400, 2, dim, generator=torch.Generator().manual_seed(0)).double().unbind(1)
    angle = torch.nn.functional.cosine_similarity(a, b).acos()
    values = (angle.square() * dim).sort().values
    assert found.value == pytest.approx(float(values[4:-4].mean()), rel=5e-3)


def test_diversity_is_the_mean_over_pairs_of_different_outputs() -> None:
    outputs = torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    distance = Squared()
    every = [float(distance(outputs[i : i + 1], outputs[j : j + 1])) for i in range(4) for j in range(4) if i != j]
    found = diversity(distance, outputs, pairs=3000)
    assert found.value == pytest.approx(sum(every) / len(every), abs=4 * found.spread)
    assert found == diversity(distance, outputs, pairs=3000) != diversity(distance, outputs, pairs=3000, seed=1)
    assert diversity(distance, outputs[:1].expand(4, -1, -1, -1)).value == 0
    with pytest.raises(BadData, match="make no pair"):
        diversity(distance, outputs[:1])


def test_the_change_of_doing_nothing_is_0_and_identity_has_its_zero_beside_it() -> None:
    outputs = torch.randn(40, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    assert pair_distance(Squared(), outputs, outputs).value == 0
    assert pair_distance(Squared(), outputs + 1, outputs).value == pytest.approx(3 * SIDE * SIDE, rel=1e-5)
    same, impostors = identity_similarity(Direction(), outputs, outputs)
    assert same.value == pytest.approx(1, abs=1e-6)
    assert abs(impostors.value) < 4 * impostors.spread
    with pytest.raises(BadData, match="make no pairs"):
        pair_distance(Squared(), outputs, outputs[:3])


def test_wrong_paths_are_refused() -> None:
    styles, draw = linear(4)
    for wrong in ({"space": "v"}, {"sampling": "middle"}, {"epsilon": 0.0}):
        with pytest.raises(UsageError, match="No path is measured"):
            path_length(styles, draw, Squared(), z_dim=4, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [24, 100])
def test_pairs_that_share_pictures_say_less(count: int) -> None:
    random = torch.Generator().manual_seed(0)
    held, wide = 0, 0.0
    for _ in range(200):
        values = torch.rand(count, generator=random)
        first = torch.randint(count, (2000,), generator=random)
        second = (first + torch.randint(1, count, (2000,), generator=random)) % count
        found = pair_interval((values[first] - values[second]).abs(), first, second)
        held += abs(found.value - 1 / 3) < 1.96 * found.spread
        wide += found.spread
    assert 0.89 < held / 200 <= 1.0 and wide / 200 < 0.5 / count**0.5
    ring = pair_interval(torch.tensor([1.0, 0.0, 1.0, 0.0]), torch.arange(4), torch.tensor([1, 2, 3, 0]))
    assert ring.value == 0.5 and 0 < ring.spread < 1  # what pairs share may be less than nothing
    alone = torch.arange(0, 8, 2)
    apart = pair_interval(torch.rand(4, generator=random), alone, alone + 1)
    assert apart.spread > 0  # no pair shares one: as interval() has it
