"""What holds a generator to its source: exactly nothing between a model and its copy, and by the formula after that."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from portraitist.io.model_file import Model
from portraitist.losses import Tap, structure
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks import Generator
from portraitist.networks.features import DeepestTaps, DiscriminatorFeatures
from portraitist.networks.generator import with_low_rows
from portraitist.train.likeness import Similarity, Structure, likeness_terms
from portraitist.train.spec import Latents, Training
from portraitist.train.state import TrainState
from portraitist.train.terms import Drawn, Term, Turn
from tests.conftest import make_model

TAPS: tuple[Tap, ...] = ("rgb", "rgb_sum", "feature")
LATENTS: tuple[Latents, ...] = ("z", "z+")


def noisy(model: Model) -> Model:
    """Return a copy in which noise counts, as it does in every trained model."""
    generator = copy.deepcopy(model.generator)
    with torch.no_grad():
        for name, p in generator.named_parameters():
            if "noise" in name:
                p.fill_(0.3)
    return Model(generator, model.discriminator, model.header)


@pytest.fixture(scope="module")
def base() -> Model:
    model = noisy(make_model(seed=2, resolution=32))
    model.generator.requires_grad_(False)
    return model


def turn_of(base: Model, target: Generator, latents: Latents = "z", batch: int = 6) -> Turn:
    assert base.discriminator is not None
    training = Training(latents=latents, mixing=0.9, batch=batch)
    state = TrainState.start(target, copy.deepcopy(base.discriminator), training)
    real = torch.zeros(batch, 3, 32, 32)
    random = torch.Generator().manual_seed(4)
    return Turn(state, training, *state.players(), real, random, lambda images, random, share: images)


def looks(base: Model, count: int = 3) -> PerceptualDistance:
    assert base.discriminator is not None
    return PerceptualDistance(DeepestTaps(DiscriminatorFeatures(base.discriminator), count))


def moved(generator: Generator) -> Generator:
    """Return a copy after a step of every parameter that may take one."""
    found = copy.deepcopy(generator)
    random = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name, p in found.named_parameters():
            if not found.anatomy.borrowed(name):
                p += torch.randn(p.shape, generator=random) * 0.02
    return found


@pytest.mark.parametrize("latents", LATENTS)
@pytest.mark.parametrize("low_rows", [0, 4])
def test_a_model_and_its_copy_are_at_distance_zero_exactly(base: Model, latents: Latents, low_rows: int) -> None:
    target = with_low_rows(base.generator, low_rows) if low_rows else copy.deepcopy(base.generator)
    terms: list[Term] = [
        *(Structure(base.generator, 1.0, 4, 32, tap) for tap in TAPS),
        *(Similarity(base.generator, looks(base, count)) for count in (1, 3, 99)),
    ]
    turn = turn_of(base, target, latents)
    rows = turn.drawn.z
    assert (rows[:, 0] != rows[:, -1]).any() and turn.drawn.noise[0].std() > 0.5  # mixing and noise are on
    assert [value(term(turn)) for term in terms] == [0.0] * len(terms)
    after = turn_of(base, moved(target), latents)
    assert all(value(term(after)) > 0 for term in terms)


def test_noise_latents_and_crossover_are_the_targets_own(base: Model) -> None:
    """With any of them drawn anew for the source, the distance of a copy would be far from 0."""
    turn = turn_of(base, copy.deepcopy(base.generator))
    term = Structure(base.generator, 1.0, 4, 32)
    drawn = turn.drawn
    again = turn_of(base, copy.deepcopy(base.generator))
    again.random.manual_seed(5)
    for other in (replace(drawn, noise=again.drawn.noise), replace(drawn, z=drawn.z.flip(0))):
        turn.drawn = other
        assert value(term(turn)) > 1e-4


@pytest.mark.parametrize("kind", ["structure", "similarity"])
@pytest.mark.parametrize("low_rows", [0, 4])
def test_gradients_reach_the_target_only(kind: str, low_rows: int) -> None:
    base = noisy(make_model(seed=2, resolution=32))  # whose parameters would take gradients
    assert base.discriminator is not None
    target = moved(with_low_rows(base.generator, low_rows) if low_rows else base.generator)
    turn = turn_of(base, target)
    distance = looks(base)
    term = Structure(base.generator, 1.0, 4, 32) if kind == "structure" else Similarity(base.generator, distance)
    term(turn).backward()
    assert all(p.grad is None for p in base.generator.parameters())
    assert all(p.grad is None for p in base.discriminator.parameters())
    assert isinstance(distance.features, DeepestTaps) and isinstance(distance.features.features, DiscriminatorFeatures)
    assert all(p.grad is None for p in distance.features.features.network.parameters())
    for name, p in turn.generator.named_parameters():
        if turn.generator.anatomy.borrowed(name):
            assert p.grad is None, name
        else:
            assert p.grad is not None and p.grad.abs().sum() > 0, name


def value(loss: Tensor) -> float:
    assert loss.shape == ()
    return float(loss.detach())


def by_hand(source: Generator, target: Generator, drawn: Drawn, tap: Tap, first: int, last: int) -> Tensor:
    """Sum of the mean squared differences of the blocks from ``first`` to ``last``."""
    total = torch.zeros(())
    with torch.no_grad():
        walks = [list(g.synthesis.walk(g.styles(drawn.z), drawn.noise)) for g in (source, target)]
        for mine, theirs in zip(*walks, strict=True):
            if first <= mine.resolution <= last:
                name = {"rgb": "rgb", "rgb_sum": "image", "feature": "features"}[tap]
                difference = getattr(mine, name) - getattr(theirs, name)
                total += difference.pow(2).sum() / difference.numel()
    return total


@pytest.mark.parametrize("tap", TAPS)
@pytest.mark.parametrize(("first", "last"), [(4, 16), (8, 16), (4, 4), (32, 32)])
def test_structure_is_the_hand_written_formula(base: Model, tap: Tap, first: int, last: int) -> None:
    target = moved(base.generator)
    turn = turn_of(base, target)
    expected = 0.7 * float(by_hand(base.generator, target, turn.drawn, tap, first, last))
    assert value(Structure(base.generator, 0.7, first, last, tap)(turn)) == pytest.approx(expected, rel=1e-5)


def test_only_the_named_blocks_count(base: Model) -> None:
    target = copy.deepcopy(base.generator)
    with torch.no_grad():
        for name, p in target.named_parameters():
            if target.anatomy.place(name) == 32:
                p += 1
    turn = turn_of(base, target)
    for tap in TAPS:
        assert value(Structure(base.generator, 1.0, 4, 16, tap)(turn)) == 0
        assert value(Structure(base.generator, 1.0, 32, 32, tap)(turn)) > 0
    # rgb sees what a block adds, rgb_sum all that lies below it as well.
    with torch.no_grad():
        for name, p in target.named_parameters():
            if name.startswith("synthesis.blocks.4.to_rgb.bias"):
                p += 1
    turn = turn_of(base, target)
    assert value(Structure(base.generator, 1.0, 8, 16, "rgb")(turn)) == 0
    assert value(Structure(base.generator, 1.0, 8, 16, "rgb_sum")(turn)) > 0


def test_structure_wants_as_many_blocks_of_both(base: Model) -> None:
    seen = turn_of(base, copy.deepcopy(base.generator)).drawn.seen
    with pytest.raises(ValueError, match="shorter"):
        structure(seen, seen[:-1])


def test_similarity_is_the_mean_of_the_perceptual_distances(base: Model) -> None:
    target = moved(base.generator)
    turn = turn_of(base, target, "z+")
    drawn = turn.drawn
    assert drawn.z.shape == (6, 8, 16)
    with torch.no_grad():
        images = [g.synthesis(g.styles(drawn.z), drawn.noise) for g in (target, base.generator)]
        each = [float(looks(base)(x[None], y[None])) for x, y in zip(*images, strict=True)]
    assert value(Similarity(base.generator, looks(base), 0.5)(turn)) == pytest.approx(0.5 * sum(each) / 6, rel=1e-4)


def test_the_deepest_taps_are_the_last(base: Model) -> None:
    assert base.discriminator is not None
    features = DiscriminatorFeatures(base.discriminator)
    images = torch.zeros(1, 3, 32, 32)
    sides = [t.shape[-1] for t in features.taps(images)]
    assert [t.shape[-1] for t in DeepestTaps(features, 2).taps(images)] == sides[-2:]
    assert [t.shape[-1] for t in DeepestTaps(features, 99).taps(images)] == sides
    assert DeepestTaps(features, 2).digest == features.digest and DeepestTaps(features, 2).name != features.name


def test_the_weights_say_which_terms_there_are(base: Model) -> None:
    def names(**settings: float) -> list[str]:
        return [t.name for t in likeness_terms(replace(Training(), **settings), base.generator, looks(base))]  # type: ignore[arg-type]

    assert names() == []
    assert names(structure_weight=1.0) == ["structure"]
    assert names(similarity_weight=1.0) == ["similarity"]
    assert names(similarity_weight=1.0, structure_weight=2.0) == ["structure", "similarity"]
