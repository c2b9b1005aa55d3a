"""Every reader of files of anybody's: whatever they hold ends in a value or an error of the program's own.

``make faults`` tries some 20,000 mutations more. The corpus holds small hostile files, made by hand after reports of
faults: each is given to every reader, whatever its name says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.readers import Reader, readers
from tests.fuzz.reading import ALLOWED, outcome, read_mutations, watch_for_code

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Reader]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("here"))  # what a file says may not be written here either
        yield readers(tmp_path_factory.mktemp("valid"))
        assert list(Path.cwd().iterdir()) == []


def test_valid_files_are_read(every: list[Reader]) -> None:
    for reader in every:
        assert outcome(reader.read, reader.path) != "refused", reader.name


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_a_hostile_file_is_refused_or_read_by_every_reader(every: list[Reader], path: Path, tmp_path: Path) -> None:
    watch_for_code()
    found = {}
    for reader in (r for r in every if not r.is_slow):
        case = tmp_path / (path.stem + reader.path.suffix)
        case.write_bytes(path.read_bytes())
        found[reader.name] = outcome(reader.read, case)
    assert {name: what for name, what in found.items() if what not in ALLOWED} == {}


def test_mutations_are_refused_or_read(every: list[Reader], tmp_path: Path) -> None:
    for reader in every:
        counts = read_mutations(reader, tmp_path, 2 if reader.is_slow else 8, 0)
        assert set(counts) <= set(ALLOWED), (reader.name, counts)
