"""From a photo to an upright square face and back.

- ``landmarks``: eyes and mouth of a face (``Landmarks``), and a face in a picture (``Face``).
- ``registry``: finders by name (``FINDERS``, ``finder_named``).
- ``detect``: find faces (``FaceFinder``, ``BlazeFinder``; ``FixedPoints`` and ``read_points`` for given points).
- ``align``: cut a face out the FFHQ way (``align`` gives an ``AlignedFace``).
- ``paste``: put a redrawn face back under a feathered seam.
"""

from portraitist.faces.align import AlignedFace, align, ffhq_quad
from portraitist.faces.detect import BlazeFinder, FaceFinder, FixedPoints, read_points
from portraitist.faces.landmarks import Face, Landmarks
from portraitist.faces.paste import paste
from portraitist.faces.registry import FINDERS, finder_named

__all__ = [
    "FINDERS",
    "AlignedFace",
    "BlazeFinder",
    "Face",
    "FaceFinder",
    "FixedPoints",
    "Landmarks",
    "align",
    "ffhq_quad",
    "finder_named",
    "paste",
    "read_points",
]
