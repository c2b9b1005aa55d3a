"""The networks that find faces as ONNX, built part by part: each part is an operator or two, and nothing is traced.

content = wired_to_onnx(network_named("far"), ["boxes", "logits"])      # input pixels [N, 3, side, side], RGB in [0, 1]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from ..networks.wired import Chain, Pad, Rescale, Rows, Spread, Sum, Wired
from .graph import OPSET

INPUT = "pixels"


def wired_to_onnx(network: Wired, outputs: Sequence[str]) -> bytes:
    """Return the content of an ONNX file.

    Args:
        network: What to write.
        outputs: Names of what it gives.

    Raises:
        KeyError: A part has no operator here.
    """
    from onnx import TensorProto, helper

    graph = _Graph()
    values = [INPUT]
    for part, reads in zip(network.parts, network.reads, strict=True):
        values.append(_WRITERS[type(part)](graph, part, *(values[k] for k in reads)))
    for name, k in zip(outputs, network.outputs, strict=True):
        graph.nodes.append(helper.make_node("Identity", [values[k]], [name]))
    shape: list[str | int | None] = ["N", 3, network.side, network.side]
    given = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)]
    gives = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    made = helper.make_graph(graph.nodes, "faces", given, gives, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


class _Graph:
    """Operators and constants, as they come."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Tensor | npt.NDArray[Any] | Sequence[int]) -> str:
        """Add a constant; whole numbers where it is a plain list."""
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: str, **settings: Any) -> str:
        """Add an operator; return the name of what it gives."""
        from onnx import helper

        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **settings))
        return name


def _conv(graph: _Graph, part: Any, x: str) -> str:
    given = [graph.constant(v) for v in (part.weight, part.bias) if v is not None]
    settings = {"strides": part.stride, "pads": part.padding * 2, "dilations": part.dilation, "group": part.groups}
    return graph.add("Conv", x, *given, **settings)


def _prelu(graph: _Graph, part: Any, x: str) -> str:
    return graph.add("PRelu", x, graph.constant(part.weight.detach()[:, None, None]))


def _maxpool(graph: _Graph, part: Any, x: str) -> str:
    return graph.add("MaxPool", x, kernel_shape=list(part.kernel_size), strides=list(part.stride))


def _upsample(graph: _Graph, part: Any, x: str) -> str:
    channels = graph.add("Shape", x, start=0, end=2)
    sizes = graph.add("Concat", channels, graph.constant(list(part.size)), axis=0)
    return graph.add("Resize", x, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")


def _pad(graph: _Graph, part: Pad, x: str) -> str:
    sides = [*part.sides, *[0] * (8 - len(part.sides))]  # from the last axis to the first, before and after
    before, after = sides[::2][::-1], sides[1::2][::-1]
    return graph.add("Pad", x, graph.constant([*before, *after]))


def _rescale(graph: _Graph, part: Rescale, x: str) -> str:
    factor, shift = (graph.constant(np.asarray(v, dtype=np.float32)) for v in (part.factor, part.shift))
    return graph.add("Add", graph.add("Mul", x, factor), shift)


def _rows(graph: _Graph, part: Rows, x: str) -> str:
    last = graph.add("Transpose", x, perm=[0, 2, 3, 1])
    return graph.add("Reshape", last, graph.constant([0, -1, part.width]))


def _spread(graph: _Graph, part: Spread, x: str) -> str:
    return graph.add("DepthToSpace", x, blocksize=2, mode="DCR")


_WRITERS: dict[type[nn.Module], Callable[..., str]] = {
    nn.Conv2d: _conv,
    nn.ReLU: lambda graph, part, x: graph.add("Relu", x),
    nn.PReLU: _prelu,
    nn.MaxPool2d: _maxpool,
    nn.Upsample: _upsample,
    Pad: _pad,
    Sum: lambda graph, part, x, y: graph.add("Add", x, y),
    Rescale: _rescale,
    Rows: _rows,
    Chain: lambda graph, part, *xs: graph.add("Concat", *xs, axis=1),
    Spread: _spread,
}
"""What writes each part that far, near and mesh have."""
