"""A base that grows is held to its smaller self: the losses by their formulas, the mapping network, exact resume."""

from __future__ import annotations

import copy
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from portraitist.data import ImageBatches, ImageSet
from portraitist.errors import UsageError
from portraitist.io.headers import Header
from portraitist.io.model_file import Model, generator_digest, load_model
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks import DiscriminatorAnatomy, Generator, GeneratorAnatomy
from portraitist.networks.features import Features
from portraitist.networks.generator import with_low_rows
from portraitist.networks.growth import grown_codes
from portraitist.recipes import compose, grow, held
from portraitist.runs.finetune import TrainOptions, train
from portraitist.runs.source import Smaller, Source, grown, trained_on
from portraitist.train.growth_losses import Downscaling, Reconstruction
from portraitist.train.loop import WHOLE, Share
from portraitist.train.signals import Interrupted
from portraitist.train.spec import Freeze, Training
from portraitist.train.state import TrainState
from portraitist.train.terms import SmallerModel, StepContext
from tests.conftest import make_model, restyled

TRAINING = replace(
    held(grow(32, Training(batch=4, seed=3), features=True)),
    images=12,
    tick=4,
    snapshot=8,
    r1_every=2,
    entrance_images=8,
)


SCRATCH = Source(generator=GeneratorAnatomy(32, (8,) * 4, 16, 16, 2), discriminator=DiscriminatorAnatomy(32, (8,) * 4))


@pytest.fixture(scope="module")
def source(tiny_model: Model, codes: dict[str, Tensor]) -> Source:
    return replace(grown(tiny_model, 32), smaller=Smaller(tiny_model, codes))


@pytest.fixture(scope="module")
def codes(photos: ImageSet, tiny_model: Model) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(6)
    sizes = tiny_model.generator.anatomy
    return {name: torch.randn(sizes.rows, sizes.w_dim, generator=random) for name in photos.names}


@pytest.fixture(scope="module")
def told(features: Features) -> TrainOptions:
    return TrainOptions(quiet=True, features=features)


def other(generator: Generator) -> Generator:
    """Return a copy whose every weight has moved."""
    found, random = copy.deepcopy(generator), torch.Generator().manual_seed(9)
    with torch.no_grad():
        for p in found.parameters():
            p += 0.05 * torch.randn(p.shape, generator=random)
    return found


def context_of(
    source: Source, generator: Generator, batches: ImageBatches, told: TrainOptions, share: Share = WHOLE
) -> StepContext:
    """Return the second step of a training."""
    assert source.smaller is not None and source.smaller.codes is not None
    state = TrainState.start(generator, source.networks(0)[1], TRAINING)
    state.images = 4
    return StepContext(
        state,
        TRAINING,
        *state.pair(),
        share.take(batches.at(4)),
        torch.Generator().manual_seed(4),
        lambda images, random, share: images,
        share,
        seen_by=told.features,
        smaller_model=SmallerModel(source.smaller.model.generator, source.smaller.codes, batches),
    )


@pytest.fixture
def batches(photos: ImageSet) -> ImageBatches:
    found = ImageBatches((photos,), 4, 3, True)
    assert found.mirrored(4)[:2].tolist() != [False, False], "the test needs a mirrored photo"
    return found


def test_downscaling_compares_reduced_pictures_with_the_smaller_base(
    source: Source, batches: ImageBatches, told: TrainOptions
) -> None:
    assert source.smaller is not None
    context = context_of(source, other(source.networks(0)[0]), batches, told)
    found = Downscaling(weight=3.0)(context).item()
    drawn, small = context.drawn, source.smaller.model.generator
    with torch.no_grad():
        expected = small.synthesis(small.styles(drawn.z[:, : small.anatomy.rows]), drawn.noise[:5])
        difference = (F.avg_pool2d(drawn.images, 2) - expected).abs().mean()
    assert small.anatomy.resolution == 16 and len(list(small.anatomy.convs)) == 5
    assert found == pytest.approx(float(3 * difference), rel=1e-5) and found > 0.01


def test_reconstruction_compares_codes_with_their_photos_mirrored_or_not(
    source: Source, batches: ImageBatches, told: TrainOptions, features: Features, codes: dict[str, Tensor]
) -> None:
    generator = other(source.networks(0)[0])
    found = Reconstruction(weight=2.0, pixels=3.0)(context_of(source, generator, batches, told)).item()
    noise = context_of(source, generator, batches, told).noise(2)
    distance, total = PerceptualDistance(features), 0.0
    for k, (name, mirrored) in enumerate(zip(batches.names(4), batches.mirrored(4), strict=True)):
        if k == 2:  # half of the batch of four
            break
        code = torch.cat([codes[name], codes[name][-1:], codes[name][-1:]])[None]
        with torch.no_grad():
            drawn = generator.synthesis(code, [plane[k : k + 1] for plane in noise])
            drawn = drawn.flip(-1) if mirrored else drawn
            photo = batches.at(4)[k : k + 1]
            total += float(2 * distance(drawn, photo).mean() + 3 * (drawn - photo).abs().mean()) / 2
    assert found == pytest.approx(total, rel=1e-5) and found > 0.1


@pytest.mark.parametrize("term", [Downscaling(), Reconstruction()])
def test_shares_together_are_the_whole(
    source: Source, batches: ImageBatches, told: TrainOptions, term: Downscaling | Reconstruction
) -> None:
    generator = other(source.networks(0)[0])
    whole = term(context_of(source, generator, batches, told)).item()
    parts = [term(context_of(source, generator, batches, told, Share(k, 2))).item() for k in range(2)]
    assert sum(parts) / 2 == pytest.approx(whole, rel=1e-5)


def test_rows_of_new_layers_repeat_the_last() -> None:
    codes = torch.arange(6.0).view(1, 3, 2)
    assert torch.equal(grown_codes(codes, 5), torch.tensor([[[0.0, 1], [2, 3], [4, 5], [4, 5], [4, 5]]]))


def test_a_code_keeps_its_meaning(source: Source, photos: ImageSet, told: TrainOptions, tmp_path: Path) -> None:
    assert source.smaller is not None
    model = load_model(train(photos, tmp_path, source, TRAINING, told))
    z = torch.randn(2, source.smaller.model.generator.anatomy.z_dim, generator=torch.Generator().manual_seed(1))
    mapped, before = model.generator.styles(z), source.smaller.model.generator.styles(z)
    assert torch.equal(mapped[:, : before.shape[1]], before)
    assert len(model.header.recipe["smaller"]) == len(model.header.recipe["codes"]) == 64


def test_a_base_that_has_grown_takes_the_mapping_network_of_the_smaller_one(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    assert source.smaller is not None
    large = make_model(seed=5, resolution=32)
    generator, _ = replace(trained_on(large), smaller=source.smaller).networks(0)
    assert "gets the mapping network of 'tiny'" in caplog.text
    mine, its = generator.mapping.state_dict(), source.smaller.model.generator.mapping.state_dict()
    assert all(torch.equal(mine[name], its[name]) for name in its)
    assert torch.equal(generator.synthesis.const, large.generator.synthesis.const)


def test_it_resumes_bit_for_bit(source: Source, photos: ImageSet, told: TrainOptions, tmp_path: Path) -> None:
    whole = train(photos, tmp_path / "whole", source, TRAINING, told).read_bytes()
    cut = replace(told, watch=lambda state: os.kill(os.getpid(), signal.SIGTERM) if state.images == 8 else None)
    with pytest.raises(Interrupted):
        train(photos, tmp_path / "cut", source, TRAINING, cut)
    assert train(photos, tmp_path / "cut", source, TRAINING, told).read_bytes() == whole


def test_other_codes_are_another_run(source: Source, photos: ImageSet, told: TrainOptions, tmp_path: Path) -> None:
    train(photos, tmp_path, source, TRAINING, told)
    assert source.smaller is not None and source.smaller.codes is not None
    moved = replace(source.smaller, codes={name: code + 1 for name, code in source.smaller.codes.items()})
    for allowed in (frozenset[str](), frozenset({"codes"})):
        with pytest.raises(UsageError, match="codes"):
            train(photos, tmp_path, replace(source, smaller=moved), TRAINING, replace(told, allow=allowed))
    plain = replace(TRAINING, terms=tuple(t for t in TRAINING.terms if not t.needs_smaller))
    with pytest.raises(UsageError, match="smaller"):
        train(photos, tmp_path, replace(source, smaller=None), plain, replace(told, allow=frozenset({"terms"})))


def test_a_style_is_held_to_a_smaller_one(
    source: Source,
    photos: ImageSet,
    told: TrainOptions,
    tiny_model: Model,
    codes: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    generator, discriminator = source.networks(0)
    base = Model(generator.eval(), discriminator, Header(generator.anatomy, discriminator.anatomy, name="large"))
    training = held(compose("freeze_fc", 32, start=Training(batch=4, seed=3)))
    training = replace(training, images=8, tick=4, held_out=0.0, patience=0)
    path = train(photos, tmp_path, Source(base, smaller=Smaller(restyled(tiny_model, "small"), codes)), training, told)
    style = load_model(path)
    assert [term for term in style.header.recipe["terms"]] == ["downscaling", "feature_discriminator", "reconstruction"]
    assert (tmp_path / "style.safetensors").is_file()
    mine, its = style.generator.state_dict(), generator.state_dict()
    assert torch.equal(mine["mapping.layers.0.weight"], its["mapping.layers.0.weight"])
    assert not torch.equal(mine["synthesis.const"], its["synthesis.const"])
    for recipe, paths in (("freeze_sg", ()), ("multipath", ("a", "b"))):
        with pytest.raises(UsageError, match="one path and one mapping network"):
            held(compose(recipe, 32, paths=paths))


def test_its_terms_and_credit_are_those_of_the_smaller_one_too(
    source: Source, photos: ImageSet, told: TrainOptions, tiny_model: Model, codes: dict[str, Tensor], tmp_path: Path
) -> None:
    lent = replace(tiny_model, header=replace(tiny_model.header, licence="CC-BY-4.0", credit="Ada"))
    about = Header(source.anatomies[0], name="mine", licence="MIT", credit="Bea")
    short = replace(TRAINING, images=4, entrance_images=4)
    held_to = replace(source, smaller=Smaller(lent, codes))
    header = load_model(train(photos, tmp_path, held_to, short, replace(told, about=about))).header
    assert (header.licence, header.credit) == ("CC-BY-4.0 AND MIT", "Ada; Bea")
    assert header.lineage[-1]["held_to"] == generator_digest(lent)


def test_without_codes_it_is_held_to_the_pictures_alone(photos: ImageSet, tiny_model: Model, tmp_path: Path) -> None:
    training = held(replace(TRAINING, terms=(), images=4, entrance_images=4), codes=False)
    assert [term.name for term in training.terms] == ["downscaling"]
    source = replace(grown(tiny_model, 32), smaller=Smaller(tiny_model))
    header = load_model(train(photos, tmp_path, source, training, TrainOptions(quiet=True))).header
    assert len(header.recipe["smaller"]) == 64 and header.recipe["codes"] == ""


@pytest.mark.parametrize(("shrink", "told_of"), [(2, False), (8, True)])
def test_parts_in_which_it_sees_other_photos_are_told(
    source: Source,
    photos: ImageSet,
    told: TrainOptions,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    shrink: int,
    told_of: bool,
) -> None:
    training = replace(TRAINING, batch=8, accumulate=2, images=8).with_term(Reconstruction(shrink=shrink))
    train(photos, tmp_path, source, training, told)
    assert ("trains otherwise than as a whole" in caplog.text) == told_of


def test_what_does_not_belong_together_is_refused(
    source: Source, photos: ImageSet, told: TrainOptions, tiny_model: Model, tmp_path: Path
) -> None:
    plain, alone = replace(source, smaller=None), replace(source, smaller=Smaller(tiny_model))
    sizes = GeneratorAnatomy(32, (8,) * 4, 16, 16, 3)  # a layer more in the mapping network
    deep = Model(Generator(sizes), make_model(resolution=32).discriminator, Header(sizes))
    two = replace(tiny_model, generator=with_low_rows(tiny_model.generator, 4))  # a FreezeSG style
    bare = replace(TRAINING, terms=())
    for begun, training, options, says in (
        (plain, TRAINING, told, "downscaling.weight needs a smaller model"),
        (alone, TRAINING, told, "reconstruction.weight needs codes"),
        (source, bare, replace(told, features=None), "No loss of this training looks at a smaller model"),
        (source, bare.with_term(Downscaling()), replace(told, features=None), "No loss .* looks at codes"),
        (source, replace(TRAINING, frozen=Freeze()), told, "shares its mapping network"),
        (source, replace(TRAINING, paths=("a", "b"), split_upto=32), told, "knows one style, not several paths"),
        (source, replace(TRAINING, balance=("a", "b")), told, "reconstruction.shrink=1"),
    ):
        with pytest.raises(UsageError) as refused:
            train(photos, tmp_path, begun, training, options)
        assert re.search(says, f"{refused.value.message} {refused.value.cure}"), refused.value
    for wrong, says in (
        (lambda: replace(SCRATCH, smaller=Smaller(tiny_model)), "New networks cannot be held"),
        (lambda: Source(make_model(seed=5, resolution=32), smaller=Smaller(tiny_model)), "is not that of the base"),
        (lambda: replace(trained_on(tiny_model), smaller=Smaller(tiny_model)), "and what is held to it 16"),
        (lambda: replace(trained_on(deep), smaller=Smaller(tiny_model)), "have other sizes"),
        (lambda: replace(grown(tiny_model, 32), smaller=Smaller(two)), "have other sizes"),
    ):
        with pytest.raises(UsageError, match=says):
            wrong()
    for broken in (lambda: Reconstruction(shrink=0), lambda: Downscaling(weight=-1), lambda: Reconstruction(pixels=-1)):
        with pytest.raises(UsageError, match=r"(reconstruction|downscaling)\."):
            broken()
