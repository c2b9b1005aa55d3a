r"""Turn a folder of pictures into a set of aligned faces, with a report of what was left out and why.

The aligner is passed in. Running again does only what is left to do: a picture is skipped when its bytes and
the settings are those of the last run and its faces are still there.

Example::

    report = prepare("photos/", "aligned/", 256, aligner=lambda picture, name: find_and_align(picture, 256))
    print("\\n".join(report.lines()))
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from ..errors import BadData, BadImage, NoFaceFound, UsageError
from ..files import write_bytes
from .images import WHITE, Pixels, read_image, resize, write_image
from .sources import ImageSource, open_source

REPORT = "report.json"
_VERSION = 1
_SAVE_EVERY = 50


class Aligned(Protocol):
    """What an aligner returns for each face."""

    @property
    def image(self) -> Pixels:
        """The aligned face, ``uint8 [S, S, 3]``."""
        ...


Aligner = Callable[[Pixels, str], Sequence[Aligned]]
"""From a picture and its name to its faces, largest first; may raise ``BadImage``."""


@dataclass(frozen=True)
class Entry:
    """What became of one picture."""

    name: str
    digest: str
    """SHA-256 of the file; empty where it could not be read."""
    outputs: tuple[str, ...]
    """Files made of it, relative to the output folder."""
    kind: str = ""
    """Why it was left out, in one word; empty where it was not."""
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """What became of every picture of a folder."""

    entries: tuple[Entry, ...]
    """One per picture of the source, by name."""
    skipped: int
    """How many of them were finished by an earlier run."""
    gone: tuple[Entry, ...]
    """Entries of earlier runs whose picture has left the source; their faces are still in the output."""
    settings: Mapping[str, object]

    @property
    def faces(self) -> int:
        """The number of aligned faces."""
        return sum(len(entry.outputs) for entry in self.entries)

    @property
    def left_out(self) -> tuple[Entry, ...]:
        """Pictures that gave no face."""
        return tuple(entry for entry in self.entries if entry.kind)

    def lines(self) -> list[str]:
        """Return the report for people: a sum, then a line for each picture left out."""
        used = len(self.entries) - len(self.left_out)
        lines = [f"{self.faces} faces from {used} of {len(self.entries)} pictures ({self.skipped} finished before)."]
        lines += [f"left out {entry.name} ({entry.kind}): {entry.reason}" for entry in self.left_out]
        if self.gone:
            stale = sum(len(entry.outputs) for entry in self.gone)
            lines.append(f"{stale} faces come from pictures that are no longer in the source; delete them if unwanted.")
        return lines


def prepare(
    source: Path | str,
    out: Path | str,
    size: int,
    aligner: Aligner,
    *,
    settings: Mapping[str, object] | None = None,
    matte: tuple[int, int, int] = WHITE,
    on_picture: Callable[[Entry], None] = lambda entry: None,
) -> Report:
    """Write one PNG per face (``stem.png``, ``stem_2.png``, ...) under the source's sub-folders, and a report.

    Args:
        source: A folder, zip or LMDB of pictures.
        out: The folder of aligned faces; made when missing.
        size: Side of the faces, pixels.
        aligner: Finds and aligns the faces of a picture. None found, or a ``BadImage`` raised, leaves the
            picture out.
        settings: What else decides the result (the finder's name, its threshold): a change redoes all pictures.
        matte: The colour that transparent parts show.
        on_picture: Told of each picture when it is done.

    Raises:
        UsageError: The output folder lies in the source, so that faces would become pictures of the next run.
        BadData: The source cannot be opened, or the output folder's report is not one of ours.
        StorageError: A face cannot be written; what was done is in the report.
    """
    source, out = Path(source), Path(out)
    if out.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"The output folder {out} lies in the source {source}.", "Choose a folder outside of it.")
    pictures = open_source(source, size)
    key = {"version": _VERSION, "size": size, "matte": list(matte), **(settings or {})}
    before = _read_report(out / REPORT, key)
    work = _Work(pictures, out, size, matte, aligner, _stems(pictures.names), before)
    done = {name: Entry(name, "", (), kind, reason) for name, kind, reason in pictures.refused}
    try:
        for count, name in enumerate(pictures.names, start=1):
            done[name] = work.do(name)
            on_picture(done[name])
            if count % _SAVE_EVERY == 0:
                _write_report(out / REPORT, key, {**before, **done})
    finally:
        _write_report(out / REPORT, key, {**before, **done})
    gone = tuple(entry for name, entry in before.items() if name not in done and entry.outputs)
    skipped = sum(entry is before.get(name) for name, entry in done.items())
    return Report(tuple(done[name] for name in sorted(done)), skipped, gone, key)


class _Work:
    """One run over a source."""

    def __init__(
        self,
        pictures: ImageSource,
        out: Path,
        size: int,
        matte: tuple[int, int, int],
        aligner: Aligner,
        stems: Mapping[str, str],
        before: Mapping[str, Entry],
    ) -> None:
        self.pictures, self.out, self.size, self.matte, self.aligner = pictures, out, size, matte, aligner
        self.stems, self.before = stems, before
        self._taken = set(stems.values())
        self._made: set[str] = set()

    def do(self, name: str) -> Entry:
        """Align one picture, unless the last run did; the entry of the last run itself is returned then."""
        known, digest, faces, kind, reason = self.before.get(name), "", [], "", ""
        try:
            data = self.pictures.read(name)
            digest = hashlib.sha256(data).hexdigest()
            if known is not None and self._is_done(known, digest):
                self._made.update(known.outputs)
                return known
            faces = self._align(data, name)
        except BadImage as error:
            kind, reason = error.kind, str(error)
        targets = self._targets(name, len(faces))
        for target, face in zip(targets, faces, strict=True):
            write_image(self.out / target, face)
        self._made.update(targets)
        for stale in set(known.outputs if known else ()) - self._made:
            (self.out / stale).unlink(missing_ok=True)
        return Entry(name, digest, targets, kind, reason)

    def _is_done(self, known: Entry, digest: str) -> bool:
        same = known.digest == digest and known.outputs == self._targets(known.name, len(known.outputs))
        return same and all((self.out / output).is_file() for output in known.outputs)

    def _align(self, data: bytes, name: str) -> list[Pixels]:
        picture = read_image(data, name=name, matte=self.matte)
        faces = [resize(face.image, self.size) for face in self.aligner(picture, name)]
        if not faces:
            raise NoFaceFound(f"No face was found in {name}.", "Use a picture that shows the face larger.")
        return faces

    def _targets(self, name: str, count: int) -> tuple[str, ...]:
        stem = self.stems[name]
        targets = [stem][:count]
        for number in range(2, count + 1):
            target = f"{stem}_{number}"
            while target in self._taken:  # the name belongs to another picture
                target += "_"
            targets.append(target)
        return tuple(f"{target}.png" for target in targets)


def _stems(names: Sequence[str]) -> dict[str, str]:
    """Give each picture its own stem; names that differ in suffix or case alone keep it (``a_jpg``)."""
    plain = {name: str(PurePosixPath(name).with_suffix("")) for name in names}
    crowd = Counter(stem.lower() for stem in plain.values())
    stems: dict[str, str] = {}
    taken = {stem.lower() for stem in plain.values() if crowd[stem.lower()] == 1}
    for name, stem in plain.items():
        if crowd[stem.lower()] > 1:
            stem = f"{stem}_{PurePosixPath(name).suffix[1:]}"
            while stem.lower() in taken:
                stem += "_"
            taken.add(stem.lower())
        stems[name] = stem
    return stems


def _read_report(path: Path, key: Mapping[str, object]) -> dict[str, Entry]:
    """Return the entries of the last run; under other settings none of them counts as done."""
    try:
        content = json.loads(path.read_bytes())
        entries = [Entry(**{**entry, "outputs": tuple(entry["outputs"])}) for entry in content["pictures"]]
        same = content["settings"] == json.loads(json.dumps(key))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise BadData(f"{path} is not a report of an earlier run.", "Choose another output folder.") from None
    inside = path.parent.resolve()
    if any(not (inside / output).resolve().is_relative_to(inside) for entry in entries for output in entry.outputs):
        raise BadData(f"{path} names files outside of its folder.", "Choose another output folder.")
    return {entry.name: entry if same else replace(entry, digest="") for entry in entries}


def _write_report(path: Path, key: Mapping[str, object], entries: Mapping[str, Entry]) -> None:
    content = {"settings": key, "pictures": [asdict(entries[name]) for name in sorted(entries)]}
    write_bytes(path, json.dumps(content, indent=1, ensure_ascii=False).encode(), overwrite=True)
