"""Whole or untouched: writes that fail, are interrupted or may not replace."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import portraitist
from portraitist.errors import StorageError, UsageError
from portraitist.files import atomic_write, parse_json, refuse_existing, stems, write_bytes


def test_a_new_file_appears_whole_with_the_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a name with ünïcode.bin"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    (tmp_path / "usual").touch()
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "usual"])


@pytest.mark.parametrize("failure", [ValueError("bad"), KeyboardInterrupt(), OSError(errno.EIO, "broken")])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    expected = StorageError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected), atomic_write(path, overwrite=True) as file:
        file.write(b"half")
        raise failure
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    for path, told in ((tmp_path / "folder", "it is a folder"), (tmp_path / "file" / "a" / "b", "file is no folder")):
        with pytest.raises(StorageError, match=told):
            refuse_existing(path, overwrite=True)
    refuse_existing(tmp_path / "not" / "yet" / "there", overwrite=False)
    refuse_existing(tmp_path / "file", overwrite=True)
    if os.geteuid():  # root may write everywhere
        (tmp_path / "folder").chmod(0o500)
        with pytest.raises(StorageError, match="folder may not be written to"):
            refuse_existing(tmp_path / "folder" / "new", overwrite=False)


def test_full_disk_names_bytes_needed_and_free(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"1,234 bytes are needed, [\d,]+ are free") as error:
        with atomic_write(tmp_path / "file", needed=1234):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.exit_code == 5


def test_file_too_large_for_the_system_keeps_the_old_one(tmp_path: Path) -> None:
    # A real failure inside write: the process may not write files above 4096 bytes.
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from portraitist.files import write_bytes; from portraitist.errors import StorageError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_bytes(Path(sys.argv[1]), bytes(100_000), overwrite=True)\n"
        "except StorageError: sys.exit(5)\n"
    )
    path = tmp_path / "file"
    path.write_bytes(b"old")
    assert subprocess.run([sys.executable, "-c", program, str(path)], env=os.environ).returncode == 5
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from portraitist.files import atomic_write\n"
        "with atomic_write(Path(sys.argv[1]), overwrite=True) as file:\n"
        "    file.write(bytes(100_000)); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "file"
    path.write_bytes(b"old")
    finished = subprocess.run([sys.executable, "-c", program, str(path)], env=os.environ)
    assert finished.returncode == -signal.SIGKILL and path.read_bytes() == b"old"


def test_existing_files_are_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(UsageError, match="exists already"), atomic_write(path) as file:
        file.write(b"mine")
        path.write_bytes(b"theirs")  # somebody else was faster
    assert path.read_bytes() == b"theirs"
    with pytest.raises(UsageError):
        write_bytes(path, b"mine")
    write_bytes(path, b"mine", overwrite=True)
    assert path.read_bytes() == b"mine"


def test_folder_that_does_not_exist_is_made(tmp_path: Path) -> None:
    write_bytes(tmp_path / "none" / "file", b"x")
    assert (tmp_path / "none" / "file").read_bytes() == b"x"


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="Cannot write"):
        write_bytes(tmp_path / "file" / "inside", b"")
    with pytest.raises(StorageError):
        write_bytes(tmp_path / ("x" * 300), b"")


def test_nothing_decides_by_the_clock() -> None:
    """A clock that jumps, and the times of files, change nothing: durations are measured by monotonic ones."""
    source = Path(portraitist.__file__).parent
    wall = re.compile(r"time\.time\(|datetime\.now|st_mtime|getmtime|utcnow")
    assert [path for path in source.rglob("*.py") if wall.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 60 + b"1" + b"}" * 60, b"nothing", b"\xff", b""])
def test_texts_that_are_no_plain_json_are_value_errors(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


def test_plain_json_is_read() -> None:
    assert parse_json('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "b.jpg"], ["a", "b"]),
        (["a.jpg", "a.png", "b/a.png"], ["a.jpg", "a.png", "b/a"]),
        (["a.jpg", "a.png", "a.jpg.png"], ["a.jpg_", "a.png", "a.jpg"]),
        (["A.jpg", "a.jpg"], ["A.jpg", "a.jpg_"]),
    ],
)
def test_names_without_their_suffixes_differ(names: list[str], expected: list[str]) -> None:
    assert stems(names) == expected
