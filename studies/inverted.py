"""Photos as codes: what inverts them in a study, each remembered by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from portraitist.invert import EncoderInverter, Inverter, Projection, Projector
from portraitist.io.encoder_files import StoredEncoder
from portraitist.networks import Generator
from portraitist.spaces import WPlus
from portraitist.surgery import FeatureSwap

from .study import Study

BATCH = 16


def digest_of(values: Tensor) -> str:
    """Return what tells a tensor from others."""
    return hashlib.sha256(values.cpu().numpy().tobytes()).hexdigest()


def file_name(name: str) -> str:
    """Return a row's name as a part of a path."""
    return name.replace(" ", "-").replace(",", "").replace("/", "")


def encoding(study: Study, stored: StoredEncoder) -> Callable[[], EncoderInverter]:
    """Return what makes an inverter by an encoder."""
    return lambda: EncoderInverter(stored.encoder.to(study.device), study.base.generator, study.distances[0])


def optimising(study: Study, settings: Projection, stored: StoredEncoder | None = None) -> Callable[[], Projector]:
    """Return what makes an inverter by optimisation, with the encoder where it needs one."""

    def made() -> Projector:
        encode = None if stored is None else encoding(study, stored)().encode
        return Projector(study.base.generator, study.distances[0], settings, encoder=encode)

    return made


def codes_of(study: Study, name: str, way: Callable[[], Inverter], about: Mapping[str, Any]) -> Tensor:
    """Return the codes [N, rows, w_dim] of all photos, each remembered by itself."""
    assert study.photos is not None
    inverter: list[Inverter] = []
    found = []
    for photo in study.photos:
        mark = digest_of(photo)

        def measure(photo: Tensor = photo) -> Any:
            if not inverter:
                inverter.append(way())
            return inverter[0].invert(photo[None].to(study.device)).code.data[0].tolist()

        wanted = {"way": dict(about), "photo": mark, "look": study.distances[0].features.digest}
        file = f"codes/{file_name(name)}/{mark[:16]}"
        found.append(torch.tensor(study.cached(file, wanted, measure)))
    return torch.stack(found).to(study.device)


@torch.no_grad()
def drawn_codes(model: Generator | FeatureSwap, codes: Tensor) -> Tensor:
    """Return what a model draws of codes [N, rows, w_dim]: [N, 3, R, R]."""
    return torch.cat([model.synthesize(WPlus(part)) for part in torch.split(codes, BATCH)])
