"""A network of PyTorch as ONNX, with what its file says about itself, and its comparison with the network.

content = to_onnx(drawable.network, {"photos": torch.zeros(2, 3, 256, 256)}, ["drawings"])
apart = difference(content, drawable.network, {"photos": photos})
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._version import __version__
from ..errors import BadModel, require
from ..ops.winograd import plain_convolution

OPSET = 20
"""The first version of the operators with what painters need; read by onnxruntime 1.17 and later."""


def require_packages() -> None:
    """Ask for the packages that write and run ONNX before any long work.

    Raises:
        UsageError: One is missing.
    """
    require("Writing ONNX", "export", "onnx", "onnxruntime", "onnxscript")


def to_onnx(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    *,
    fixed: Sequence[str] = (),
    fold: bool = False,
) -> bytes:
    """Return a network as the content of an ONNX file.

    Args:
        network: What to write, frozen and on the CPU.
        inputs: Name -> an example in the order that ``forward`` takes them, each with two rows: a batch of one would be
            taken for a fixed size.
        outputs: Names of what it gives.
        fixed: Inputs whose first axis is not that of the batch.
        fold: Compute now what depends on weights alone. The runtime does it too, on loading; but a style's file, whose
            weights are scaled where they are used, is then a tenth smaller and a quarter faster.

    Raises:
        BadModel: The file would draw batches of one size only.
    """
    rows = torch.export.Dim("N")
    with _quiet(), plain_convolution():
        program = torch.onnx.export(
            network,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple({} if name in fixed else {0: rows} for name in inputs),
            opset_version=OPSET,
            dynamo=True,
            optimize=fold,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for given in model.graph.input:
        # A length that Python read on the way, as len() does, silently fixes the batch to that of the example.
        if given.name not in fixed and given.type.tensor_type.shape.dim[0].HasField("dim_value"):
            raise BadModel(f"The network fixes the batch of its input {given.name}, so it cannot be exported.")
    content: bytes = model.SerializeToString()
    return content


def described(content: bytes, texts: Mapping[str, str]) -> bytes:
    """Return the content of an ONNX file with texts among its metadata, and with this program as its author."""
    import onnx

    model = onnx.load_from_string(content)
    model.producer_name, model.producer_version = "portraitist", __version__
    for key, value in texts.items():
        if value:
            model.metadata_props.add(key=key, value=value)
    found: bytes = model.SerializeToString()
    return found


def session(content: bytes) -> Any:
    """Return what runs an ONNX file by one thread of the CPU, silently."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def difference(content: bytes, network: nn.Module, inputs: Mapping[str, Tensor], *, fixed: Sequence[str] = ()) -> float:
    """Return the largest difference between a file's first output and the network's, as a part of the range [-1, 1].

    Args:
        content: Of the ONNX file.
        network: What it was made from.
        inputs: Name -> values with several rows; both are run on all of them together and on the first alone.
        fixed: Inputs whose first axis is not that of the batch.
    """
    runs, largest = session(content), 0.0
    for rows in (1, len(next(iter(inputs.values())))):
        given = {name: value if name in fixed else value[:rows] for name, value in inputs.items()}
        found = runs.run(None, {name: value.numpy() for name, value in given.items()})[0]
        with torch.no_grad():
            due = network(*given.values())
        wanted = (due[0] if isinstance(due, tuple) else due).numpy()
        if found.shape != wanted.shape or not np.isfinite(found).all():
            return float("inf")
        largest = max(largest, float(np.abs(found - wanted).max()) / 2)
    return largest


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on its own progress and on its own deprecations from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
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
