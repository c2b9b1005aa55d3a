"""An ONNX file in eight bits, and what that changes of its drawings.

small, kept = quantised(content, photos)        # kept.sharpness, kept.identity: 1 is unchanged
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.images import resize, to_array
from ..errors import BadModel
from ..evaluate.picture_signals import SIDE, sharpness
from ..networks.identity import Identity
from .graph import session

MOST = 0.05
"""Parts by which sharpness and identity may change."""
EXACT = (0.0, 0.25, 0.5, 0.75)
"""Parts of the convolutions, from the picture on, that stay exact, in the order they are tried; one always does."""


@dataclass(frozen=True)
class Kept:
    """What drawings in eight bits keep, as ratios to those of the exact network."""

    sharpness: float
    """Mean of the luminance above 32 cycles a picture."""
    identity: float | None
    """Mean cosine of photo and drawing; None where no network knows persons."""
    difference: float
    """Mean difference of the pictures in grey levels."""

    @property
    def is_enough(self) -> bool:
        """Whether neither has changed by more than ``MOST``."""
        return all(abs(part - 1) <= MOST for part in (self.sharpness, self.identity) if part is not None)

    def __str__(self) -> str:
        found = f"sharpness {self.sharpness:.1%}"
        if self.identity is not None:
            found += f", identity {self.identity:.1%}"
        return f"{found} of the exact network's, mean difference {self.difference:.2f} grey levels"


def quantised(content: bytes, photos: Tensor, identity: Identity | None = None) -> tuple[bytes, Kept]:
    """Return an ONNX file whose convolutions compute in eight bits, and what that keeps.

    The ranges of what they read are those met while drawing the photos. The convolutions nearest to the picture stay
    exact, as many as it takes: what rounding adds there is seen as grain.

    Args:
        content: Of the exact file; its input is ``photos``.
        photos: [N, 3, S, S] in [-1, 1]; some sixteen faces.
        identity: What tells persons apart.

    Raises:
        BadModel: The drawings change too much even where only the first convolutions are rounded.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        given, ready = (str(Path(folder) / name) for name in ("given.onnx", "ready.onnx"))
        Path(given).write_bytes(content)
        quant_pre_process(given, ready, skip_symbolic_shape=True)
        names = [node.name for node in onnx.load(ready).graph.node if node.op_type == "Conv"]
        for part in EXACT:
            first = len(names) - max(1, round(part * len(names)))
            small = _rounded(Path(ready), names[:first], photos)
            kept = compare(content, small, photos, identity)
            if kept.is_enough:
                return small, kept
    raise BadModel(
        f"Eight bits change the drawings too much: {kept}.", "Leave out --int8, or give --photos like yours."
    )


def _rounded(path: Path, names: list[str], photos: Tensor) -> bytes:
    """Return the content of an ONNX file with the named convolutions in eight bits."""
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    target = path.with_name("rounded.onnx")
    quantize_static(
        onnx.load(path),
        str(target),
        _Photos(photos),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv"],
        nodes_to_quantize=names,
    )
    return target.read_bytes()


def compare(exact: bytes, small: bytes, photos: Tensor, identity: Identity | None = None) -> Kept:
    """Compare the drawings of two files.

    Args:
        exact: Content of the exact file.
        small: Of that in eight bits.
        photos: [N, 3, S, S] in [-1, 1].
        identity: What tells persons apart.
    """
    before, after = (_drawings(content, photos) for content in (exact, small))
    sharp = [float(sharpness(_batch(x)).mean()) for x in (before, after)]
    same = None
    if identity is not None:
        with torch.no_grad():
            persons = identity.embed(photos)
            cosines = [float((identity.embed(x) * persons).sum(1).mean()) for x in (before, after)]
        same = cosines[1] / cosines[0]
    apart = np.abs(_batch(after).astype(float) - _batch(before)).mean()
    return Kept(sharp[1] / max(sharp[0], 1e-6), same, float(apart))


class _Photos:
    """Photos one by one, as the calibration of onnxruntime asks for them."""

    def __init__(self, photos: Tensor) -> None:
        self._rows: Iterator[Tensor] = iter(photos.split(1))

    def get_next(self) -> dict[str, np.ndarray] | None:
        row = next(self._rows, None)
        return None if row is None else {"photos": row.numpy()}


def _drawings(content: bytes, photos: Tensor) -> Tensor:
    runs = session(content)
    return torch.cat([torch.from_numpy(runs.run(None, {"photos": x.numpy()})[0]) for x in photos.split(1)])


def _batch(pictures: Tensor) -> np.ndarray:
    return np.stack([resize(to_array(x), SIDE) for x in pictures])
