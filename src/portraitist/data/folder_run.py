"""One resumable walk over a folder of pictures: what is finished is skipped, what fails is listed, nothing is lost.

A report says what became of each picture. While a run lasts, its lines are appended to a journal beside the report, so
that the cost of a picture does not grow with their number; at the end, and when the run is stopped, the journal goes
into the report. The names and digests of files are noted before the files are written: whatever stops a run, the next
one knows which files are its own, and does the picture in hand again. A file that no report vouches for is never
replaced unless that is asked for.

    run = FolderRun(out, work, settings, RunReport.open(out / "report.json", out, parse=..., render=...))
    lines = run.over(names, read)
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from ..errors import BadData, BadImage, NonFinite, OutOfMemory, PortraitistError, StorageError, UsageError
from ..files import parse_json, read_regular, refuse_existing, storage_error, sweep_partial, write_bytes
from .suffixes import REPORT

log = logging.getLogger("portraitist")

PASSING = frozenset({"exists", "error", "interrupted", "memory", "missing", "name"})
"""Kinds of failure that the next run may not meet again."""
LONGEST_NAME = 255
"""Bytes in a file's name, on every common file system."""


@dataclass(frozen=True)
class FileReport:
    """What became of one picture."""

    source: str
    status: str
    """``done``, ``skipped`` (finished before) or ``failed``."""
    sha256: str = ""
    """Of the picture's bytes; empty where it could not be read."""
    settings: str = ""
    """Digest of the settings it was worked on with."""
    kind: str = ""
    """Why it failed, in one word."""
    reason: str = ""
    """Why it failed, in a sentence."""
    faces: int = 0
    outputs: list[str] = field(default_factory=list)
    """The files made of it, relative to the output folder."""
    earlier: list[str] = field(default_factory=list)
    """Files that runs with other settings, or of an older version of the picture, have made of it."""
    seconds: float = 0.0
    unfinished: dict[str, str] = field(default_factory=dict)
    """File -> SHA-256 of what a run that was stopped may have written."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields as a report holds them."""
        return {key: value for key, value in asdict(self).items() if key != "unfinished" or value}


@dataclass(frozen=True)
class Made:
    """What one picture became."""

    faces: int
    files: Mapping[str, bytes]
    """Name, relative to the output folder -> content."""
    warnings: tuple[str, ...] = ()
    """What its owner should know of it."""


class Work(Protocol):
    """What is done with each picture."""

    def planned(self, name: str) -> Iterable[str]:
        """Return the files that will be made of a picture, as far as they are known before the work."""
        ...

    def make(self, name: str, data: bytes) -> Made:
        """Do the work.

        Raises:
            BadImage: The picture cannot be used; ``kind`` says why.
        """
        ...

    def is_current(self, line: FileReport) -> bool:
        """Tell whether a finished picture still has the files, by name, that it would be given now."""
        ...


class RunReport:
    """The lines of a report, and the journal beside it that keeps them safe while a run lasts."""

    def __init__(
        self, path: Path, lines: dict[str, FileReport], render: Callable[[Sequence[FileReport]], object]
    ) -> None:
        self.path, self.lines, self._render = path, lines, render
        self.journal = path.with_name(f".{path.name}.journal")
        self._written = path.exists() and not self.journal.exists()

    @classmethod
    def open(
        cls,
        path: Path,
        out: Path,
        *,
        parse: Callable[[Any], Iterable[FileReport]],
        render: Callable[[Sequence[FileReport]], object],
    ) -> RunReport:
        """Read the report of earlier runs, and what a run that was killed has left in its journal.

        Args:
            path: The report; it need not exist.
            out: The folder that its names are relative to.
            parse: Turns the JSON of a report into lines; raises ValueError, TypeError or KeyError if it is another.
            render: Turns lines, by name, into the JSON of a report.

        Raises:
            BadData: The file is something else, or names files outside of the folder.
        """
        lines: dict[str, FileReport] = {}
        if os.path.exists(path):
            try:
                lines = {line.source: line for line in parse(parse_json(read_regular(path)))}
                _check_names(lines.values(), out)
            except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise BadData(f"{path} is not the report of an earlier run ({error}).") from error
        report = cls(path, lines, render)
        for line in _journal_lines(report.journal):
            try:
                _check_names([line], out)
            except ValueError:
                continue
            lines[line.source] = line
        return report

    def note(self, line: FileReport, *, durable: bool = False) -> None:
        """Append a line to the journal; ``durable`` waits until it would survive a loss of power.

        Raises:
            StorageError: The disk is full, read-only or gone.
        """
        text = json.dumps(line.as_json()).encode() + b"\n"
        self._written = False
        try:
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            with self.journal.open("ab") as file:
                file.write(text)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise storage_error(self.journal, error, len(text)) from error
        self.lines[line.source] = line

    def close(self) -> None:
        """Write the report and remove the journal.

        Raises:
            StorageError: The disk is full, read-only or gone.
        """
        if not self._written:
            content = self._render([self.lines[name] for name in sorted(self.lines)])
            try:
                write_bytes(self.path, json.dumps(content, indent=1).encode(), overwrite=True)
            except StorageError:
                if not any(map(_files_of, self.lines.values())):
                    self.journal.unlink(missing_ok=True)  # it vouches for nothing
                raise
            self.journal.unlink(missing_ok=True)
            self._written = True


class FolderRun:
    """One run over pictures, and what earlier ones into the same folder have done.

    Args:
        out: Folder for the files.
        work: What is done with each picture.
        settings: Digest of all that determines the files beside the picture.
        report: Where lines go; nothing is remembered when None.
        overwrite: Do finished pictures again, and replace files of others.
        keep_failures: Pictures that failed for good are not tried again.
        delete_earlier: Delete files that earlier runs have made of a picture and this one has not.
    """

    def __init__(
        self,
        out: Path,
        work: Work,
        settings: str,
        report: RunReport | None = None,
        *,
        overwrite: bool = False,
        keep_failures: bool = False,
        delete_earlier: bool = False,
    ) -> None:
        self.out, self.work, self.settings, self.report = out, work, settings, report
        self.overwrite, self.keep_failures, self.delete_earlier = overwrite, keep_failures, delete_earlier
        self._lines = {} if report is None else report.lines
        self._owner = {name: line.source for line in self._lines.values() for name in _files_of(line)}
        self._taken: set[str] = set()

    def over(
        self, names: Iterable[str], read: Callable[[str], bytes], on_file: Callable[[FileReport], None] | None = None
    ) -> list[FileReport]:
        """Work on pictures one after the other; whatever is wrong with one ends in its line, and the next follows.

        Args:
            names: The pictures.
            read: Returns the bytes of one; raises BadImage.
            on_file: Called with the line of each picture.

        Returns:
            One line a picture, in the order given.

        Raises:
            StorageError: The disk is full, read-only or gone; what was done is in the report.
        """
        lines = []
        if self.report is not None:
            if self.report.journal.exists():
                self.report.close()  # of a run that was killed
            for folder in {self.out, *((self.out / name).parent for name in self._owner)}:
                sweep_partial(folder)
        with _exit_on_sigterm():
            try:
                for name in names:
                    lines.append(self._do(name, read))
                    if self.report is not None and lines[-1].status != "skipped":
                        self.report.note(lines[-1])
                    if on_file is not None:
                        on_file(lines[-1])
            finally:
                if self.report is not None:
                    self.report.close()
        return lines

    def _do(self, name: str, read: Callable[[str], bytes]) -> FileReport:
        start = time.monotonic()
        known = self._lines.get(name, FileReport(name, ""))
        line = FileReport(name, "failed", settings=self.settings)
        try:
            data = read(name)
            line = replace(line, sha256=hashlib.sha256(data).hexdigest())
            if self.is_finished(name, line.sha256):
                self._taken.update(known.outputs)
                return replace(known, status="skipped", seconds=0.0)
            for target in self.work.planned(name):
                self._refuse_foreign(known, target)  # before the work, as far as the names are known
            made = self.work.make(name, data)
            for warning in made.warnings:
                log.warning("%s: %s", name, warning)
            for target in made.files:
                self._refuse_foreign(known, target)
            known = self._begun(line, known, made)
            for target, content in made.files.items():
                write_bytes(self.out / target, content, overwrite=True)
                self._owner[target] = name
                self._taken.add(target)
            line = replace(line, status="done", faces=made.faces, outputs=list(made.files))
        except Exception as error:
            kind, reason = _failure(name, error)
            line = replace(line, kind=kind, reason=reason)
        if self.delete_earlier and line.kind not in PASSING:
            known = self._without_stale(known)
        return replace(
            line,
            earlier=sorted({*known.outputs, *known.earlier} - set(line.outputs)),
            unfinished={k: v for k, v in known.unfinished.items() if k not in line.outputs},
            seconds=round(time.monotonic() - start, 3),
        )

    def _begun(self, line: FileReport, known: FileReport, made: Made) -> FileReport:
        """Note which files are about to be written, so that a run that is stopped knows them for its own."""
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in made.files.items()}
        # Those that lie there have just been found to be its own, whatever may stop the run now.
        own = {name for name in made.files if self._owner.get(name) == line.source and (self.out / name).exists()}
        begun = replace(
            line,
            kind="interrupted",
            reason="The run was stopped while its files were written.",
            earlier=sorted({*known.outputs, *known.earlier, *own}),
            unfinished={**known.unfinished, **digests},
        )
        if self.report is not None:
            self.report.note(begun, durable=True)
        return begun

    def _refuse_foreign(self, known: FileReport, target: str) -> None:
        """Refuse to replace a file that is of another picture, or that no run has made."""
        path = self.out / target
        if len(os.fsencode(path.name)) > LONGEST_NAME:
            raise _too_long(known.source)
        above = path.parents[: len(Path(target).parts) - 1]
        if in_the_way := [p for p in above if os.path.lexists(p) and not p.is_dir()] or [path] * path.is_dir():
            # No fault of the disk, so the other pictures go on.
            raise BadImage(f"{in_the_way[0]} is in the way.", "Move it, or choose another folder (-o).", kind="exists")
        if self._owner.get(target) == known.source:
            if target in known.outputs or target in known.earlier or target in self._taken:
                return
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() == known.unfinished.get(target):
                return
        try:
            refuse_existing(path, self.overwrite and target not in self._taken)
        except UsageError as error:
            raise BadImage(error.message, "Add --overwrite, or choose another folder (-o).", kind="exists") from error

    def _without_stale(self, known: FileReport) -> FileReport:
        """Delete files of earlier runs that this one has not made again."""
        for name in {*known.outputs, *known.earlier} - self._taken:
            with suppress(OSError):  # what lies there may be a folder by now
                (self.out / name).unlink(missing_ok=True)
            self._owner.pop(name, None)
        return replace(known, outputs=[], earlier=[])

    def is_finished(self, name: str, sha256: str) -> bool:
        """Tell whether a picture of these bytes was finished before, so that nothing will be done with it."""
        line = self._lines.get(name)
        if self.overwrite or line is None or line.sha256 != sha256 or line.settings != self.settings or not line.status:
            return False
        if line.kind:
            return self.keep_failures and line.kind not in PASSING
        return self.work.is_current(line) and all((self.out / name).is_file() for name in line.outputs)


def report_in(out: Path, key: str) -> Path:
    """Return where the report of a command lies in its output folder: beside that of another command, if there is one.

    Args:
        out: The folder.
        key: What the list of pictures is called in the command's own reports.
    """
    path = out / REPORT
    try:
        found = parse_json(read_regular(path))
    except (OSError, ValueError):
        return path
    ours = {"photos", "pictures"}
    is_anothers = isinstance(found, dict) and key not in found and not ours.isdisjoint(found)
    return out / f"report.{key}.json" if is_anothers else path


def settings_digest(settings: object) -> str:
    """Return the SHA-256 of settings, given as JSON values."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _failure(name: str, error: Exception) -> tuple[str, str]:
    """Return why a picture failed, in a word and in a sentence.

    What the next picture would meet too is raised: errors of the disk, the models and the options.
    """
    if isinstance(error, BadImage):
        return error.kind, str(error)
    if isinstance(error, NonFinite):
        return "not-finite", str(error)
    if isinstance(error, MemoryError | OutOfMemory | torch.OutOfMemoryError):  # PyTorch's is of a GPU
        return "memory", "There is not enough memory for it. Make the picture smaller."
    cause = error.__cause__
    if isinstance(error, StorageError) and isinstance(cause, OSError) and cause.errno == errno.ENAMETOOLONG:
        return _failure(name, _too_long(name))
    if isinstance(error, PortraitistError):
        raise error
    # What nobody thought of in one picture must not end a run of thousands.
    log.warning("%s met an error of the program, please report it", name, exc_info=error)
    return "error", f"{type(error).__name__}: {error}"


def _too_long(name: str) -> BadImage:
    return BadImage(f"The names of the files of {Path(name).name[:40]}... are too long.", "Rename it.", kind="name")


def _files_of(line: FileReport) -> set[str]:
    return {*line.outputs, *line.earlier, *line.unfinished}


def _check_names(lines: Iterable[FileReport], out: Path) -> None:
    """Raise ValueError where a line names no file, or one outside of the folder."""
    inside = out.resolve()
    for line in lines:
        if not all(isinstance(name, str) for name in (line.source, *_files_of(line))):
            raise ValueError("its names are not texts")
        if not all((inside / name).resolve().is_relative_to(inside) for name in _files_of(line)):
            raise ValueError("it names files outside of its folder")


def _journal_lines(path: Path) -> Iterator[FileReport]:
    """Read a journal; a line that was cut off is passed over."""
    try:
        texts = read_regular(path).splitlines()
    except OSError:
        return
    for text in texts:
        try:
            line = FileReport(**parse_json(text))
        except (ValueError, TypeError, RecursionError):
            continue
        yield line


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does, with a report, and with exit code 143."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
