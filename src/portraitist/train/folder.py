"""The folder of a run: one trainer at a time, settings that do not change silently."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import StorageError, UsageError
from ..files import atomic_write

LOCK = "lock.json"
SETTINGS = "settings.json"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder; a second trainer is refused while the first lives.

    Raises:
        UsageError: Another process trains here.
        StorageError: The folder cannot be written.
    """
    path = folder / LOCK
    mine = {"pid": os.getpid(), "host": socket.gethostname()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _take(path, mine)
    except OSError as error:
        raise StorageError(f"{folder} cannot be used: {error.strerror}.", "Choose another folder.") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def settle(folder: Path, settings: Mapping[str, Any], *, may_change: frozenset[str] = frozenset()) -> None:
    """Record the settings of a run, or compare them with those it began with.

    Args:
        folder: The run folder.
        settings: JSON values.
        may_change: Settings that may differ when a run is continued.

    Raises:
        UsageError: A setting differs; the message names each.
    """
    path = folder / SETTINGS
    # What JSON gives back: tuples become lists, so both sides compare alike.
    wanted = json.loads(json.dumps(settings))
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [k for k in sorted(before.keys() | wanted.keys()) if before.get(k) != wanted.get(k)]
        if refused := [k for k in changed if k not in may_change]:
            lines = "; ".join(f"{k}: {before.get(k)} -> {wanted.get(k)}" for k in refused)
            raise UsageError(f"The run in {folder} began with other settings ({lines}).", "Train into a new folder.")
    with atomic_write(path, overwrite=True) as file:
        file.write(json.dumps(wanted, indent=1, sort_keys=True).encode())


def _take(path: Path, mine: Mapping[str, Any]) -> None:
    for _ in range(2):
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            if _alive(path):
                raise UsageError(
                    f"Another process trains in {path.parent} ({path.read_text(encoding='utf-8')}).",
                    f"Wait for it, or remove {path} if that process is gone.",
                ) from None
            path.unlink(missing_ok=True)
            continue
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(mine, file)
        return
    raise UsageError(f"{path} is being taken by another process.", "Try again.")


def _alive(path: Path) -> bool:
    """Tell whether the process that holds the lock still runs; one on another host is taken to."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        if holder["host"] != socket.gethostname():
            return True
        os.kill(int(holder["pid"]), 0)
    except (ValueError, KeyError, ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:
        return True
    return True
