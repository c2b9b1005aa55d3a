"""Snapshots that a training resumes from, bit for bit.

A snapshot is one safetensors file with every tensor of the state, the counters and a digest of both in its header. It
is written whole or not at all; a damaged one is recognised by its digest and the one before it is used, loudly.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import BadModel
from ..files import parse_json, write_bytes
from ..networks.digest import tensors_digest

KEY = "portraitist-snapshot"
KEPT = 2
log = logging.getLogger("portraitist")


class State(Protocol):
    """What can be kept in a snapshot."""

    images: int
    """Images seen: what snapshots are named and ordered by."""

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state under one flat name each."""

    def counters(self) -> dict[str, Any]:
        """Return what is not a tensor, as JSON holds it."""

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Become the state that both describe.

        Raises:
            KeyError: A tensor is missing or unknown.
            RuntimeError: One has another shape.
        """


def write_snapshot(folder: Path, state: State, settings: Mapping[str, Any] | None = None) -> Path:
    """Write the state as ``snapshot-<images>.safetensors`` and remove all but the newest two.

    Args:
        folder: Where the snapshots of the run lie.
        state: What to write.
        settings: Of the run, by which :func:`resume` tells its snapshots from those of other runs.

    Raises:
        StorageError: The disk is full or gone; older snapshots are untouched.
    """
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in state.tensors().items()}
    counters = state.counters()
    header = {"counters": counters, "seal": seal(counters), "digest": tensors_digest(tensors)}
    if settings is not None:
        header["settings"] = dict(settings)
    path = folder / _name(state.images)
    write_bytes(path, save(tensors, metadata={KEY: json.dumps(header)}), overwrite=True)
    for old in snapshots(folder)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def snapshots(folder: Path) -> list[Path]:
    """Return the snapshots of a folder, oldest first."""
    return sorted(folder.glob("snapshot-*.safetensors"))


def counters_of(path: Path) -> dict[str, Any]:
    """Return what a snapshot holds beside tensors, without reading these.

    Raises:
        BadModel: It is not a whole snapshot.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = parse_json((file.metadata() or {})[KEY])
        counters: dict[str, Any] = header["counters"]
        whole = header.get("seal", seal(counters)) == seal(counters)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        raise BadModel(f"{path.name} is not a whole snapshot ({error}).", "Train into a new folder.") from error
    if not whole:
        raise BadModel(f"{path.name} is damaged: its seal does not fit its content.", "Train into a new folder.")
    return counters


def resume(
    folder: Path, state: State, differences: Callable[[Mapping[str, Any]], Sequence[str]] = lambda settings: ()
) -> Path | None:
    """Restore the newest whole snapshot of a folder; a damaged or renamed one is skipped with a warning.

    Args:
        folder: Where the snapshots lie.
        state: What becomes as it was.
        differences: Tells, from the settings in a snapshot, which are not those of this run.

    Returns:
        The snapshot used, or None where the folder has none.

    Raises:
        BadModel: There are snapshots and all are damaged, or they belong to other networks or to another run.
    """
    clean_partial(folder)
    found = snapshots(folder)
    for path in reversed(found):
        try:
            tensors, header = _read(path)
        except BadModel as error:
            log.warning("SKIPPED A DAMAGED SNAPSHOT: %s", error)
            continue
        if "settings" in header and (other := differences(header["settings"])):
            raise BadModel(
                f"{path.name} belongs to another run ({'; '.join(other)}).", f"Remove it from {folder}, or put it back."
            )
        _restore(path, state, tensors, header)
        return path
    if found:
        raise BadModel(f"All snapshots in {folder} are damaged.", "Train into a new folder.")
    return None


def clean_partial(folder: Path) -> None:
    """Remove what a write that was cut off has left behind."""
    for orphan in folder.glob(".*.part"):
        orphan.unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = parse_json((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            digests = (header["digest"], header.get("seal", seal(header["counters"])))
            images, settings = header["counters"]["images"], header.get("settings", {})
            if type(images) is not int or images < 0 or not isinstance(settings, dict):
                raise ValueError("its counters or settings are none")
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        raise BadModel(
            f"{path.name} is not a whole snapshot ({error}).", "The one before it is used where there is one."
        ) from error
    if digests != (tensors_digest(tensors), seal(header["counters"])):
        raise BadModel(
            f"{path.name} is damaged: its digest does not fit its content.",
            "The one before it is used where there is one.",
        )
    # Snapshots of earlier versions, which hold no settings, may bear any name.
    if "settings" in header and path.name != _name(images):
        raise BadModel(
            f"{path.name} is the snapshot of {images} images under another name.",
            "The one before it is used where there is one.",
        )
    return tensors, header


def _restore(path: Path, state: State, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    try:
        state.restore(tensors, header["counters"])
    except (KeyError, RuntimeError) as error:
        raise BadModel(
            f"{path.name} belongs to a training of other networks ({error}).", "Train into a new folder."
        ) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise BadModel(
            f"{path.name} holds counters that are none ({error}).", f"Remove it from {path.parent}."
        ) from error


def _name(images: int) -> str:
    return f"snapshot-{images:09d}.safetensors"


def seal(counters: Any) -> str:
    """Return the digest of the counters of a snapshot."""
    return hashlib.sha256(json.dumps(counters, sort_keys=True).encode()).hexdigest()
