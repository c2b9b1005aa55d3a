"""``portraitist prepare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..data.images import Pixels
    from ..faces import AlignedFace


def command(
    pictures: Annotated[Path, typer.Argument(help="Folder or zip of pictures with faces.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the aligned faces.")],
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side of the faces in pixels.")] = 256,
    points: Annotated[Path | None, typer.Option(help="JSON file of landmarks, in place of the finder.")] = None,
) -> None:
    """Cut aligned faces out of a folder of pictures.

    Faces are cut out as the FFHQ set does it. Pictures that are finished are skipped; those that are left out are
    listed with the reason.
    """
    from tqdm import tqdm

    from ..data.prepare import prepare
    from ..data.sources import open_source
    from ..faces import FaceFinder, MediaPipeFinder, align, read_points

    by_name = None if points is None else read_points(points)
    finder: FaceFinder = MediaPipeFinder()

    def aligner(picture: Pixels, name: str) -> Sequence[AlignedFace]:
        found = by_name[name] if by_name is not None and name in by_name else finder
        return [align(picture, face.landmarks, size) for face in found.find(picture)]

    settings = {"finder": repr(finder), "points": "" if points is None else points.read_text(encoding="utf-8")}
    with tqdm(total=len(open_source(pictures, size).names), unit=" pictures") as bar:
        report = prepare(
            pictures, out, size, aligner, settings=settings, on_picture=lambda entry: bar.update() and None
        )
    for line in report.lines():
        typer.echo(line)
    if not report.faces:
        raise typer.Exit(3)
