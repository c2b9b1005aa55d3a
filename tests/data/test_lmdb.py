from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest

from portraitist.data import ImageSet
from portraitist.data.images import read_image
from portraitist.data.lmdb import LmdbSource
from portraitist.data.lmdb_pages import check_pages
from portraitist.errors import BadData, BadImage
from tests.conftest import REPOSITORY
from tests.data.made_files import encode, scene


def make(path: Path, entries: dict[str, bytes]) -> Path:
    with lmdb.open(str(path), map_size=1 << 22) as environment, environment.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key.encode(), value)
    return path


def pictures(*sizes: int, count: int = 3) -> dict[str, bytes]:
    made = {f"{s}-{i:05d}": encode(scene(s, s, i), "JPEG", quality=100) for s in sizes for i in range(count)}
    return {**made, "length": str(count).encode()}


def test_the_fitting_size_is_chosen(tmp_path: Path) -> None:
    path = make(tmp_path / "db", pictures(8, 16, 128))
    chosen = {resolution: LmdbSource(path, resolution).size for resolution in (4, 8, 9, 16, 64, 128, 256)}
    assert chosen == {4: 8, 8: 8, 9: 16, 16: 16, 64: 128, 128: 128, 256: 128}


def test_a_set_reads_it(tmp_path: Path) -> None:
    entries = pictures(16, 32)
    images = ImageSet.open(make(tmp_path / "db", entries), 16)
    assert images.names == ("00000", "00001", "00002")
    for index, name in enumerate(images.names):
        assert np.array_equal(images[index].numpy().transpose(1, 2, 0), read_image(entries[f"16-{name}"]))


def test_missing_and_bad_entries_are_listed(tmp_path: Path) -> None:
    entries = {**pictures(16), "16-00001": b"rubbish"}
    del entries["16-00002"]
    images = ImageSet.open(make(tmp_path / "db", entries), 16)
    assert images.names == ("00000",)
    assert [(name, kind) for name, kind, _ in images.left_out] == [("00001", "not-an-image"), ("00002", "missing")]


@pytest.mark.parametrize("entries", [{}, {"length": b"3"}, {"length": b"many", "16-00000": b""}, {"other": b"x"}])
def test_other_databases_are_refused(tmp_path: Path, entries: dict[str, bytes]) -> None:
    with pytest.raises(BadData):
        ImageSet.open(make(tmp_path / "db", entries), 16)


def test_damaged_databases_are_refused(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "data.mdb").write_bytes(b"\7" * 8192)
    with pytest.raises(BadData):
        ImageSet.open(tmp_path / "db", 16)


@pytest.mark.parametrize("share", [0.75, 0.5, 0.25])
def test_a_database_cut_short_is_refused_before_it_is_read(tmp_path: Path, share: float) -> None:
    path = make(tmp_path / "db", pictures(64, count=20))
    with (path / "data.mdb").open("r+b") as file:
        file.truncate(int((path / "data.mdb").stat().st_size * share) // 4096 * 4096)
    with pytest.raises(BadData, match="shorter"):
        LmdbSource(path, 64)


def walk(path: str) -> None:
    """Read all of a database; what is refused is no fault."""
    with contextlib.suppress(BadData):
        source = LmdbSource(Path(path), 16)
        for name in source.names[:50]:
            with contextlib.suppress(BadImage):
                source.read(name)


def test_damaged_pages_never_end_the_process(tmp_path: Path) -> None:
    path = make(tmp_path / "db", pictures(8, 64, count=150))
    whole, random = (path / "data.mdb").read_bytes(), np.random.default_rng(0)
    places = [at + byte for at in range(0, len(whole), 4096) for byte in (0, 3, 10, 12, 14, 16, 19, *range(40, 150))]
    for number in range(150):
        damaged = bytearray(whole)
        for at in random.choice(places, 2):
            damaged[at] = random.choice((0, 1, 127, 255, damaged[at] ^ 1))
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "data.mdb").write_bytes(damaged)
    program = "import sys; from tests.data.test_lmdb import walk; [walk(p) for p in sys.argv[1:]]; print('all')"
    folders = [str(tmp_path / f"{number}") for number in range(150)]
    done = subprocess.run([sys.executable, "-c", program, *folders], capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.returncode, done.stdout) == (0, "all\n"), done.stderr[-500:]


def first_entry(data: bytes, number: int = 0) -> int:
    """Return where the first entry of the root page is written, or another by its place among the keys."""
    root = max(int.from_bytes(data[at + 128 : at + 136], "little") for at in (0, 4096) if data[at + 144])
    pointer = root * 4096 + 16 + 2 * number
    return root * 4096 + int.from_bytes(data[pointer : pointer + 2], "little")


def checked(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    check_pages(path)


def test_values_may_fill_a_page_and_not_more(tmp_path: Path) -> None:
    file = make(tmp_path / "db", {"a": b"one"}) / "data.mdb"  # a leaf with a single entry is one
    data = bytearray(file.read_bytes())
    at = first_entry(data)
    room = 4096 - at % 4096 - 8 - len("a")
    for size, held in ((room, True), (room + 1, False), (0, True), (0xFFFF, False)):
        data[at : at + 2] = size.to_bytes(2, "little")
        with contextlib.nullcontext() if held else pytest.raises(BadData, match="more than a page"):
            checked(file, data)


def test_values_with_pages_of_their_own_end_with_the_file(tmp_path: Path) -> None:
    file = make(tmp_path / "db", {"a": bytes(9000)}) / "data.mdb"
    data = bytearray(file.read_bytes())
    at = first_entry(data)
    there = int.from_bytes(data[at + 9 : at + 17], "little")
    room = len(data) - there * 4096 - 16
    for size, held in ((room, True), (room + 1, False), (9000, True)):
        data[at : at + 4] = size.to_bytes(4, "little")
        with contextlib.nullcontext() if held else pytest.raises(BadData, match="a page that it does not have"):
            checked(file, data)
    for page, held in ((2, True), (1, False), (0, False), (1 << 40, False)):
        data[at + 9 : at + 17] = page.to_bytes(8, "little")
        with contextlib.nullcontext() if held else pytest.raises(BadData, match="a page that it does not have"):
            checked(file, data)


def test_a_branch_has_two_ways_at_least(tmp_path: Path) -> None:
    file = make(tmp_path / "db", {f"{i:04d}": bytes(900) for i in range(40)}) / "data.mdb"
    data = bytearray(file.read_bytes())
    root = max(int.from_bytes(data[at + 128 : at + 136], "little") for at in (0, 4096) if data[at + 144])
    checked(file, data)
    data[root * 4096 + 12 : root * 4096 + 14] = (16 + 2).to_bytes(2, "little")  # one pointer only
    with pytest.raises(BadData, match=f"page {root} is not what it should be"):
        checked(file, data)


def test_a_page_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = make(tmp_path / "db", {"64-00000": bytes(9000), "length": b"1"})  # a picture with pages of its own
    data = bytearray((path / "data.mdb").read_bytes())
    entry = first_entry(data)
    key = int.from_bytes(data[entry + 6 : entry + 8], "little")
    data[entry + 8 + key + 3] = 9
    (path / "data.mdb").write_bytes(data)
    with pytest.raises(BadData, match="a page that it does not have"):
        LmdbSource(path, 64)
