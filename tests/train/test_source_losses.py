"""What holds a generator to its source: exactly nothing between a model and its copy, and by the formula after that."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from portraitist.errors import UsageError
from portraitist.io.model_file import Model
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.losses.structure import Tap, structure
from portraitist.networks import Generator
from portraitist.networks.features import DeepestTaps, DiscriminatorFeatures
from portraitist.networks.generator import with_low_rows
from portraitist.recipes.correspondence import Correspondence, distance_consistency
from portraitist.train.source_losses import Similarity, Structure
from portraitist.train.spec import Latents, Term, Training, upgraded
from portraitist.train.state import TrainState
from portraitist.train.terms import Drawn, SourceModel, StepContext
from tests.conftest import make_model

TAPS: tuple[Tap, ...] = ("rgb", "rgb_sum", "feature")
LATENTS: tuple[Latents, ...] = ("z", "z+")


def noisy(model: Model) -> Model:
    """Recontext a copy in which noise counts, as it does in every trained model."""
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


def context_of(base: Model, target: Generator, latents: Latents = "z", batch: int = 6) -> StepContext:
    assert base.discriminator is not None
    training = Training(latents=latents, mixing=0.9, batch=batch)
    state = TrainState.start(target, copy.deepcopy(base.discriminator), training)
    real = torch.zeros(batch, 3, 32, 32)
    random = torch.Generator().manual_seed(4)
    source = SourceModel(base.generator, PerceptualDistance(DiscriminatorFeatures(base.discriminator)))
    return StepContext(
        state, training, *state.pair(), real, random, lambda images, random, share: images, source=source
    )


def looks(base: Model, count: int = 3) -> PerceptualDistance:
    assert base.discriminator is not None
    return PerceptualDistance(DeepestTaps(DiscriminatorFeatures(base.discriminator), count))


def moved(generator: Generator) -> Generator:
    """Recontext a copy after a step of every parameter that may take one."""
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
        *(Structure(1.0, 4, 32, tap) for tap in TAPS),
        *(Similarity(taps=count) for count in (1, 3, 99)),
    ]
    context = context_of(base, target, latents)
    rows = context.drawn.z
    assert (rows[:, 0] != rows[:, -1]).any() and context.drawn.noise[0].std() > 0.5  # mixing and noise are on
    assert [value(term(context)) for term in terms] == [0.0] * len(terms)
    after = context_of(base, moved(target), latents)
    assert all(value(term(after)) > 0 for term in terms)


def test_noise_latents_and_crossover_are_the_targets_own(base: Model) -> None:
    """With any of them drawn anew for the source, the distance of a copy would be far from 0."""
    context = context_of(base, copy.deepcopy(base.generator))
    term = Structure(1.0, 4, 32)
    drawn = context.drawn
    again = context_of(base, copy.deepcopy(base.generator))
    again.random.manual_seed(5)
    for other in (replace(drawn, noise=again.drawn.noise), replace(drawn, z=drawn.z.flip(0))):
        context.drawn = other
        assert value(term(context)) > 1e-4


@pytest.mark.parametrize("kind", ["structure", "similarity"])
@pytest.mark.parametrize("low_rows", [0, 4])
def test_gradients_reach_the_target_only(kind: str, low_rows: int) -> None:
    base = noisy(make_model(seed=2, resolution=32))  # whose parameters would take gradients
    assert base.discriminator is not None
    target = moved(with_low_rows(base.generator, low_rows) if low_rows else base.generator)
    context = context_of(base, target)
    features = context.base.perceptual.features
    term = Structure(1.0, 4, 32) if kind == "structure" else Similarity()
    term(context).backward()
    assert all(p.grad is None for p in base.generator.parameters())
    assert all(p.grad is None for p in base.discriminator.parameters())
    assert isinstance(features, DiscriminatorFeatures)
    assert all(p.grad is None for p in features.network.parameters())
    for name, p in context.generator.named_parameters():
        if context.generator.anatomy.borrowed(name):
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
    context = context_of(base, target)
    expected = 0.7 * float(by_hand(base.generator, target, context.drawn, tap, first, last))
    assert value(Structure(0.7, first, last, tap)(context)) == pytest.approx(expected, rel=1e-5)


def test_only_the_named_blocks_count(base: Model) -> None:
    target = copy.deepcopy(base.generator)
    with torch.no_grad():
        for name, p in target.named_parameters():
            if target.anatomy.place(name) == 32:
                p += 1
    context = context_of(base, target)
    for tap in TAPS:
        assert value(Structure(1.0, 4, 16, tap)(context)) == 0
        assert value(Structure(1.0, 32, 32, tap)(context)) > 0
    # rgb sees what a block adds, rgb_sum all that lies below it as well.
    with torch.no_grad():
        for name, p in target.named_parameters():
            if name.startswith("synthesis.blocks.4.to_rgb.bias"):
                p += 1
    context = context_of(base, target)
    assert value(Structure(1.0, 8, 16, "rgb")(context)) == 0
    assert value(Structure(1.0, 8, 16, "rgb_sum")(context)) > 0


def test_structure_wants_as_many_blocks_of_both(base: Model) -> None:
    seen = context_of(base, copy.deepcopy(base.generator)).drawn.seen
    with pytest.raises(ValueError, match="shorter"):
        structure(seen, seen[:-1])


def test_similarity_is_the_mean_of_the_perceptual_distances(base: Model) -> None:
    target = moved(base.generator)
    context = context_of(base, target, "z+")
    drawn = context.drawn
    assert drawn.z.shape == (6, 8, 16)
    with torch.no_grad():
        images = [g.synthesis(g.styles(drawn.z), drawn.noise) for g in (target, base.generator)]
        each = [float(looks(base)(x[None], y[None])) for x, y in zip(*images, strict=True)]
    assert value(Similarity(0.5)(context)) == pytest.approx(0.5 * sum(each) / 6 / 3, rel=1e-4)  # of three taps
    assert value(Similarity(0.5, reduce="sum")(context)) == pytest.approx(0.5 * sum(each) / 6, rel=1e-4)
    for count in (1, 99):
        taps = len(looks(base, count).prepare(images[0]))
        mine, other = (value(Similarity(1.0, count, reduce)(context)) for reduce in ("mean", "sum"))  # type: ignore[arg-type]
        assert mine * taps == pytest.approx(other, rel=1e-4)


def test_similarity_takes_the_weights_of_lpips_and_then_the_sum_over_taps(base: Model) -> None:
    context = context_of(base, moved(base.generator))
    assert context.source is not None and base.discriminator is not None
    features = DiscriminatorFeatures(base.discriminator)
    taps = features.taps(torch.zeros(1, 3, 32, 32))
    random = torch.Generator().manual_seed(2)
    weights = [torch.rand(tap.shape[1], generator=random) for tap in taps]
    context.source = SourceModel(base.generator, PerceptualDistance(features, weights))
    with torch.no_grad():
        theirs = base.generator.synthesis(base.generator.styles(context.drawn.z), context.drawn.noise)
        pairs = [*zip(features.taps(context.drawn.images), features.taps(theirs), weights, strict=True)][-3:]
        by_hand = sum(
            float(
                (((a / a.norm(dim=1, keepdim=True) - b / b.norm(dim=1, keepdim=True)) ** 2).mean((0, 2, 3)) * w).sum()
            )
            for a, b, w in pairs
        )
    assert value(Similarity(0.5)(context)) == pytest.approx(0.5 * by_hand, rel=1e-3)


def test_the_deepest_taps_are_the_last(base: Model) -> None:
    assert base.discriminator is not None
    features = DiscriminatorFeatures(base.discriminator)
    images = torch.zeros(1, 3, 32, 32)
    sides = [t.shape[-1] for t in features.taps(images)]
    assert [t.shape[-1] for t in DeepestTaps(features, 2).taps(images)] == sides[-2:]
    assert [t.shape[-1] for t in DeepestTaps(features, 99).taps(images)] == sides
    assert DeepestTaps(features, 2).digest == features.digest and DeepestTaps(features, 2).name != features.name


def test_correspondence_is_the_hand_written_formula(base: Model) -> None:
    """KL of each target picture's similarities from the source's, by loops over blocks, anchors and their others."""
    random = torch.Generator().manual_seed(3)
    source, target = ([torch.randn(4, 2, side, side, generator=random) for side in (1, 2)] for _ in range(2))
    total = []
    for theirs, mine in zip(source, target, strict=True):
        for i in range(4):
            y_source, y_target = (
                torch.stack(
                    [torch.cosine_similarity(x[i].flatten(), x[j].flatten(), dim=0) for j in range(4) if j != i]
                )
                .double()
                .softmax(0)
                for x in (theirs, mine)
            )
            total.append(float((y_target * (y_target / y_source).log()).sum()))
    assert float(distance_consistency(source, target)) == pytest.approx(sum(total) / 8, rel=1e-4)
    context = context_of(base, moved(base.generator))
    assert value(Correspondence(weight=10.0)(context)) == pytest.approx(value(Correspondence()(context)) / 100)
    assert value(Correspondence()(context)) > 0
    assert value(Correspondence()(context_of(base, copy.deepcopy(base.generator)))) == pytest.approx(0, abs=1e-6)
    with pytest.raises(UsageError, match="3 pictures at once, not 2"):
        Correspondence().check(Training(batch=4, accumulate=2), base.generator.anatomy)


def test_a_training_carries_its_losses_by_name() -> None:
    structure, similarity = Structure(weight=2.0), Similarity()
    training = Training().with_term(structure).with_term(similarity)
    assert training.terms == (similarity, structure) == Training().with_term(similarity).with_term(structure).terms
    assert training.with_term(Structure(weight=3.0)).terms == (similarity, Structure(weight=3.0))
    assert training.with_term(Structure(weight=0.0)).terms == (similarity,)
    record = training.record()
    assert record["terms"] == ["similarity", "structure"] and record["structure"]["weight"] == 2.0
    assert "structure" not in Training().record()
    with pytest.raises(UsageError, match=r"structure\.weight cannot be negative"):
        Structure(weight=-1.0)
    with pytest.raises(UsageError, match=r"similarity\.taps"):
        Similarity(taps=0)
    with pytest.raises(UsageError, match=r"similarity\.reduce is one of"):
        Similarity(reduce="median")  # type: ignore[arg-type]


def test_a_record_from_before_the_mean_over_taps_keeps_the_sum() -> None:
    record = Training().with_term(Similarity(weight=0.5, taps=3, reduce="sum")).record()
    old = {**record, "similarity": {"weight": 0.5, "taps": 3}}
    assert upgraded(old) == record
    assert upgraded(record) == record
