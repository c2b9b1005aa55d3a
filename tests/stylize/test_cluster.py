"""A folder on several workers: the same pictures and report as on one machine, whatever becomes of a worker."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from portraitist import errors
from portraitist.data.images import write_image
from portraitist.errors import BadImage, NoFaceFound, PortraitistError, UsageError
from portraitist.stylize import FileReport, Stylizer, stylize_files
from portraitist.stylize.batch import Options
from tests.conftest import make_model, restyled
from tests.stylize.test_batch import draw, with_styles
from tests.stylize.test_batch import folder as folder

distributed = pytest.importorskip("distributed", reason="needs the extra cluster")
from portraitist.stylize.cluster import Cluster, _Held  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.xdist_group("machine"),
]


# Made once a process: workers that are threads of one would disturb each other's random numbers.
BASE = make_model(seed=0, name="tiny")
STYLES = {"wild": restyled(BASE, "wild")}


def load(strength: float = 1.0) -> Stylizer:
    return with_styles(BASE, STYLES, strength=strength)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        dashboard_address=None,
        silence_logs=50,
    ) as cluster:
        yield cluster.scheduler_address


def contents(out: Path) -> dict[str, bytes]:
    return {
        p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.suffix != ".json" and p.is_file()
    }


def told(lines: list[FileReport]) -> list[FileReport]:
    return [replace(line, seconds=0.0) for line in lines]


def run(source: Path, out: Path, elsewhere: Cluster | None, **more: Callable[[FileReport], None]) -> list[FileReport]:
    options = Options(sheet=True)
    return told(stylize_files(load(), source, out, options, report=out / "report.json", elsewhere=elsewhere, **more))


def test_a_cluster_writes_the_bytes_and_the_report_of_one_machine(folder: Path, tmp_path: Path, address: str) -> None:
    here = run(folder, tmp_path / "here", None)
    there = run(folder, tmp_path / "there", Cluster(address, load))
    assert there == here and {line.status for line in here} == {"done", "failed"}
    assert contents(tmp_path / "there") == contents(tmp_path / "here") != {}
    # It goes on where it stopped: finished photos are not sent out, and what is new is drawn.
    write_image(folder / "new.png", draw(1, 9))
    again = run(folder, tmp_path / "there", Cluster(address, load))
    assert {line.source: line.status for line in again if line.status != "failed"} == {
        **{line.source: "skipped" for line in here if line.status == "done"},
        "new.png": "done",
    }
    lines = json.loads((tmp_path / "there" / "report.json").read_text())["photos"]
    assert [line["source"] for line in lines] == [line.source for line in again]


def test_finished_photos_are_not_sent_out(folder: Path, tmp_path: Path, address: str) -> None:
    run(folder, tmp_path / "out", None)

    def never(*args: object) -> Stylizer:
        raise AssertionError("nothing is to be drawn")

    for broken in ("broken.jpg", "zero.png", "empty landscape.png"):
        (folder / broken).unlink()
    assert {line.status for line in run(folder, tmp_path / "out", Cluster(address, never))} == {"skipped"}


def test_workers_that_would_draw_otherwise_end_the_run(folder: Path, tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match="its program or its models differ"):
        run(folder, tmp_path / "out", Cluster(address, partial(load, 0.5)))
    assert contents(tmp_path / "out") == {}


def test_a_scheduler_that_does_not_answer_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portraitist.stylize.cluster.CONNECTED_WITHIN", 0.3)
    with pytest.raises(UsageError, match="No Dask scheduler answers at tcp"):
        run(folder, tmp_path / "out", Cluster("tcp://127.0.0.1:9", load))


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing(tmp_path: Path) -> None:
    for i in range(24):
        write_image(tmp_path / "photos" / f"{i:02d}.png", draw(1, i))
    here = run(tmp_path / "photos", tmp_path / "here", None)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        with distributed.Client(cluster, set_as_default=False) as client:
            pids = list(client.run(os.getpid).values())
        assert len(set(pids)) == 2

        def kill(line: FileReport) -> None:
            if line.source == "02.png":
                os.kill(pids[0], signal.SIGKILL)

        there = run(tmp_path / "photos", tmp_path / "there", Cluster(cluster.scheduler_address, load), on_file=kill)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert there == here and {line.status for line in there} == {"done"}
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PortraitistError)]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_keep_their_fields_between_processes(kind: type[PortraitistError]) -> None:
    more = {"kind": "format"} if kind is BadImage else {}
    error = pickle.loads(pickle.dumps(kind("That is wrong.", "Do this.", **more)))
    assert type(error) is kind and str(error) == "That is wrong. Do this."
    assert getattr(error, "kind", "") == {BadImage: "format", NoFaceFound: "no-face"}.get(kind, "")


def test_runs_of_the_same_settings_do_not_share_what_draws() -> None:
    assert _Held(b"load", "settings").name != _Held(b"load", "settings").name
