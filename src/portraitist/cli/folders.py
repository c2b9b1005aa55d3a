"""Work over the photos of a command: a progress bar, and how it ended."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import BadImage, NonFinite, OutOfMemory, PortraitistError, UsageError
from .bars import bar_of
from .common import note, talk
from .inputs import STDOUT, Inputs

if TYPE_CHECKING:
    from ..data.prepare import Aligner
    from ..stylize import FileReport, Redrawer, Stylizer
    from ..stylize.batch import Elsewhere
    from ..stylize.choices import Options


class PhotoRun:
    """One run of a command over its photos.

    Args:
        given: The photos, and where their files go.
        report: That of ``--report``; the one beside the pictures when None, where the run has one.
    """

    def __init__(self, given: Inputs, report: Path | None = None) -> None:
        if given.out == STDOUT and report is not None:
            raise UsageError("What goes to standard output has no report.", "Leave out --report, or give -o OUT.")
        self._given, self._report = given, report or given.report

    def redraw(self, redrawer: Redrawer, options: Options, elsewhere: Elsewhere | None = None) -> None:
        """Redraw all photos, here or elsewhere, and say what became of them; errors as of :meth:`over`."""
        from ..stylize.batch import draw_one, stylize_files

        given = self._given
        if given.out == STDOUT:
            sys.stdout.buffer.write(draw_one(redrawer, given.photos[0], options))
            sys.stdout.buffer.flush()
            return
        self.over(
            lambda on_file: stylize_files(
                redrawer,
                given.photos,
                given.out,
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
                self._given.photos,
                self._given.out,
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
            typer.Exit: Some of several failed.
        """
        given = self._given
        with bar_of(total=len(given.photos), unit=" photos", disable=given.is_single) as bar:

            def update(line: FileReport) -> None:
                if line.status == "failed" and not given.is_single:
                    bar.write(f"{line.source}: {line.reason}", file=sys.stderr)
                bar.update()

            lines = work(update)
        note(out=str(given.out), photos=[line.as_json() for line in lines])
        talk().clear()
        if given.is_single:
            if lines[0].status == "failed":
                raise _as_error(lines[0])
            for name in lines[0].outputs:
                typer.echo(given.out / name)
            return
        counts = {s: sum(line.status == s for line in lines) for s in ("done", "skipped", "failed")}
        typer.echo(f"{', '.join(f'{n} {s}' for s, n in counts.items())}; the pictures are in {given.out}")
        if counts["failed"]:
            raise typer.Exit(3)


def prepare_faces(
    pictures: Path, out: Path, size: int, aligner: Aligner, settings: dict[str, object], overwrite: bool
) -> None:
    """Crop the faces of a set of pictures, and say what became of it.

    Raises:
        typer.Exit: No face was found.
    """
    from ..data.prepare import prepare
    from ..data.sources import open_source

    with bar_of(total=len(open_source(pictures, size).names), unit=" pictures") as bar:
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


def _as_error(line: FileReport) -> PortraitistError:
    """Return what went wrong with the only photo of a run, with its own exit code."""
    message = f"{line.source}: {line.reason}"
    kinds = {"exists": UsageError, "memory": OutOfMemory, "not-finite": NonFinite}
    return kinds[line.kind](message) if line.kind in kinds else BadImage(message, kind=line.kind)
