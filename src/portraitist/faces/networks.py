"""The small networks of this package that find faces, their points and the person: weights and wiring in its files.

All read RGB in [0, 1], [B, 3, side, side], and are in evaluation mode, their parameters frozen.

- ``far``: BlazeFace of the full range, side 192 (arXiv 1907.05047): boxes and keypoints [B, 2304, 16], logits
  [B, 2304, 1].
- ``near``: BlazeFace of the short range, side 128: the same for 896 places.
- ``mesh``: Face Mesh, side 192 (arXiv 1907.06724): points [B, 468, 3] in its pixels, logit of a face [B, 1, 1].
- ``person``: Selfie Segmentation, side 256: how much of each pixel is a person, [B, 1, 256, 256] in [0, 1].

They are those of MediaPipe 0.10.14 (Apache-2.0), turned by scripts/make_face_networks.py.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open

from portraitist.networks.wired import Wired

FOLDER = Path(__file__).parent / "weights"
Name = Literal["far", "near", "mesh", "person"]


@functools.lru_cache
def network_named(name: Name) -> Wired:
    """Return one of the networks, on the CPU; the same one each time."""
    with safe_open(FOLDER / f"{name}.safetensors", framework="pt") as file:
        description = json.loads(file.metadata()["network"])
        with torch.device("meta"):
            network = Wired(description["steps"], description["outputs"], description["side"])
        network.load_state_dict({key: file.get_tensor(key).float() for key in file.keys()}, assign=True)
    network.eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]
