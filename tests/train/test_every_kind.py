"""Encoders, translators, painters and held bases in several processes, in parts and in mixed precision.

Run by torchrun, this file is the process that the tests launch: ``test_every_kind.py FOLDER``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor

from portraitist.data import ImageBatches
from portraitist.errors import UsageError
from portraitist.networks.encoder import new_encoder
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.runs.source import grown
from portraitist.train.distributed import SINGLE, ProcessGroup, process_group
from portraitist.train.encoder import EncoderState, EncoderTraining, Encoding
from portraitist.train.gan import Gan
from portraitist.train.growth_losses import Downscaling, Reconstruction
from portraitist.train.loop import WHOLE, Share, fit
from portraitist.train.painter import Distillation
from portraitist.train.spec import Training
from portraitist.train.state import State, TrainState
from portraitist.train.terms import SmallerModel, standard_terms
from portraitist.train.translator import Translation, TranslatorState
from tests.conftest import make_model, smooth_pictures
from tests.train import test_encoder_training as encoders
from tests.train import test_painter_training as painters
from tests.train import test_translator_training as translators
from tests.train.test_distributed import Recorder, distance, flat
from tests.train.torchrun import ended, torchrun

pytestmark = pytest.mark.xdist_group("machine")

ENCODER = replace(encoders.TINY, identity_part=0.5, learning_rate=1e-4)
TRANSLATOR = replace(translators.TINY, pool=3, images=6, batch=2, learning_rate=1e-5)
PAINTER = replace(painters.TINY, images=8, learning_rate=1e-5, panel_rate=1e-5)
HELD = Training(images=16, batch=8, r1_every=0, path_every=0, learning_rate=1e-5, seed=3)
GROUPS = ("women", "men", "kids")
LONG = 240.0


def encoder_start(training: EncoderTraining) -> tuple[EncoderState, Encoding]:
    """Return an encoder of 32 pixels whose heads know something; heads that are 0 give the rest no gradient."""
    # With 16 pixels the coarsest map has one, for which oneDNN's bfloat16 gives NaN as the gradient of some weights.
    base = make_model(seed=5, resolution=32)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        encoder = new_encoder(replace(encoders.anatomy(base, "hvae"), resolution=32), base.generator)
        torch.nn.init.normal_(encoder.fc_mu.weight, std=0.3)
        torch.nn.init.normal_(encoder.fc_var.weight, std=0.3)
    photos = encoders.Photos(base, training.photos)
    return EncoderState(encoder, training), Encoding(training, photos, encoders.loss_of(base, training))


def encoder(group: ProcessGroup, accumulate: int = 1) -> dict[str, Any]:
    return go(*encoder_start(replace(ENCODER, accumulate=accumulate)), group)


def translator(group: ProcessGroup, accumulate: int = 1) -> dict[str, Any]:
    training, system = replace(TRANSLATOR, accumulate=accumulate), translators.system(groups=GROUPS)
    state = TranslatorState(system, training)
    return go(state, Translation(training, translators.Shapes(groups=GROUPS), system, None), group)


def painter(group: ProcessGroup, accumulate: int = 1) -> dict[str, Any]:
    training = replace(PAINTER, accumulate=accumulate)
    objective = Distillation(training, painters.Shapes(), painters.LOOKS, painters.Colours())
    return go(painters.start(training), objective, group)


def held_base(group: ProcessGroup, accumulate: int = 1) -> dict[str, Any]:
    """Train a base that grows, held to what it was and to photos whose codes are known."""
    small = make_model(seed=5)
    sizes, random = small.generator.anatomy, torch.Generator().manual_seed(6)
    training = replace(HELD, accumulate=accumulate)
    with TemporaryDirectory() as folder:
        photos = smooth_pictures(Path(folder))
    codes = {name: torch.randn(sizes.rows, sizes.w_dim, generator=random) for name in photos.names}
    batches = ImageBatches((photos,), training.batch, training.seed, mirror=True)
    terms = (*standard_terms(training), Downscaling(weight=3.0), Reconstruction(weight=2.0))
    features = DiscriminatorFeatures(small.require_discriminator("to look through"))
    smaller = SmallerModel(small.generator, codes, batches)
    state = TrainState.start(*grown(small, 32).networks(0), training)
    return go(state, Gan(training, batches, terms, features=features, smaller=smaller), group)


KINDS = {"encoder": encoder, "translator": translator, "painter": painter, "held base": held_base}


def go(state: Any, objective: Any, group: ProcessGroup) -> dict[str, Any]:
    """Train two steps and return all that can differ."""
    recorder, reports = Recorder(group), []

    def on_step(state: State, report: dict[str, Tensor]) -> bool:
        reports.append({k: float(v) for k, v in report.items()})
        return state.step == 2

    fit(state, objective, on_step, recorder)
    return {"tensors": state.tensors(), "gradients": recorder.first, "reports": reports}


def check_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    mine, theirs = (x["gradients"][0] for x in (found, expected))
    assert [g is None for g in mine] == [g is None for g in theirs]
    assert distance(flat(mine), flat(theirs)) < 1e-5
    assert found["tensors"].keys() == expected["tensors"].keys()
    moments = {k for k in expected["tensors"] if ".exp_avg" in k}  # near 0 where a norm takes all away
    worst = {k: distance(found["tensors"][k], v) for k, v in expected["tensors"].items() if k not in moments}
    assert max(worst.values()) < 1e-3, sorted(worst.items(), key=lambda kv: -kv[1])[:5]
    for a, b in zip(found["reports"], expected["reports"], strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-5)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes wrote that trained every kind."""
    folder = tmp_path_factory.mktemp("together")
    log = folder / "log.txt"
    assert ended(torchrun(Path(__file__), folder, log=log), LONG) == 0, log.read_text()
    return folder


@pytest.mark.recipe
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_as_one(together: Path, kind: str) -> None:
    first, second = (torch.load(together / f"{kind}-{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(v, second["tensors"][k]) for k, v in first["tensors"].items())
    check_same(first, KINDS[kind](SINGLE))


@pytest.mark.parametrize("kind", [translator, painter, held_base])
def test_what_has_no_batch_normalisation_trains_in_parts_as_in_one(kind: Callable[..., dict[str, Any]]) -> None:
    check_same(kind(SINGLE, accumulate=2), kind(SINGLE))


def test_an_encoder_in_parts_takes_the_mean_of_their_gradients() -> None:
    """Batch normalisation sees each part on its own, so the whole batch would give another gradient."""
    found = encoder(SINGLE, accumulate=2)["gradients"][0]
    state, objective = encoder_start(ENCODER)
    (photos,), (phase,) = objective.begin(state), objective.phases
    parameters = list(state.encoder.parameters())
    gradients = []
    for part in (0, 1):
        loss, _ = phase.loss(state, photos, 0, Share(part, 2))
        gradients.append(flat(torch.autograd.grad(loss, parameters)))
    assert distance(flat(found), (gradients[0] + gradients[1]) / 2) < 1e-5
    whole, _ = phase.loss(state, photos, 0, WHOLE)
    assert distance(flat(found), flat(torch.autograd.grad(whole, parameters))) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_points_where_full_precision_does(kind: str) -> None:
    with process_group("cpu", "bf16") as group:
        mixed = KINDS[kind](group)
    full = KINDS[kind](SINGLE)
    assert all(v.dtype == torch.float32 and v.isfinite().all() for v in mixed["tensors"].values())
    mine, theirs = (flat(found["gradients"][0]) for found in (mixed, full))
    cosine = torch.nn.functional.cosine_similarity(mine, theirs, dim=0)
    assert 0.97 < cosine < 0.99999, float(cosine)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    for kind in KINDS.values():
        with pytest.raises(UsageError, match="cannot be shared"):
            kind(SINGLE, 3)


def main(folder: Path) -> int:
    torch.set_num_threads(1)
    with process_group("cpu", rank_timeout=60.0) as group:
        for name, kind in KINDS.items():
            torch.save(kind(group), folder / f"{name}-{group.rank}.pt")
        group.barrier()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
