"""What the files of redrawn photos are called: ``me.toon3d.png``, ``me.face2.toon3d.png``, ``me.toon3d.pasted.png``.

Every choice that changes what is drawn of a photo and that is made anew for each run (the face, the style, the
rendering, pasting back) stands in the name, so that runs into one folder do not meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict


class Naming(TypedDict):
    """What shows in the names of all pictures of a run."""

    which: str | int
    pasted: bool
    sheet: bool
    suffix: str


def end_of(
    style: str, rendering: str = "", *, face: int = 1, pasted: bool = False, suffix: str = ".png", alone: bool = False
) -> str:
    """Return what follows the stem of a photo in the name of one picture of it.

    Args:
        style: Name of the style.
        rendering: Name of the further rendering; none where empty.
        face: Number of the face, 1 for the largest.
        pasted: The picture is the photo with the redrawn face in it.
        suffix: Of the format.
        alone: Of a pasted picture: only this face was drawn.
    """
    marks = [style, rendering, "pasted" if pasted else ""]
    return f".{_mark(face, pasted=pasted, alone=alone)}{'.'.join(mark for mark in marks if mark)}{suffix}"


def planned_ends(
    styles: Sequence[str],
    renderings: Sequence[str],
    *,
    which: str | int = "all",
    pasted: bool = False,
    sheet: bool = False,
    suffix: str = ".png",
) -> list[str]:
    """Return the ends of the names of all files that are sure to be written of a photo; further faces may follow.

    Args:
        styles: Names of the styles.
        renderings: Names of the renderings, the first of which is empty.
        which: ``all``, ``largest`` or the number of a face.
        pasted: As :func:`end_of`.
        sheet: Whether there is a sheet.
        suffix: As :func:`end_of`.
    """
    face, alone = which if isinstance(which, int) else 1, which != "all"
    ends = [
        end_of(style, rendering, face=face, pasted=pasted, suffix=suffix, alone=alone)
        for style in styles
        for rendering in renderings
    ]
    return [*ends, sheet_end(face, pasted=pasted, suffix=suffix, alone=alone)] if sheet else ends


def sheet_end(face: int = 1, *, pasted: bool = False, suffix: str = ".png", alone: bool = False) -> str:
    """Return the end of the name of a sheet, which bears the number of a face where the pictures beside it do."""
    return f".{_mark(face, pasted=pasted, alone=alone)}sheet{suffix}"


def _mark(face: int, *, pasted: bool, alone: bool) -> str:
    return f"face{face}." if face > 1 or (pasted and alone) else ""
