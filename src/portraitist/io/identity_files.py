"""Weights of face embedders that a user supplies: recognised from their tensors, never executed.

identity = load_identity("model_ir_se50.pth")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from ..errors import BadModel
from ..networks.identity import FoamliuIdentity, Identity, IRSE50Identity, MobileFaceNetIdentity
from .feature_files import read_tensors
from .opening import typed

# The name of a tensor that no other of the layouts has.
KNOWN: dict[str, Callable[[Mapping[str, Tensor]], Identity]] = {
    "output_layer.3.weight": IRSE50Identity,
    "conv_6_dw.conv.weight": MobileFaceNetIdentity,
    "gdconv.depthwise.weight": FoamliuIdentity,
}


@typed
def load_identity(path: Path | str) -> Identity:
    """Read IR-SE50 or MobileFaceNet (photo2cartoon's layout or foamliu's) from ``.pth``, ``.pt``, ``.safetensors``, ...

    Raises:
        BadModel: The file is damaged or of another network.
        UntrustedFile: The file asks for code to be run.
    """
    path = Path(path)
    tensors = read_tensors(path)
    for mark, network in KNOWN.items():
        if mark in tensors:
            try:
                return network(tensors)
            except BadModel as error:
                raise BadModel(f"{path.name}: {error.message}", error.cure) from error
    raise BadModel(
        f"{path.name} is no face embedder that can be read; it begins with {sorted(tensors)[:3]}.",
        "Give IR-SE50 (model_ir_se50.pth) or MobileFaceNet (model_mobilefacenet.pth).",
    )
