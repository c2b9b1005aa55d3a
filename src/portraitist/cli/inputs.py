"""What a command is given to work on: files, folders and patterns, or a photo through standard input.

    given = Inputs.of(["me.jpg", "holiday/", "scans/*.tif"], out=Path("out"))
    given.photos                                        # each with a name of its own; the pictures go to given.out

Nothing heavy is imported, so that what is wrong is told before models load.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..data.containers import HEAD, refuse_foreign
from ..data.suffixes import REPORT
from ..errors import UsageError
from ..stylize.discovery import STDIN, Photo, photos, photos_beside
from .common import talk

STDOUT = Path("-")
"""Stands for the place of the one picture that goes through standard output."""

Words = Annotated[
    list[str],
    typer.Argument(
        help="Photos, folders of photos, patterns such as '*.jpg'; - is standard input.", metavar="PHOTO..."
    ),
]


@dataclass(frozen=True)
class Inputs:
    """The photos of a command, and where their pictures go."""

    photos: Sequence[Photo]
    out: Path
    """Folder that the pictures' names are relative to, or :data:`STDOUT`."""
    is_folder: bool
    """Whether a folder is among them: then there is a report, and failures are listed and not raised."""
    remembers: bool
    """Whether a report lies beside the pictures, so that finished photos are skipped."""

    @classmethod
    def of(cls, words: Sequence[str], out: Path | None) -> Inputs:
        """Find out what words on the command line mean.

        Raises:
            UsageError: There is no photo, no place for the pictures, or a picture's name where a folder belongs.
            BadImage: The only photo is of no format that is read.
        """
        paths = [path for word in words for path in _expanded(word)]
        if len(paths) == 1:
            _refuse_foreign(paths[0])
        folders = [path for path in paths if path != STDIN and os.path.isdir(path)]
        if paths.count(STDIN) > 1:
            raise UsageError("Standard input is one photo.", "Give - once.")
        if STDIN in paths and (sys.stdin is None or sys.stdin.isatty()):
            command = getattr(talk().context, "command_path", "portraitist stylize")
            raise UsageError("No photo comes through standard input.", f"Write `{command} - -o OUT < me.jpg`.")
        if out == STDOUT:
            if len(paths) > 1 or folders:
                raise UsageError("Standard output takes the picture of one photo.", "Give a folder with -o.")
            if talk().json:
                raise UsageError("Standard output takes the picture or the JSON.", "Give a folder with -o.")
            if sys.stdout.isatty():
                raise UsageError("Pictures are not written to a terminal.", "Write -o - > me.png, or give a folder.")
            return cls(photos(paths, Path()), out, is_folder=False, remembers=False)
        if out is None:
            if folders:
                raise UsageError("A folder of photos needs a folder for the pictures.", "Give -o OUT.")
            if STDIN in paths:
                raise UsageError("The pictures of a photo from standard input need a place.", "Give -o OUT, or -o -.")
            where, found = photos_beside(paths)
            return cls(found, where, is_folder=False, remembers=False)
        refuse_picture(out)
        found = photos(paths, out)
        return cls(found, out, is_folder=bool(folders), remembers=bool(folders) or len(found) > 1)

    @property
    def is_single(self) -> bool:
        """Whether there is but one photo, and no folder of it."""
        return len(self.photos) == 1 and not self.is_folder

    @property
    def report(self) -> Path | None:
        """Where the report lies, where there is one."""
        return self.out / REPORT if self.remembers else None

    def refuse_existing(self, ends: Sequence[str], overwrite: bool, report: Path | None = None) -> None:
        """Refuse, before models load, work whose every file exists already; a report knows better than names do.

        Args:
            ends: Those of the names of the files that are sure to be made of each photo.
            overwrite: Files may be replaced.
            report: That of ``--report``.

        Raises:
            UsageError: A file of every photo exists.
        """
        if overwrite or self.out == STDOUT or report is not None or self.remembers:
            return
        first: Path | None = None
        for photo in self.photos:
            there = [path for end in ends if os.path.exists(path := self.out / f"{photo.stem}{end}")]
            if not there:
                return
            first = first or there[0]
        raise UsageError(f"{first} exists already.", "Add --overwrite, or choose another folder (-o).")


def refuse_picture(out: Path) -> None:
    """Refuse the name of a picture in the place of a folder.

    Raises:
        UsageError: It is one.
    """
    from ..data.suffixes import PICTURES, WRITABLE

    if out.suffix.lower() in PICTURES and not os.path.isdir(out):
        chooses = out.suffix.lower() in WRITABLE and "suffix" in getattr(talk().context, "params", {})
        cure = f"Give -o {out.parent}" + (f", and --suffix {out.suffix} for the format." if chooses else ".")
        raise UsageError(f"--out takes a folder, but {out} looks like a picture.", cure)


def _refuse_foreign(path: Path) -> None:
    if path == STDIN or not os.path.isfile(path):
        return
    with suppress(OSError), open(path, "rb") as file:  # what cannot be read is told where it is read
        refuse_foreign(file.read(HEAD), f"{path}: the picture")


def _expanded(word: str) -> list[Path]:
    """Return the paths that a word means; patterns are those of shells, which not all systems have."""
    if os.path.exists(word) or word == "-" or not glob.has_magic(word):
        return [Path(word)]
    found = sorted(glob.glob(word, recursive=True))
    if not found:
        raise UsageError(f"No file matches {word}.", "Check the pattern.")
    return [Path(path) for path in found]
