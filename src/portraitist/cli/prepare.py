"""``portraitist prepare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import options

if TYPE_CHECKING:
    from ..data.images import Pixels
    from ..faces import AlignedFace, FixedPoints


def command(
    pictures: Annotated[Path, typer.Argument(help="Folder or zip of pictures with faces.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the aligned faces.")] = None,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side of the faces in pixels.")] = 256,
    points: Annotated[Path | None, typer.Option(help="JSON file of landmarks, in place of the finder.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say what is wrong with the pictures; cut out nothing.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="With --check: write the findings here.")] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Cut aligned faces out of a folder of pictures, or check exemplars.

    Faces are cut out as the FFHQ set does it. Pictures that are finished are skipped; those that are left out are
    listed with the reason. With --check, exemplars are examined instead: doubles, pictures of another style, hair that
    is cut off, and more, each with the reason and the cure.
    """
    from ..faces import read_points

    if check and out is not None:
        raise UsageError("--check cuts out nothing.", "Leave out -o.")
    if json_file is not None and not check:
        raise UsageError("--json goes with --check.", "Without it, the report lies beside the faces.")
    by_name = None if points is None else read_points(points)
    if check:
        _check(pictures, size, by_name or {}, json_file)
        return
    if out is None:
        raise UsageError("The faces need a folder.", "Give -o OUT, or --check to examine the pictures only.")
    _cut(pictures, out, size, by_name or {}, "" if points is None else points.read_text(encoding="utf-8"), overwrite)


def _cut(pictures: Path, out: Path, size: int, by_name: dict[str, FixedPoints], points: str, overwrite: bool) -> None:
    from tqdm import tqdm

    from ..data.prepare import prepare
    from ..data.sources import open_source
    from ..faces import FaceFinder, MediaPipeFinder, align

    finder: FaceFinder = MediaPipeFinder()

    def aligner(picture: Pixels, name: str) -> Sequence[AlignedFace]:
        return [align(picture, face.landmarks, size) for face in by_name.get(name, finder).find(picture)]

    settings = {"finder": repr(finder), "points": points}
    with tqdm(total=len(open_source(pictures, size).names), unit=" pictures") as bar:
        report = prepare(
            pictures,
            out,
            size,
            aligner,
            settings=settings,
            overwrite=overwrite,
            on_picture=lambda entry: bar.update() and None,
        )
    for line in report.lines():
        typer.echo(line)
    if not report.faces:
        raise typer.Exit(3)


def _check(pictures: Path, size: int, by_name: dict[str, FixedPoints], json_file: Path | None) -> None:
    import json

    from tqdm import tqdm

    from ..data.sources import open_source
    from ..evaluate.exemplars import examine
    from ..files import refuse_existing, write_bytes

    if json_file is not None:
        refuse_existing(json_file, overwrite=False)
    with tqdm(total=len(open_source(pictures, size).names), unit=" pictures") as bar:
        checkup = examine(pictures, size=size, points=by_name, on_picture=lambda name: bar.update() and None)
    if json_file is not None:
        content = json.dumps(checkup.as_json(), indent=1)
        write_bytes(json_file, content.encode())
    for line in checkup.lines():
        typer.echo(line)
    if not checkup.usable:
        raise typer.Exit(3)
