"""Reading broken files, and what came of it: a value, an error of the program's own, or a fault."""

from __future__ import annotations

import gc
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from portraitist.errors import PortraitistError
from tests.fuzz.mutations import mutated
from tests.fuzz.readers import Read, Reader

LONGEST = 2.0
"""Seconds of the processor after which a file counts as one that hangs."""
MOST = 256
"""MiB of memory that a broken file may cost beyond its size."""
ALLOWED = ("read", "refused")


def outcome(read: Read, path: Path) -> str:
    """Return ``read``, ``refused``, or what is wrong with the reader."""
    _ran.clear()
    before, start, what = peak(), time.process_time(), "read"
    try:
        read(path)
    except (PortraitistError, MemoryError):
        what = "refused"
    except Exception as error:
        trace = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(trace.filename).name}:{trace.lineno}"
    if _ran:
        return f"ran code ({_ran.pop()})"
    if time.process_time() - start > LONGEST:
        return f"took more than {LONGEST:.0f} s"
    if peak() - before > MOST + 4 * path.stat().st_size / 2**20:
        return f"took more than {MOST} MiB"
    return what


def watch_for_code() -> None:
    """Note from now on what other processes this one starts while it reads."""
    global _watches
    if not _watches:
        _watches = True
        sys.addaudithook(lambda event, _: _ran.append(event) if event in _STARTS else None)


def read_mutations(reader: Reader, root: Path, count: int, number: int) -> Counter[str]:
    """Read mutations of a valid file, which hypothesis chooses, in forks; one that crashes ends early.

    Args:
        reader: Whose.
        root: Where the mutations lie, one at a time; what crashed a reader stays.
        count: How many.
        number: Seed.
    """
    counts: Counter[str] = Counter()
    data = reader.path.read_bytes()
    while (done := counts.total()) < count:
        counts.update(_batch(reader, data, root, min(500, count - done), number * 1000 + done))
    return counts


def _batch(reader: Reader, data: bytes, root: Path, count: int, number: int) -> list[str]:
    # Each process has a file of its own: two may fuzz at a time.
    case, notes = root / f"case-{os.getpid()}-{reader.path.name}", root / f"notes-{os.getpid()}"
    notes.write_text("")
    gc.freeze()
    if (pid := os.fork()) == 0:
        code = 1
        try:
            _quiet()
            watch_for_code()
            with notes.open("a", buffering=1) as file:

                @seed(number)
                @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate], **_UNCHECKED)
                @given(st.randoms(use_true_random=False))
                def one(chance: random.Random) -> None:
                    case.write_bytes(mutated(data, chance))
                    signal.setitimer(signal.ITIMER_PROF, 5 * LONGEST)
                    file.write(outcome(reader.read, case) + "\n")
                    signal.setitimer(signal.ITIMER_PROF, 0)

                one()
            code = 0
        except BaseException as error:
            notes.open("a").write(f"the fuzzer failed: {error!r:.200}\n")
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    found = notes.read_text().splitlines()
    if code != 0:
        found.append(f"crash ({signal.Signals(-code).name if code < 0 else code})")
        case.rename(root / f"crash-{number}-{reader.path.name}")
    return found


_UNCHECKED = {"suppress_health_check": list(HealthCheck)}
_STARTS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")
_ran: list[str] = []
_watches = False


def _quiet() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def peak() -> float:
    """Return the most memory that this process has taken, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
