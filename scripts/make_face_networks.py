"""Turn the face networks of a mediapipe wheel into the files of src/portraitist/faces, and compare both.

    pip install ai-edge-litert==2.3.0
    pip download --no-deps --python-version 3.11 --only-binary :all: mediapipe==0.10.14
    python scripts/make_face_networks.py mediapipe-0.10.14-*.whl

Each network is run by LiteRT and by PyTorch on the same random pictures; a difference ends the script with an error.
What LiteRT says of the astronaut of scikit-image goes into tests/faces/litert.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from PIL import Image
from safetensors.torch import save_file
from skimage.data import astronaut
from torch import Tensor

from portraitist.faces.networks import FOLDER, network_named
from portraitist.networks.wired import Wired

NETWORKS = {
    # name -> file in the wheel, least value of its input (the largest is 1), its outputs with the width of their rows
    "far": ("face_detection/face_detection_full_range_sparse.tflite", -1, {"Identity": 0, "Identity_1": 0}),
    "near": ("face_detection/face_detection_short_range.tflite", -1, {"regressors": 0, "classificators": 0}),
    "mesh": ("face_landmark/face_landmark.tflite", 0, {"conv2d_21": 3, "conv2d_31": 1}),
    "person": ("selfie_segmentation/selfie_segmentation.tflite", 0, {"activation_10": 0}),
}
GOLDEN = Path(__file__).parents[1] / "tests/faces/litert.json"
FACE, KEPT = (96, 0, 352, 256), 40
"""The part of the astronaut that is shown, and about how many numbers of an output are kept."""
LICENCE = "Apache-2.0"
AUTHORS = "The MediaPipe authors (Google)"
TOLERANCE = 2e-4
_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_ACTIVATIONS = {1: "relu", 3: "relu6"}


class Reader:
    """One .tflite network, read operator by operator into steps of ``Wired``."""

    def __init__(self, data: bytes, low: float, rows: dict[str, int]) -> None:
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        self.graph = self.model.subgraphs[0]
        # Runs once, so that every tensor, also the sparse and the half ones, can be asked for as it is used.
        self.run = Interpreter(
            model_content=data,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self.run.allocate_tensors()
        start = int(self.graph.inputs[0])
        self.side = int(self.shape(start)[1])
        self.run.set_tensor(start, np.zeros(self.shape(start), np.float32))
        self.run.invoke()
        self.steps: list[dict[str, Any]] = []
        self.tensors: dict[str, Tensor] = {}
        self.where = {start: 0}
        self.pads: dict[int, tuple[int, list[int]]] = {}
        if low == -1:
            self.where[start] = self.add("rescale", [start], factor=2.0, shift=-1.0)
        for operator in self.graph.operators:
            self.operator(operator)
        self.save_memory()
        ends = {self.graph.tensors[end].name.decode(): int(end) for end in self.graph.outputs}
        self.outputs = [
            self.add("rows", [ends[name]], width=width) if width else self.where[ends[name]]
            for name, width in rows.items()
        ]

    def shape(self, tensor: int) -> list[int]:
        return [int(length) for length in self.graph.tensors[tensor].shape]

    def constant(self, tensor: int) -> Tensor:
        return torch.from_numpy(np.array(self.run.get_tensor(tensor)))

    def add(self, part: str, inputs: list[int], weights: dict[str, Tensor] | None = None, **options: Any) -> int:
        for name, value in (weights or {}).items():
            half = value.to(torch.float16)
            if not torch.equal(half.float(), value):
                raise SystemExit(f"The {name} of step {len(self.steps)} does not fit half precision.")
            self.tensors[f"parts.{len(self.steps)}.{name}"] = half.contiguous()
        self.steps.append({"part": part, "reads": [self.where[tensor] for tensor in inputs], **options})
        return len(self.steps)

    def operator(self, operator: Any) -> None:
        code = self.model.operatorCodes[operator.opcodeIndex]
        name = _NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)].lower()
        inputs, output = [int(tensor) for tensor in operator.inputs], int(operator.outputs[0])
        if name not in ("dequantize", "densify"):
            getattr(self, f"on_{name}")(operator.builtinOptions, inputs, output)

    def save_memory(self) -> None:
        """Let an activation overwrite what nothing else reads."""
        readers = Counter(value for step in self.steps for value in step["reads"])
        for step in self.steps:
            if step["part"] in ("relu", "relu6", "hardswish") and readers[step["reads"][0]] == 1:
                step["inplace"] = True

    def simple(self, part: str, inputs: list[int], output: int, activation: int = 0, **options: Any) -> None:
        self.where[output] = self.add(part, inputs, **options)
        if activation:
            self.where[output] = self.add(_ACTIVATIONS[activation], [output])

    def on_pad(self, options: Any, inputs: list[int], output: int) -> None:
        (_, (top, bottom), (left, right), (first, last)) = self.constant(inputs[1]).tolist()
        if top == bottom == left == right and not first and not last:  # goes into the convolution that follows
            self.pads[output] = (inputs[0], [top, left])
            self.where[output] = -1
        else:
            self.simple("pad", inputs[:1], output, sides=[left, right, top, bottom, first, last])

    def convolution(self, inputs: list[int], output: int, weight: Tensor, groups: int, options: Any) -> None:
        size, stride = list(weight.shape[2:]), [options.strideH, options.strideW]
        source, padding = self.pads.get(inputs[0], (inputs[0], [0, 0]))
        if options.padding == 0:
            if inputs[0] in self.pads:
                raise SystemExit("A convolution that pads what is padded is not read.")
            before, after = zip(*map(_same, self.shape(source)[1:3], size, stride), strict=True)
            if before == after:
                padding = list(before)
            else:
                self.where[-1 - output] = self.add("pad", [source], sides=[before[1], after[1], before[0], after[0]])
                source = -1 - output
        self.simple(
            "conv",
            [source],
            output,
            options.fusedActivationFunction,
            weights={"weight": weight, "bias": self.constant(inputs[2])},
            in_channels=weight.shape[1] * groups,
            out_channels=weight.shape[0],
            kernel_size=size,
            stride=stride,
            padding=padding,
            groups=groups,
        )

    def on_conv_2d(self, options: Any, inputs: list[int], output: int) -> None:
        weight = self.constant(inputs[1]).permute(0, 3, 1, 2)
        self.convolution(inputs, output, weight, 1, options)

    def on_depthwise_conv_2d(self, options: Any, inputs: list[int], output: int) -> None:
        weight = self.constant(inputs[1]).permute(3, 0, 1, 2)
        self.convolution(inputs, output, weight, len(weight), options)

    def on_transpose_conv(self, options: Any, inputs: list[int], output: int) -> None:
        _, kernel, source, bias = inputs
        weight = self.constant(kernel).permute(3, 0, 1, 2)
        size = list(weight.shape[2:])
        if size != [options.strideH, options.strideW]:
            raise SystemExit("A transposed convolution whose steps overlap is not read.")
        self.simple(
            "transposed",
            [source],
            output,
            weights={"weight": weight, "bias": self.constant(bias)},
            in_channels=weight.shape[0],
            out_channels=weight.shape[1],
            kernel_size=size,
            stride=size,
        )

    def on_add(self, options: Any, inputs: list[int], output: int) -> None:
        self.simple("sum", inputs, output, options.fusedActivationFunction)

    def on_mul(self, options: Any, inputs: list[int], output: int) -> None:
        self.simple("product", inputs, output, options.fusedActivationFunction)

    def on_relu(self, options: Any, inputs: list[int], output: int) -> None:
        self.simple("relu", inputs, output)

    def on_hard_swish(self, options: Any, inputs: list[int], output: int) -> None:
        self.simple("hardswish", inputs, output)

    def on_logistic(self, options: Any, inputs: list[int], output: int) -> None:
        self.simple("sigmoid", inputs, output)

    def on_prelu(self, options: Any, inputs: list[int], output: int) -> None:
        slopes = self.constant(inputs[1]).flatten()
        self.simple("prelu", inputs[:1], output, weights={"weight": slopes}, num_parameters=len(slopes))

    def on_max_pool_2d(self, options: Any, inputs: list[int], output: int) -> None:
        size, stride = [options.filterHeight, options.filterWidth], [options.strideH, options.strideW]
        lengths = self.shape(inputs[0])[1:3]
        if any(any(_same(*axis)) for axis in zip(lengths, size, stride, strict=True)):
            raise SystemExit("A pooling with padding is not read.")
        self.simple("maxpool", inputs, output, kernel_size=size, stride=stride)

    def on_average_pool_2d(self, options: Any, inputs: list[int], output: int) -> None:
        if self.shape(output)[1:3] != [1, 1]:
            raise SystemExit("An average over less than the whole map is not read.")
        self.simple("mean", inputs, output, output_size=1)

    def on_resize_bilinear(self, options: Any, inputs: list[int], output: int) -> None:
        if not options.halfPixelCenters:
            raise SystemExit("A resize that takes corners for centres is not read.")
        self.simple("resize", inputs[:1], output, size=self.shape(output)[1:3], mode="bilinear")

    def on_depth_to_space(self, options: Any, inputs: list[int], output: int) -> None:
        self.simple("spread", inputs, output)

    def on_reshape(self, options: Any, inputs: list[int], output: int) -> None:
        self.simple("rows", inputs[:1], output, width=self.shape(output)[-1])

    def on_concatenation(self, options: Any, inputs: list[int], output: int) -> None:
        self.simple("chain", inputs, output)


def builtin(data: bytes) -> bytes:
    """The network with LiteRT's own transposed convolution in place of MediaPipe's, which LiteRT does not have.

    MediaPipe's reads the map, the kernel and the bias, and its options are padding, width and height of a step.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    graph = model.subgraphs[0]
    for number, code in enumerate(model.operatorCodes):
        if code.customCode != b"Convolution2DTransposeBias":
            continue
        code.customCode, code.version = None, 3
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.TRANSPOSE_CONV
        for operator in (operator for operator in graph.operators if operator.opcodeIndex == number):
            options = schema.TransposeConvOptionsT()
            _, options.strideW, options.strideH = np.frombuffer(bytes(operator.customOptions), np.int32).tolist()
            operator.builtinOptions, operator.builtinOptionsType = options, schema.BuiltinOptions.TransposeConvOptions
            operator.customOptions = None
            buffer, shape = schema.BufferT(), schema.TensorT()
            buffer.data = np.array(graph.tensors[operator.outputs[0]].shape, np.int32).view(np.uint8)
            shape.shape, shape.type, shape.buffer = [4], schema.TensorType.INT32, len(model.buffers)
            shape.name = b"shape"
            source, kernel, bias = operator.inputs
            operator.inputs = [len(graph.tensors), kernel, source, bias]
            graph.tensors.append(shape)
            model.buffers.append(buffer)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _same(length: int, size: int, stride: int) -> tuple[int, int]:
    """Zeros before and after by which an axis gives ceil(length / stride) values."""
    total = max((-(-length // stride) - 1) * stride + size - length, 0)
    return total // 2, total - total // 2


def difference(network: Wired, run: Interpreter, low: float) -> float:
    """The largest difference of the outputs on random pictures, as a share of the largest output."""
    random = np.random.default_rng(0)
    worst = 0.0
    for _ in range(3):
        pixels = random.random((network.side, network.side, 3), np.float32)
        with torch.inference_mode():
            ours = network(torch.from_numpy(pixels)[None].permute(0, 3, 1, 2))
        for one, other in zip(ours, outputs(run, pixels, low), strict=True):
            apart = np.abs(one.numpy().ravel() - other.ravel()).max() / np.abs(other).max()
            worst = max(worst, float(apart))
    return worst


def outputs(run: Interpreter, pixels: Any, low: float) -> list[Any]:
    """What LiteRT gives for pixels [side, side, 3] in [0, 1]; the longer output first, as in ``NETWORKS``."""
    run.set_tensor(run.get_input_details()[0]["index"], (2 * pixels - 1 if low == -1 else pixels)[None])
    run.invoke()
    found = [run.get_tensor(detail["index"]) for detail in run.get_output_details()]
    return sorted(found, key=lambda array: -array.size)


def golden(run: Interpreter, side: int, low: float) -> list[list[float]]:
    """Some of the numbers that LiteRT gives for the astronaut's face."""
    face = Image.fromarray(astronaut()).crop(FACE).resize((side, side), Image.Resampling.BILINEAR)
    pixels = np.asarray(face, np.float32) / 255
    return [
        [round(float(x), 5) for x in found.ravel()[:: found.size // KEPT | 1]] for found in outputs(run, pixels, low)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="mediapipe-0.10.14-*.whl, or the folder it was installed into")
    wheel = parser.parse_args().wheel
    kept = {}
    for name, (path, low, rows) in NETWORKS.items():
        inside = f"mediapipe/modules/{path}"
        data = (wheel / inside).read_bytes() if wheel.is_dir() else zipfile.ZipFile(wheel).read(inside)
        readable = builtin(data)
        read = Reader(readable, low, rows)
        header = {
            "licence": LICENCE,
            "authors": AUTHORS,
            "lineage": f"mediapipe 0.10.14, {inside}, sha256 {hashlib.sha256(data).hexdigest()}",
            "network": json.dumps({"side": read.side, "outputs": read.outputs, "steps": read.steps}),
        }
        save_file(read.tensors, FOLDER / f"{name}.safetensors", header)
        run = Interpreter(model_content=readable)
        run.allocate_tensors()
        network = network_named(name)
        kept[name] = golden(run, network.side, low)
        apart = difference(network, run, low)
        size = (FOLDER / f"{name}.safetensors").stat().st_size
        print(f"{name}: {len(read.steps)} steps, {size:,} bytes, relative difference {apart:.1e}")
        if not apart < TOLERANCE:
            raise SystemExit(
                f"PyTorch and LiteRT differ by {apart:.1e} on {name}; at most {TOLERANCE:.0e} is rounding."
            )
    lists = ",\n".join(f' "{name}": {json.dumps(numbers)}' for name, numbers in kept.items())
    GOLDEN.write_text(f"{{\n{lists}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
