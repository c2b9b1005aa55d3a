"""What comes to a model after its training, written into its file.

    add_metrics("runs/mine", {"checked_by": "Zoë"})

Generator, look, painter and the rest of the header stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UsageError
from . import registry
from .described import in_run_folder, stored_in_half
from .headers import read_header
from .model_file import Model, load_model, save_model, save_pack

PEOPLE = "people"
"""Key in the header of what was measured of groups of people; with ``_by`` behind it, of how."""


def without_people(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics without those of people, which hold only as long as a style draws as it did."""
    return {key: value for key, value in metrics.items() if key not in (PEOPLE, f"{PEOPLE}_by")}


def add_metrics(path: Path | str, metrics: Mapping[str, Any]) -> Path:
    """Put metrics into the header of a model file, in place of those of the same names.

    Args:
        path: A style, or a base; or the run folder of a style.
        metrics: Plain values.

    Returns:
        The file.

    Raises:
        UsageError: The file has a path per attribute.
        BadModel: It is no such file, or its base is not known.
        StorageError: It cannot be written.
    """
    path = in_run_folder(path, "style.safetensors")
    if read_header(path).paths:
        raise UsageError(f"{path.name} has a path per attribute.", "Measure a style with one path.")

    def noted(model: Model) -> Model:
        return replace(model, header=replace(model.header, metrics={**model.header.metrics, **metrics}))

    return rewritten(path, path, noted, overwrite=True)


def rewritten(path: Path, out: Path, change: Callable[[Model], Model], *, overwrite: bool = False) -> Path:
    """Write a base, or a style with one path, again with something changed; its precision and its base stay.

    Args:
        path: The model file.
        out: The file to write.
        change: Returns the model to write.
        overwrite: Replace a file of that name.

    Raises:
        BadModel: It is no such file, or its base is not known.
        StorageError: It cannot be written.
    """
    header, half = read_header(path), stored_in_half(path)
    if header.kind != "style-pack":
        return save_model(out, change(load_model(path)), half=half, overwrite=overwrite)
    base = registry.base_of(header, path)
    model = load_model(path, find_base=lambda h: base, supports_feature_swap=True)
    return save_pack(out, change(model), base, half=half, overwrite=overwrite)
