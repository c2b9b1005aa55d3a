"""Shut down gracefully: finish the step, write a snapshot, then go."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .distributed import ProcessGroup


class Interrupted(BaseException):
    """A training was asked to stop and has written its snapshot; ``exit_code`` is 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; the same command continues")
        self.exit_code = 128 + number


class Asked:
    """Whether a signal has come, and which."""

    def __init__(self) -> None:
        self.number: int | None = None

    def anywhere(self, group: ProcessGroup) -> int | None:
        """Return the signal that any process has noted, the same in all, and note it here.

        One that comes meanwhile stays noted, and is told next time.
        """
        number = group.all_reduce_max(self.number or 0) or None
        self.number = number or self.number
        return number


@contextmanager
def graceful_shutdown() -> Iterator[Asked]:
    """Note SIGINT and SIGTERM instead of dying; a second signal ends the process at once.

    Only the main thread hears signals; in others nothing is noted.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        if asked.number is not None:
            os._exit(128 + number)
        asked.number = number

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
