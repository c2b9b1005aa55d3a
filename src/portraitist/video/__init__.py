"""Moving pictures: the people of a video or before a camera, redrawn frame by frame.

- ``source``: frames of a file or a camera (``VideoSource``).
- ``tracks``: who is who from frame to frame (``Tracker``), with landmarks filtered by ``one_euro``.
- ``artists``: who draws (``PainterArtist``, ``StyleArtist``).
- ``segments``: coded frames, kept so that a run can go on where it was stopped.
- ``redraw``: the whole (``redraw_video``, ``record_camera``).
"""

from .artists import Artist, DrawnFace, PainterArtist, StyleArtist
from .one_euro import OneEuro
from .redraw import FrameRedrawer, VideoReport, record_camera, redraw_video
from .source import VideoSource, is_video
from .tracks import Track, Tracker

__all__ = [
    "Artist",
    "DrawnFace",
    "FrameRedrawer",
    "OneEuro",
    "PainterArtist",
    "StyleArtist",
    "Track",
    "Tracker",
    "VideoReport",
    "VideoSource",
    "is_video",
    "record_camera",
    "redraw_video",
]
