"""A group's translator as an ONNX file, for programs without PyTorch.

Input ``photos``: float32 [N, 3, R, R] in [-1, 1], N free. Output ``drawings``: the same shape.

    export_onnx(Path("men.onnx"), stored.system, "men")
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..files import refuse_existing, write_bytes
from ..networks.branches import TranslatorSystem
from ..networks.translator import Translator

OPSET = 20


def export_onnx(path: Path, system: TranslatorSystem, group: str, *, overwrite: bool = False) -> Path:
    """Write the way from photos to drawings of one group.

    Args:
        path: File to write.
        system: What to write.
        group: Whose branch.
        overwrite: Replace a file of that name.

    Raises:
        UsageError: There is no such group, the file exists, or the packages for ONNX are missing.
    """
    refuse_existing(path, overwrite)
    network = _Drawing(copy.deepcopy(system.to_drawing.path(group)).cpu().eval().requires_grad_(False))
    side = system.anatomy.resolution
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"Writing ONNX needs a package that is missing ({error.name}).", "Run pip install 'portraitist[export]'."
        ) from error
    with _quiet():
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 3, side, side),),  # two: a batch of one would be taken for a fixed size
            input_names=["photos"],
            output_names=["drawings"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            opset_version=OPSET,
            dynamo=True,
            optimize=False,  # the runtime does it on loading, faster
            verbose=False,
        )
    assert program is not None
    write_bytes(path, program.model_proto.SerializeToString(), overwrite=overwrite)
    return path


class _Drawing(nn.Module):
    """The picture alone."""

    def __init__(self, translator: Translator) -> None:
        super().__init__()
        self.translator = translator

    def forward(self, photos: Tensor) -> Tensor:
        image: Tensor = self.translator(photos).image
        return image


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on its own progress and on its own deprecations from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
