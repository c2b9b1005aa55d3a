"""The folder of a run: one trainer at a time, settings that do not change silently."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import BadData, StorageError, UsageError
from ..files import parse_json, write_bytes

LOCK = "lock.json"
SETTINGS = "settings.json"
SNAPSHOTS = "snapshots"
SAMPLES = "samples"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder; a second trainer is refused while the first lives.

    Raises:
        UsageError: Another process trains here.
        StorageError: The folder cannot be written.
    """
    path = folder / LOCK
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "start": _start_of(os.getpid())}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _take(path, mine)
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be used: {error.strerror}.", "Choose another.") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def check_config(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    may_change: frozenset[str] = frozenset(),
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> None:
    """Record the settings of a run, or compare them with those it began with.

    Args:
        folder: The run folder.
        settings: JSON values.
        may_change: Settings that may differ when a run is continued.
        upgrade: Gives a record that an earlier version wrote the names of today.

    Raises:
        UsageError: A setting differs; the message names each.
        BadData: The record of the settings is damaged.
    """
    path = folder / SETTINGS
    # What JSON gives back: tuples become lists, so both sides compare alike.
    wanted = json.loads(json.dumps(settings))
    if path.exists():
        if lines := differences(upgrade(_read(path)), wanted, may_change):
            raise UsageError(
                f"The run in {folder} began with other settings ({'; '.join(lines)}).",
                "Give the same ones, or train into a new folder.",
            )
    write_bytes(path, json.dumps(wanted, indent=1, sort_keys=True).encode(), overwrite=True)


def differences(before: Mapping[str, Any], now: Mapping[str, Any], may_change: frozenset[str]) -> list[str]:
    """Return a line for each setting that differs though it may not.

    One that ``before`` does not know came with a later version of the program, which keeps its meaning.
    """
    old, new = _flat(before), _flat(json.loads(json.dumps(now)))
    changed = [k for k in old if old[k] != new.get(k) and k.partition(".")[0] not in may_change]
    return [f"{k}: {old[k]} -> {new.get(k)}" for k in changed]


def passed(images: int, batch: int, interval: int) -> bool:
    """Return whether the step that just ended, at ``images`` images, crossed a multiple of ``interval``."""
    return images // interval > (images - batch) // interval


def _read(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadData(f"The record of settings {path} cannot be read ({error}).", "Train into a new folder.") from error
    if not isinstance(found, dict):
        raise BadData(f"{path} is not a record of settings.", "Train into a new folder.")
    return found


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings under dotted names, as ``train --set`` takes them."""
    found: dict[str, Any] = {}
    for key, value in sorted(settings.items()):
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _take(path: Path, mine: Mapping[str, Any]) -> None:
    for _ in range(2):
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            if _alive(path):
                raise UsageError(
                    f"Another process trains in {path.parent}.",
                    f"Wait for it, or remove {path}, which names it, if that process is gone.",
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
        if text := path.read_text(encoding="utf-8"):
            return text
        time.sleep(0.05)
    return ""


def _start_of(pid: int) -> str:
    """Return when a process was started, in the system's own count; empty where the system does not report it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
