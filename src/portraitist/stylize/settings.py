"""What a Stylizer may be told by name, however it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from ..faces import FaceFinder
from ..invert import Inverter, Progress
from ..losses.perceptual import PerceptualDistance
from ..surgery import By
from .appearance import Appearance
from .inversion import Inversion
from .packed import Method

OnProgress = Callable[[str, int, int], None]
"""Is told a stage, and how much of it is done of how much."""


class Settings(TypedDict, total=False):
    """Arguments of ``Stylizer``, which says what they mean, that its other constructors hand on."""

    inversion: Inversion | Inverter | None
    finder: FaceFinder | None
    perceptual: PerceptualDistance | None
    appearance: Appearance | None
    strength: float
    swap: int
    swap_by: By
    detail: float
    method: Method
    seed: int
    progress: Progress | None
    on_progress: OnProgress | None
