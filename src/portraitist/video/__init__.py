"""Moving pictures: the people of a video or before a camera, redrawn frame by frame.

- ``names``: which files are videos (``is_video``).
- ``source``: frames of a file or a camera (``VideoSource``).
- ``tracks``: who is who from frame to frame (``Tracker``), with landmarks filtered by ``one_euro``.
- ``artists``: who draws (``PainterArtist``, ``StyleArtist``).
- ``segments``: coded frames, kept so that a run can go on where it was stopped.
- ``animation``: a portrait that does what another face does (``animate_video``), by ``driving``, ``puppet`` and
  ``first_order``.
- ``redraw``: the whole (``redraw_video``, ``record_camera``), or frame by frame (``FrameRedrawer``).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .animation import animate_video as animate_video
    from .animation import portrait_puppet as portrait_puppet
    from .artists import Artist as Artist
    from .artists import DrawnFace as DrawnFace
    from .artists import PainterArtist as PainterArtist
    from .artists import StyleArtist as StyleArtist
    from .first_order import FirstOrderPuppet as FirstOrderPuppet
    from .names import is_video as is_video
    from .one_euro import OneEuro as OneEuro
    from .puppet import CodePuppet as CodePuppet
    from .redraw import FrameRedrawer as FrameRedrawer
    from .redraw import VideoReport as VideoReport
    from .redraw import record_camera as record_camera
    from .redraw import redraw_video as redraw_video
    from .source import VideoSource as VideoSource
    from .tracks import Track as Track
    from .tracks import Tracker as Tracker

_PLACES = {
    "Artist": "artists",
    "CodePuppet": "puppet",
    "DrawnFace": "artists",
    "FirstOrderPuppet": "first_order",
    "FrameRedrawer": "redraw",
    "OneEuro": "one_euro",
    "PainterArtist": "artists",
    "StyleArtist": "artists",
    "Track": "tracks",
    "Tracker": "tracks",
    "VideoReport": "redraw",
    "VideoSource": "source",
    "animate_video": "animation",
    "is_video": "names",
    "portrait_puppet": "animation",
    "record_camera": "redraw",
    "redraw_video": "redraw",
}
__all__ = [
    "Artist",
    "CodePuppet",
    "DrawnFace",
    "FirstOrderPuppet",
    "FrameRedrawer",
    "OneEuro",
    "PainterArtist",
    "StyleArtist",
    "Track",
    "Tracker",
    "VideoReport",
    "VideoSource",
    "animate_video",
    "is_video",
    "portrait_puppet",
    "record_camera",
    "redraw_video",
]


def __getattr__(name: str) -> object:
    """Load what is asked for, when it is: a name alone tells the command line that a file is a video."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)
