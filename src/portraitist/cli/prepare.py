"""``portraitist prepare``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..files import read_regular
from . import folders, options
from .bars import bar_of
from .common import note, refuse_given
from .options import opt

if TYPE_CHECKING:
    from ..data.images import Pixels
    from ..faces import AlignedFace, FixedPoints


def command(
    *,
    pictures: Annotated[Path, typer.Argument(help="Folder or zip of pictures with faces.")],
    out: Annotated[Path | None, opt("Folder for the aligned faces.", "--out", "-o")] = None,
    size: Annotated[int, opt("Side of the faces in pixels.", min=16, max=1024)] = 256,
    points: Annotated[Path | None, opt("JSON file of landmarks, instead of a detector.")] = None,
    detector: options.Detector = "",
    check: Annotated[bool, opt("Report what is wrong with the pictures; write no faces.", "--check")] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Crop and align faces, or check exemplars.

    Faces are aligned as in FFHQ. Finished pictures are skipped; those that are left out are listed with the reason.
    With --check, exemplars are examined instead: duplicates, pictures of another style, hair that is cut off, and more,
    each with the reason and what to do.
    """
    from ..faces import finder_named, read_points

    if check and out is not None:
        raise UsageError("--check writes no faces.", "Leave out -o.")
    if check:
        refuse_given({"detector", "overwrite"}, "is for writing faces, and --check writes none")
    by_name = {} if points is None else read_points(points)
    if check:
        _check(pictures, size, by_name)
        return
    if out is None:
        raise UsageError("The faces need a folder.", "Give -o OUT, or --check to examine the pictures only.")
    from ..faces import align

    finder = finder_named(detector)

    def aligner(picture: Pixels, name: str) -> Sequence[AlignedFace]:
        return [align(picture, face.landmarks, size) for face in by_name.get(name, finder).find(picture)]

    settings: dict[str, object] = {
        "finder": repr(finder),
        "points": "" if points is None else hashlib.sha256(read_regular(points)).hexdigest(),
    }
    folders.prepare_faces(pictures, out, size, aligner, settings, overwrite)


def _check(pictures: Path, size: int, by_name: dict[str, FixedPoints]) -> None:
    from ..data.sources import open_source
    from ..evaluate.exemplars import examine

    with bar_of(total=len(open_source(pictures, size).names), unit=" pictures") as bar:
        checkup = examine(pictures, size=size, points=by_name, on_picture=lambda name: bar.update() and None)
    note(findings=checkup.as_json())
    for line in checkup.lines():
        typer.echo(line)
    if not checkup.usable:
        raise typer.Exit(3)
