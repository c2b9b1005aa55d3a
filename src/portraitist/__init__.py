"""Portraitist: learn a way of drawing faces from a handful of exemplars and redraw photos of people in it.

from portraitist import Stylizer

Stylizer.bundled("toon3d").stylize("me.jpg").image.save("me.toon3d.png")
"""

__version__ = "0.1.0"
