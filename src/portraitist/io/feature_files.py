"""Weights of feature networks that a user supplies: recognised from their tensors, never executed.

features = load_features("vgg16.pth")
distance = PerceptualDistance(*load_lpips("vgg16.pth", "lpips_vgg.pth"))
describes = load_features("pt_inception-2015-12-05-6726825d.pth")       # what the FID is measured with
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import BadModel
from ..networks.classifiers import InceptionFeatures, MobileNetFeatures
from ..networks.features import AlexNetFeatures, Features, SqueezeNetFeatures, TrunkFeatures, VGG16Features
from .headers import refuse_many
from .opening import typed
from .pickles import check_tensors, open_torch

KNOWN: tuple[type[TrunkFeatures], ...] = (VGG16Features, AlexNetFeatures, SqueezeNetFeatures)
# Networks by the name of a tensor that no other of the layouts has.
MARKS: dict[str, Callable[[Mapping[str, Tensor]], Features]] = {
    "Mixed_5b.branch1x1.conv.weight": InceptionFeatures,
    "51.weight": MobileNetFeatures,
}
LARGEST_RATIO = 10
"""Times that arrays may be larger unpacked; trained weights hardly shrink."""
FID_FILE = "6726825d"
"""How the SHA-256 of the file begins that holds the FID's Inception-v3 in PyTorch's form, by which it is published."""


class Lpips(NamedTuple):
    """The parts of an LPIPS distance, in the order in which ``PerceptualDistance`` takes them."""

    features: Features
    weights: tuple[Tensor, ...]
    """[C] per tap."""
    name: str


@typed
def load_features(path: Path | str, *, largest: int | None = None) -> Features:
    """Read a feature network from ``.pth``, ``.safetensors`` or ``.npz``.

    VGG16, AlexNet and SqueezeNet 1.1 under torchvision's names, Inception-v3 for the FID under the same, MobileNetV2
    with batch norm folded in. Numbers of Inception-v3 are called FID and KID only where the file is the published one.

    Args:
        path: File to read; the tensors of a classifier in it are left out.
        largest: Images with a longer side are resized to it before a trunk sees them; Inception-v3 and MobileNetV2 have
            sizes of their own.

    Raises:
        BadModel: The file is damaged or of another network.
        UntrustedFile: The file asks for code to be run.
    """
    path = Path(path)
    tensors = read_tensors(path)
    network = next((found for mark, found in MARKS.items() if mark in tensors), None)
    if network is None:
        return _trunk(path, tensors, largest)
    try:
        if network is InceptionFeatures:
            return InceptionFeatures(tensors, standard=_sha256(path).startswith(FID_FILE))
        return network(tensors)
    except BadModel as error:
        raise BadModel(f"{path.name}: {error.message}", error.cure) from error


def load_lpips(trunk: Path | str, heads: Path | str, *, largest: int | None = None) -> Lpips:
    """Read a trunk and the channel weights fitted on it (LPIPS v0.1, ``lin{k}.model.1.weight`` [1, C, 1, 1]).

    The weights mean something only over torchvision's own trunk; no file tells where a trunk came from.

    Raises:
        BadModel: A file is damaged, or the heads belong to another network.
        UntrustedFile: A file asks for code to be run.
    """
    features, found = _trunk(Path(trunk), read_tensors(Path(trunk)), largest), read_tensors(Path(heads))
    wanted = _tap_widths(features)
    names = [f"lin{k}.model.1.weight" for k in range(len(wanted))]
    shapes = {k: tuple(v.shape) for k, v in found.items()}
    if shapes != {k: (1, width, 1, 1) for k, width in zip(names, wanted, strict=True)}:
        raise BadModel(
            f"{Path(heads).name} does not hold LPIPS weights for {features.name}: it has {shapes}.",
            "Give the heads that were fitted on this network.",
        )
    return Lpips(features, tuple(found[k].float().flatten() for k in names), f"LPIPS ({features.name})")


@typed
def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors from a file of ``torch.save``, safetensors or numpy; nothing in it is executed."""
    if not path.is_file():
        raise BadModel(f"There is no file {path}.", "Check its path.")
    readers = {".pth": open_torch, ".pt": open_torch, ".safetensors": _read_safetensors, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise BadModel(f"{path.name} is of no kind that holds weights.", f"Use one of {', '.join(readers)}.")
    found: Any = readers[path.suffix.lower()](path)
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise BadModel(f"{path.name} holds something else than named tensors.", "Save the network's state_dict().")
    check_tensors(found, path.name)
    for name, value in found.items():
        if not torch.isfinite(value).all():
            raise BadModel(f"{path.name}: tensor {name} holds NaN or infinity.", "Get the file again.")
    return {str(k): v for k, v in found.items()}


def _trunk(path: Path, tensors: Mapping[str, Tensor], largest: int | None) -> TrunkFeatures:
    network = _recognised(tensors)
    if network is None:
        names = [*(n.name for n in KNOWN), InceptionFeatures.name, MobileNetFeatures.name]
        raise BadModel(
            f"{path.name} is none of {', '.join(names)}; it begins with {sorted(tensors)[:3]}.",
            "Give weights under torchvision's names.",
        )
    try:
        return network(tensors, largest=largest)
    except BadModel as error:
        raise BadModel(f"{path.name}: {error.message}", error.cure) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recognised(tensors: Mapping[str, Tensor]) -> type[TrunkFeatures] | None:
    """Return the network that knows most of the tensors, if it knows more than half of its own."""
    with torch.device("meta"):
        own = {n: {f"features.{k}": v.shape for k, v in n.layers().state_dict().items()} for n in KNOWN}
    share = {
        n: sum(k in tensors and tensors[k].shape == shape for k, shape in shapes.items()) / len(shapes)
        for n, shapes in own.items()
    }
    best = max(share, key=lambda n: share[n])
    return best if share[best] > 0.5 else None


def _tap_widths(features: TrunkFeatures) -> list[int]:
    side = features.smallest
    device = next(features.parameters()).device
    return [x.shape[1] for x in features.taps(torch.zeros(1, 3, side, side, device=device))]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    refuse_many(path)
    try:
        return load_file(path)
    except (SafetensorError, NotImplementedError, OSError) as error:
        raise BadModel(f"{path.name} is not a whole safetensors file ({error}).", "Get the file again.") from error


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > LARGEST_RATIO * path.stat().st_size:
            raise BadModel(f"{path.name} unpacks to {unpacked:,} bytes.", "Save the arrays with numpy.savez.")
        with np.load(path, allow_pickle=False) as file:
            return {k: torch.from_numpy(file[k]) for k in file.files}
    except (ValueError, OSError, EOFError, TypeError, MemoryError, zipfile.BadZipFile) as error:
        raise BadModel(f"{path.name} is not a whole file of numpy arrays ({error}).", "Get the file again.") from error
