"""A photo or a folder of photos on the command line: what is written where, a progress bar, and how it ended."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import BadImage, NonFinite, OutOfMemory, PortraitistError, UsageError

if TYPE_CHECKING:
    from ..data.prepare import Aligner
    from ..stylize import FileReport, Redrawer
    from .groups import Faces, Output


class PhotoRun:
    """One run of a command that redraws photos.

    Raises:
        UsageError: There is no photo, or no place for the pictures.
    """

    def __init__(self, photo: Path, output: Output, faces: Faces) -> None:
        self._photo, self._out = photo, folder_for(photo, output.out)
        self._written = output.written(faces)
        from ..stylize.batch import REPORT, photos

        self._photos = photos(photo, self._out)
        self._report = output.report or (self._out / REPORT if photo.is_dir() else None)

    @property
    def is_single(self) -> bool:
        """Whether there is but one photo."""
        return len(self._photos) == 1

    def redraw(self, redrawer: Redrawer) -> None:
        """Redraw all photos, and say what became of them.

        Raises:
            PortraitistError: The only photo could not be redrawn.
            typer.Exit: Some of a folder could not be.
        """
        from tqdm import tqdm

        from ..stylize import stylize_files

        with tqdm(total=len(self._photos), unit=" photos", disable=self.is_single) as bar:

            def update(line: FileReport) -> None:
                if line.status == "failed" and self._photo.is_dir():
                    bar.write(f"{line.source}: {line.reason}", file=sys.stderr)
                bar.update()

            lines = stylize_files(redrawer, self._photos, self._out, self._written, report=self._report, on_file=update)
        if self._photo.is_dir():
            counts = {s: sum(line.status == s for line in lines) for s in ("done", "skipped", "failed")}
            typer.echo(f"{', '.join(f'{n} {s}' for s, n in counts.items())}; the pictures are in {self._out}")
            if counts["failed"]:
                raise typer.Exit(3)
        elif lines[0].status == "failed":
            raise _as_error(lines[0])
        else:
            for name in lines[0].outputs:
                typer.echo(self._out / name)


def prepare_faces(
    pictures: Path, out: Path, size: int, aligner: Aligner, settings: dict[str, object], overwrite: bool
) -> None:
    """Crop the faces of a set of pictures, and say what became of it.

    Raises:
        typer.Exit: No face was found.
    """
    from tqdm import tqdm

    from ..data.prepare import prepare
    from ..data.sources import open_source

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


def folder_for(photo: Path, out: Path | None) -> Path:
    """Return where the pictures of a photo or of a folder of photos go.

    Raises:
        UsageError: A folder of photos is given, and none for the pictures; or a picture's name where a folder belongs.
    """
    if out is None:
        if photo.is_dir():
            raise UsageError("A folder of photos needs a folder for the pictures.", "Give -o OUT.")
        return photo.parent
    if str(out) == "-":
        raise UsageError("Pictures cannot be written to standard output.", "Give a folder with -o.")
    from ..data.sources import PICTURES

    if out.suffix.lower() in PICTURES and not out.is_dir():
        raise UsageError(
            f"--out takes a folder, but {out} looks like a picture.",
            f"Give -o {out.parent}, and --suffix {out.suffix} for the format.",
        )
    return out


def _as_error(line: FileReport) -> PortraitistError:
    """Return what went wrong with the only photo of a run, with its own exit code."""
    message = f"{line.source}: {line.reason}"
    kinds = {"exists": UsageError, "memory": OutOfMemory, "not-finite": NonFinite}
    return kinds[line.kind](message) if line.kind in kinds else BadImage(message, kind=line.kind)
