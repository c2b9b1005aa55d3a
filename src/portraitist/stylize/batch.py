"""Many photos: finished ones are skipped, bad ones are listed, and a report says what became of each."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..data.folder_run import REPORT as REPORT
from ..data.folder_run import FileReport, FolderRun, Made, RunReport, report_in, settings_digest
from ..data.images import MAX_BYTES, WRITABLE, Pixels, encode_image, with_opacity
from ..data.sources import is_picture
from ..errors import BadData, BadImage, UsageError
from ..faces.align import share_outside
from ..files import parse_json
from ..io import registry
from .crops import Which
from .redraw import Redrawer, Redrawn

log = logging.getLogger("portraitist")


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
    results = {name.parent for name in names if name.parent.parts and _is_report(source / name)}
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

    Returns:
        One line a photo, in the order of names.

    Raises:
        UsageError: There is no photo, or the report is a file of something else.
        StorageError: The disk is full, read-only or gone; what was done is in the report.
    """
    chosen = photos(source, out) if isinstance(source, Path) else source
    work = _Redrawing(redrawer, {photo.name: photo for photo in chosen}, options)
    settings = settings_digest([redrawer.settings, asdict(replace(options, overwrite=False))])
    known = None if report is None else open_report(report, out)
    run = FolderRun(out, work, settings, known, overwrite=options.overwrite)
    return run.over(list(work.photos), lambda name: read_photo(work.photos[name]), on_file)


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
                yield end, with_opacity(redrawn.pasted(style, name), redrawn.opacity)
                continue
            for i, face in enumerate(redrawn.faces):
                yield f".face{i + 1}{end}" if i else end, face.picture(style, name)
    if options.sheet:
        yield f".sheet{options.suffix}", redrawn.sheet()


class _Redrawing:
    """The work of a run: one photo in, the pictures of all styles out."""

    def __init__(self, redrawer: Redrawer, photos: dict[str, Photo], options: Options) -> None:
        self.redrawer, self.photos, self.options = redrawer, photos, options
        self.styles, self.renderings = redrawer.styles, ("", *redrawer.further)

    def planned(self, name: str) -> list[str]:
        ends = [_end(style, rendering) for style in self.styles for rendering in self.renderings]
        sheet = ["sheet"] if self.options.sheet else []
        return [f"{self.photos[name].stem}.{end}{self.options.suffix}" for end in (*ends, *sheet)]

    def make(self, name: str, data: bytes) -> Made:
        wanted = self.options
        redrawn = self.redrawer.stylize(data, which=wanted.which, aligned=wanted.aligned, size=wanted.size)
        _tell_of_made_up(name, redrawn)
        drawn = pictures(redrawn, self.styles, self.renderings, wanted)
        files = {f"{self.photos[name].stem}{end}": encode_image(picture, wanted.suffix) for end, picture in drawn}
        return Made(len(redrawn.faces), files)

    def is_current(self, line: FileReport) -> bool:
        return set(self.planned(line.source)) <= set(line.outputs)


def _tell_of_made_up(name: str, redrawn: Redrawn) -> None:
    """Warn of faces whose square lies in the photo by a part only: the rest is made up of its edge."""
    for number, face in enumerate(redrawn.faces, 1):
        outside = share_outside(face.aligned.quad, redrawn.photo)
        if outside > _MADE_UP:
            which = f"face {number}" if len(redrawn.faces) > 1 else "the face"
            log.warning("%s: %.0f %% of the square around %s lies outside of the photo", name, 100 * outside, which)


_MADE_UP = 0.25


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
    if path.name == f".{REPORT}.journal":  # of a run that was killed
        return True
    if path.name not in (REPORT, "report.photos.json"):
        return False
    try:
        return bool(_parse(parse_json(path.read_bytes())))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


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
