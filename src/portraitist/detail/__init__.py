"""The detail stage: what the code of a face cannot hold comes from the photo.

- ``filters``: simplify a picture as painters do, and what a medium leaves on it.
- ``shape``: move the parts of a face.
- ``look``: what a style changes of any photo (``Look``), and how a photo and its drawings become the picture.
- ``measure``: find the look of a style from its exemplars.
"""

from .look import SIDE, Look, Medium, redraw_detail
from .measure import MEDIA, PEOPLE, Population, measure_look, measure_population, mixed_population, photo_population

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
