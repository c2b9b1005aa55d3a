"""Many photos: finished ones are skipped, bad ones are listed, and a report says what became of each."""

from __future__ import annotations

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ..data.folder_run import FileReport, FolderRun, Made, RunReport, Work, settings_digest
from ..data.images import MAX_BYTES, WRITABLE, Pixels, encode_image
from ..data.sources import is_picture
from ..errors import BadData, BadImage, UsageError
from ..io import registry
from .crops import Which
from .redraw import Redrawer, Redrawn

log = logging.getLogger("portraitist")

REPORT = "report.json"


@dataclass(frozen=True)
class Options:
    """How photos are redrawn and written.

    Raises:
        UsageError: The suffix is of no format that can be written.
    """

    which: Which | int = "all"
    aligned: bool = False
    paste_back: bool = False
    sheet: bool = False
    size: int | None = None
    suffix: str = ".png"
    overwrite: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "suffix", self.suffix.lower())
        if self.suffix not in WRITABLE:
            raise UsageError(f"Pictures cannot end in '{self.suffix}'.", f"Use one of {', '.join(sorted(WRITABLE))}.")


@dataclass(frozen=True)
class Photo:
    """One photo of a run."""

    path: Path
    name: str
    """Relative to the source."""
    stem: str
    """What the names of its pictures begin with; unlike those of all other photos of the run."""


def photos(source: Path, out: Path) -> list[Photo]:
    """Return the photos of a file or folder, sub-folders included.

    Left out are hidden files, what lies in ``out`` or in the output folder of another run, and pictures that
    ``stylize`` has drawn beside their photo.

    Raises:
        UsageError: There is none, or pictures would lie among the photos.
    """
    if os.path.isfile(source):  # unlike Path.is_file, false for names too long
        return [Photo(source, source.name, source.stem)]
    if not os.path.isdir(source):
        raise UsageError(f"There is no file or folder {source}.", "Check the path.")
    top, below = source.resolve(), out.resolve()
    if top == below:
        raise UsageError(f"The pictures would lie among the photos of {source}.", "Give another folder with -o.")
    names = sorted(p.relative_to(source) for p in source.rglob("*") if os.path.isfile(p))
    results = {name.parent for name in names if name.name == REPORT and name.parent.parts and _is_report(source / name)}
    names = [name for name in names if is_picture(name.as_posix())]
    if below.is_relative_to(top):
        names = [name for name in names if below not in (source / name).resolve().parents]
    drawn = _drawn(names) | {name for name in names if results & set(name.parents)}
    if drawn:
        log.info("left out %d pictures that earlier runs have drawn, such as %s", len(drawn), min(drawn))
    names = [name for name in names if name not in drawn]
    if not names:
        raise UsageError(f"The folder {source} holds no pictures.", "Check the path.")
    # Names that differ in case alone are one file on some systems.
    crowd = Counter(n.with_suffix("").as_posix().lower() for n in names)
    # me.jpg beside me.png: both keep their suffix, so that neither overwrites the other's pictures.
    stems = [n if crowd[n.with_suffix("").as_posix().lower()] > 1 else n.with_suffix("") for n in names]
    return [Photo(source / n, n.as_posix(), s.as_posix()) for n, s in zip(names, stems, strict=True)]


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
    ``<stem>.<style>.sample1.png``, ``<stem>.<style>.random1.png`` or ``<stem>.<style>.<reference>.png``. A run that was
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
    try:
        with photo.path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadImage(
            f"{photo.path} cannot be read ({error.strerror}).", "Check its permissions.", kind="missing"
        ) from error


def pictures(
    redrawn: Redrawn, styles: Sequence[str], renderings: Sequence[str], options: Options
) -> Iterable[tuple[str, Pixels]]:
    """Yield (end of the file name, picture) for all that is written of one photo."""
    for style in styles:
        for name in renderings:
            end = f".{_end(style, name)}{options.suffix}"
            if options.paste_back:
                yield end, redrawn.pasted(style, name)
                continue
            for i, face in enumerate(redrawn.faces):
                yield f".face{i + 1}{end}" if i else end, face.picture(style, name)
    if options.sheet:
        yield f".sheet{options.suffix}", redrawn.sheet()


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
        ends = [_end(style, rendering) for style in self.styles for rendering in self.renderings]
        sheet = ["sheet"] if self.options.sheet else []
        return [f"{self.photos[name].stem}.{end}{self.options.suffix}" for end in (*ends, *sheet)]

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
    return Made(len(redrawn.faces), files)


def _end(style: str, rendering: str) -> str:
    """Return what stands for one rendering in the names of files; the first has no name of its own."""
    return f"{style}.{rendering}" if rendering else style


def _drawn(names: list[Path]) -> set[Path]:
    """Return pictures such as ``me.toon3d.png`` beside ``me.jpg``, where toon3d is a style that has a name."""
    styles = [re.escape(e.name) for e in registry.entries(lambda path, error: None) if e.header.kind == "style-pack"]
    part = rf"(?:{'|'.join(styles or ['(?!)'])})"
    pattern = re.compile(
        rf"(?P<stem>.+?)(\.face\d+)?\.({part}|{part}-[\d.]+(\+{part}-[\d.]+)*|sheet)(\.(sample|random)\d+)?", re.DOTALL
    )
    stems = {name.with_suffix("") for name in names}
    return {n for n in names if (m := pattern.fullmatch(n.stem)) and n.with_name(m["stem"]) in stems}


def _is_report(path: Path) -> bool:
    try:
        return bool(_parse(json.loads(path.read_bytes())))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def open_report(path: Path, out: Path) -> RunReport:
    """Open the report of a folder of photos.

    Raises:
        UsageError: The file is something else.
    """
    try:
        return RunReport.open(path, out, parse=_parse, render=_render)
    except BadData as error:
        raise UsageError(error.message, "Name another with --report.") from error


def _parse(content: Any) -> list[FileReport]:
    return [FileReport(**line) for line in content["photos"]]


def _render(lines: Sequence[FileReport]) -> object:
    return {"photos": [line.as_json() for line in lines]}
