"""Directions: those of SeFa are what the algebra says, those that are learned are the ones that were planted."""

from __future__ import annotations

import copy

import pytest
import torch

from portraitist.edit import learn_direction, moved, orthogonalise, rows_of, sefa_directions
from portraitist.errors import UsageError
from portraitist.io.model_file import Model
from portraitist.networks import Generator
from portraitist.spaces import W, WPlus
from portraitist.spaces.direction import Direction
from tests.conftest import make_model


@pytest.fixture(scope="module")
def axes() -> Generator:
    """A generator whose layers up to 8 pixels look at the first axes of w, each twice as hard as the next."""
    generator = copy.deepcopy(make_model().generator)
    with torch.no_grad():
        for r, block in generator.synthesis.blocks.items():
            for name in ("conv0", "conv1", "to_rgb"):
                if hasattr(block, name) and getattr(block, name) is not None:
                    weight = getattr(block, name).affine.weight
                    weight.zero_()
                    shift = 0 if int(r) <= 8 else 8
                    for k in range(8):
                        weight[k % len(weight), k + shift] = 2.0**-k
    return generator


def test_sefa_finds_the_axes_of_a_linear_generator_strongest_first(axes: Generator) -> None:
    found = sefa_directions(axes, [4, 8], count=8)
    torch.testing.assert_close(torch.stack([d.vector for d in found]), torch.eye(16)[:8], rtol=0, atol=1e-5)
    assert [d.name for d in found] == [f"sefa{k:02d}" for k in range(1, 9)]
    assert {d.rows for d in found} == {(0, 1, 2)} and "4, 8 pixels: direction 3" in found[2].found
    above = sefa_directions(axes, [16], count=2)
    torch.testing.assert_close(torch.stack([d.vector for d in above]), torch.eye(16)[8:10], rtol=0, atol=1e-5)


def test_the_first_direction_changes_the_styles_most(axes: Generator) -> None:
    first, second = sefa_directions(axes, [4, 8], count=2)
    code = axes.mean

    def change(direction: Direction) -> float:
        step = Direction("unit", direction.vector, direction.rows)
        layer = axes.synthesis.blocks["8"].conv1.affine
        return float((layer(moved(code, step, 1).data[:, 2]) - layer(code.data[:, 2])).norm().detach())

    assert change(first) == pytest.approx(2 * change(second), rel=1e-4)


def test_a_unit_is_a_deviation_of_the_prior(tiny_model: Model) -> None:
    generator = tiny_model.generator
    z = torch.randn(4000, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        w = generator.mapping(z)
    for direction in sefa_directions(generator, count=4):
        assert direction.unit == pytest.approx(float((w @ direction.vector).std()), rel=0.06)


def test_normalised_directions_are_others_and_orthonormal(tiny_model: Model) -> None:
    plain = torch.stack([d.vector for d in sefa_directions(tiny_model.generator, count=16)])
    unit = torch.stack([d.vector for d in sefa_directions(tiny_model.generator, normalise=True, count=16)])
    torch.testing.assert_close(unit @ unit.t(), torch.eye(16), rtol=0, atol=1e-5)
    assert float((plain[0] @ unit[0]).abs()) < 0.9999


def test_rows_belong_to_one_block_each(tiny_model: Model) -> None:
    anatomy = tiny_model.generator.anatomy
    parts = [rows_of(anatomy, [r]) for r in (4, 8, 16)]
    assert parts == [(0,), (1, 2), (3, 4, 5)]
    assert rows_of(anatomy, [4, 16]) == (0, 3, 4, 5) and rows_of(anatomy) == tuple(range(6))


@pytest.mark.parametrize("resolutions", [[], [32], [4, 5]])
def test_unknown_blocks_are_refused(tiny_model: Model, resolutions: list[int]) -> None:
    with pytest.raises(UsageError, match="no blocks"):
        rows_of(tiny_model.generator.anatomy, resolutions)


def test_more_directions_than_there_are_are_refused(tiny_model: Model) -> None:
    with pytest.raises(UsageError, match="There are 16 directions, not 17"):
        sefa_directions(tiny_model.generator, count=17)


def planted(count: int = 400, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    truth = torch.nn.functional.normalize(torch.randn(8, generator=random), dim=0)
    codes = torch.randn(count, 8, generator=random)
    return codes, truth, 50 + 20 * codes @ truth + noise * torch.randn(count, generator=random)


@pytest.mark.parametrize(("noise", "ridge", "likeness"), [(0.0, 0.0, 0.99999), (0.0, 1.0, 0.99), (20.0, 1.0, 0.98)])
def test_regression_recovers_a_planted_direction(noise: float, ridge: float, likeness: float) -> None:
    codes, truth, ratings = planted(noise=noise)
    found = learn_direction("age", W(codes), ratings, rows=(0, 1), ridge=ridge)
    assert float(found.vector @ truth) > likeness and float(found.vector.norm()) == pytest.approx(1)
    assert found.unit == pytest.approx(float((codes @ found.vector).std()), rel=1e-4) and found.rows == (0, 1)
    falling = learn_direction("youth", W(codes), -ratings, rows=(0, 1), ridge=ridge)
    torch.testing.assert_close(falling.vector, -found.vector)


def test_without_a_penalty_few_codes_give_the_shortest_gradient_that_explains_them() -> None:
    codes = torch.randn(12, 40, generator=torch.Generator().manual_seed(6))
    ratings = torch.randn(12, generator=torch.Generator().manual_seed(7))
    found = learn_direction("a", W(codes), ratings, rows=(0,), ridge=0)
    centred, wanted = (x.double() - x.double().mean(0) for x in (codes, ratings))
    shortest = torch.linalg.pinv(centred, rtol=1e-9) @ wanted
    torch.testing.assert_close(found.vector, (shortest / shortest.norm()).float(), rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match="penalty of nan"):
        learn_direction("a", W(codes), ratings, rows=(0,), ridge=float("nan"))


def test_held_out_correlation_tells_ratings_from_noise() -> None:
    codes, _, ratings = planted()
    random = torch.randn(400, generator=torch.Generator().manual_seed(9))
    assert learn_direction("a", W(codes), ratings, rows=(0,)).found.endswith("held-out correlation 1.00")
    said = learn_direction("a", W(codes), random, rows=(0,)).found
    assert abs(float(said.rpartition(" ")[2])) < 0.25


def test_of_codes_of_w_plus_the_rows_that_move_count() -> None:
    codes, truth, ratings = planted()
    noise = torch.randn(400, 8, generator=torch.Generator().manual_seed(4))
    plus = WPlus(torch.stack([codes, codes, noise], 1))
    assert float(learn_direction("a", plus, ratings, rows=(0, 1), ridge=0).vector @ truth) > 0.9999
    assert float(learn_direction("a", plus, ratings, rows=(2,), ridge=0).vector @ truth) < 0.9


def test_row_by_row_a_rating_moves_the_rows_that_it_sits_in() -> None:
    codes = WPlus(torch.randn(600, 5, 8, generator=torch.Generator().manual_seed(2)))
    found = learn_direction("x", codes, codes.data[:, 3, 1], rows=(1, 2, 3), ridge=0.01, per_row=True)
    assert found.vector.shape == (5, 8) and abs(float(found.vector[3, 1])) > 0.99
    assert not found.vector[[0, 4]].any() and "row by row" in found.found and (found.accuracy or 0) > 0.95
    with pytest.raises(UsageError, match="alike in every row"):
        learn_direction("x", W(codes.data[:, 0]), codes.data[:, 3, 1], rows=(0,), per_row=True)


@pytest.mark.parametrize("ridge", [0.1, 1.0, 5.0])
def test_with_fewer_codes_than_numbers_the_gradient_is_that_of_the_normal_equations(ridge: float) -> None:
    x = torch.randn(20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = torch.randn(20, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = learn_direction("x", W(x), y, rows=(0,), ridge=ridge).vector.double()
    centred = x - x.mean(0)
    covariance = centred.t() @ centred / 20
    penalty = ridge * covariance.diagonal().mean() * torch.eye(30)
    wanted = torch.linalg.solve(covariance + penalty, centred.t() @ (y - y.mean()))
    assert torch.allclose(found, wanted / wanted.norm(), atol=1e-6)


def test_pictures_without_a_rating_do_not_count() -> None:
    codes, _, ratings = planted(60)
    half = ratings.clone()
    half[::2] = float("nan")
    found = learn_direction("a", W(codes), half, rows=(0,))
    torch.testing.assert_close(found.vector, learn_direction("a", W(codes[1::2]), ratings[1::2], rows=(0,)).vector)
    assert "30 codes" in found.found


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        (torch.ones(40), "all are equal"),
        (torch.full((40,), float("nan")), "0 ratings"),
        (torch.arange(39.0), "40 codes want 40 ratings"),
    ],
)
def test_ratings_that_say_nothing_are_refused(ratings: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        learn_direction("a", W(torch.randn(40, 3, generator=torch.Generator().manual_seed(0))), ratings, rows=(0,))


def random_direction(name: str, seed: int, *shape: int) -> Direction:
    return Direction(name, torch.randn(shape, generator=torch.Generator().manual_seed(seed)), (0, 1), 2.0)


@pytest.mark.parametrize("shapes", [((8,), (8,), (8,)), ((3, 8), (8,), (3, 8)), ((8,), (3, 8), (8,))])
def test_what_is_left_is_orthogonal_to_all_others_and_as_long(shapes: tuple[tuple[int, ...], ...]) -> None:
    direction, *others = (random_direction(f"d{k}", k, *shape) for k, shape in enumerate(shapes))
    found = orthogonalise(direction, others)
    for other in others:
        products = (found.vector * other.vector).sum(-1)
        torch.testing.assert_close(products, torch.zeros_like(products), rtol=0, atol=1e-5)
    assert found.unit == 2 and found.rows == (0, 1) and found.found.endswith("without d1, d2")
    torch.testing.assert_close(orthogonalise(found, others).vector, found.vector)
    if all(len(shape) == 1 for shape in shapes):
        assert float(found.vector.norm()) == pytest.approx(float(direction.vector.norm()), rel=1e-5)


def test_without_others_nothing_changes_and_a_double_leaves_nothing() -> None:
    direction = random_direction("d", 0, 8)
    assert orthogonalise(direction, []) is direction
    with pytest.raises(UsageError, match="Nothing of 'd'"):
        orthogonalise(direction, [random_direction("e", 1, 8), Direction("f", -3 * direction.vector, (0,))])
    with pytest.raises(UsageError, match="other sizes"):
        orthogonalise(direction, [random_direction("e", 1, 7)])
