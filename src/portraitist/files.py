"""Files that are either whole and new or untouched: temporary file, fsync, rename.

A killed writer leaves the old file as it was; a failed one leaves no temporary file behind either.

    with atomic_write(Path("model.safetensors"), overwrite=True) as file:
        file.write(content)
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import re
import secrets
import shutil
import stat
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .errors import StorageError, UsageError

CODE_SUFFIX, INVERTED_SUFFIX = ".code.safetensors", ".inverted.png"
"""How the names of files of codes end, and of pictures of aligned faces beside their reconstructions."""


@contextmanager
def atomic_write(path: Path, *, overwrite: bool = False, needed: int | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file for writing bytes that takes the place of ``path`` when the block ends well.

    Args:
        path: The file to write; its folder is made.
        overwrite: Replace an existing file.
        needed: Bytes that will be written, where known: an error about a full disk names them.

    Raises:
        UsageError: The file exists and ``overwrite`` is False.
        StorageError: The disk is full, read-only or gone.
    """
    refuse_existing(path, overwrite)
    temporary = path.with_name(_temporary_name(path.name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        refuse_existing(path, overwrite)
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error, needed) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_bytes(path: Path, content: bytes, *, overwrite: bool = False) -> None:
    """Write a whole file atomically; errors as in :func:`atomic_write`."""
    with atomic_write(path, overwrite=overwrite, needed=len(content)) as file:
        file.write(content)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Refuse a file that exists and may not be replaced, or that cannot be made where it should be.

    To be asked before long work.

    Raises:
        UsageError: It exists already.
        StorageError: It is a folder, or where its folder should be there is a file, or one that may not be written to.
    """
    if not overwrite and os.path.exists(path):  # unlike Path.exists, false for names too long
        raise UsageError(f"{path} exists already.", "Choose another name or allow overwriting.")
    folder = path.parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if os.path.isdir(path):
        raise StorageError(f"Cannot write {path}: it is a folder.", "Choose another name.")
    if not os.path.isdir(folder):
        raise StorageError(f"Cannot write {path}: {folder} is no folder.", "Choose another place.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"Cannot write {path}: {folder} may not be written to.", "Check its permissions.")


def storage_error(path: Path, error: OSError, needed: int | None = None) -> StorageError:
    """Say what the system's error means for the user, with the bytes needed and free when the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        wanted = "" if needed is None else f" {needed:,} bytes are needed,"
        return StorageError(
            f"The disk is full: cannot write {path};{wanted} {_free(path.parent):,} are free.",
            "Free some space or write elsewhere.",
        )
    return StorageError(f"Cannot write {path}: {error.strerror or error}.", "Check the folder and its permissions.")


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe or a device, which may have no end, is refused.

    Raises:
        OSError: It is none, or cannot be opened.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")
    return path.open("rb")


def read_regular(path: Path) -> bytes:
    """Return what a file holds; errors as of :func:`open_regular`."""
    with open_regular(path) as file:
        return file.read()


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text of anybody's holds.

    Raises:
        ValueError: It is none, or nested deeper than any file that is read: readers may then walk it by calling
            themselves.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level = [found]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return found
    raise ValueError("it is nested too deeply")


_DEEPEST = 50


def sweep_partial(folder: Path) -> None:
    """Remove the temporary files that writers on this machine, killed since, have left in a folder."""
    for orphan in folder.glob(".*.part"):
        found = _TEMPORARY.search(orphan.name)
        if found and found[1] == _host() and not _runs(int(found[2])):
            orphan.unlink(missing_ok=True)


_TEMPORARY = re.compile(r"\.([0-9a-f]{8})-(\d{1,10})-[0-9a-f]{8}\.part$")


def _temporary_name(name: str) -> str:
    """Return a name that tells who writes; file systems count bytes, of which they allow 255."""
    kept = os.fsencode(name)[:180].decode("utf-8", "ignore")
    return f".{kept}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}.part"


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _runs(process: int) -> bool:
    """Tell whether a process runs; where that cannot be asked, it is taken to."""
    if os.name == "nt":  # where os.kill would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _flush_folder(folder: Path) -> None:
    # Without this the rename itself can be lost. Systems that cannot open a folder do not need it.
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def refuse_over(target: Path, sources: Iterable[Path]) -> None:
    """Refuse to write a file over one that it is made of, which allowing to overwrite does not ask for.

    Raises:
        UsageError: It is one of the sources, by whatever name.
    """
    if os.path.isfile(target) and any(os.path.isfile(s) and os.path.samefile(s, target) for s in sources):
        raise UsageError(f"{target} would be written over what it is made of.", "Choose another name.")


def stems(names: Sequence[str]) -> list[str]:
    """Return what the names of files begin with that are made of others: the name without its suffix.

    Where several would be the same, also on systems where upper and lower case are one, they keep their suffixes, and
    ``_`` follows those that still would be.
    """
    plain = [Path(name).with_suffix("").as_posix() for name in names]
    crowd = Counter(stem.lower() for stem in plain)
    taken = {stem for stem, count in crowd.items() if count == 1}
    found = []
    for name, stem in zip(names, plain, strict=True):
        if crowd[stem.lower()] > 1:
            stem = name
            while stem.lower() in taken:
                stem += "_"
            taken.add(stem.lower())
        found.append(stem)
    return found
