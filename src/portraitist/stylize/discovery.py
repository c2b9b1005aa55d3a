"""Which photos a run is over: files and folders, each once, under names that never collide.

found = photos([Path("me.jpg"), Path("holiday")], Path("out"))
found[0].stem                                               # "me", what the names of its pictures begin with

No picture is passed over in silence: what claims to be one by its suffix or is one by its first bytes is a photo of the
run, and is then listed as failed where it cannot be read; what is left out on purpose is logged.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..data.containers import is_known_head
from ..data.suffixes import REPORT, is_hidden, is_picture
from ..errors import UsageError
from ..files import open_regular, parse_json, read_regular, stems

log = logging.getLogger("portraitist")

STDIN = Path("-")
"""Stands for the photo that comes through standard input."""


@dataclass(frozen=True)
class Photo:
    """One photo of a run."""

    path: Path
    name: str
    """Relative to the source; unlike those of all other photos of the run."""
    stem: str
    """What the names of its pictures begin with; unlike those of all other photos of the run."""


def photos(source: Path | Sequence[Path], out: Path) -> list[Photo]:
    """Return the photos of files and folders, sub-folders included, each once.

    Left out of folders are hidden files, what lies in ``out`` or in the output folder of another run, and pictures that
    ``stylize`` has drawn beside their photo; the latter are left out among several files too, as a pattern of the shell
    finds them.

    Names are relative to the folder, or the file's own. Where two would be the same, they are relative to the deepest
    folder that holds both; where two differ in the suffix alone, stems keep it.

    Raises:
        UsageError: There is none, or pictures would lie among the photos.
    """
    sources = [source] if isinstance(source, Path) else list(source)
    found: dict[str, Photo] = {}
    files = [path for path in sources if path == STDIN or os.path.isfile(path)]  # isfile: false for names too long
    drawn = drawn_pictures(files) if len(files) > 1 else set()
    for path in sources:
        if path in drawn:
            continue
        if path in files:
            name = "stdin" if path == STDIN else path.name
            names = [(path, name)]
        elif os.path.isdir(path):
            names = [(path / name, name.as_posix()) for name in _in_folder(path, out)]
        else:
            raise UsageError(f"There is no file or folder {path}.", "Check the path.")
        for file, name in names:
            found.setdefault(os.path.abspath(file), Photo(file, name, name))
    _tell_drawn(drawn)
    return told_apart(list(found.values()))


def photos_beside(files: Sequence[Path]) -> tuple[Path, list[Photo]]:
    """Return photos whose pictures lie beside them: the deepest folder that holds all, and the photos named from there.

    Pictures that ``stylize`` has drawn are left out as of :func:`photos`.

    Raises:
        UsageError: There is no such file, or no folder holds all.
    """
    for path in files:
        if not os.path.isfile(path):
            raise UsageError(f"There is no file or folder {path}.", "Check the path.")
    if len(files) == 1:
        return files[0].parent, told_apart([Photo(files[0], files[0].name, "")])
    drawn = drawn_pictures(files)
    _tell_drawn(drawn)
    plain = not any(path.is_absolute() or ".." in path.parts for path in files)
    places = {os.path.abspath(p): p if plain else Path(os.path.abspath(p)) for p in files if p not in drawn}
    try:
        folder = Path(os.path.commonpath([path.parent for path in places.values()]))
    except ValueError as error:
        raise UsageError("These photos lie on different drives.", "Give a folder for the pictures with -o.") from error
    named = [Photo(path, path.relative_to(folder).as_posix(), "") for path in places.values()]
    return folder, told_apart(named)


def drawn_pictures(paths: Iterable[Path]) -> set[Path]:
    """Return pictures such as ``me.toon3d.png`` beside ``me.jpg``, where toon3d is a style that has a name."""
    from ..io import catalogue

    paths = list(paths)
    styles = [re.escape(e.name) for e in catalogue.entries(lambda path, error: None) if e.header.kind == "style-pack"]
    part = rf"(?:{'|'.join(styles or ['(?!)'])})"
    pattern = re.compile(
        rf"(?P<stem>.+?)(\.face\d+)?\.({part}|{part}-[\d.]+(\+{part}-[\d.]+)*|sheet)(\.(sample|random)\d+)?(\.pasted)?",
        re.DOTALL,
    )
    stems = {path.with_suffix("") for path in paths} | set(paths)  # me.jpg beside me.png: both keep their suffix
    found = ((path, pattern.fullmatch(path.stem)) for path in paths)
    begun = ((path, {m["stem"], m["stem"].rstrip("_")}) for path, m in found if m)  # a.jpg_ beside A.jpg
    return {path for path, names in begun if any(path.with_name(name) in stems for name in names if name)}


def _in_folder(source: Path, out: Path) -> list[Path]:
    """Return the names of the photos of a folder, relative to it."""
    top, below = source.resolve(), out.resolve()
    if top == below:
        raise UsageError(f"The pictures would lie among the photos of {source}.", "Give another folder with -o.")
    names = _walk(source)
    results = {name.parent for name in names if name.parent.parts and _is_report(source / name)}
    names = [name for name in names if _claims(source, name)]
    if below.is_relative_to(top):
        names = [name for name in names if below not in (source / name).resolve().parents]
    drawn = drawn_pictures(names) | {name for name in names if results & set(name.parents)}
    _tell_drawn(drawn)
    names = [name for name in names if name not in drawn]
    if not names:
        raise UsageError(f"The folder {source} holds no pictures.", "Check the path.")
    return names


def _walk(source: Path) -> list[Path]:
    """Return all files below a folder; folders that are not looked into are told."""
    found: list[Path] = []

    def unreadable(error: OSError) -> None:
        log.warning("passed over the folder %s, which cannot be read (%s)", error.filename, error.strerror)

    for place, folders, files in os.walk(source, onerror=unreadable):
        here = Path(place)
        for name in folders:
            if os.path.islink(here / name) and not is_hidden(name):
                log.warning("passed over the linked folder %s; name it as well to have it drawn", here / name)
        found += [(here / name).relative_to(source) for name in files]
    return sorted(found)


def _claims(source: Path, name: Path) -> bool:
    """Tell whether a file is, or says that it is, a picture; links that lead nowhere may be one."""
    if is_picture(name.as_posix()):
        return True
    if is_hidden(name.as_posix()):
        return False
    try:
        with open_regular(source / name) as file:
            return is_known_head(file.read(32))
    except OSError:
        return False


def _tell_drawn(drawn: set[Path]) -> None:
    if drawn:
        log.info("left out %d pictures that earlier runs have drawn, such as %s", len(drawn), min(drawn))


def told_apart(found: Sequence[Photo]) -> list[Photo]:
    """Give photos names and stems that differ, also on systems where upper and lower case are one."""
    groups: dict[str, list[Photo]] = defaultdict(list)
    for photo in found:
        groups[photo.name.lower()].append(photo)
    named: list[Photo] = []
    for photo in found:
        group = groups[photo.name.lower()]
        named.append(photo if len({p.name for p in group}) == len(group) else replace(photo, name=_among(photo, group)))
    names = [photo.name for photo in named]
    crowd = Counter(names)
    if twice := [photo for photo in named if crowd[photo.name] > 1]:
        raise UsageError(
            f"The pictures of {twice[0].path} and {twice[1].path} would have one name.",
            "Draw them one after the other.",
        )
    return [replace(photo, stem=stem) for photo, stem in zip(named, stems(names), strict=True)]


def _among(photo: Photo, group: list[Photo]) -> str:
    """Return the name of a photo relative to the deepest folder that holds all of a group."""
    places = [Path(os.path.abspath(p.path)).parent for p in group if p.path != STDIN]
    own = Path(os.path.abspath(photo.path))
    try:
        return own.relative_to(os.path.commonpath(places)).as_posix()
    except ValueError:  # on different drives
        return photo.name


def _is_report(path: Path) -> bool:
    """Tell whether a file is the report of a run over photos, or what one that was killed has left of it."""
    if path.name == f".{REPORT}.journal":
        return True
    if path.name not in (REPORT, "report.photos.json"):
        return False
    try:
        lines = parse_json(read_regular(path))["photos"]
        return bool(lines) and all({"source", "status"} <= set(line) for line in lines)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False
