r"""Turn a folder of pictures into a set of aligned faces, with a report of what was left out and why.

The aligner is passed in. Running again does only what is left to do: a picture is skipped when its bytes and
the settings are those of the last run and its faces are still there.

Example::

    report = prepare("photos/", "aligned/", 256, aligner=lambda picture, name: find_and_align(picture, 256))
    print("\\n".join(report.lines()))
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ..errors import BadData, NoFaceFound, UsageError
from ..files import stems
from .folder_run import FileReport, FolderRun, Made, RunReport, report_in, settings_digest
from .images import WHITE, Pixels, encode_image, read_image, resize
from .sources import open_source

_VERSION = 1


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
    overwrite: bool = False,
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
        overwrite: Do finished pictures again, and replace files that no report vouches for.
        on_picture: Called with each picture when it is done.

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
    report = _open_report(report_in(out, "pictures"), out, key)
    before = dict(report.lines)
    for name, kind, reason in pictures.refused:
        report.note(FileReport(name, "failed", kind=kind, reason=reason))
    work = _Aligning(size, matte, aligner, dict(zip(pictures.names, stems(pictures.names), strict=True)))
    run = FolderRun(
        out, work, settings_digest(key), report, overwrite=overwrite, keep_failures=True, delete_earlier=True
    )
    lines = run.over(pictures.names, pictures.read, lambda line: on_picture(_entry(line)))
    done = {line.source: _entry(line) for line in lines}
    done |= {name: Entry(name, "", (), kind, reason) for name, kind, reason in pictures.refused}
    gone = tuple(_entry(line) for name, line in sorted(before.items()) if name not in done and line.outputs)
    skipped = sum(line.status == "skipped" for line in lines)
    return Report(tuple(done[name] for name in sorted(done)), skipped, gone, key)


class _Aligning:
    """The work of a run: one picture in, its faces out."""

    def __init__(self, size: int, matte: tuple[int, int, int], aligner: Aligner, stems: Mapping[str, str]) -> None:
        self.size, self.matte, self.aligner, self.stems = size, matte, aligner, stems
        self._taken = {stem.lower() for stem in stems.values()}

    def planned(self, name: str) -> tuple[str, ...]:
        return self._targets(name, 1)

    def make(self, name: str, data: bytes) -> Made:
        picture = read_image(data, name=name, matte=self.matte)
        faces = [resize(face.image, self.size) for face in self.aligner(picture, name)]
        if not faces:
            raise NoFaceFound(f"No face was found in {name}.", "Use a picture that shows the face larger.")
        targets = self._targets(name, len(faces))
        files = {target: encode_image(face, ".png") for target, face in zip(targets, faces, strict=True)}
        return Made(len(faces), files)

    def is_current(self, line: FileReport) -> bool:
        return tuple(line.outputs) == self._targets(line.source, len(line.outputs))

    def _targets(self, name: str, count: int) -> tuple[str, ...]:
        stem = self.stems[name]
        targets = [stem][:count]
        for number in range(2, count + 1):
            target = f"{stem}_{number}"
            while target.lower() in self._taken:  # the name belongs to another picture
                target += "_"
            targets.append(target)
        return tuple(f"{target}.png" for target in targets)


def _entry(line: FileReport) -> Entry:
    return Entry(line.source, line.sha256, tuple(line.outputs), line.kind, line.reason)


def _open_report(path: Path, out: Path, key: Mapping[str, object]) -> RunReport:
    """Open the report of the last run; under other settings none of its pictures counts as done."""
    mine, wanted = settings_digest(key), json.loads(json.dumps(key))

    def parse(content: Any) -> list[FileReport]:
        settings = mine if content["settings"] == wanted else ""
        lines = []
        for entry in content["pictures"]:
            made = Entry(**{k: v for k, v in entry.items() if k != "unfinished"})
            status = "failed" if made.kind else "done"
            line = FileReport(made.name, status, made.digest, settings, made.kind, made.reason, len(made.outputs))
            lines.append(replace(line, outputs=list(made.outputs), unfinished=dict(entry.get("unfinished", {}))))
        return lines

    def render(lines: Sequence[FileReport]) -> object:
        pictures = []
        for line in lines:
            # Under settings of an earlier run a picture is not done, and the report holds those of this run alone.
            current = line if line.settings == mine else replace(line, sha256="")
            begun = {"unfinished": line.unfinished} if line.unfinished else {}
            pictures.append(asdict(_entry(current)) | begun)
        return {"settings": key, "pictures": pictures}

    try:
        return RunReport.open(path, out, parse=parse, render=render)
    except BadData as error:
        raise BadData(error.message, "Choose another output folder.") from error
