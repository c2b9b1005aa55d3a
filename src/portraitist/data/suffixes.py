"""Which files claim to be pictures, by the endings of their names; what they are is told by their content."""

from __future__ import annotations

from pathlib import PurePath

REPORT = "report.json"
"""Name of the report of a folder of pictures, in the folder that is written."""
PICTURES = frozenset(
    f".{suffix}"
    for suffix in (
        "apng avif bmp dib gif heic heics heif hif ico j2k jfif jp2 jpe jpeg jpg jxl mpo pbm pgm png pnm ppm psd svg "
        "tga tif tiff webp 3fr arw cr2 cr3 dng erf nef nrw orf pef raf rw2 srw x3f"
    ).split()
)
"""Suffixes of files that claim to be pictures, in lower case, for every command; those that cannot be read, such as
the raw files of cameras, are among them, so that they are reported and not passed over."""

WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Suffixes of pictures that can be written, and their formats."""


def is_picture(name: str) -> bool:
    """Tell by its suffix whether a file claims to be a picture; hidden files and folders do not count."""
    return not is_hidden(name) and PurePath(name.replace("\\", "/")).suffix.lower() in PICTURES


def is_hidden(name: str) -> bool:
    """Tell whether a file, or a folder on the way to it, is hidden, or is one that macOS puts into archives."""
    parts = name.replace("\\", "/").split("/")
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts)
