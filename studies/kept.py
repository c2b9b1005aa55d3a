"""Run folders that a study finds: trainings of the same settings are used again, others are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portraitist.errors import UsageError
from portraitist.train.folder import differences, read_config

FREE = frozenset({"tick", "snapshot", "patience"})
"""Settings that do not change what is learned."""


def refuse_other(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Refuse a run folder that holds another training.

    Args:
        folder: Where a training is, or has begun.
        wanted: Settings as the run would record them, or some of them. One that the folder does not know came with a
            later version of the program, which keeps its meaning.

    Raises:
        UsageError: A setting differs.
    """
    settings = json.loads(json.dumps(wanted))
    if changed := differences(_shared(read_config(folder), settings), settings, FREE):
        raise UsageError(
            f"The run folder {folder} has other settings: {', '.join(changed)}.",
            "Give the settings that it was trained with, choose another --out, or remove it.",
        )


def _shared(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored of the settings that are wanted, at any depth."""
    found = {}
    for key, value in wanted.items():
        if key in stored:
            both = isinstance(value, Mapping) and isinstance(stored[key], Mapping)
            found[key] = _shared(stored[key], value) if both else stored[key]
    return found
