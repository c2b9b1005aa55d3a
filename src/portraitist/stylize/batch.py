"""Many photos: finished files are skipped, bad ones are listed, and a report says what became of each."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from ..data.images import MAX_BYTES, Pixels, write_image
from ..errors import BadImage, NonFinite, OutOfMemory, PortraitistError, UsageError
from ..files import refuse_existing, write_bytes
from .crops import Which
from .redraw import Redrawer, Redrawn

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
log = logging.getLogger("portraitist")


@dataclass(frozen=True)
class FileReport:
    """What became of one photo."""

    source: str
    status: str
    """``done``, ``skipped`` (finished before) or ``failed``."""
    sha256: str = ""
    """Of the photo's bytes."""
    settings: str = ""
    """Digest of the settings it was redrawn with."""
    kind: str = ""
    """Why it failed, in one word."""
    reason: str = ""
    """Why it failed, in a sentence."""
    faces: int = 0
    outputs: list[str] = field(default_factory=list)
    """The pictures, relative to the output folder."""
    earlier: list[str] = field(default_factory=list)
    """Pictures that runs with other settings, or of an older version of the photo, have made of it."""
    seconds: float = 0.0


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
        if self.suffix not in PICTURES:
            raise UsageError(f"Pictures cannot end in '{self.suffix}'.", f"Use one of {', '.join(sorted(PICTURES))}.")


@dataclass(frozen=True)
class Photo:
    """One photo of a run."""

    path: Path
    name: str
    """Relative to the source."""
    stem: str
    """What the names of its pictures begin with; unlike those of all other photos of the run."""


def photos(source: Path, out: Path) -> list[Photo]:
    """Return the photos of a file or folder, sub-folders included; what lies in ``out`` is no photo.

    Raises:
        UsageError: There is none, or pictures would lie among the photos.
    """
    if source.is_file():
        return [Photo(source, source.name, source.stem)]
    if not source.is_dir():
        raise UsageError(f"There is no file or folder {source}.", "Check the path.")
    top, below = source.resolve(), out.resolve()
    if top == below:
        raise UsageError(f"The pictures would lie among the photos of {source}.", "Give another folder with -o.")
    found = sorted(p for p in source.rglob("*") if _is_photo(p.relative_to(source)) and p.is_file())
    if below.is_relative_to(top):
        found = [p for p in found if below not in p.resolve().parents]
    if not found:
        raise UsageError(f"The folder {source} holds no PNG, JPEG or WebP files.", "Check the path.")
    names = [p.relative_to(source) for p in found]
    # Names that differ in case alone are one file on some systems.
    crowd = Counter(n.with_suffix("").as_posix().lower() for n in names)
    # me.jpg beside me.png: both keep their suffix, so that neither overwrites the other's pictures.
    stems = [n if crowd[n.with_suffix("").as_posix().lower()] > 1 else n.with_suffix("") for n in names]
    return [Photo(p, n.as_posix(), s.as_posix()) for p, n, s in zip(found, names, stems, strict=True)]


def stylize_files(
    stylizer: Redrawer,
    source: Path,
    out: Path,
    options: Options,
    *,
    report: Path | None = None,
    on_file: Callable[[FileReport], None] | None = None,
) -> list[FileReport]:
    """Redraw a photo or a folder of photos into ``out``.

    Pictures are named ``<stem>.<style>.png``, further faces ``<stem>.face2.<style>.png``, further renderings
    ``<stem>.<style>.sample1.png``, ``<stem>.<style>.random1.png`` or ``<stem>.<style>.<reference>.png``. The report is
    written after every photo, so that an interrupted run goes on where it stopped: a photo is finished when the report
    says so for the same bytes and settings, and its pictures are there. A picture that no report vouches for is never
    replaced unless ``options.overwrite`` is set.

    Args:
        stylizer: What redraws.
        source: A photo or a folder.
        out: Folder for pictures.
        options: How.
        report: Where to read and write the report; none when None.
        on_file: Told of each photo.

    Returns:
        One report a photo, in the order of names.

    Raises:
        UsageError: There is no photo, or the report is a file of something else.
        StorageError: The disk is full, read-only or gone; what was done is in the report.
    """
    wanted = [stylizer.settings, asdict(replace(options, overwrite=False))]
    settings = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    run = _Run(stylizer, out, options, settings, _read_report(report))
    found = []
    try:
        for photo in photos(source, out):
            found.append(run.do(photo))
            if report is not None and found[-1].status != "skipped":
                _write_report(report, run.lines)
            if on_file is not None:
                on_file(found[-1])
    finally:
        if report is not None and found:
            _write_report(report, run.lines)
    return found


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


def _end(style: str, sample: str) -> str:
    """Return what stands for one rendering in the names of files; the first has no name of its own."""
    return f"{style}.{sample}" if sample else style


class _Run:
    """One run, and what earlier ones into the same folder have done."""

    def __init__(
        self,
        stylizer: Redrawer,
        out: Path,
        options: Options,
        settings: str,
        lines: dict[str, FileReport],
    ) -> None:
        self.stylizer, self.out, self.options, self.settings, self.lines = stylizer, out, options, settings, lines
        # Picture -> the photo it was made of.
        self.owner = {name: line.source for line in lines.values() for name in (*line.outputs, *line.earlier)}
        self.written: set[str] = set()

    def do(self, photo: Photo) -> FileReport:
        """Redraw one photo, unless it is finished; whatever is wrong with it ends in its report."""
        start = time.monotonic()
        before = self.lines.get(photo.name, FileReport(photo.name, ""))
        line = FileReport(photo.name, "failed", settings=self.settings)
        try:
            data = _read(photo.path)
            line = replace(line, sha256=hashlib.sha256(data).hexdigest())
            if self._is_finished(before, line.sha256) and not self.options.overwrite:
                line = replace(before, status="skipped", seconds=0.0)
                self.lines[photo.name] = replace(before, status="done")
                return line
            faces, outputs = self._redraw(photo, data)
            line = replace(line, status="done", faces=faces, outputs=outputs)
        except BadImage as error:
            line = replace(line, kind=error.kind, reason=str(error))
        except NonFinite as error:
            line = replace(line, kind="not-finite", reason=str(error))
        except (MemoryError, OutOfMemory, torch.OutOfMemoryError):  # PyTorch's is of a GPU
            line = replace(line, kind="memory", reason="There is not enough memory for it. Make the picture smaller.")
        except PortraitistError:
            raise  # the disk, the models or the options: the next photo would meet it too
        except Exception as error:
            # What nobody thought of in one picture must not end a run of thousands.
            log.warning("%s met an error of the program, please report it", photo.path, exc_info=True)
            line = replace(line, kind="error", reason=f"{type(error).__name__}: {error}")
        earlier = {*before.outputs, *before.earlier} - set(line.outputs)
        line = replace(line, earlier=sorted(earlier), seconds=round(time.monotonic() - start, 3))
        self.lines[photo.name] = line
        return line

    def _redraw(self, photo: Photo, data: bytes) -> tuple[int, list[str]]:
        options, styles, renderings = self.options, self.stylizer.styles, ("", *self.stylizer.further)
        ends = [_end(style, name) for style in styles for name in renderings]
        for name in [f"{photo.stem}.{end}{options.suffix}" for end in (*ends, *["sheet"] * options.sheet)]:
            self._refuse_strangers(photo, name)  # before the work, as far as the names are known
        portraits = self.stylizer.stylize(data, which=options.which, aligned=options.aligned, size=options.size)
        made = {f"{photo.stem}{end}": picture for end, picture in pictures(portraits, styles, renderings, options)}
        for name in made:
            self._refuse_strangers(photo, name)
        for name, picture in made.items():
            write_image(self.out / name, picture)
            self.owner[name] = photo.name
            self.written.add(name)
        return len(portraits.faces), list(made)

    def _refuse_strangers(self, photo: Photo, name: str) -> None:
        """Refuse to replace a picture that is of another photo, or that no run has made."""
        if self.owner.get(name) == photo.name:
            return
        try:
            refuse_existing(self.out / name, self.options.overwrite and name not in self.written)
        except UsageError as error:
            raise BadImage(error.message, "Give --overwrite, or another folder with -o.", kind="exists") from error

    def _is_finished(self, line: FileReport, sha256: str) -> bool:
        same = line.status in ("done", "skipped") and line.sha256 == sha256 and line.settings == self.settings
        return same and all((self.out / name).is_file() for name in line.outputs)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)  # one more than is allowed, which the decoder then refuses
    except OSError as error:
        raise BadImage(
            f"{path} cannot be read ({error.strerror}).", "Check its permissions.", kind="missing"
        ) from error


def _is_photo(name: Path) -> bool:
    return name.suffix.lower() in PICTURES and not any(part.startswith(".") for part in name.parts)


def _read_report(path: Path | None) -> dict[str, FileReport]:
    if path is None or not os.path.exists(path):
        return {}
    try:
        lines = [FileReport(**line) for line in json.loads(path.read_text(encoding="utf-8"))["photos"]]
        if not all(isinstance(name, str) for line in lines for name in (line.source, *line.outputs, *line.earlier)):
            raise ValueError("its names are no texts")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(f"{path} is not the report of an earlier run.", "Name another with --report.") from error
    return {line.source: line for line in lines}


def _write_report(path: Path, lines: dict[str, FileReport]) -> None:
    content = {"photos": [asdict(lines[name]) for name in sorted(lines)]}
    write_bytes(path, json.dumps(content, indent=1).encode(), overwrite=True)
