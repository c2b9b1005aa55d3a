"""Where tensors live: what a device's name means here, and what the devices of Apple lack.

Apple's devices (MPS) know no double precision: what needs it is computed on the CPU (:func:`double`). Other operations
that they lack fall back to the CPU by themselves, see ``PYTORCH_ENABLE_MPS_FALLBACK``, which importing the package sets
on macOS. Trainings and evaluations compute in double precision on the device, and are not offered there.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ..errors import UsageError


def device_named(name: str = "auto", *, exact: bool = False) -> str:
    """Return the device that a name means on this machine.

    Args:
        name: ``auto`` (the first there is of CUDA, MPS and the CPU), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        exact: The work needs double precision, as trainings and evaluations do; MPS has none.

    Raises:
        UsageError: There is no such device, or it has no double precision.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if not exact and torch.backends.mps.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?|mps", name):
        raise UsageError(f"Unknown device '{name}'.", "Use auto, cpu, cuda, cuda:N or mps.")
    if name == "mps" and exact:
        raise UsageError("MPS has no double precision, which this work needs.", "Use --device cpu or auto.")
    if (name == "mps" and not torch.backends.mps.is_available()) or (
        name.startswith("cuda") and int(name.partition(":")[2] or 0) >= torch.cuda.device_count()
    ):
        raise UsageError(f"PyTorch sees no device '{name}' here.", "Use --device cpu or auto.")
    return name


def double(tensor: Tensor) -> Tensor:
    """Return a tensor in double precision: where it is, or on the CPU where its device has none."""
    return tensor.cpu().double() if tensor.device.type == "mps" else tensor.double()
