"""The loop: what moves, what rests, and that a training cut off anywhere is the same training."""

from __future__ import annotations

import copy
import functools
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from portraitist.errors import BadModel, NonFinite, UsageError
from portraitist.invert import PivotalTuning, Projection
from portraitist.networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from portraitist.train.folder import differences
from portraitist.train.gan import Gan
from portraitist.train.log import RunLog
from portraitist.train.loop import fit
from portraitist.train.snapshot import KEPT, resume, snapshots, write_snapshot
from portraitist.train.source_losses import Structure
from portraitist.train.spec import Freeze, Role, Term, Training
from portraitist.train.state import TrainState, adam
from portraitist.train.tally import Tally
from portraitist.train.terms import StepContext

TRAINING = Training(
    images=48, batch=4, r1_gamma=1.0, r1_every=4, path_every=2, ada_images=64, ada_every=2, ada_target=-1.0, seed=3
)


@dataclass(frozen=True)
class Waves:
    """Sixteen-pixel pictures that follow from their position."""

    batch: int = 4

    def at(self, images: int) -> Tensor:
        phase = torch.arange(images, images + self.batch)[:, None, None, None] * 0.7
        x = torch.linspace(0, 6, 16)
        frequency = 1 + torch.arange(3)[None, :, None, None]
        return torch.sin(x * frequency + phase + x[:, None])


def start(training: Training = TRAINING, resolution: int = 16) -> TrainState:
    channels = tuple([8] * (resolution.bit_length() - 2))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        generator = Generator(GeneratorAnatomy(resolution, channels, 16, 16, 2))
        discriminator = Discriminator(DiscriminatorAnatomy(resolution, channels))
    return TrainState.start(generator, discriminator, training)


def run(state: TrainState, training: Training = TRAINING, stop_at: int | None = None) -> list[dict[str, float]]:
    reports: list[dict[str, float]] = []

    def on_step(state: TrainState, report: dict[str, Tensor]) -> bool:
        reports.append({k: float(v) for k, v in report.items()})
        return state.images == stop_at

    fit(state, Gan(training, Waves()), on_step)
    return reports


def same(a: TrainState, b: TrainState) -> bool:
    x, y = a.tensors(), b.tensors()
    return a.counters() == b.counters() and x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


def test_phases_play_d_then_its_regulariser_then_g() -> None:
    plan = [(p.role, p.every, p.losses) for p in Gan(TRAINING, Waves()).phases]
    assert plan == [("D", 1, ("loss_d",)), ("D", 4, ("r1",)), ("G", 1, ("loss_g",)), ("G", 2, ("path",))]


def test_every_parameter_moves_and_the_average_follows() -> None:
    state = start()
    before = copy.deepcopy(state)
    run(state)
    for name in ("generator", "discriminator"):
        old, new = dict(getattr(before, name).named_parameters()), dict(getattr(state, name).named_parameters())
        assert [k for k in new if torch.equal(old[k], new[k])] == []
    moved = [torch.equal(p, q) for p, q in zip(before.average.parameters(), state.average.parameters(), strict=True)]
    assert not any(moved)
    assert state.ada.p > 0


def test_what_rests_is_bitwise_unchanged_and_all_else_moves() -> None:
    frozen = Freeze(mapping=True, generator_upto=8, discriminator_from=16)
    training = replace(TRAINING, frozen=frozen)
    state = start(training)
    before = copy.deepcopy(state)
    run(state, training)
    for old, new, resting in (
        (before.generator, state.generator, lambda n: frozen.generator(state.generator.anatomy, n)),
        (before.discriminator, state.discriminator, lambda n: frozen.discriminator(state.discriminator.anatomy, n)),
    ):
        olds, news = dict(old.named_parameters()), dict(new.named_parameters())
        for name, value in news.items():
            assert torch.equal(olds[name], value) == resting(name), name
    assert any(frozen.generator(state.generator.anatomy, n) for n, _ in state.generator.named_parameters())


@functools.cache
def whole_run(training: Training) -> TrainState:
    """A run that nothing cuts; tests must not change it."""
    state = start(training)
    run(state, training)
    return state


@pytest.mark.parametrize("augment", ["none", "ada", "diffaugment"])
@pytest.mark.parametrize("cut", [4, 20, 28])
def test_resumes_bit_for_bit(tmp_path: Path, augment: str, cut: int) -> None:
    training = replace(TRAINING, augment=augment)
    first = start(training)
    run(first, training, stop_at=cut)
    write_snapshot(tmp_path, first)
    second = start(training)
    assert resume(tmp_path, second) is not None
    assert same(first, second)
    run(second, training)
    assert same(whole_run(training), second)


def test_the_tiny_run_is_pinned() -> None:
    reports = run(start())
    losses = [(r["loss_d"], r["loss_g"]) for r in (reports[0], reports[5], reports[-1])]
    # A change that moves these numbers changes every training: say so, and why, in the changelog.
    assert torch.allclose(torch.tensor(losses), torch.tensor(PINNED), atol=1e-3), losses


PINNED = [(1.14956, 0.81006), (1.23383, 0.69930), (1.38768, 0.85598)]


def test_a_damaged_snapshot_is_skipped_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = start()
    run(state, stop_at=8)
    write_snapshot(tmp_path, state)
    kept = copy.deepcopy(state)
    run(state, stop_at=16)
    newest = write_snapshot(tmp_path, state)
    data = bytearray(newest.read_bytes())
    data[-7] ^= 1
    newest.write_bytes(data)
    (tmp_path / ".orphan.part").write_bytes(b"half")
    found = start()
    used = resume(tmp_path, found)
    assert used is not None and used.name == "snapshot-000000008.safetensors"
    assert "DAMAGED" in caplog.text
    assert same(found, kept)
    assert not (tmp_path / ".orphan.part").exists()
    used.write_bytes(used.read_bytes()[:100])
    with pytest.raises(BadModel, match="damaged"):
        resume(tmp_path, start())


def test_only_the_newest_snapshots_stay(tmp_path: Path) -> None:
    state = start()
    for images in (4, 8, 12, 16):
        state.images = images
        write_snapshot(tmp_path, state)
    assert [int(p.stem[-9:]) for p in snapshots(tmp_path)] == [8, 12, 16][-KEPT:]
    assert resume(tmp_path / "none", state) is None


def test_a_snapshot_of_other_networks_is_refused(tmp_path: Path) -> None:
    write_snapshot(tmp_path, start())
    with pytest.raises(BadModel, match="other networks"):
        resume(tmp_path, start(resolution=32))


def test_nan_stops_the_training_before_the_update() -> None:
    state = start()
    with torch.no_grad():
        state.discriminator.final.out.bias.fill_(float("nan"))
    before = copy.deepcopy(state.generator.state_dict())
    with pytest.raises(NonFinite, match="loss_d"):
        run(state)
    assert all(torch.equal(v, before[k]) for k, v in state.generator.state_dict().items())
    assert all(p.requires_grad for p in state.generator.parameters())


@dataclass(frozen=True)
class RootOfNothing(Term):
    """A loss of 0 whose gradient is NaN."""

    name: ClassVar[str] = "root"
    role: ClassVar[Role] = "G"

    def __call__(self, context: StepContext) -> Tensor:
        return (context.state.generator.synthesis.const * 0).square().sum().sqrt()


def test_a_gradient_of_nan_under_a_finite_loss_touches_no_weight() -> None:
    state = start()
    before = copy.deepcopy(state)
    with pytest.raises(NonFinite, match="gradient of root"):
        fit(state, Gan(TRAINING, Waves(), [RootOfNothing()]), lambda state, report: False)
    assert same(state, before)


def test_adam_is_rescaled_for_lazy_regularisation() -> None:
    network = torch.nn.Linear(1, 1)
    group = adam(network, 0.002, 16).param_groups[0]
    assert group["lr"] == pytest.approx(0.002 * 16 / 17)
    assert group["betas"] == (0.0, pytest.approx(0.99 ** (16 / 17)))
    for every in (0, 1):  # left out, or part of every step: no steps of its own
        assert adam(network, 0.002, every).param_groups[0]["lr"] == 0.002


def test_adam_is_not_rescaled_for_a_regulariser_of_no_weight() -> None:
    state = start(replace(TRAINING, r1_gamma=0, path_weight=0))
    for optimiser in (state.optimiser_d, state.optimiser_g):
        assert optimiser.param_groups[0]["lr"] == TRAINING.learning_rate


def test_the_average_of_a_constant_is_that_constant() -> None:
    state = start()
    state.images = 1000
    expected = [p.clone() for p in state.generator.parameters()]
    for _ in range(3):
        state.follow(TRAINING)
    for p, q in zip(state.average.parameters(), expected, strict=True):
        assert torch.allclose(p, q)


def test_the_average_has_the_half_life_it_says() -> None:
    training = replace(TRAINING, ema_images=8.0, ema_ramp=0.0)
    state = start(training)
    with torch.no_grad():
        state.generator.synthesis.const.fill_(1.0)
        state.average.synthesis.const.fill_(0.0)
    for _ in range(2):  # 2 steps of 4 images are one half-life
        state.follow(training)
    assert state.average.synthesis.const.mean() == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("field", ["batch", "images", "learning_rate", "r1_gamma", "mixing", "path_decay", "augment"])
def test_settings_that_make_no_sense_are_refused(field: str) -> None:
    with pytest.raises(UsageError, match=field):
        replace(TRAINING, **{field: -1})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_settings_that_are_no_number_are_refused(value: float) -> None:
    for name in [f.name for f in fields(TRAINING) if isinstance(getattr(TRAINING, f.name), float)]:
        with pytest.raises(UsageError, match=f"The setting {name} must be a number"):
            replace(TRAINING, **{name: value})
    with pytest.raises(UsageError, match=r"structure\.weight must be a number"):
        Structure(weight=value)
    with pytest.raises(UsageError, match="learning rate"):
        Projection(learning_rate=value)
    with pytest.raises(UsageError, match="learning rate"):
        PivotalTuning(learning_rate=value)


def test_a_snapshot_of_another_run_is_told_and_not_continued(tmp_path: Path) -> None:
    write_snapshot(tmp_path, start(), {"seed": 1, "images": 8})

    def other(settings: Mapping[str, Any]) -> list[str]:
        return differences(settings, {"seed": 2, "images": 16}, frozenset({"images"}))

    with pytest.raises(BadModel, match="seed: 1 -> 2"):
        resume(tmp_path, start(), other)
    assert resume(tmp_path, start(), lambda settings: differences(settings, {"seed": 1}, frozenset({"images"})))


def test_a_snapshot_under_another_name_is_skipped_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = start()
    right = write_snapshot(tmp_path, state, {"seed": 3})
    shutil.copy(right, tmp_path / "snapshot-999999999.safetensors")
    assert resume(tmp_path, start()) == right
    assert "under another name" in caplog.text


def test_samples_that_are_all_alike_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RunLog(tmp_path, 8, 0, Tally(), quiet=True) as run:
        run.samples(4, torch.randn(4, 3, 8, 8))
        assert "ONE PICTURE" not in caplog.text
        run.samples(8, torch.randn(1, 3, 8, 8).repeat(4, 1, 1, 1) + 1e-4 * torch.randn(4, 3, 8, 8))
    assert "ALL SAMPLES OF 8 IMAGES ARE ONE PICTURE" in caplog.text


@pytest.mark.parametrize(
    "counters",
    [{}, {"images": "8"}, {"images": None}, {"images": -1}, {"images": True}, {"images": 8.0}, {"images": 2**70}],
)
def test_counters_that_are_none_make_no_snapshot(
    tmp_path: Path, counters: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = start()
    monkeypatch.setattr(state, "counters", lambda: counters)  # sealed, as one that means harm would
    write_snapshot(tmp_path, state, {})
    with pytest.raises(BadModel, match="All snapshots"):
        resume(tmp_path, start())
    assert "SKIPPED A DAMAGED SNAPSHOT" in caplog.text


@pytest.mark.parametrize("spoilt", [{"step": None}, {"history": 3}, {"tally": [1]}, {"ada": 7}, {"symptoms": "x"}])
def test_counters_of_other_types_are_told(
    tmp_path: Path, spoilt: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = start()
    state.images = 8
    counters = {**state.counters(), **spoilt}
    monkeypatch.setattr(state, "counters", lambda: counters)
    write_snapshot(tmp_path, state, {})
    with pytest.raises(BadModel, match="snapshot-000000008"):
        resume(tmp_path, start())
