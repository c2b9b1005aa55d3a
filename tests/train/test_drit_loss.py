"""DRIT++'s losses: computed again from their formulas, pinned, resumed, and able to learn."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from portraitist.errors import UsageError
from portraitist.networks.branches import TranslatorSystem
from portraitist.networks.drit_layers import ContentDiscriminator
from portraitist.networks.translator import Translator, initialise
from portraitist.networks.translator_anatomy import TranslatorAnatomy, drit, munit
from portraitist.train.distributed import SINGLE, process_group
from portraitist.train.drit_loss import DritLoss
from portraitist.train.loop import fit
from portraitist.train.translation_loss import Sample
from portraitist.train.translator import Translation, TranslatorState
from portraitist.train.translator_settings import TranslatorTraining
from tests.train.test_coded_loss import GROUP, PANEL, disturbed, normed, residuals, resumed, run, style_of, training
from tests.train.test_distributed import flat
from tests.train.test_every_kind import check_same, go
from tests.train.test_translator_training import Shapes

DRIT = replace(drit(16, 4), blocks=2)


def system(anatomy: TranslatorAnatomy = DRIT) -> TranslatorSystem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        players = TranslatorSystem.new(anatomy, PANEL, GROUP)
    random = torch.Generator().manual_seed(5)
    initialise(players, "kaiming", random)
    return disturbed(players, random)


def encode(parts: torch.nn.ModuleDict, x: Tensor) -> Tensor:
    stem = parts["stem"].conv
    x = F.leaky_relu(F.conv2d(F.pad(x, [3] * 4, mode="reflect"), stem.weight, stem.bias), 0.01)
    for name in ("down1", "down2"):
        conv = parts[name].conv
        x = normed(F.conv2d(F.pad(x, [1] * 4, mode="reflect"), conv.weight, conv.bias, 2)).relu()
    return residuals(parts["to_code"], residuals(parts["encode"], x, None), None)


def decode(parts: torch.nn.ModuleDict, code: Tensor, appearance: Tensor) -> Tensor:
    x = residuals(parts["from_code"], code, None)
    one, _, two, _, three = parts["decode"].tell  # type: ignore[misc]
    told = three(two(one(appearance).relu()).relu())
    for block, numbers in zip(parts["decode"].blocks, told.split(x.shape[1], 1), strict=True):  # type: ignore[arg-type]
        beside = numbers[:, :, None, None] * torch.ones_like(x)
        y = x
        for conv, mix in zip(block.convs, block.mixes, strict=True):
            y = normed(F.conv2d(F.pad(y, [1] * 4, mode="reflect"), conv.weight, conv.bias))
            y = mix[2](mix[0](torch.cat([y, beside], 1)).relu()).relu()
        x = x + y
    for name in ("up1", "up2"):
        conv, norm = parts[name].conv, parts[name].norm
        x = F.conv_transpose2d(x, conv.weight, conv.bias, 2, padding=1, output_padding=1)
        mean, std = x.mean((1, 2, 3), True), (x.var((1, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
        x = ((x - mean) / std * norm.weight[:, None, None] + norm.bias[:, None, None]).relu()
    last = parts["out"].conv
    return F.conv2d(x, last.weight, last.bias).tanh()


def cross_entropy(logits: Tensor, share: float) -> float:
    p = logits.sigmoid()
    return float(-(share * p.log() + (1 - share) * (1 - p).log()).mean())


def test_the_losses_are_those_of_the_formulas() -> None:
    players = system()
    loss, sample = DritLoss(players, training(DRIT)), Shapes(groups=GROUP).at(0)["women"]
    draws = loss.draws(2, 3, 0, "women")
    assert draws is not None and players.of_contents is not None
    with torch.no_grad():
        terms = loss.of_translators(sample, "women", draws)
        found = {k: float(v) for k, (_, v) in terms.items()}
        wanted = dict.fromkeys(found, 0.0)
        views = [t.path("women").parts for t in players.players()[:2]]
        judges = [players.of_drawings, players.of_photos]
        noise = [d[:, : 2 * 256].view(2, 2, 16, 4, 4) for d in draws]
        looks = [d[:, 2 * 256 :].view(2, 2, 8) for d in draws]
        codes = [encode(views[k], sample[k]) for k in (0, 1)]
        noisy = [codes[k] + noise[k][:, 0] for k in (0, 1)]
        worn = [style_of(views[1 - k], sample[k]) for k in (0, 1)]  # of photos by the translator to photos
        changed = [decode(views[k], noisy[k], worn[1 - k]) for k in (0, 1)]
        for k in (0, 1):
            there, back, x = views[k], views[1 - k], sample[k]
            random = [decode(there, noisy[k], looks[k][:, i]) for i in (0, 1)]
            again = encode(back, changed[k]) + noise[k][:, 1]
            worn_by_other = style_of(back, changed[1 - k])
            wanted["reconstruction"] += float((decode(back, noisy[k], worn[k]) - x).abs().mean())
            wanted["cycle"] += float((decode(back, again, worn_by_other) - x).abs().mean())
            wanted["kl"] += float((codes[k] ** 2).mean() + (worn[1 - k] ** 2).mean())
            wanted["appearance"] += float((style_of(there, random[0]) - looks[k][:, 0]).abs().mean())
            moved = (random[0] - random[1]).abs().flatten(1).mean(1)
            wanted["mode_seeking"] += float(
                (1 / (moved / (looks[k][:, 0] - looks[k][:, 1]).abs().mean(1) + 1e-5)).mean()
            )
            wanted["content_g"] += cross_entropy(players.of_contents(noisy[k]), 0.5)
            made = torch.cat([changed[k], *random])
            judge = judges[k]
            assert judge is not None
            wanted["game_g"] += sum(float(((1 - s) ** 2).mean()) for s in judge(made).scores)
            fakes = loss.fakes(sample, "women", draws)
            torch.testing.assert_close(fakes[1 - k], made, atol=1e-5, rtol=1e-4)
        judged = {k: float(v) for k, (_, v) in loss.of_discriminators(sample, fakes, "women", draws).items()}
        apart = cross_entropy(players.of_contents(noisy[0]), 1) + cross_entropy(players.of_contents(noisy[1]), 0)
    assert found == pytest.approx(wanted, rel=1e-4)
    assert judged["content_d"] == pytest.approx(apart, rel=1e-4)
    assert {k: w for k, (w, _) in terms.items()} == {
        "game_g": 3,  # a game for each of three drawings
        "content_g": 1,
        "reconstruction": 10,
        "cycle": 10,
        "kl": 0.01,
        "appearance": 10,
        "mode_seeking": 1,
    }


@pytest.mark.recipe
def test_a_tiny_run_is_pinned_and_goes_on_bit_for_bit() -> None:
    settings = training(DRIT, pool=3)
    whole, told = run(system(), settings)
    pinned = {"loss_d": 8.68276, "content_d": 2.64078, "loss_g": 96.1383, "cycle": 1.54398, "mode_seeking": 28.9231}
    half, first = run(system(), settings, stop_at=6)
    other = TranslatorState(system(), settings)
    other.restore({k: v.clone() for k, v in half.tensors().items()}, copy.deepcopy(half.counters()))
    _, rest = resumed(other, settings)
    assert [*first, *rest] == told
    mine, theirs = other.tensors(), whole.tensors()
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)
    assert any("of_contents" in k for k in mine)
    assert {k: told[2][k] for k in pinned} == pytest.approx(pinned, rel=1e-3)


@pytest.mark.recipe
def test_a_short_training_learns_to_draw_pictures_again() -> None:
    class One(Shapes):
        def at(self, step: int) -> dict[str, Sample]:
            return super().at(0)

    wider = replace(DRIT, channels=8)
    settings = training(wider, learning_rate=5e-3, images=100, batch=1, mode_seeking_weight=0.0)
    players, told = system(wider), []

    def on_step(state: TranslatorState, report: dict[str, Tensor]) -> bool:
        told.append({k: float(v) for k, v in report.items()})
        return False

    objective = Translation(settings, One(groups=GROUP, batch=1), players, None)
    fit(TranslatorState(players, settings), objective, on_step)
    for term in ("reconstruction", "cycle"):  # .4 of either
        assert told[-1][term] < 0.6 * told[0][term]


def test_gradients_reach_every_part_but_what_rests() -> None:
    players, settings = system(), training(DRIT)
    loss, sample = DritLoss(players, settings), Shapes(groups=GROUP).at(0)["women"]
    terms = loss.of_translators(sample, "women", loss.draws(2, 0))
    sum(weight * value for weight, value in terms.values()).backward()  # type: ignore[union-attr]
    for translator in players.players()[:2]:
        for name, p in translator.named_parameters():
            assert p.grad is not None and (p.ndim == 1 or p.grad.abs().max() > 0), name
    players.zero_grad()
    _, worn = loss.of_translators(sample, "women", loss.draws(2, 0))["appearance"]
    worn.backward()
    appearances = [p for n, p in players.named_parameters() if "appearance" in n]
    assert appearances and not any(p.grad.any() for p in appearances if p.grad is not None)
    assert players.to_drawing.path("women").parts["out"].conv.weight.grad.abs().max() > 0  # type: ignore[union-attr]


def test_the_discriminator_of_contents_learns_with_the_others_and_rests_at_weight_0() -> None:
    for weight in (1.0, 0.0):
        players, settings = system(), training(DRIT, content_adversarial_weight=weight, images=2)
        assert players.of_contents is not None
        before = [p.clone() for p in players.of_contents.parameters()]
        run(players, settings)
        moved = [not torch.equal(a, b) for a, b in zip(before, players.of_contents.parameters(), strict=True)]
        assert all(moved) if weight else not any(moved)


@pytest.mark.parametrize(("side", "map_side"), [(4, 1), (8, 5), (16, 3), (32, 2), (54, 1), (64, 2)])
def test_the_discriminator_of_contents_fits_every_size(side: int, map_side: int) -> None:
    judge = ContentDiscriminator((8, side, side))
    assert judge(torch.randn(3, 8, side, side)).shape == (3, 1, map_side, map_side)


def test_both_translators_share_the_code_and_a_pair_needs_its_discriminator() -> None:
    players = system()
    there, back = (t.shared for t in players.players()[:2])
    assert there["to_code"] is back["to_code"] and there["from_code"] is back["from_code"]
    wider = players.extended(("men",)).of_contents
    assert wider is not None and wider is not players.of_contents and players.of_contents is not None
    mine, theirs = players.of_contents.state_dict(), wider.state_dict()
    assert all(torch.equal(mine[k], theirs[k]) for k in mine)
    players.of_contents = None
    with pytest.raises(UsageError, match="can only be run"):
        players.players()


def test_an_appearance_changes_the_drawing_and_not_the_content() -> None:
    torch.manual_seed(0)
    network, pictures = Translator(DRIT), torch.rand(2, 3, 16, 16) * 2 - 1
    plain, changed = network(pictures).image, network(pictures, torch.ones(2, 8)).image
    assert plain.shape == pictures.shape and (plain - changed).abs().max() > 1e-3
    torch.testing.assert_close(plain, network.decoded(network.encoded(pictures), torch.zeros(2, 8)))
    assert network.appearance_of(pictures).shape == (2, 8)


def test_losses_that_a_kind_has_not_are_refused() -> None:
    with pytest.raises(UsageError, match="drit have no loss for content_weight"):
        DritLoss(system(), training(DRIT, content_weight=1.0))
    with pytest.raises(UsageError, match="munit have no loss for content_adversarial_weight and mode_seeking_weight"):
        TranslatorTraining(
            identity_weight=0, attention_weight=0, content_adversarial_weight=1.0, mode_seeking_weight=1.0
        ).refuse_foreign(munit(16, 4))


def test_they_train_in_parts_and_in_mixed_precision() -> None:
    def two_steps(accumulate: int = 1) -> tuple[TranslatorState, Translation]:
        settings = training(DRIT, learning_rate=1e-5, accumulate=accumulate)
        state = TranslatorState(system(), settings)
        return state, Translation(settings, Shapes(groups=GROUP), state.system, None)

    whole = go(*two_steps(), SINGLE)
    check_same(go(*two_steps(accumulate=2), SINGLE), whole)
    with process_group("cpu", "bf16") as group:
        mixed = go(*two_steps(), group)
    cosine = F.cosine_similarity(flat(mixed["gradients"][0]), flat(whole["gradients"][0]), dim=0)
    assert 0.97 < cosine < 0.99999, float(cosine)
