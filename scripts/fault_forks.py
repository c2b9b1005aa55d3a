"""Forks of a process that has imported everything: they begin at once, and may be killed at any moment.

pid = start(lambda: portraitist("stylize", ...), before_change(7))     # dies before its 7th change of the disk
ended(pid)
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from portraitist.errors import PortraitistError

Work = Callable[[], object]


def start(work: Work, before: Work = lambda: None) -> int:
    """Begin ``work`` in a silent fork; return its process. It ends with 0, or an error's exit code."""
    gc.freeze()  # else the first collection copies every page
    if pid := os.fork():
        return pid
    code = 99
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        before()
        work()
        code = 0
    except PortraitistError as error:
        code = error.exit_code
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a fork; return its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(work: Work) -> int:
    """Do ``work`` in a fork; return its exit code, or minus the signal that ended it."""
    return ended(start(work))


def seconds_of_children() -> float:
    """Return the seconds of the processor that all ended children of this process have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def before_change(number: int) -> Work:
    """Return what lets a fork die right before its ``number``-th change of the disk, by SIGKILL."""

    def strike(seen: int) -> None:
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: _on_change(strike)


def after_seconds(seconds: float) -> Work:
    """Return what lets a fork die after so much of the processor's time, wherever it is then.

    The kernel ends a process by the signal of this timer as it does by SIGKILL: no code of the process runs any more.
    The processor's time, unlike the clock's, is the same on a busy machine.
    """

    def arm() -> None:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, max(seconds, 1e-4))

    return arm


def count_changes(work: Work) -> int:
    """Return how often an undisturbed run changes the disk."""
    read, write = os.pipe()
    pid = start(work, lambda: _on_change(lambda number: os.write(write, b".") and None))
    os.close(write)
    total = 0
    while data := os.read(read, 1 << 16):
        total += len(data)
    os.close(read)
    assert ended(pid) == 0, "an undisturbed run failed"
    return total


def preload(work: Work, note: Path) -> None:
    """Import here what ``work`` imports, so that kills hit the work and not the imports."""

    def noted() -> None:
        try:
            work()
        finally:
            note.write_text("\n".join(sys.modules))

    assert run(noted) == 0, "an undisturbed run failed"
    for name in note.read_text().splitlines():
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _on_change(count: Callable[[int], None]) -> None:
    """Call ``count`` with the number of each change of the disk in this process, right before it."""
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if writes or event in ("os.rename", "os.remove", "os.mkdir"):
            seen += 1
            count(seen)

    sys.addaudithook(hook)
