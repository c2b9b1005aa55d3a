"""From pictures to codes. Every way is an :class:`Inverter`; the optimiser is :class:`Projector`."""

from .encode import EncoderInverter, medoid
from .inverter import Encodes, Inverted, Inverter, Progress
from .pivotal import PivotalTuning, Tuned, tune
from .prior import Prior, fit_prior
from .projection import (
    METHODS,
    Projection,
    image2stylegan,
    in_domain,
    portrait,
    refine,
    stylegan2,
    ui2i_paper,
    ui2i_released,
)
from .projector import Projector

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
    "ui2i_paper",
    "ui2i_released",
]
