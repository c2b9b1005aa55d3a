"""When a training stops and what it keeps: the rule on made histories, and that a run really follows it."""

from __future__ import annotations

import base64
import copy
import io
import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open

from portraitist.data import ImageSet, read_image, to_array, write_image
from portraitist.data.sheet import ungrid
from portraitist.errors import NothingLearned
from portraitist.evaluate import kernel_distance, pooled_features
from portraitist.io.model_file import Model, generator_digest, load_model
from portraitist.networks import Generator
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.runs import early_stopping
from portraitist.runs.early_stopping import GAIN, HeldOutMonitor, best, is_over, kept, reason
from portraitist.runs.finetune import TrainOptions, train
from portraitist.runs.source import Source
from portraitist.train.snapshot import KEY, snapshots
from portraitist.train.spec import Training
from tests.recipes.tiny_runs import TinyRun, Waves, tiny, tiny_base

HERO = re.compile(r'base64,([^"]+)" alt="A sample"')


def ticks(*distances: float, spread: float = 0.01) -> list[dict[str, float]]:
    return [
        {"images": 500.0 * k, "held_out": d, "held_out_spread": spread, "likeness": 1.0}
        for k, d in enumerate(distances)
    ]


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ((1.0,), 0),
        ((1.0, 0.97), 1),
        ((1.0, 0.5, 0.4951, 0.4952), 1),  # gains too small to count, of the 0.5 that were gained
        ((1.0, 0.5, 0.499, 0.490), 3),  # counted from the best, so that slow progress is progress
        ((1.0, 0.5, 0.496, 0.4), 3),
        ((1.0, 2.0, 3.0), 0),
        ((0.1, -0.1, -0.1019, -0.11), 3),  # below 0 a better one is still the lower one
        ((0.0, 0.0, -1e-9), 0),  # noise is no beginning
        ((0.2, 0.195, 0.185), 0),
        ((0.2, 0.195, 0.184), 2),
        ((1.0, 0.5, 0.3, 0.6), 2),
        ((1.0, 0.5, 0.2, 0.5, 0.3, 0.25), 5),  # one lucky tick is not the best, two good ones are
    ],
)
def test_the_best_tick_by_hand(distances: tuple[float, ...], expected: int) -> None:
    assert best(ticks(*distances)) == expected


finite = st.floats(-10, 10, allow_nan=False).map(lambda x: round(x, 4))


@given(st.lists(finite, min_size=1, max_size=30), st.integers(1, 10))
def test_what_the_rule_guarantees(distances: list[float], patience: int) -> None:
    history = ticks(*distances)
    k = best(history)
    levels = [*distances[:2], *((a + b) / 2 for a, b in pairwise(distances[1:]))]
    mine = levels[k]
    # Better than all before it; and no other has gained on the first tick more than it by over GAIN, or its spread.
    assert all(mine < d for d in levels[:k])
    margin = 0.01 if k == 0 else (levels[0] - mine) * GAIN
    assert levels[0] - min(levels) <= levels[0] - mine + margin + 1e-12
    # The rule looks back only: the kept tick never goes backwards as the history grows.
    ks = [best(history[:n]) for n in range(1, len(history) + 1)]
    assert ks == sorted(ks) and all(ks[n] in (n, ks[n - 1]) for n in range(1, len(ks)))
    # It is over as soon as the last `patience` ticks were not the best, and never at a tick that is.
    assert is_over(history, patience) == (k not in range(len(history) - patience, len(history)))
    assert not (k == len(history) - 1 and is_over(history, patience))
    assert not is_over(history, 0) and not is_over([], patience)


@given(st.lists(finite, min_size=1, max_size=20), st.floats(0.01, 100), st.integers(1, 5))
def test_the_unit_of_the_distance_does_not_matter(distances: list[float], unit: float, patience: int) -> None:
    # A power of two scales without rounding.
    scale = 2.0 ** round(np.log2(unit))
    scaled = ticks(*(d * scale for d in distances), spread=0.01 * scale)
    assert best(scaled) == best(ticks(*distances))
    assert is_over(scaled, patience) == is_over(ticks(*distances), patience)


def test_the_reason_says_which_tick_and_which_of_two_ends() -> None:
    stopped, used_up = ticks(1.0, 0.5, 0.6, 0.498), ticks(1.0, 0.5, 0.6)
    words = reason(stopped, 2)
    assert "After 500 images" in words and "0.5000" in words and "1.0000 of the base" in words
    assert "2 ticks in a row" in words and f"{GAIN:.0%}" in words
    assert "used up" in reason(used_up, 2) and "in a row" not in reason(used_up, 2)
    assert "used up" in reason(stopped, 0)


@pytest.fixture(scope="module")
def base() -> Model:
    return tiny_base()


def monitor_of(base: Model, sets: int = 1) -> HeldOutMonitor:
    assert base.discriminator is not None
    held_out = [Waves(6).at(50 * (k + 1)) for k in range(sets)]
    return HeldOutMonitor(base.generator, held_out, DiscriminatorFeatures(base.discriminator), seed=2)


def test_the_base_is_as_like_itself_as_can_be(base: Model) -> None:
    monitor = monitor_of(base)
    score = monitor.score([base.generator])
    assert score["likeness"] == pytest.approx(1, abs=1e-5) and score["held_out_spread"] > 0
    drawn = base.generator.sample_batches(monitor.codes)
    expected = kernel_distance(
        pooled_features(monitor.features, drawn), pooled_features(monitor.features, Waves(6).at(50))
    )
    assert score["held_out"] == pytest.approx(expected)
    assert monitor.score([base.generator]) == score == monitor_of(base).score([copy.deepcopy(base.generator)])


def blurred(base: Generator, amount: float) -> Generator:
    found = copy.deepcopy(base)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in found.synthesis.parameters():
            p += amount * torch.randn(p.shape, generator=random)
    return found


def test_likeness_falls_as_a_model_moves_away(base: Model) -> None:
    monitor = monitor_of(base)
    scores = [monitor.score([blurred(base.generator, a)])["likeness"] for a in (0.0, 0.02, 0.2, 1.0)]
    assert scores == sorted(scores, reverse=True) and scores[-1] < 0.7


def test_of_several_paths_the_score_is_the_mean(base: Model) -> None:
    monitor = monitor_of(base, sets=2)
    a, b = base.generator, blurred(base.generator, 0.1)
    both = monitor.score([a, b])
    alone = [monitor._score(g, rows) for g, rows in zip((a, b), monitor.held_out, strict=True)]
    for name in ("held_out", "likeness"):
        assert both[name] == pytest.approx((alone[0][name] + alone[1][name]) / 2)
    spreads = [s["held_out_spread"] for s in alone]
    assert both["held_out_spread"] == pytest.approx(np.hypot(*spreads) / 2)
    with pytest.raises(ValueError, match=r"zip\(\)"):
        monitor.score([a])


class Scripted(HeldOutMonitor):
    """Gives the distances of a list, whatever is drawn."""

    def __init__(self, base: Generator, distances: tuple[float, ...], paths: int) -> None:
        self.distances, self.held_out = iter(distances), [torch.zeros(1)] * paths

    def score(self, generators: object) -> early_stopping.Score:
        return {"held_out": next(self.distances), "held_out_spread": 0.01, "likeness": 1.0}


@pytest.mark.parametrize("names", ["baseline", "freeze_sg", "multipath"])
def test_the_best_states_weights_are_kept(names: str) -> None:
    run = TinyRun(tiny(names, steps=4))
    averages: list[dict[str, torch.Tensor]] = []
    run.monitor = Scripted(run.base.generator, (1.0, 0.5, 0.498, 0.9), max(len(run.training.paths), 1))
    run.go(judged=True, each=lambda state: averages.append(copy.deepcopy(state.average.state_dict())))
    assert best(run.state.history) == 1 and [s["images"] for s in run.state.history] == [4, 8, 12, 16]
    assert all(torch.equal(v, averages[1][k]) for k, v in run.state.best.items())
    last = copy.deepcopy(run.state.average.state_dict())
    generators = kept(run.state)
    assert len(generators) == max(len(run.training.paths), 1)
    expected = copy.deepcopy(run.state.average)
    expected.load_state_dict(averages[1])
    for k, generator in enumerate(generators):
        theirs = expected.path(run.training.paths[k]) if run.training.paths else expected
        assert all(torch.equal(v, theirs.state_dict()[name]) for name, v in generator.state_dict().items())
    assert all(torch.equal(v, last[k]) for k, v in run.state.average.state_dict().items())  # the run itself goes on


def test_without_a_score_the_last_average_is_kept() -> None:
    run = TinyRun(tiny("baseline", steps=1)).go()
    last = run.state.average.state_dict()
    assert run.state.best == {} and all(torch.equal(v, last[k]) for k, v in kept(run.state)[0].state_dict().items())


# What follows trains in a folder.

TRAINING = replace(
    tiny("baseline"), images=80, tick=8, snapshot=80, held_out=0.3, patience=1, learning_rate=0.005, ema_images=8.0
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder = tmp_path_factory.mktemp("exemplars")
    for k in range(20):
        write_image(folder / f"{k:02d}.png", to_array(Waves(1).at(k))[0])
    return ImageSet.open(folder, 16)


def history_of(run: Path) -> list[early_stopping.Score]:
    with safe_open(snapshots(run / "snapshots")[-1], framework="pt") as file:
        return list(json.loads(file.metadata()[KEY])["counters"]["history"])


def test_a_run_stops_by_itself_keeps_its_best_tick_and_stays_ended(
    images: ImageSet, tmp_path: Path, base: Model
) -> None:
    def go(name: str, training: Training) -> Model:
        train(images, tmp_path / name, Source(base=base), training, TrainOptions(quiet=True))
        return load_model(tmp_path / name / "model.safetensors")

    model = go("run", TRAINING)
    history = history_of(tmp_path / "run")
    k, last = best(history), int(history[-1]["images"])
    assert [s["images"] for s in history] == list(range(0, last + 1, 8))
    assert 0 < k == len(history) - 2 and last < TRAINING.images and is_over(history, 1)
    assert model.header.metrics["images"] == history[k]["images"]
    assert model.header.metrics["held_out"] == pytest.approx(history[k]["held_out"])
    # What is written is the average of tick k: that of a training which ends there, and not that of the last.
    ended_there = go("there", replace(TRAINING, images=int(history[k]["images"])))
    assert generator_digest(model) == generator_digest(ended_there)
    assert history_of(tmp_path / "there") == history[: k + 1]
    # It has ended: even with more images the same command changes nothing.
    told = (tmp_path / "run" / "stats.jsonl").read_text()
    go("run", replace(TRAINING, images=4000))
    assert history_of(tmp_path / "run") == history and (tmp_path / "run" / "stats.jsonl").read_text() == told
    assert generator_digest(load_model(tmp_path / "run" / "model.safetensors")) == generator_digest(model)


def test_a_run_that_learns_nothing_writes_no_style(images: ImageSet, tmp_path: Path, base: Model) -> None:
    still = replace(TRAINING, learning_rate=1e-30, patience=2)
    with pytest.raises(NothingLearned, match="no drawing came nearer"):
        train(images, tmp_path / "run", Source(base=base), still, TrainOptions(quiet=True))
    history = history_of(tmp_path / "run")
    assert best(history) == 0 and len(history) == 3
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert not (tmp_path / "run" / "style.safetensors").exists()
    assert "nothing was learned" in (tmp_path / "run" / "report.html").read_text()


def test_cards_show_the_style_of_a_run_that_ended_between_sample_grids(
    images: ImageSet, tmp_path: Path, base: Model
) -> None:
    out = tmp_path / "run"
    train(images, out, Source(base=base), replace(TRAINING, images=16, learning_rate=0.01), TrainOptions(quiet=True))
    assert [p.name for p in (out / "samples").iterdir()] == ["images-000000000.png"]
    side = base.generator.anatomy.resolution
    of_the_base, kept = (
        ungrid(read_image(p), side)[:8] for p in (out / "samples/images-000000000.png", out / "style.png")
    )
    generator = load_model(out / "model.safetensors").generator
    codes = torch.randn(36, generator.anatomy.z_dim, generator=torch.Generator().manual_seed(TRAINING.seed))
    assert np.array_equal(np.stack(kept), to_array(generator.sample_batches(codes[:8])))
    page = (out / "report.html").read_text()
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(found)))) for found in HERO.findall(page)[:6]]
    assert np.array_equal(np.stack(shown), np.stack(kept[:6]))
    assert not np.array_equal(np.stack(shown), np.stack(of_the_base[:6]))
    strips = re.findall(r'alt="Code 1 after (\d+) images"', page)
    assert strips == ["0", str(history_of(out)[best(history_of(out))]["images"]).removesuffix(".0")]
    assert "![What it draws](style.png)" in (out / "README.md").read_text()
