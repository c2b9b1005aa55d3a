"""Which files are videos, and which can be written, by the endings of their names; nothing heavy is imported."""

from __future__ import annotations

from pathlib import PurePath

SUFFIXES = frozenset(".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv".split())
"""What is taken for a video, in lower case."""

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""What can be written, and FFmpeg's name of it."""


def is_video(path: PurePath | str) -> bool:
    """Tell by its name whether a file is a video."""
    return PurePath(path).suffix.lower() in SUFFIXES
