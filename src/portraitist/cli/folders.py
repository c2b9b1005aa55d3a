"""A photo or a folder of photos on the command line: what is written where, a progress bar, and how it ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import BadImage, NonFinite, OutOfMemory, PortraitistError, UsageError

if TYPE_CHECKING:
    from ..data.prepare import Aligner
    from ..stylize import FileReport, Redrawer, Stylizer
    from ..stylize.batch import Elsewhere, Options


class PhotoRun:
    """One run of a command over a photo or a folder of photos.

    Raises:
        UsageError: There is no photo, or no place for the files.
    """

    def __init__(self, photo: Path, out: Path | None, report: Path | None = None) -> None:
        self._photo, self._out = photo, folder_for(photo, out)
        from ..stylize.batch import REPORT, photos

        self._photos = photos(photo, self._out)
        self._report = report or (self._out / REPORT if os.path.isdir(photo) else None)

    @property
    def is_single(self) -> bool:
        """Whether there is but one photo."""
        return len(self._photos) == 1

    def redraw(self, redrawer: Redrawer, options: Options, elsewhere: Elsewhere | None = None) -> None:
        """Redraw all photos, here or elsewhere, and say what became of them; errors as of :meth:`over`."""
        from ..stylize import stylize_files

        self.over(
            lambda on_file: stylize_files(
                redrawer,
                self._photos,
                self._out,
                options,
                report=self._report,
                on_file=on_file,
                elsewhere=elsewhere,
            )
        )

    def invert(self, stylizer: Stylizer, *, aligned: bool, overwrite: bool) -> None:
        """Invert all photos, and say what became of them; errors as of :meth:`over`."""
        from ..stylize.inverted import invert_files

        self.over(
            lambda on_file: invert_files(
                stylizer,
                self._photos,
                self._out,
                aligned=aligned,
                overwrite=overwrite,
                report=self._report,
                on_file=on_file,
            )
        )

    def over(self, work: Callable[[Callable[[FileReport], None]], list[FileReport]]) -> None:
        """Do work that reports each photo, with a progress bar.

        Raises:
            PortraitistError: The only photo failed.
            typer.Exit: Some of a folder failed.
        """
        from tqdm import tqdm

        with tqdm(total=len(self._photos), unit=" photos", disable=self.is_single) as bar:

            def update(line: FileReport) -> None:
                if line.status == "failed" and os.path.isdir(self._photo):
                    bar.write(f"{line.source}: {line.reason}", file=sys.stderr)
                bar.update()

            lines = work(update)
        if os.path.isdir(self._photo):
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
        if os.path.isdir(photo):
            raise UsageError("A folder of photos needs a folder for the pictures.", "Give -o OUT.")
        return photo.parent
    if str(out) == "-":
        raise UsageError("Pictures cannot be written to standard output.", "Give a folder with -o.")
    from ..data.sources import PICTURES

    if out.suffix.lower() in PICTURES and not os.path.isdir(out):
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
