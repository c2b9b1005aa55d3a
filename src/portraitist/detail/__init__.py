"""The detail stage: what the code of a face cannot hold comes from the photo.

- ``filters``: simplify a picture as painters do, and what a medium leaves on it.
- ``shape``: move the parts of a face.
- ``look``: what a style changes of any photo (``Look``), and how a photo and its drawings become the picture.
- ``measure``: find the look of a style from its exemplars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from .look import SIDE as SIDE
    from .look import Look as Look
    from .look import redraw_detail as redraw_detail
    from .measure import MEDIA as MEDIA
    from .measure import PEOPLE as PEOPLE
    from .measure import Population as Population
    from .measure import measure_look as measure_look
    from .measure import measure_population as measure_population
    from .measure import mixed_population as mixed_population
    from .measure import photo_population as photo_population
    from .medium import Medium as Medium

__getattr__ = lazily(
    __name__,
    {
        "Look": "look",
        "MEDIA": "measure",
        "Medium": "look",
        "PEOPLE": "measure",
        "Population": "measure",
        "SIDE": "look",
        "measure_look": "measure",
        "measure_population": "measure",
        "mixed_population": "measure",
        "photo_population": "measure",
        "redraw_detail": "look",
    },
)
__all__ = [
    "MEDIA",
    "PEOPLE",
    "SIDE",
    "Look",
    "Medium",
    "Population",
    "measure_look",
    "measure_population",
    "mixed_population",
    "photo_population",
    "redraw_detail",
]
