"""The folder of a run: one trainer at a time, settings that do not change silently."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import locks
from .._version import __version__
from ..errors import BadData, UsageError
from ..files import parse_json, read_regular, write_bytes

LOCK = "lock.json"
SETTINGS = "settings.json"
SNAPSHOTS = "snapshots"
SAMPLES = "samples"
LIBRARIES = "libraries"
ALLOWED = "allowed"
log = logging.getLogger("portraitist")


def locked(folder: Path) -> AbstractContextManager[None]:
    """Hold a run folder; a second trainer is refused while the first lives.

    Raises:
        UsageError: Another process trains here.
        StorageError: The folder cannot be written.
    """
    return locks.locked(folder / LOCK, f"Another process trains in {folder}.")


def libraries() -> dict[str, str]:
    """Return the versions of what decides the bits of a training, by name."""
    found = {name: version(name) for name in ("torch", "numpy", "pillow")}
    return {"portraitist": __version__, "python": platform.python_version(), **found}


def check_config(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    may_change: frozenset[str] = frozenset(),
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    allowed: frozenset[str] = frozenset(),
) -> None:
    """Record the settings of a run, or compare them with those it began with.

    Other versions of :func:`libraries` than the run went on with last are told, and may change.

    Args:
        folder: The run folder.
        settings: JSON values.
        may_change: Settings that may differ when a run is continued.
        upgrade: Gives a record that an earlier version wrote the names of today.
        allowed: Names of further ones that may differ this time; the record keeps those that ever did.

    Raises:
        UsageError: A setting differs, and the message names each; or one that is allowed is none.
        BadData: The record of the settings is damaged.
    """
    path = folder / SETTINGS
    # What JSON gives back: tuples become lists, so both sides compare alike.
    wanted: dict[str, Any] = json.loads(json.dumps(settings))
    if path.exists():
        before = upgrade(read_config(folder))
        if lines := differences(before, wanted, may_change | allowed | {ALLOWED}):
            raise UsageError(
                f"The run in {folder} began with other settings ({'; '.join(lines)}).",
                "Give the same ones, let each through by its name with --allow, or train into a new folder.",
            )
        wanted |= _let_through(folder, before, wanted, may_change)
    elif allowed:
        raise UsageError(f"There is no run in {folder} whose settings could change.", "Leave --allow out.")
    write_bytes(path, json.dumps(wanted, indent=1, sort_keys=True).encode(), overwrite=True)


def check_allowed(names: frozenset[str], settings: Mapping[str, Any], facts: frozenset[str]) -> None:
    """Refuse to let settings through that are none, or that a run would not be the same run without.

    Args:
        names: Dotted names, or the first part of some.
        settings: Of the run.
        facts: What it began with and sees.

    Raises:
        UsageError: There is such a name.
    """
    known = _flat(settings).keys()
    for name in sorted(names):
        if name.partition(".")[0] in facts:
            raise UsageError(
                f"A run cannot go on with another '{name}'.", "Train into a new folder; --from begins where it ended."
            )
        if not any(key == name or key.startswith(f"{name}.") for key in known):
            raise UsageError(f"There is no setting '{name}' to let through.", f"Settings: {', '.join(sorted(known))}.")


def _let_through(
    folder: Path, before: Mapping[str, Any], now: Mapping[str, Any], may_change: frozenset[str]
) -> dict[str, Any]:
    """Tell what a run goes on with that it did not begin with; return what the record notes of it."""
    if told := differences(before.get(LIBRARIES, {}), now.get(LIBRARIES, {}), frozenset()):
        log.warning("the run in %s goes on, though not bit for bit, with %s", folder, "; ".join(told))
    noted = set(before.get(ALLOWED, ()))
    if lines := differences(before, now, may_change | {ALLOWED}):
        log.warning("the run in %s goes on with other settings: %s", folder, "; ".join(lines))
        noted |= {line.partition(":")[0] for line in lines}
    return {ALLOWED: sorted(noted)} if noted else {}


def differences(before: Mapping[str, Any], now: Mapping[str, Any], may_change: frozenset[str]) -> list[str]:
    """Return a line for each setting that differs though it may not.

    One that ``before`` does not know came with a later version of the program, which keeps its meaning.
    """
    old, new = _flat(before), _flat(json.loads(json.dumps(now)))
    # What had no settings below it may have some now.
    below = {k: {key.removeprefix(f"{k}."): new[key] for key in new if key.startswith(f"{k}.")} for k in old}
    found = {k: below[k] or new.get(k) for k in old}
    return [f"{k}: {old[k]} -> {found[k]}" for k in old if old[k] != found[k] and not _among(k, may_change)]


def _among(key: str, names: frozenset[str]) -> bool:
    """Tell whether a dotted name, or what it lies below, is among names."""
    parts = key.split(".")
    return any(".".join(parts[:n]) in names for n in range(1, len(parts) + 1))


def passed(images: int, batch: int, interval: int) -> bool:
    """Return whether the step that just ended, at ``images`` images, crossed a multiple of ``interval``."""
    return images // interval > (images - batch) // interval


def read_config(folder: Path) -> dict[str, Any]:
    """Return the settings that a run recorded.

    Raises:
        BadData: They cannot be read.
    """
    path = folder / SETTINGS
    try:
        found = parse_json(read_regular(path))
    except (OSError, ValueError) as error:
        raise BadData(f"The record of settings {path} cannot be read ({error}).", "Train into a new folder.") from error
    if not isinstance(found, dict):
        raise BadData(f"{path} is not a record of settings.", "Train into a new folder.")
    return found


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings under dotted names, as ``train --set`` takes them."""
    found: dict[str, Any] = {}
    for key, value in sorted(settings.items()):
        within = isinstance(value, dict) and value
        found |= _flat(value, f"{prefix}{key}.") if within else {f"{prefix}{key}": value}
    return found
