"""Many photos: finished ones are skipped, bad ones are listed, and a report says what became of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from ..data.folder_run import FileReport, FolderRun, Made, RunReport, Work, report_in, settings_digest
from ..data.images import MAX_BYTES, Pixels, encode_image, with_opacity
from ..data.suffixes import REPORT
from ..errors import BadData, BadImage, UsageError
from ..faces.align import share_outside
from ..files import open_regular
from .choices import Options
from .discovery import STDIN, Photo, photos
from .names import end_of, planned_ends, sheet_end
from .redraw import Redrawer, Redrawn

_MADE_UP = 0.25
"""Share of a face's square outside of its photo from which on its owner is told."""


def stylize_files(
    redrawer: Redrawer,
    source: Path | Sequence[Photo],
    out: Path,
    options: Options,
    *,
    report: Path | None = None,
    on_file: Callable[[FileReport], None] | None = None,
    elsewhere: Elsewhere | None = None,
) -> list[FileReport]:
    """Redraw a photo or a folder of photos into ``out``.

    Pictures are named ``<stem>.<style>.png``, further faces ``<stem>.face2.<style>.png``, further renderings
    ``<stem>.<style>.sample1.png``, ``<stem>.<style>.random1.png`` or ``<stem>.<style>.<reference>.png``, photos with
    the redrawn faces in them ``<stem>.<style>.pasted.png``. A run that was
    stopped goes on where it stopped: a photo is finished when the report says so for the same bytes and settings, and
    its pictures are there. A picture that no report vouches for is never replaced unless ``options.overwrite`` is set.

    Args:
        redrawer: What redraws.
        source: A photo or a folder, or what :func:`photos` found there.
        out: Folder for pictures.
        options: How.
        report: Where to read and write the report; none when None.
        on_file: Called with the line of each photo.
        elsewhere: Draws in place of ``redrawer``, such as a ``stylize.cluster.Cluster``; files are still read and
            written here.

    Returns:
        One line a photo, in the order of names.

    Raises:
        UsageError: There is no photo, or the report is a file of something else.
        StorageError: The disk is full, read-only or gone; what was done is in the report.
    """
    chosen = photos(source, out) if isinstance(source, Path) else source
    by_name = {photo.name: photo for photo in chosen}
    work = PhotoWork(redrawer, by_name, options)
    settings = settings_digest([redrawer.settings, asdict(replace(options, overwrite=False))])
    known = None if report is None else open_report(report, out)
    run = FolderRun(out, work, settings, known, overwrite=options.overwrite)

    def read(name: str) -> bytes:
        return read_photo(by_name[name])

    if elsewhere is None:
        return run.over(list(by_name), read, on_file)
    with elsewhere.working(work, list(by_name), read, run.is_finished) as (run.work, read_ahead):
        return run.over(list(by_name), read_ahead, on_file)


def read_photo(photo: Photo) -> bytes:
    """Return the bytes of a photo, at most one more than the decoder takes.

    Raises:
        BadImage: It cannot be read (``missing``).
    """
    if photo.path == STDIN:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        with open_regular(photo.path) as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadImage(
            f"{photo.path} cannot be read ({error.strerror}).", "Check its permissions.", kind="missing"
        ) from error


def draw_one(redrawer: Redrawer, photo: Photo, options: Options) -> bytes:
    """Return the one picture of a photo as the file that :func:`stylize_files` would write: of its largest face.

    Raises:
        UsageError: More than one picture would be drawn.
        BadImage: The photo cannot be used.
    """
    if options.which == "all" and not options.paste_back:
        options = replace(options, which="largest")
    shown = replace(options, sheet=False)
    ends = planned_ends(redrawer.styles, ("", *redrawer.further), **shown.naming)
    if len(ends) > 1 and not options.sheet:
        raise UsageError(
            f"{len(ends)} pictures would be drawn, and standard output takes one.",
            "Name one style with --style, or add --sheet for a sheet of all.",
        )
    redrawn = redrawer.stylize(read_photo(photo), which=options.which, aligned=options.aligned, size=options.size)
    if options.sheet:
        return encode_image(redrawn.sheet(), options.suffix)
    ((_, picture),) = pictures(redrawn, redrawer.styles, ("", *redrawer.further), shown)
    return encode_image(picture, options.suffix)


def pictures(
    redrawn: Redrawn, styles: Sequence[str], renderings: Sequence[str], options: Options
) -> Iterable[tuple[str, Pixels]]:
    """Yield (end of the file name, picture) for all that is written of one photo."""
    first, suffix = options.which if isinstance(options.which, int) else 1, options.suffix
    alone = options.which != "all"
    for style in styles:
        for name in renderings:
            if options.paste_back:
                end = end_of(style, name, face=first, pasted=True, suffix=suffix, alone=alone)
                yield end, with_opacity(redrawn.pasted(style, name), redrawn.opacity)
                continue
            for number, face in enumerate(redrawn.faces, first):
                yield end_of(style, name, face=number, suffix=suffix), face.picture(style, name)
    if options.sheet:
        end = sheet_end(first, pasted=options.paste_back, suffix=suffix, alone=alone)
        yield end, redrawn.sheet()


class Elsewhere(Protocol):
    """Something that draws the photos of a run in other processes, ahead of the run that asks for them in order."""

    def working(
        self,
        work: PhotoWork,
        names: Sequence[str],
        read: Callable[[str], bytes],
        is_finished: Callable[[str, str], bool],
    ) -> AbstractContextManager[tuple[Work, Callable[[str], bytes]]]:
        """Draw the photos of a run.

        Args:
            work: What would draw them here.
            names: The photos, in the order in which they will be asked for.
            read: Returns the bytes of a photo; raises BadImage.
            is_finished: Tells by name and SHA-256 whether a photo need not be drawn.

        Returns:
            Work and reader to give to the run, as long as the context lasts.
        """
        ...


class PhotoWork:
    """The work of a run: one photo in, the pictures of all styles out."""

    def __init__(self, redrawer: Redrawer, photos: dict[str, Photo], options: Options) -> None:
        self.redrawer, self.photos, self.options = redrawer, photos, options
        self.styles, self.renderings = redrawer.styles, ("", *redrawer.further)

    def planned(self, name: str) -> list[str]:
        """Return the pictures of a photo's first face, and the sheet."""
        ends = planned_ends(self.styles, self.renderings, **self.options.naming)
        return [f"{self.photos[name].stem}{end}" for end in ends]

    def make(self, name: str, data: bytes) -> Made:
        """Draw a photo."""
        return draw(self.redrawer, data, self.photos[name].stem, self.options)

    def is_current(self, line: FileReport) -> bool:
        """Tell whether a finished photo has all pictures that it would be given now."""
        return set(self.planned(line.source)) <= set(line.outputs)


def draw(redrawer: Redrawer, data: bytes, stem: str, options: Options) -> Made:
    """Redraw one photo, given by its bytes, into files whose names begin with a stem.

    Raises:
        BadImage: The photo cannot be used.
    """
    redrawn = redrawer.stylize(data, which=options.which, aligned=options.aligned, size=options.size)
    drawn = pictures(redrawn, redrawer.styles, ("", *redrawer.further), options)
    files = {f"{stem}{end}": encode_image(picture, options.suffix) for end, picture in drawn}
    return Made(len(redrawn.faces), files, tuple(_made_up(redrawn)))


def _made_up(redrawn: Redrawn) -> Iterator[str]:
    """Yield a warning of each face whose square lies in the photo by a part only: the rest is made up of its edge."""
    for number, face in enumerate(redrawn.faces, 1):
        outside = share_outside(face.aligned.quad, redrawn.photo)
        if outside > _MADE_UP:
            which = f"face {number}" if len(redrawn.faces) > 1 else "the face"
            yield f"{100 * outside:.0f} % of the square around {which} lies outside of the photo"


def open_report(path: Path, out: Path) -> RunReport:
    """Open the report of a folder of photos.

    Raises:
        UsageError: The file is something else.
    """
    if path == out / REPORT:
        path = report_in(out, "photos")
    try:
        return RunReport.open(path, out, parse=_parse, render=_render)
    except BadData as error:
        raise UsageError(error.message, "Name another with --report.") from error


def _parse(content: Any) -> list[FileReport]:
    return [FileReport(**line) for line in content["photos"]]


def _render(lines: Sequence[FileReport]) -> object:
    return {"photos": [line.as_json() for line in lines]}
