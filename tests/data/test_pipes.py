"""A pipe in the place of a file is told and never waited for."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portraitist.data.folder_run import report_in
from portraitist.data.labels import read_table
from portraitist.errors import BadData, StorageError, UsageError
from portraitist.faces import read_points
from portraitist.report.side_by_side import _read
from portraitist.stylize.batch import open_report
from portraitist.stylize.discovery import _is_report
from portraitist.train.folder import LOCK, SETTINGS, check_config, locked


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    def make(name: str) -> Path:
        os.mkfifo(tmp_path / name)
        return tmp_path / name

    def waited(*_: object) -> None:
        raise AssertionError("it waits for somebody to write")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(20)
    yield make
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("labels.csv", lambda path: read_table(path, ["a.png"])),
        ("points.json", read_points),
        ("quality.json", _read),
        ("report.json", lambda path: open_report(path, path.parent)),
        (SETTINGS, lambda path: check_config(path.parent, {"batch": 4})),
    ],
)
def test_a_pipe_is_no_file(pipe: Callable[[str], Path], name: str, read: Callable[[Path], object]) -> None:
    path = pipe(name)
    with pytest.raises((BadData, UsageError)):
        read(path)


def test_pipes_beside_photos_and_in_run_folders(pipe: Callable[[str], Path]) -> None:
    path = pipe("report.json")
    assert not _is_report(path) and report_in(path.parent, "photos") == path
    with pytest.raises(StorageError, match="cannot be used"), locked(pipe(LOCK).parent):
        pass
