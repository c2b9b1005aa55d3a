"""From pictures to codes. Every way is an :class:`Inverter`; the optimiser is :class:`Projector`."""

from .inverter import Inverted, Inverter, Progress
from .prior import Prior, fit_prior
from .projector import Projection, Projector, image2stylegan, portrait, stylegan2

__all__ = [
    "Inverted",
    "Inverter",
    "Prior",
    "Progress",
    "Projection",
    "Projector",
    "fit_prior",
    "image2stylegan",
    "portrait",
    "stylegan2",
]
