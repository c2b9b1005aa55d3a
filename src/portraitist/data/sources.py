"""Where the pictures of a set lie: a folder or a zip, read the same way.

A source lists names and hands out bytes; it decodes nothing. An archive is never unpacked to disk: members are
read into memory, under caps on their number, size and compression ratio, so a hostile one can neither write
anywhere nor fill the memory. Pictures are told apart from other files by suffix here and by content when they
are decoded.

Example::

    source = open_source(Path("drawings.zip"), resolution=64)
    data = source.read(source.names[0])
"""

from __future__ import annotations

import json
import re
import stat
import struct
import zipfile
from pathlib import Path
from typing import Protocol

from ..errors import BadData, BadImage, require
from ..files import open_regular, parse_json
from .images import read_capped
from .suffixes import is_picture

LABELS = "dataset.json"

MAX_MEMBERS = 300_000
MAX_TOTAL = 256 << 30
"""Largest sum of unpacked sizes in an archive, bytes."""
MAX_RATIO = 200
"""Largest compression ratio of a member above one MiB; pictures are compressed already."""
_MAX_ENTRY = 512
_RATIO_FROM = 1 << 20


class ImageSource(Protocol):
    """A list of pictures, by name."""

    names: list[str]
    """Sorted, relative, with forward slashes."""
    refused: list[tuple[str, str, str]]
    """(name, kind, reason) of entries that will not be read."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        ...

    def labels(self) -> dict[str, object]:
        """Return the name -> label pairs that the source itself brings (``dataset.json``), or nothing."""
        ...


def open_source(path: Path, resolution: int) -> ImageSource:
    """Open a folder, a zip, or an LMDB; ``resolution`` chooses among the sizes that an LMDB holds.

    Raises:
        BadData: Nothing is there, or it is none of these, or an archive breaks a cap.
        UsageError: It is an LMDB, and the package that reads it is not installed.
    """
    if (path / "data.mdb").is_file():
        require("Reading an LMDB", "train", "lmdb")
        from .lmdb import LmdbSource

        return LmdbSource(path, resolution)
    if path.is_dir():
        return FolderSource(path)
    if path.is_file() and zipfile.is_zipfile(path):
        return ZipSource(path)
    if path.exists():
        raise BadData(f"{path} is neither a folder nor a zip of images.", "Name a folder, a zip or an LMDB folder.")
    raise BadData(f"{path} does not exist.", "Check the path.")


class FolderSource:
    """All pictures below a folder; hidden files are passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        self.names = sorted(name for name in found if is_picture(name))
        self.refused: list[tuple[str, str, str]] = []

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        try:
            with open_regular(self.path / name) as file:
                return read_capped(file, name)
        except OSError as error:
            raise BadImage(
                f"{name} cannot be read: {error.strerror}.", "Check its permissions.", kind="missing"
            ) from None

    def labels(self) -> dict[str, object]:
        """Return the labels of ``dataset.json`` if the folder has one."""
        try:
            with open_regular(self.path / LABELS) as file:
                text = read_capped(file, LABELS)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise BadData(f"{self.path / LABELS} cannot be read: {error.strerror}.", "Check its permissions.") from None
        except BadImage as error:
            raise BadData(error.message, error.cure) from None
        return parse_labels(text, str(self.path / LABELS))


class ZipSource:
    """All pictures in a zip, read in memory only.

    Raises:
        BadData: Too many members, duplicate names, encryption, an impossible size or ratio, or a damaged
            directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _check_directory(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:  # a damaged directory makes zipfile raise nearly anything
            raise _bad_zip(path, f"cannot be opened: {error}") from None
        # Some programs write the \\ of Windows between folders.
        members = [(m.filename.replace("\\", "/"), m) for m in self._zip.infolist() if m.filename]
        members = [(name, member) for name, member in members if not name.endswith("/")]
        _check_members(path, members)
        self._members = dict(members)
        pictures = [(name, member) for name, member in members if is_picture(name)]
        self.refused = [(n, *reason) for n, m in pictures if (reason := _refusal(n, m)) is not None]
        refused = {name for name, _, _ in self.refused}
        self.names = sorted(name for name, _ in pictures if name not in refused)

    def read(self, name: str) -> bytes:
        """Return a member's bytes.

        Raises:
            BadImage: ``truncated`` where the member fails its checksum or cannot be unpacked.
        """
        try:
            with self._zip.open(self._members[name]) as file:
                return read_capped(file, name)
        except (BadImage, MemoryError):
            raise
        except Exception as error:  # as above
            raise BadImage(
                f"{name} is damaged in {self.path}: {error}.", "Make the zip again.", kind="truncated"
            ) from None

    def labels(self) -> dict[str, object]:
        """Return the labels of the topmost ``dataset.json`` if the zip has one."""
        found = sorted((n for n in self._members if n.split("/")[-1] == LABELS), key=lambda n: n.count("/"))
        if not found:
            return {}
        folder = found[0].removesuffix(LABELS)
        try:
            text = self.read(found[0])
        except BadImage as error:
            raise BadData(error.message, error.cure) from None
        return {folder + name: label for name, label in parse_labels(text, f"{self.path}:{found[0]}").items()}


def parse_labels(text: bytes, name: str) -> dict[str, object]:
    """Read ``{"labels": [[file, label], ...]}`` or ``{"labels": null}`` as stylegan2-ada writes it.

    Raises:
        BadData: Any other content.
    """
    try:
        content = parse_json(text)
        pairs = [(str(file), label) for file, label in content.get("labels") or []]
        labels = dict(pairs)
    except json.JSONDecodeError as error:
        raise BadData(
            f"{name} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}.", "Mend it there."
        ) from None
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise BadData(
            f"{name} does not hold labels.",
            'It must read {"labels": [["file.png", 0], ...]} or {"labels": null}.',
        ) from None
    if twice := [file for file, label in pairs if labels[file] != label]:
        raise BadData(f"{name} gives {twice[0]} two labels.", "Keep one of them.")
    return labels


def _check_directory(path: Path) -> None:
    """Refuse a central directory of too many entries before it is parsed.

    The end records are read from the file's last bytes (APPNOTE 6.3.10, 4.3.14-4.3.16).
    """
    with path.open("rb") as file:
        file.seek(0, 2)
        size = file.tell()
        file.seek(max(0, size - 65_557 - 20))
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or at + 22 > len(tail):
            raise _bad_zip(path, "has no directory")
        count, length = struct.unpack_from("<HI", tail, at + 10)
        if count == 0xFFFF or length == 0xFFFFFFFF:
            locator = tail.rfind(b"PK\6\7", 0, at)
            if locator >= 0:
                file.seek(min(size, struct.unpack_from("<Q", tail, locator + 8)[0]))
                record = file.read(56)
                if record[:4] != b"PK\6\6" or len(record) < 56:
                    raise _bad_zip(path, "has a damaged directory")
                count, length = struct.unpack_from("<QQ", record, 32)
    if count > MAX_MEMBERS or length > MAX_MEMBERS * _MAX_ENTRY:
        raise _bad_zip(path, f"lists {count} members, more than {MAX_MEMBERS}")


def _check_members(path: Path, members: list[tuple[str, zipfile.ZipInfo]]) -> None:
    if len(members) > MAX_MEMBERS:
        raise _bad_zip(path, f"lists {len(members)} members, more than {MAX_MEMBERS}")
    if sum(member.file_size for _, member in members) > MAX_TOTAL:
        raise _bad_zip(path, f"unpacks to more than {MAX_TOTAL >> 30} GiB")
    seen: set[str] = set()
    for name, member in members:
        if name in seen:
            raise _bad_zip(path, f"has {name} twice")
        seen.add(name)
        if member.flag_bits & 1:
            raise _bad_zip(path, f"is encrypted ({name})")
        if member.file_size > max(_RATIO_FROM, MAX_RATIO * member.compress_size):
            raise _bad_zip(path, f"packs {name} more than {MAX_RATIO} to 1")


def _refusal(name: str, member: zipfile.ZipInfo) -> tuple[str, str] | None:
    if stat.S_ISLNK(member.external_attr >> 16):
        return "not-an-image", f"{name} is a link."
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "unsafe-name", f"{name} points out of the zip."
    return None


def _bad_zip(path: Path, what: str) -> BadData:
    return BadData(f"{path} {what}.", "Make a zip of plain picture files, or name a folder.")
