"""The training of translators: whose losses move what, shares in bounds, a pinned run, resuming at any step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from portraitist.data.groups import Groups
from portraitist.errors import NonFinite, UsageError
from portraitist.networks.branches import TranslatorSystem
from portraitist.networks.translator_anatomy import (
    PanelAnatomy,
    TranslatorAnatomy,
    cyclegan,
    drit,
    munit,
    photo2cartoon,
    ugatit,
    unit,
)
from portraitist.networks.translator_layers import LIN, AdaLIN, SoftAdaLIN
from portraitist.recipes.translator import PRESETS
from portraitist.train.loop import WHOLE, fit
from portraitist.train.translation_loss import Sample, TranslationLoss
from portraitist.train.translator import GroupBatches, Shown, Translation, TranslatorState
from portraitist.train.translator_settings import TranslatorTraining

GROUPS = ("women", "men", "kids")
SMALL = replace(ugatit(16, 4, light=True), blocks=1)
HOURGLASS = replace(photo2cartoon(32, 4), blocks=1)
UNIT = replace(unit(16, 4), blocks=2)
PANEL = PanelAnatomy((3,), 4)
GRADIENTS = {"gradient_d", "gradient_g"}
"""Norms of gradients, told beside the losses."""
TINY = TranslatorTraining(images=18, batch=2, seed=3, person_weight=0.0, learning_rate=1e-3)


def system(anatomy: TranslatorAnatomy = SMALL, groups: tuple[str, ...] = GROUPS) -> TranslatorSystem:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        basic = TranslatorSystem.new(anatomy, replace(PANEL, attentive=anatomy.attentive), groups[:1])
        more = basic.extended(groups[1:]) if groups[1:] else basic
        # Heads that know nothing give no gradient; branches that are alike hide mistakes.
        for panel in more.players()[2:]:
            if panel.head is not None:
                torch.nn.init.normal_(panel.head.weight)
        for translator in more.players()[:2]:
            for p in translator.branches.parameters():
                p.data += 0.02 * torch.randn(p.shape)
    return more


class Shapes:
    """Photos and drawings that follow from step and group."""

    def __init__(self, side: int = 16, groups: tuple[str, ...] = GROUPS, batch: int = 2) -> None:
        self.side, self.groups, self.batch = side, groups, batch

    def at(self, step: int) -> dict[str, Sample]:
        found = {}
        for k, group in enumerate(self.groups):
            random = torch.Generator().manual_seed(100 * step + k)
            coarse = torch.rand(2 * self.batch, 3, 4, 4, generator=random) * 2 - 1
            pictures = torch.nn.functional.interpolate(coarse, size=self.side)
            found[group] = (pictures[: self.batch], pictures[self.batch :].sign() * 0.9)
        return found


class Colours:
    """Persons are their mean colour."""

    name = "colours"
    digest = "c"

    def embed(self, images: Tensor) -> Tensor:
        return torch.nn.functional.normalize(images.mean((2, 3)))


def gradients(
    players: TranslatorSystem, batch: Mapping[str, Sample], selective: bool, persons: Colours | None = None
) -> dict[str, Tensor | None]:
    training = replace(TINY, person_weight=0.0 if persons is None else 1.0, selective=selective)
    if players.anatomy.coded:
        own = PRESETS[players.anatomy.kind](16, 4).training  # type: ignore[index]
        training = replace(own, group_weight=1.0, selective=selective)
    objective = Translation(training, Shapes(), players, persons)
    state = TranslatorState(players, training)
    named = [
        (f"{way}.{name}", p)
        for way, translator in (("there", players.to_drawing), ("back", players.to_photo))
        for name, p in translator.named_parameters()  # type: ignore[union-attr]
    ]
    total: list[Tensor | None] = [None] * len(named)
    for k, (group, sample) in enumerate(batch.items()):
        shown = Shown(group, sample, None, objective.loss.draws(len(sample[0]), 0, group))
        loss, _ = objective.phases[1].loss(state, shown, k, WHOLE)
        found = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
        total = [b if a is None else a if b is None else a + b for a, b in zip(total, found, strict=True)]
    return dict(zip([name for name, _ in named], total, strict=True))


@pytest.mark.parametrize(
    ("anatomy", "persons"),
    [
        (SMALL, None),
        (HOURGLASS, Colours()),
        (replace(cyclegan(16, 4), blocks=1), None),
        (UNIT, None),
        (replace(munit(16, 4), blocks=1), None),
        (replace(drit(16, 4), blocks=2), None),
    ],
)
def test_shared_parameters_learn_from_the_common_group_alone_exactly(
    anatomy: TranslatorAnatomy, persons: Colours | None
) -> None:
    players, batch = system(anatomy), Shapes(anatomy.resolution).at(0)
    alone = gradients(players, {"women": batch["women"]}, True, persons)
    mixed = gradients(players, batch, True, persons)
    both = gradients(players, batch, False, persons)
    shared = [name for name in alone if name.split(".")[1] == "shared"]
    assert len(shared) == 2 * len(list(players.to_drawing.shared.parameters()))
    for name in [*shared, *(n for n in alone if n.split(".")[1:3] == ["branches", "0"])]:
        one, other = alone[name], mixed[name]
        assert (one is None) == (other is None) and (one is None or other is None or torch.equal(one, other)), name
    assert any(not torch.equal(alone[n], both[n]) for n in shared if alone[n] is not None)  # type: ignore[arg-type]


@pytest.mark.parametrize("anatomy", [SMALL, HOURGLASS, UNIT])
def test_gradients_reach_the_encoder_of_every_group(anatomy: TranslatorAnatomy) -> None:
    players, batch = system(anatomy), Shapes(anatomy.resolution).at(0)
    mixed, both = gradients(players, batch, True), gradients(players, batch, False)
    for way in ("there", "back"):
        for k in range(len(GROUPS)):
            for part in anatomy.own[:1]:
                name = f"{way}.branches.{k}.{part}.conv.weight"
                found, wanted = mixed[name], both[name]
                assert found is not None and wanted is not None and found.abs().max() > 0
                assert torch.equal(found, wanted)  # detached or not, a branch is told the same


def run(
    players: TranslatorSystem, training: TranslatorTraining = TINY, side: int = 16, stop_at: int = 0
) -> tuple[TranslatorState, list[dict[str, float]]]:
    state, reports = TranslatorState(players, training), []

    def on_step(state: TranslatorState, report: dict[str, Tensor]) -> bool:
        reports.append({k: float(v) for k, v in report.items()})
        for translator in state.system.players()[:2]:
            for layer in translator.modules():
                shares = [layer.rho] if isinstance(layer, AdaLIN | LIN) else []
                shares += [layer.gamma_share, layer.beta_share] if isinstance(layer, SoftAdaLIN) else []
                assert all(0 <= float(s.detach().min()) and float(s.detach().max()) <= 1 for s in shares)
        return state.images == stop_at

    persons = Colours() if training.person_weight else None
    fit(state, Translation(training, Shapes(side, players.groups), players, persons), on_step)
    return state, reports


@pytest.mark.recipe
def test_shares_stay_within_bounds_after_every_step_though_they_are_pushed() -> None:
    players = system(HOURGLASS, ("women",))
    soft = [m for m in players.to_drawing.modules() if isinstance(m, SoftAdaLIN)]
    state, _ = run(players, replace(TINY, images=8, learning_rate=0.05), 32)
    reached = torch.cat([torch.cat([s.gamma_share, s.beta_share, s.norm.rho]) for s in soft]).detach()
    assert bool((reached == 0).any()) and bool((reached == 1).any()) and state.step == 4


@pytest.mark.recipe
def test_what_a_step_tells_and_moves() -> None:
    players = system()
    before = {k: v.clone() for k, v in players.state_dict().items()}
    state, reports = run(players, replace(TINY, images=6, person_weight=1.0))
    assert (state.images, state.step, len(reports)) == (6, 1, 1)
    losses = {"loss_d", "game_d", "group_d", "loss_g", "game_g", "cycle", "identity", "attention", "person", "group_g"}
    assert reports[0].keys() == losses | GRADIENTS
    after = players.state_dict()
    resting = {k for k in before if torch.equal(before[k], after[k]) and not k.endswith(("weight_u", "weight_v"))}
    # What an instance norm takes away again: the only parameters that no loss can move are in front of one.
    assert all("rho" in k or "share" in k or "beta" in k for k in resting), resting


@pytest.mark.recipe
def test_terms_of_weight_0_are_left_out() -> None:
    training = replace(TINY, images=2, identity_weight=0.0, attention_weight=0.0, cycle_weight=0.0, group_weight=0.0)
    _, reports = run(system(groups=("women",)), training)
    assert reports[0].keys() == {"loss_d", "game_d", "loss_g", "game_g"} | GRADIENTS
    _, reports = run(system(groups=("women",)), replace(training, adversarial_weight=0.0, cycle_weight=1.0))
    assert reports[0].keys() == {"loss_d", "game_d", "loss_g", "cycle"} | GRADIENTS


@pytest.mark.recipe
@pytest.mark.parametrize("pool", [0, 3])
def test_translators_first_draw_pictures_as_they_are(pool: int) -> None:
    training = replace(TINY, images=602, initial_share=600 / 602, pool=pool, learning_rate=3e-3)
    players, before = (system(groups=("women",)) for _ in range(2))
    state, reports = run(players, training, stop_at=600)
    assert {frozenset(report) for report in reports} == {frozenset({"loss_g", "copies", "gradient_g"})}
    assert not state.pools
    assert all(
        torch.equal(*pair) for pair in zip(players.of_photos.parameters(), before.of_photos.parameters(), strict=True)
    )
    sample = Shapes().at(0)["women"]

    def error(system: TranslatorSystem) -> float:
        drawn = [(x, t(x, "women").image) for t in system.players()[:2] for x in sample]
        return sum(float((y - x).abs().mean().detach()) for x, y in drawn) / 2

    assert error(players) < 0.6 * error(before)
    terms = TranslationLoss(players, training).of_copies(sample, "women")
    assert float(terms["copies"][1].detach()) == pytest.approx(error(players), rel=1e-5)
    whole, reports = run(system(groups=("women",)), replace(training, images=4, initial_share=0.5))
    assert [report.keys() >= {"loss_d", "game_g", "cycle", "identity"} for report in reports] == [False, True]
    assert bool(whole.pools) == bool(pool)


@pytest.mark.recipe
def test_a_tiny_run_is_pinned() -> None:
    _, reports = run(system())
    _, again = run(system())
    assert reports == again and len(reports) == 3
    pinned = {"loss_d": 20.867, "loss_g": 9757.44, "cycle": 1.4622, "attention": 3.10501, "group_g": 1.14357}
    assert {k: reports[-1][k] for k in pinned} == pytest.approx(pinned, rel=2e-3)


@pytest.mark.recipe
@pytest.mark.parametrize("initial", [0, 1 / 3, 2 / 3])
@pytest.mark.parametrize("pool", [0, 3])
def test_a_training_goes_on_bit_for_bit(pool: int, initial: float) -> None:
    training = replace(TINY, pool=pool, decay_from=0.5, initial_share=initial)
    whole, told = run(system(), training)
    half, first = run(system(), training, stop_at=6)
    saved = {k: v.clone() for k, v in half.tensors().items()}
    other = TranslatorState(system(), training)
    other.restore(saved, copy.deepcopy(half.counters()))
    rest: list[dict[str, float]] = []

    def on_step(state: TranslatorState, report: dict[str, Tensor]) -> bool:
        rest.append({k: float(v) for k, v in report.items()})
        return False

    fit(other, Translation(training, Shapes(), other.system, None), on_step)
    assert [*first, *rest] == told
    mine, theirs = other.tensors(), whole.tensors()
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)
    assert any(k.startswith("pool.") for k in mine) == bool(pool)
    with pytest.raises(KeyError, match="unknown"):
        other.restore({**saved, "more": torch.zeros(1)}, half.counters())


def test_the_learning_rate_falls_to_0_or_not_at_all() -> None:
    assert TINY.rate(0) == TINY.rate(17) == 1e-3
    falling = replace(TINY, images=100, decay_from=0.5)
    assert [falling.rate(k) for k in (0, 50, 75, 100)] == pytest.approx([1e-3, 1e-3, 5e-4, 0])


def test_pictures_are_cut_at_random_but_always_alike() -> None:
    class Ramp:
        digest = ""
        names = ("0.png", "1.png", "2.png", "3.png", "4.png")

        def __len__(self) -> int:
            return 5

        def batch(self, indices: Tensor, flips: Tensor) -> Tensor:
            return (
                torch.arange(81.0).view(1, 1, 9, 9).expand(len(indices), 3, 9, 9) + 100 * indices[:, None, None, None]
            )

    data = Groups({"a": Ramp(), "b": Ramp()}, {"a": Ramp(), "b": Ramp()})
    batches = GroupBatches(data, replace(TINY, mirror=False), 8)
    seen = [batches.at(step) for step in range(12)]
    assert all(torch.equal(x, y) for x, y in zip(seen[4]["b"], batches.at(4)["b"], strict=True))
    sides = ("photos", "drawings")
    for step, groups in enumerate(seen):
        shown = [
            f"{sides[k]}/{g}/{int(p.max()) // 100}.png" for g, pair in groups.items() for k in (0, 1) for p in pair[k]
        ]
        assert batches.names(step) == shown
    photos = torch.cat([step["a"][0] for step in seen])
    assert photos.shape == (24, 3, 8, 8)
    corners = {int(c) % 100 for c in photos[:, 0, 0, 0]}
    assert corners == {0, 1, 9, 10}
    assert any(not torch.equal(step["a"][0], step["b"][0]) for step in seen)


def test_impossible_settings_are_refused() -> None:
    wrong = ({"images": 0}, {"cycle_weight": -1.0}, {"learning_rate": 0.0}, {"decay_from": 1.5}, {"enlarge": 0.9})
    wrong += ({"discriminator_weight": 0.0}, {f"{name}_weight": 0.0 for name in ("adversarial", "cycle", "identity")})
    wrong += ({"initial_share": -0.1}, {"initial_share": 1.0})
    wrong += ({"beta1": 1.0}, {"weight_decay": float("nan")}, {"person_weight": float("nan")})
    wrong += ({"cycle_weight": float("inf")}, {"learning_rate": float("inf")})
    for setting in wrong:
        with pytest.raises(UsageError):
            replace(TINY, **setting)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="face embedder"):
        TranslationLoss(system(), replace(TINY, person_weight=1.0))


@pytest.mark.recipe
def test_a_loss_that_is_no_number_touches_no_weight() -> None:
    players = system(groups=("women",))
    with torch.no_grad():
        players.of_photos.members[0].mix.bias.fill_(float("nan"))
    state = TranslatorState(players, TINY)
    before = {k: v.clone() for k, v in players.to_drawing.state_dict().items()}
    with pytest.raises(NonFinite, match="discriminators is nan"):
        fit(state, Translation(TINY, Shapes(groups=("women",)), players, None), lambda *_: False)
    assert all(torch.equal(v, before[k]) for k, v in players.to_drawing.state_dict().items())
