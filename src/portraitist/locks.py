"""Locks of folders that one process at a time may change; that of a process that is gone is taken over.

with locked(Path("lock.json"), "Another process writes here."):
    print("alone")
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StorageError, UsageError
from .files import parse_json, read_regular


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock, a file that names this process; a second process is refused while the first lives.

    Args:
        path: The file; its folder is made.
        busy: What is wrong where another process holds it.

    Raises:
        UsageError: Another process holds it.
        StorageError: The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _take(path, busy)
    except OSError as error:
        raise StorageError(f"The folder {path.parent} cannot be used: {error.strerror}.", "Choose another.") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _take(path: Path, busy: str) -> None:
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "start": _start_of(os.getpid())}
    for _ in range(2):
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            if _alive(path):
                raise UsageError(
                    busy, f"Wait for it, or remove {path}, which names it, if that process is gone."
                ) from None
            path.unlink(missing_ok=True)
            continue
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(mine, file)
        return
    raise UsageError(f"{path} is being taken by another process.", "Try again.")


def _alive(path: Path) -> bool:
    """Tell whether the process that holds the lock still runs; one on another host counts as running."""
    try:
        holder = parse_json(_written(path))
        if holder["host"] != socket.gethostname() or os.name == "nt":  # where os.kill would end it
            return True
        os.kill(int(holder["pid"]), 0)
        # The number may have gone to another process since, as it does when a container starts anew.
        return bool(holder.get("start", "") == _start_of(int(holder["pid"])))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:
        return True


def _written(path: Path) -> str:
    """Return the text of a lock; one just made may be empty for a moment."""
    for _ in range(20):
        if text := read_regular(path).decode():
            return text
        time.sleep(0.05)
    return ""


def _start_of(pid: int) -> str:
    """Return when a process was started, in the system's own count; empty where the system does not report it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
