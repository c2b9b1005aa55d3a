"""From pictures to codes. Every method is an :class:`Inverter`; the optimiser is :class:`Projector`.

The settings of optimisations, and their names, can be read without loading PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from .encode import EncoderInverter as EncoderInverter
    from .encode import medoid as medoid
    from .inverter import Encodes as Encodes
    from .inverter import Inverted as Inverted
    from .inverter import Inverter as Inverter
    from .inverter import Progress as Progress
    from .pivotal import PivotalTuning as PivotalTuning
    from .pivotal import Tuned as Tuned
    from .pivotal import tune as tune
    from .prior import Prior as Prior
    from .prior import fit_prior as fit_prior
    from .projector import Projector as Projector

from .projection import (
    METHODS,
    Projection,
    image2stylegan,
    in_domain,
    portrait,
    refine,
    stylegan2,
    ui2i,
    ui2i_paper,
    ui2i_released,
)

_HOMES = {
    "EncoderInverter": "encode",
    "Encodes": "inverter",
    "Inverted": "inverter",
    "Inverter": "inverter",
    "PivotalTuning": "pivotal",
    "Prior": "prior",
    "Progress": "inverter",
    "Projector": "projector",
    "Tuned": "pivotal",
    "fit_prior": "prior",
    "medoid": "encode",
    "tune": "pivotal",
}
__all__ = [
    "METHODS",
    "EncoderInverter",
    "Encodes",
    "Inverted",
    "Inverter",
    "PivotalTuning",
    "Prior",
    "Progress",
    "Projection",
    "Projector",
    "Tuned",
    "fit_prior",
    "image2stylegan",
    "in_domain",
    "medoid",
    "portrait",
    "refine",
    "stylegan2",
    "tune",
    "ui2i",
    "ui2i_paper",
    "ui2i_released",
]
__getattr__ = lazily(__name__, _HOMES)
