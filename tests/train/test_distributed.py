"""Several processes, several parts and mixed precision: the same training; and what happens when one is lost.

Run by torchrun, this file is the process that the tests launch: ``test_distributed.py SCENARIO FOLDER``.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar, get_args

import pytest
import torch
from torch import Tensor

from portraitist.errors import PortraitistError, UsageError
from portraitist.io import registry
from portraitist.io.model_file import Model
from portraitist.networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from portraitist.train.distributed import SINGLE, Precision, ProcessGroup, SingleProcess, check_identical, process_group
from portraitist.train.gan import Gan
from portraitist.train.loop import fit
from portraitist.train.signals import Interrupted, graceful_shutdown
from portraitist.train.spec import Term, Training
from portraitist.train.state import TrainState
from portraitist.train.terms import standard_terms
from tests.train.torchrun import ended, torchrun

pytestmark = pytest.mark.xdist_group("machine")

T = TypeVar("T")

# Four steps with every lazy term twice, p of ADA above 0, style mixing on.
TRAINING = Training(
    images=32, batch=8, r1_gamma=1.0, r1_every=2, path_every=2, ada_images=64, ada_every=2, ada_target=-1.0, seed=3
)
CASES = {
    "ada": TRAINING,
    "diffaugment": replace(TRAINING, augment="diffaugment"),
    "paths": replace(TRAINING, batch=16, images=64, paths=("a", "b"), split_from=8, split_upto=8),
}
TORCHRUN = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
# The timeout of a process is longer than two may differ in starting on a busy machine.
FEW_SECONDS, SLACK, LONG = 12.0, 15.0, 240.0


@dataclass(frozen=True)
class Waves:
    """Sixteen-pixel pictures that follow from their position; from a position on they may be NaN on a process."""

    batch: int = 8
    broken_from: int = sys.maxsize

    def at(self, images: int) -> Tensor:
        phase = torch.arange(images, images + self.batch)[:, None, None, None] * 0.7
        x = torch.linspace(0, 6, 16)
        frequency = 1 + torch.arange(3)[None, :, None, None]
        waves = torch.sin(x * frequency + phase + x[:, None])
        return waves * float("nan") if images >= self.broken_from else waves


@dataclass
class Recorder:
    """A process group that keeps the gradients of the first exchange of each phase."""

    group: ProcessGroup
    first: list[list[Tensor | None]] = field(default_factory=list)

    @property
    def rank(self) -> int:
        return self.group.rank

    @property
    def size(self) -> int:
        return self.group.size

    @property
    def device(self) -> str:
        return self.group.device

    def autocast(self) -> AbstractContextManager[None]:
        return self.group.autocast()

    def all_reduce(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], report: dict[str, Tensor]
    ) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        total, means = self.group.all_reduce(parameters, gradients, report)
        if len(self.first) < 4:
            self.first.append([None if g is None else g.clone() for g in total])
        return total, means

    def all_reduce_max(self, number: int) -> int:
        return self.group.all_reduce_max(number)

    def broadcast(self, value: T) -> T:
        return self.group.broadcast(value)

    def mean(self, tensor: Tensor) -> Tensor:
        return self.group.mean(tensor)

    def barrier(self) -> None:
        self.group.barrier()


def start(training: Training) -> TrainState:
    channels = (8, 8, 8)
    with torch.random.fork_rng():
        # A seed at which no gradient is close to 0: Adam divides by its size, and would step by what was rounded. Of 24
        # seeds the one with the smallest differences, 2e-6 to 3e-6: with others they pass 1e-5 on some processors.
        torch.manual_seed(4)
        generator = Generator(GeneratorAnatomy(16, channels, 16, 16, 2))
        discriminator = Discriminator(DiscriminatorAnatomy(16, channels))
    state = TrainState.start(generator, discriminator, training)
    state.ada.p = 0.5
    return state


def run(training: Training, group: ProcessGroup) -> dict[str, Any]:
    """Train and return all that can differ."""
    state, recorder, reports = start(training), Recorder(group), []

    def on_step(state: TrainState, report: dict[str, Tensor]) -> bool:
        reports.append({k: float(v) for k, v in report.items()})
        return False

    fit(state, Gan(training, Waves(training.batch)), on_step, recorder)
    return {"tensors": state.tensors(), "counters": state.counters(), "gradients": recorder.first, "reports": reports}


def check_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare two runs: gradients of the first step to 1e-6, everything that they lead to to 1e-5, relative."""
    for phase, (mine, theirs) in enumerate(zip(found["gradients"], expected["gradients"], strict=True)):
        assert [g is None for g in mine] == [g is None for g in theirs]
        assert distance(flat(mine), flat(theirs)) < 1e-6, phase
    assert found["tensors"].keys() == expected["tensors"].keys()
    worst = {k: distance(found["tensors"][k], v) for k, v in expected["tensors"].items()}
    assert max(worst.values()) < 1e-5, sorted(worst.items(), key=lambda kv: -kv[1])[:5]
    assert found["counters"]["ada"] == pytest.approx(expected["counters"]["ada"], rel=1e-6)
    for a, b in zip(found["reports"], expected["reports"], strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6)


def flat(gradients: Sequence[Tensor | None]) -> Tensor:
    return torch.cat([g.flatten() for g in gradients if g is not None])


def distance(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm().clamp(min=1e-12))


def launch(scenario: str, folder: Path) -> BaseProcess:
    """Start two processes of this file by torchrun."""
    return torchrun(Path(__file__), scenario, folder, log=folder / "log.txt")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes wrote that did all that ends well."""
    folder = tmp_path_factory.mktemp("together")
    assert ended(launch("together", folder), LONG) == 0, (folder / "log.txt").read_text()
    return folder


def verdict(folder: Path, rank: int, scenario: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{scenario}-{rank}.json").read_text())
    return found


@pytest.mark.recipe
@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one(together: Path, name: str) -> None:
    first, second = (torch.load(together / f"{name}-{rank}.pt") for rank in (0, 1))
    assert first["tensors"].keys() == second["tensors"].keys()
    assert all(torch.equal(v, second["tensors"][k]) for k, v in first["tensors"].items())
    check_same(first, run(CASES[name], SINGLE))


@pytest.mark.parametrize("name", CASES)
def test_two_parts_train_as_one(name: str) -> None:
    check_same(run(replace(CASES[name], accumulate=2), SINGLE), run(CASES[name], SINGLE))


@pytest.mark.recipe
def test_a_gradient_that_one_process_lacks_counts_as_zero(together: Path) -> None:
    for rank in (0, 1):
        assert verdict(together, rank, "none") == {"total": [[1.0, 1.0], [3.0], None], "mean": 0.5, "largest": 7}


@pytest.mark.recipe
def test_nan_on_one_process_stops_all(together: Path) -> None:
    found = [verdict(together, rank, "nan") for rank in (0, 1)]
    assert [f["error"] for f in found] == ["NonFinite", "NonFinite"]
    assert found[0]["step"] == found[1]["step"] == 2


@pytest.mark.recipe
def test_a_signal_to_one_process_stops_all_after_the_same_step(together: Path) -> None:
    found = [verdict(together, rank, "signal") for rank in (0, 1)]
    assert [(f["error"], f["code"]) for f in found] == [("Interrupted", 143)] * 2
    assert found[0]["step"] == found[1]["step"]


@pytest.mark.recipe
def test_processes_that_see_other_files_are_refused(together: Path) -> None:
    assert verdict(together, 1, "alike")["error"] == "UsageError"
    assert not (together / "alike-0.json").exists()


@pytest.mark.recipe
@pytest.mark.parametrize(("fault", "victim"), [("killed", 0), ("stopped", 1), ("raises", 1)])
def test_a_lost_process_ends_the_others(tmp_path: Path, fault: str, victim: int) -> None:
    launcher = launch(f"{fault}-{victim}", tmp_path)
    told = tmp_path / f"lost-{1 - victim}.json"
    deadline = time.monotonic() + LONG
    while not told.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    if fault == "stopped":  # torchrun would wait half a minute for it
        os.kill(int((tmp_path / "victim").read_text()), signal.SIGKILL)
    assert ended(launcher, LONG) == 1, (tmp_path / "log.txt").read_text()
    found = verdict(tmp_path, 1 - victim, "lost")
    assert (found["error"], found["code"]) == ("RankLost", 8)
    assert len(found["message"]) < 300 and "\n" not in found["message"]
    assert found["seconds"] < FEW_SECONDS + SLACK


def test_mixed_precision_points_where_full_precision_does() -> None:
    base = registry.load("faces")
    images = base.generator(torch.randn(8, base.generator.anatomy.z_dim, generator=torch.Generator().manual_seed(7)))
    for term in standard_terms(replace(TRAINING, r1_every=0, path_every=0)):
        # Of each role alone, so that both precisions begin with the same opponent. One draw says little: by the
        # processor, cosines are 0.989 to 0.997.
        cosines = [_cosine(base, images.detach(), term, seed) for seed in (3, 4, 5, 6)]
        assert 0.99 < sum(cosines) / 4 < 0.99999, (term.name, cosines)


def _cosine(base: Model, images: Tensor, term: Term, seed: int) -> float:
    """Return how alike the first gradients of a term are in full and in mixed precision."""
    training = replace(TRAINING, r1_every=0, path_every=0, seed=seed)
    found = []
    for precision in get_args(Precision):
        with process_group("cpu", precision) as group:
            discriminator = copy.deepcopy(base.require_discriminator("to train on with"))
            state = TrainState.start(copy.deepcopy(base.generator), discriminator, training)
            state.ada.p, recorder = 0.5, Recorder(group)
            fit(state, Gan(training, Fixed(images), [term]), lambda state, report: True, recorder)
            assert {v.dtype for v in state.tensors().values()} == {torch.float32}
            found.append(flat(recorder.first[0]))
    return float(torch.nn.functional.cosine_similarity(found[0], found[1], dim=0))


@pytest.mark.parametrize("name", CASES)
def test_mixed_precision_trains_in_parts_and_stays_finite(name: str) -> None:
    with process_group("cpu", "bf16") as group:
        found = run(replace(CASES[name], accumulate=2), group)
    assert all(v.dtype == torch.float32 and v.isfinite().all() for v in found["tensors"].values())


def test_lazy_regularisers_are_the_same_in_mixed_precision() -> None:
    training = replace(TRAINING, images=8)
    lazy = [term for term in standard_terms(training) if term.every > 1]
    reports: list[dict[str, Tensor]] = []

    def on_step(state: TrainState, report: dict[str, Tensor]) -> bool:
        reports.append(report)
        return True

    for precision in ("fp32", "bf16"):
        with process_group("cpu", precision) as group:
            fit(start(training), Gan(training, Waves(), lazy), on_step, group)
    assert reports[0].keys() == {"r1", "path", "path_length"}
    assert reports[0] == reports[1]


def test_one_process_needs_no_lightning_fabric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with process_group("cpu") as group:
        assert group == SingleProcess("cpu")
    with pytest.raises(UsageError, match=r"portraitist\[distributed\]"), process_group("cpu", "bf16"):
        pass


@pytest.mark.parametrize(
    ("environment", "device", "message"),
    [
        ({"WORLD_SIZE": "two"}, "cpu", "not a number"),
        ({"WORLD_SIZE": "2"}, "cpu", "torchrun"),
        ({**TORCHRUN, "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "2"}, "cpu", "machines of 2"),
        (TORCHRUN, "cuda:1", "cannot share"),
        ({**TORCHRUN, "WORLD_SIZE": "99", "LOCAL_WORLD_SIZE": "99"}, "cuda", "99 processes"),
    ],
)
def test_an_environment_that_makes_no_crew_is_refused(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], device: str, message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message), process_group(device):
        pass


def test_parts_too_small_for_a_group_are_told(caplog: pytest.LogCaptureFixture) -> None:
    run(replace(TRAINING, images=8, accumulate=2), SINGLE)
    assert "otherwise than as a whole" not in caplog.text
    run(replace(TRAINING, images=8, accumulate=4), SINGLE)
    assert "otherwise than as a whole" in caplog.text


@dataclass(frozen=True)
class Fixed:
    """The same pictures at every position."""

    images: Tensor

    def at(self, images: int) -> Tensor:
        return self.images


def train_until(
    group: ProcessGroup, folder: Path, scenario: str, fault: Callable[[TrainState], None], broken: int
) -> int:
    """Train until something happens, write down what it was and return its exit code."""
    state, training = start(TRAINING), replace(TRAINING, images=10**6)
    last = [time.monotonic()]
    try:
        with graceful_shutdown() as asked:

            def on_step(state: TrainState, report: dict[str, Tensor]) -> bool:
                last[0] = time.monotonic()
                fault(state)
                asked.number = group.all_reduce_max(asked.number or 0) or None
                return asked.number is not None

            fit(state, Gan(training, Waves(broken_from=broken)), on_step, group)
            assert asked.number is not None
            raise Interrupted(asked.number)
    except (PortraitistError, Interrupted) as error:
        write(folder, group, scenario, error, step=state.step, seconds=time.monotonic() - last[0])
        return error.exit_code


def write(folder: Path, group: ProcessGroup, scenario: str, error: BaseException | None = None, **values: Any) -> None:
    if error is not None:
        values |= {"error": type(error).__name__, "message": str(error), "code": getattr(error, "exit_code", None)}
    path = folder / f"{scenario}-{group.rank}.json"
    path.with_suffix(".part").write_text(json.dumps(values))
    path.with_suffix(".part").rename(path)


def end_well(group: ProcessGroup, folder: Path) -> None:
    """Do all that two processes can do without losing each other."""
    for name, training in CASES.items():
        torch.save(run(training, group), folder / f"{name}-{group.rank}.pt")
    parameters = [torch.zeros(2), torch.zeros(1), torch.zeros(1)]
    mine = [torch.ones(2) if group.rank else None, torch.full((1,), 1.0 + group.rank), None]
    total, means = group.all_reduce(parameters, mine, {"a": torch.tensor(float(group.rank))})
    values = [None if g is None else g.tolist() for g in total]
    write(folder, group, "none", total=values, mean=float(means["a"]), largest=group.all_reduce_max(7 * group.rank))
    train_until(group, folder, "nan", lambda state: None, 16 if group.rank else sys.maxsize)

    def terminate(state: TrainState) -> None:
        if group.rank == 1 and state.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    train_until(group, folder, "signal", terminate, sys.maxsize)
    try:
        check_identical(group, "run folder", group.rank)
    except UsageError as error:
        write(folder, group, "alike", error)
    group.barrier()


def fail(group: ProcessGroup, folder: Path, fault: str, victim: int) -> int:
    """Lose a process after the second step."""

    def strike(state: TrainState) -> None:
        if group.rank != victim or state.step != 2:
            return
        (folder / "victim").write_text(str(os.getpid()))
        if fault == "raises":
            raise OSError("the victim's own reason")
        os.kill(os.getpid(), signal.SIGKILL if fault == "killed" else signal.SIGSTOP)

    return train_until(group, folder, "lost", strike, sys.maxsize)


def main(scenario: str, folder: Path) -> int:
    torch.set_num_threads(1)
    with process_group("cpu", rank_timeout=FEW_SECONDS) as group:
        if scenario == "together":
            end_well(group, folder)
            return 0
        fault, _, victim = scenario.partition("-")
        return fail(group, folder, fault, int(victim))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
