"""What errors mean for who runs a command: a message, a cure, an exit code."""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass

from ..errors import PortraitistError


@dataclass(frozen=True)
class Failure:
    """What is wrong, what to do about it, and the exit code that says so."""

    message: str
    cure: str
    exit_code: int

    @classmethod
    def of(cls, error: BaseException) -> Failure | None:
        """Return what an error means; None for a bug."""
        if isinstance(error, PortraitistError):
            return cls(error.message, error.cure, error.exit_code)
        if isinstance(error, KeyboardInterrupt):
            return cls("stopped", "", 128 + signal.SIGINT)
        if isinstance(error, BrokenPipeError):
            return cls("Nobody reads the output any more.", "", 1)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            cure = "Free some space or write elsewhere."
            return cls(f"The output cannot be written: {error.strerror}.", cure, 5)
        if isinstance(error, MemoryError | RuntimeError) and _is_full(error):
            return cls("There is not enough memory.", "Use a smaller size or batch, or close other programs.", 4)
        if isinstance(code := getattr(error, "exit_code", None), int):
            return cls(str(error), "", code)  # a training that was asked to stop
        return None

    def __str__(self) -> str:
        return f"{self.message} {self.cure}".strip()


def _is_full(error: MemoryError | RuntimeError) -> bool:
    from ..ops.memory import is_full

    return is_full(error)
