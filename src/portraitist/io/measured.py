"""What was measured of a style after its training, written into its file.

    add_metrics("runs/mine", {"checked_by": "Zoë"})

Generator, look, painter and the rest of the header stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UsageError
from . import registry
from .described import in_run_folder, stored_in_half
from .headers import read_header
from .model_file import load_model, save_model, save_pack


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
    header = read_header(path)
    if header.paths:
        raise UsageError(f"{path.name} has a path per attribute.", "Measure a style with one path.")
    half, measured = stored_in_half(path), {**header.metrics, **metrics}
    if header.kind != "style-pack":
        model = load_model(path)
        return save_model(
            path, replace(model, header=replace(model.header, metrics=measured)), half=half, overwrite=True
        )
    base = registry.base_of(header, path)
    model = load_model(path, find_base=lambda h: base, supports_feature_swap=True)
    model = replace(model, header=replace(model.header, metrics=measured))
    return save_pack(path, model, base, half=half, overwrite=True)
