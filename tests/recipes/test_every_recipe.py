"""Every recipe on a tiny base: what rests, what moves, that it resumes and composes, and its numbers."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from portraitist.errors import UsageError
from portraitist.networks import DiscriminatorPanel, GeneratorAnatomy, MultiPathGenerator
from portraitist.recipes import RECIPES, compose
from portraitist.recipes.baseline import fine_tune, from_scratch
from portraitist.recipes.catalogue import Preset
from portraitist.train.gan import Gan
from portraitist.train.loop import fit
from portraitist.train.snapshot import resume, write_snapshot
from portraitist.train.source_losses import Similarity, Structure
from portraitist.train.spec import Freeze, Training, check
from portraitist.train.state import TrainState, path_of
from tests.recipes.tiny_runs import BATCH, PRESETS, SIDE, TinyRun, attributes, same, tiny

NAMES = tuple(RECIPES)

REFUSED = {
    ("baseline", "freeze_d"): "baseline is freeze_d with augmentation",
    ("baseline", "agilegan"): "another adversarial loss, without augmentation",
    ("freeze_g", "freeze_sg"): "freeze_g freezes the mapping network",
    ("freeze_sg", "freeze_fc"): "freeze_fc freezes the mapping network",
    ("agilegan", "freeze_sg"): "agilegan freezes the mapping network",
    ("freeze_g", "toonify"): "which freeze_g holds to the base's",
    ("freeze_sg", "toonify"): "which freeze_sg holds to the base's",
    ("structure", "toonify"): "which structure holds to the base's",
}
COMPATIBLE = [pair for pair in itertools.combinations(NAMES, 2) if pair not in REFUSED]

# Of the first and the last of four steps: the discriminator's loss, the generator's, and that of the likeness.
PINNED: dict[tuple[str, str], tuple[tuple[float, ...], tuple[float, ...]]] = {
    ("baseline", "default"): ((1.33946, 0.37904), (1.58495, 0.36914)),
    ("baseline", "paper"): ((1.33946, 0.37904), (1.58403, 0.36984)),
    ("agilegan", "default"): ((1.94102, -0.895, 0.0), (1.95242, -0.92171, 0.00278)),
    ("agilegan", "paper"): ((1.94102, -0.89968, 0.0), (1.95653, -0.92257, 0.0026)),
    ("agilegan", "released"): ((1.94102, -0.91739, 0.0), (1.75566, -0.86774, 0.00228)),
    ("freeze_d", "default"): ((1.33946, 0.37904), (1.57958, 0.38311)),
    ("freeze_d", "paper"): ((1.33946, 0.37854), (1.58007, 0.38204)),
    ("freeze_d", "released"): ((1.33946, 0.37854), (1.58007, 0.38204)),
    ("freeze_g", "default"): ((1.33946, 0.37904), (1.58216, 0.37275)),
    ("freeze_g", "released"): ((1.33946, 0.38186), (1.57147, 0.38073)),
    ("freeze_sg", "default"): ((1.33946, 0.37904), (1.57686, 0.37508)),
    ("freeze_sg", "paper"): ((1.33946, 0.38186), (1.55015, 0.41885)),
    ("freeze_sg", "released"): ((1.33946, 0.37854), (1.58213, 0.37232)),
    ("structure", "default"): ((1.33946, 0.37904, 0.0), (1.57134, 0.37662, 0.24688)),
    ("structure", "paper"): ((1.33946, 0.38186, 0.0), (1.56174, 0.40872, 0.00764)),
    ("structure", "released"): ((1.33946, 0.37854, 0.0), (1.58434, 0.36952, 0.00304)),
    ("correspondence", "default"): ((1.33946, 0.37904, 0.0), (1.58006, 0.37493, 0.05804)),
    ("correspondence", "paper"): ((1.33946, 0.38186, 0.0), (1.55911, 0.41051, 0.04824)),
    ("freeze_fc", "default"): ((1.33946, 0.37904), (1.58494, 0.36914)),
    ("freeze_fc", "paper"): ((1.33946, 0.38186), (1.5628, 0.40797)),
    ("freeze_fc", "released"): ((1.33946, 0.38186), (1.56281, 0.408)),
    ("toonify", "default"): ((1.33946, 0.37904), (1.58495, 0.36914)),
    ("toonify", "paper"): ((1.33946, 0.38186), (1.56281, 0.408)),
    ("multipath", "default"): ((1.45435, 0.34924), (1.59254, 0.35864)),
    ("multipath", "paper"): ((1.45435, 0.3497), (1.53153, 0.40565)),
}


@cache
def done(names: str, preset: str = "default") -> tuple[TrainState, TinyRun]:
    """Return the state before and the run after four steps; tests must not change them."""
    run = TinyRun(tiny(names, preset))
    before = copy.deepcopy(run.state)
    return before, run.go()


def plain_name(network: nn.Module, parameter: str) -> str:
    return network.plain_name(parameter) if isinstance(network, MultiPathGenerator | DiscriminatorPanel) else parameter


def resting(run: TinyRun) -> tuple[dict[str, bool], dict[str, bool]]:
    """Tell by name which parameters of the generator and of the discriminator should rest."""
    rests, generator, discriminator = run.training.frozen, run.state.generator, run.state.discriminator
    return (
        {n: rests.generator(generator.anatomy, plain_name(generator, n)) for n, _ in generator.named_parameters()},
        {
            n: rests.discriminator(discriminator.anatomy, plain_name(discriminator, n))
            for n, _ in discriminator.named_parameters()
        },
    )


def stayed(before: nn.Module, after: nn.Module) -> dict[str, bool]:
    old = dict(before.named_parameters())
    return {name: torch.equal(old[name], p) for name, p in after.named_parameters()}


@pytest.mark.parametrize(("names", "preset"), PRESETS)
def test_what_rests_is_bitwise_unchanged_and_all_else_moves(names: str, preset: str) -> None:
    before, run = done(names, preset)
    rest_g, rest_d = resting(run)
    assert stayed(before.generator, run.state.generator) == rest_g
    assert stayed(before.discriminator, run.state.discriminator) == rest_d
    assert stayed(before.average, run.state.average) == rest_g
    assert not all(rest_g.values()) and not all(rest_d.values())


def test_what_rests_is_what_the_papers_say() -> None:
    def places(names: str, preset: str = "default") -> tuple[set[object], set[object]]:
        _, run = done(names, preset)
        rest_g, rest_d = resting(run)
        g, d = run.state.generator, run.state.discriminator
        low = "low mapping"
        return (
            {low if "low_mapping" in n else g.anatomy.place(plain_name(g, n)) for n, r in rest_g.items() if r},
            {d.anatomy.place(plain_name(d, n)) for n, r in rest_d.items() if r},
        )

    freeze_d = {8, 16}
    assert places("baseline") == places("structure") == places("toonify") == places("multipath") == (set(), freeze_d)
    assert places("freeze_d") == (set(), freeze_d)
    assert places("freeze_fc") == ({None}, freeze_d) and places("freeze_fc", "released") == (set(), set())
    assert places("freeze_g") == ({None, 4}, freeze_d)
    assert places("freeze_sg") == ({"low mapping", 4, 8}, freeze_d)
    assert places("freeze_sg", "released") == ({None, 4}, freeze_d)
    assert places("agilegan") == ({None}, set()) and places("agilegan", "released") == ({None}, freeze_d)


@pytest.mark.parametrize(("names", "preset"), PRESETS)
def test_the_base_never_changes(names: str, preset: str) -> None:
    before, run = done(names, preset)
    fresh = TinyRun(run.training)
    assert run.base.digest == fresh.base.digest
    assert same(before, fresh.state)  # nor does what a training begins with depend on anything
    assert run.monitor.features.digest == fresh.monitor.features.digest


@pytest.mark.parametrize(("names", "preset"), PRESETS)
def test_the_average_follows_with_the_half_life_it_says(names: str, preset: str) -> None:
    run = TinyRun(tiny(names, preset, steps=3))
    expected = [p.double() for p in run.state.average.parameters()]

    def follow(state: TrainState) -> None:
        t = run.training
        ramp = max(state.images - BATCH, BATCH) * t.ema_ramp if t.ema_ramp else float("inf")
        keep = 0.5 ** (BATCH / min(t.ema_images, ramp))
        for mean, p in zip(expected, state.generator.parameters(), strict=True):
            mean.mul_(keep).add_(p.detach().double(), alpha=1 - keep)

    run.go(each=follow)
    for p, q in zip(run.state.average.parameters(), expected, strict=True):
        assert torch.allclose(p.double(), q, atol=1e-6)


@pytest.mark.parametrize(("names", "preset"), PRESETS)
def test_every_recipes_tiny_run_is_pinned(names: str, preset: str) -> None:
    _, run = done(names, preset)
    words = ("loss_d", "loss_g", "structure", "similarity", "correspondence")
    found = tuple(tuple(round(r[w], 5) for w in words if w in r) for r in (run.reports[0], run.reports[-1]))
    # A change that moves these numbers changes every training: say so, and why, in the changelog.
    assert torch.allclose(torch.tensor(found), torch.tensor(PINNED[names, preset]), atol=1e-3), found


def test_the_similarity_loss_of_releases_before_is_the_sum_over_taps() -> None:
    training = tiny("agilegan", "paper").with_term(Similarity(0.5, 3, "sum"))
    reports = TinyRun(training).go().reports
    found = [reports[-1][word] for word in ("loss_d", "loss_g", "similarity")]
    assert found == pytest.approx([1.95599, -0.91684, 0.00601], abs=1e-3)


@pytest.mark.parametrize(("names", "preset"), PRESETS)
def test_a_run_cut_off_in_the_middle_is_the_same_run(names: str, preset: str, tmp_path: Path) -> None:
    training = tiny(names, preset)
    whole = TinyRun(training).go(judged=True)
    first = TinyRun(training).go(stop_at=2 * BATCH, judged=True)
    write_snapshot(tmp_path, first.state)
    second = TinyRun(training)
    assert resume(tmp_path, second.state) is not None
    assert same(first.state, second.state) and len(second.state.history) == 2 and second.state.best
    second.go(judged=True)
    assert same(whole.state, second.state) and len(whole.state.history) == 4
    assert whole.reports == first.reports + second.reports


def parts_of(names: str) -> Iterator[tuple[str, ...]]:
    yield from itertools.permutations(names.split("+"))


def compatible(names: tuple[str, ...]) -> bool:
    return not any(pair in REFUSED for pair in itertools.combinations(sorted(names, key=NAMES.index), 2))


@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True),
    st.sampled_from(get_args(Preset)),
)
def test_recipes_compose_in_any_order(names: list[str], preset: str) -> None:
    joined = "+".join(names)

    def composed(order: tuple[str, ...]) -> Training:
        return compose("+".join(order), 64, preset=preset, paths=attributes(joined))

    if not compatible(tuple(names)):
        with pytest.raises(UsageError, match="contradict each other"):
            composed(tuple(names))
        return
    if any(preset in RECIPES[name].without for name in names):
        with pytest.raises(UsageError, match=f"has no preset {preset}"):
            composed(tuple(names))
        return
    first = composed(tuple(names))
    assert all(composed(order) == first for order in parts_of(joined))
    assert first == compose(names, 64, preset=preset, paths=attributes(joined))


@pytest.mark.parametrize(("pair", "why"), REFUSED.items())
def test_contradicting_recipes_are_refused_with_the_reason(pair: tuple[str, str], why: str) -> None:
    for order in (pair, pair[::-1]):
        with pytest.raises(UsageError) as refused:
            compose("+".join(order), 64)
        assert why in refused.value.message and all(name in refused.value.message for name in pair)
        assert refused.value.cure == "Choose one." and refused.value.exit_code == 2


@pytest.mark.parametrize("pair", COMPATIBLE)
def test_every_compatible_pair_trains_what_it_says(pair: tuple[str, str]) -> None:
    training = tiny("+".join(pair), steps=1)
    run = TinyRun(training)
    before = copy.deepcopy(run.state)
    run.go()
    rest_g, rest_d = resting(run)
    assert stayed(before.generator, run.state.generator) == rest_g
    assert stayed(before.discriminator, run.state.discriminator) == rest_d


def test_what_one_recipe_asks_for_holds_beside_the_other() -> None:
    both = compose("multipath+agilegan", 64, paths=("a", "b"))
    alone = compose("agilegan", 64)
    assert replace(both, paths=(), split_from=alone.split_from, split_upto=alone.split_upto) == alone
    assert (both.split_from, both.split_upto) == (8, 16)
    both = compose("freeze_fc+structure", 64)
    assert both.frozen == compose("freeze_fc", 64).frozen and both.augment == "ada"
    assert both.terms == (Structure(weight=100.0, last=16, tap="rgb"),)


@pytest.mark.parametrize("side", [64, 256])
def test_resolutions_of_the_recipes_follow_the_base(side: int) -> None:
    """Pixels where a paper names them, shares of the side where its authors count blocks from the top."""
    ours, released = (partial(compose, resolution=side, preset=preset) for preset in ("default", "released"))
    low = {name: ours(name).frozen.generator_upto for name in ("baseline", "freeze_g", "freeze_sg")}
    assert low == {"baseline": 0, "freeze_g": {64: 16, 256: 64}[side], "freeze_sg": 8}
    assert ours("freeze_sg").frozen.styles_upto == 8
    assert released("freeze_sg").frozen == {64: Freeze(True, 4, 16, 0), 256: Freeze(True, 16, 64, 0)}[side]
    assert released("agilegan").frozen.discriminator_from == {64: 16, 256: 64}[side]
    # FreezeD's authors train the blocks of 16, 8 and 4 pixels, at 256
    assert {ours(n).frozen.discriminator_from for n in ("baseline", "freeze_d", "freeze_fc", "structure")} == {32}
    assert ours("toonify").blend_upto == 32
    multipath = compose("multipath", side, paths=("a", "b"))
    assert (multipath.split_from, multipath.split_upto) == (8, {64: 16, 256: 64}[side])
    assert ours("structure").terms == (Structure(weight={64: 100.0, 256: 10_000.0}[side], first=4, last=16, tap="rgb"),)
    assert ours("baseline").r1_gamma == pytest.approx({64: 0.1024, 256: 1.6384}[side])  # of a batch of 8
    for name in RECIPES:
        if name != "multipath":
            check(ours(name), GeneratorAnatomy(side, (4,) * (side.bit_length() - 2)))


def test_only_multipath_takes_attributes_and_it_needs_them() -> None:
    for names, paths in (("multipath", ()), ("baseline", ("women", "men")), ("agilegan+multipath", ())):
        with pytest.raises(UsageError, match="belong together"):
            compose(names, 64, paths=paths)
    assert compose("multipath", 64, paths=("one",)).paths == ("one",)


@pytest.mark.parametrize(("batch", "count", "rounded"), [(8, 3, 9), (8, 2, 8), (8, 5, 10), (2, 3, 3), (1, 1, 1)])
def test_a_batch_is_rounded_up_to_a_multiple_of_the_paths(batch: int, count: int, rounded: int) -> None:
    paths = tuple(f"path{k}" for k in range(count))
    training = compose("multipath", 64, paths=paths, start=Training(batch=batch))
    assert training.batch == rounded
    assert training.r1_gamma == pytest.approx(0.0002 * 64**2 / rounded)  # the rule is for the batch that is used


@given(batch=st.integers(1, 64), seed=st.integers(0, 9), name=st.sampled_from([n for n in NAMES if n != "multipath"]))
def test_batch_and_seed_are_kept_and_nothing_else_of_the_start(batch: int, seed: int, name: str) -> None:
    start = Training(batch=batch, seed=seed)
    training = compose(name, 64, start=start)
    assert (training.batch, training.seed) == (batch, seed)
    assert training == compose(name, 64, start=replace(start, images=7, augment="diffaugment", r1_gamma=3.0))
    for root in (fine_tune, from_scratch):
        assert root(64, start).r1_gamma == pytest.approx(0.0002 * 64**2 / batch)


def test_recipes_that_bring_no_root_stand_on_the_baseline() -> None:
    for name in NAMES:
        if name not in ("baseline", "agilegan", "freeze_d"):
            paths = attributes(name)
            assert compose(name, 64, paths=paths) == compose(f"baseline+{name}", 64, paths=paths)
    assert compose("agilegan", 64).augment == "none" == compose("freeze_d", 64).augment
    assert compose("baseline", 64).augment == "ada"


@pytest.mark.parametrize(
    ("names", "preset", "message"),
    [
        ("cartoon", "paper", "There is no recipe 'cartoon'. Recipes: baseline, agilegan"),
        ("", "paper", "There is no recipe ''"),
        ("baseline+", "paper", "There is no recipe ''"),
        ("baseline", "authors", "There is no preset 'authors'. Use default, paper, released."),
    ],
)
def test_what_does_not_exist_is_refused_by_name(names: str, preset: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        compose(names, 64, preset=preset)
    assert str(refused.value).startswith(message)


ANATOMY = GeneratorAnatomy(64, (8,) * 5, 16, 16, 2)
STRUCTURE = Training(terms=(Structure(weight=1.0, last=16),))


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (replace(STRUCTURE, frozen=Freeze(mapping=True, generator_upto=16)), "structure loss looks at blocks up to 16"),
        (
            replace(STRUCTURE, frozen=Freeze(styles_upto=16, generator_upto=16)),
            "structure loss looks at blocks up to 16",
        ),
        (Training(paths=("a", "b"), split_upto=16, frozen=Freeze(generator_upto=16)), "Paths have blocks of their own"),
        (Training(frozen=Freeze(mapping=True, styles_upto=8)), "mapping network that trains"),
        (Training(patience=1), "Early stopping .patience. needs held-out"),
        (Training(frozen=Freeze(mapping=True, generator_upto=64)), "Every generator layer is frozen"),
        (Training(frozen=Freeze(discriminator_from=4)), "Every discriminator layer is frozen"),
        (Training(blend_upto=24), "blend_upto is 24"),
        (Training(frozen=Freeze(styles_upto=128)), "styles_upto is 128"),
        (Training(paths=("a",), split_upto=128), "split_upto is 128"),
        (Training(paths=("a",), split_from=32, split_upto=16), "first resolution lies above the last"),
        (Training(terms=(Structure(first=5, last=7),)), "first resolution lies above the last"),
    ],
)
def test_a_setting_that_makes_another_void_is_refused(training: Training, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        check(training, ANATOMY)
    assert refused.value.cure


@pytest.mark.parametrize(
    "training",
    [
        STRUCTURE,
        replace(STRUCTURE, frozen=Freeze(mapping=True, generator_upto=8)),
        replace(STRUCTURE, frozen=Freeze(generator_upto=16)),  # what the mapping gives still moves
        replace(STRUCTURE, frozen=Freeze(styles_upto=8, generator_upto=16)),
        Training(paths=("a", "b"), split_upto=16, frozen=Freeze(generator_upto=8)),
        Training(held_out=0.2, patience=1),
    ],
)
def test_settings_that_leave_each_other_work_pass(training: Training) -> None:
    check(training, ANATOMY)


def latents(run: TinyRun, batch: int = 64) -> Tensor:
    """Draw as training does, with mixing on: [N, rows, z_dim]."""
    anatomy = run.base.generator.anatomy
    random = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, batch, anatomy.z_dim, generator=random)
    crossover = torch.randint(1, anatomy.rows, (batch,), generator=random)
    second_from = torch.arange(anatomy.rows)[None] >= crossover[:, None]
    return torch.where(second_from[:, :, None], second[:, None], first[:, None])


@pytest.mark.parametrize("names", ["freeze_sg", "freeze_sg+structure", "freeze_sg+multipath"])
def test_the_low_rows_of_freeze_sg_are_the_sources_of_the_same_z(names: str) -> None:
    training = tiny(names)
    run = TinyRun(training)
    k = run.base.generator.anatomy.rows_upto(8)
    for z in (latents(run), latents(run)[:, 0], torch.randn(1, run.base.generator.anatomy.z_dim)):
        with torch.no_grad():
            theirs, mine = run.base.generator.styles(z), run.state.pair()[0].styles(z)
        assert k == 4 < theirs.shape[1] and torch.equal(theirs, mine)
    run.go()
    for path in range(max(len(training.paths), 1)):
        for generator in (path_of(run.state.generator, path), path_of(run.state.average, path)):
            for z in (latents(run), latents(run)[:, 0]):
                with torch.no_grad():
                    theirs, mine = run.base.generator.styles(z), generator.styles(z)
                assert torch.equal(theirs[:, :k], mine[:, :k])
                assert ((theirs[:, k:] - mine[:, k:]).abs().amax(2) > 0).all()


def test_a_low_row_carries_no_gradient_of_the_game() -> None:
    run = TinyRun(tiny("freeze_sg", steps=1))
    assert run.state.pair()[0].low_mapping is not None
    fit(run.state, Gan(run.training, _Fixed(), source=run.objective.source), lambda state, report: True)
    trained = {id(p) for p in run.state.optimiser_g.state}
    low = run.state.pair()[0].low_mapping
    assert low is not None and not any(id(p) in trained for p in low.parameters())


class _Fixed:
    def at(self, images: int) -> Tensor:
        return torch.zeros(BATCH, 3, SIDE, SIDE)
