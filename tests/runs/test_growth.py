"""A base grows in a run: what it draws at the start, what the header tells, and exact resume."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from portraitist.data import ImageSet
from portraitist.errors import BadModel, UsageError
from portraitist.io.headers import Header
from portraitist.io.model_file import Model, load_model, save_pack
from portraitist.networks import DiscriminatorAnatomy, GeneratorAnatomy
from portraitist.ops import taps, upsample
from portraitist.recipes import grow
from portraitist.runs.finetune import TrainOptions, train
from portraitist.runs.source import Source, grown
from portraitist.train.growth import EntranceRegression, EntranceState
from portraitist.train.loop import fit
from portraitist.train.signals import Interrupted
from portraitist.train.source_losses import Structure
from portraitist.train.spec import Freeze, Training
from tests.conftest import make_model

SCRATCH = Source(generator=GeneratorAnatomy(32, (8,) * 4, 8, 8, 2), discriminator=DiscriminatorAnatomy(32, (8,) * 4))
QUIET = TrainOptions(quiet=True)
TRAINING = replace(
    grow(32, Training(batch=4, seed=3)), images=12, tick=4, snapshot=8, r1_every=2, entrance_images=12, ada_every=1
)


@pytest.fixture(scope="module")
def source(tiny_model: Model) -> Source:
    return grown(tiny_model, 32)


def test_a_grown_base_is_a_base_whose_header_tells_of_it(source: Source, photos: ImageSet, tmp_path: Path) -> None:
    path = train(photos, tmp_path, source, TRAINING, QUIET)
    model = load_model(path)
    assert source.base is not None and model.header.kind == "model"
    assert model.generator.anatomy.resolution == 32 and model.discriminator is not None
    step = model.header.lineage[-1]
    assert step["images_seen"] == 12 and step["base"] and len(step["data"]["digest"]) == 64
    told = step["grown_from"]
    assert told["resolution"] == source.base.generator.anatomy.resolution
    assert told["generator_channels"] == list(source.base.generator.anatomy.channels)
    assert told["entrance_images"] == 12 and 0 < told["entrance_error"] < 2
    assert not (tmp_path / "style.safetensors").exists() and not (tmp_path / "base.safetensors").exists()


def test_a_grown_base_keeps_the_licence_of_the_one_before(source: Source, photos: ImageSet, tmp_path: Path) -> None:
    assert source.base is not None
    licensed = replace(source.base, header=replace(source.base.header, licence="CC-BY-4.0", credit="Ada"))
    short = replace(TRAINING, images=4, entrance_images=4)
    told = replace(QUIET, about=Header(source.anatomies[0], name="grown", credit="Bea"))
    header = load_model(train(photos, tmp_path, replace(source, base=licensed), short, told)).header
    assert (header.name, header.licence, header.credit) == ("grown", "CC-BY-4.0", "Ada; Bea")


def test_before_the_first_step_it_draws_enlarged_pictures(source: Source) -> None:
    assert source.base is not None
    generator, _ = source.networks(0)
    z = torch.randn(2, generator.anatomy.z_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        image, small = generator.eval()(z), source.base.generator(z)
    while small.shape[-1] < 32:
        small = upsample(small, taps())
    assert (image - small).abs().max() <= 1e-5 * (small.max() - small.min())


@dataclass(frozen=True)
class Shuffled:
    """Eight of some images, others at each position."""

    images: torch.Tensor

    def at(self, images: int) -> torch.Tensor:
        return self.images[torch.randperm(len(self.images), generator=torch.Generator().manual_seed(images))[:8]]


def test_the_regression_brings_old_and_grown_scores_together() -> None:
    base = make_model(seed=0)
    assert base.discriminator is not None
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in base.discriminator.parameters():  # an untrained one gives all images about the same score
            p.add_(0.3 * torch.randn(p.shape, generator=random))
    _, new = grown(base, 32, (), (8, 8, 16, 16)).networks(0)
    images = F.interpolate(torch.rand(64, 3, 6, 6, generator=random) * 2 - 1, (32, 32), mode="bicubic")
    reduced = F.interpolate(images, (16, 16), mode="area")

    def apart() -> float:
        """Return the squared difference of the scores, as a share of their variance."""
        with torch.no_grad():
            now, was = new(images), base.discriminator(reduced)  # type: ignore[misc]
        return float((now - was).square().mean() / was.var())

    assert apart() > 1
    training = replace(TRAINING, batch=8, entrance_images=1600)
    state = EntranceState(base.discriminator, new, training)
    fit(state, EntranceRegression(base.discriminator.from_rgb, Shuffled(images), training), lambda state, report: False)
    assert state.images == 1600 and state.error < 0.12
    assert apart() < 0.12


@pytest.mark.parametrize("stop", [4, 8, "4 of training", "8 of training"])
def test_it_resumes_bit_for_bit_within_and_after_the_regression(
    source: Source, photos: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int | str
) -> None:
    whole = train(photos, tmp_path / "whole", source, TRAINING, QUIET).read_bytes()
    told = QUIET
    if isinstance(stop, int):
        _interrupt_in_the_regression(monkeypatch, stop)
    else:
        at = int(stop.split()[0])
        told = replace(QUIET, watch=lambda state: os.kill(os.getpid(), signal.SIGTERM) if state.images == at else None)
    with pytest.raises(Interrupted):
        train(photos, tmp_path / "cut", source, TRAINING, told)
    monkeypatch.undo()
    assert train(photos, tmp_path / "cut", source, TRAINING, QUIET).read_bytes() == whole


def _interrupt_in_the_regression(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    finish: Callable[..., None] = EntranceRegression.finish

    def finished(self: EntranceRegression, state: EntranceState, report: dict[str, torch.Tensor]) -> None:
        finish(self, state, report)
        if state.images + self.step_images == images:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(EntranceRegression, "finish", finished)


def test_a_regression_of_another_run_is_told_and_not_continued(
    source: Source, photos: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, training in (("one", TRAINING), ("other", replace(TRAINING, seed=4))):
        with monkeypatch.context() as patched, pytest.raises(Interrupted):
            _interrupt_in_the_regression(patched, 8)
            train(photos, tmp_path / name, source, training, QUIET)
    shutil.rmtree(tmp_path / "one" / "growth")
    shutil.copytree(tmp_path / "other" / "growth", tmp_path / "one" / "growth")
    with pytest.raises(BadModel, match=r"belongs to another run \(seed: 4 -> 3\)"):
        train(photos, tmp_path / "one", source, TRAINING, QUIET)


def test_a_style_of_the_small_base_is_refused_on_the_grown_one(
    source: Source, photos: ImageSet, tmp_path: Path
) -> None:
    assert source.base is not None
    pack = save_pack(tmp_path / "pack.safetensors", make_model(seed=7), source.base)
    base = load_model(train(photos, tmp_path / "run", source, replace(TRAINING, images=4, entrance_images=4), QUIET))
    with pytest.raises(BadModel, match=r"before it grew from 16 to 32 pixels.*Teach"):
        load_model(pack, find_base=lambda header: base)


def test_what_compares_with_the_base_waits_until_it_has_grown(source: Source, photos: ImageSet, tmp_path: Path) -> None:
    for asked in (
        replace(TRAINING, terms=(Structure(weight=1.0),)),
        replace(TRAINING, frozen=Freeze(styles_upto=8)),
        replace(TRAINING, held_out=0.2),
    ):
        with pytest.raises(UsageError, match="base of the same size"):
            train(photos, tmp_path, source, asked, QUIET)
    assert source.base is not None
    with pytest.raises(UsageError, match="entrance_images"):
        train(photos, tmp_path, SCRATCH, replace(TRAINING, images=4), QUIET)


def test_what_is_no_larger_is_the_base_itself(tiny_model: Model) -> None:
    side = tiny_model.generator.anatomy.resolution
    assert not grown(tiny_model).grows
    assert not grown(tiny_model, side).grows
    assert not grown(tiny_model, side, tiny_model.generator.anatomy.channels).grows
    wider = tuple(c + 2 for c in tiny_model.generator.anatomy.channels)
    assert grown(tiny_model, side, wider).anatomies[0].channels == wider
    with pytest.raises(UsageError, match="cannot grow"):
        grown(tiny_model, side // 2)
