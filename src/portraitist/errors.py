"""Every error a user can meet: one sentence that says what is wrong, one that says the cure, and an exit code.

Library code raises these; the command line prints them without a traceback and exits with ``exit_code``.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any


class PortraitistError(Exception):
    """Base of all errors that are the user's to mend.

    Args:
        message: What is wrong, naming the file, option or value.
        cure: What to do about it.
    """

    exit_code = 3

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message} {self.cure}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        # Between processes an error keeps its fields, whatever its constructor takes.
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[PortraitistError], args: tuple[Any, ...], fields: dict[str, Any]) -> PortraitistError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class UsageError(PortraitistError):
    """Arguments that contradict each other or name something that does not exist."""

    exit_code = 2


def require(what: str, extra: str, *packages: str) -> None:
    """Refuse work whose packages are not installed, before it begins.

    Args:
        what: What needs them, as the beginning of a sentence.
        extra: The extra of this distribution that brings them.
        packages: Names by which they are imported.

    Raises:
        UsageError: One is not installed; the cure is the command that installs it.
    """
    for package in packages:
        if find_spec(package) is None:
            raise UsageError(f"{what} needs the package {package}.", f'Run pip install "portraitist[{extra}]".')


class BadImage(PortraitistError):
    """A picture that cannot be used; ``kind`` names why in one word (``truncated``, ``format``, ``too-large``, ...)."""

    def __init__(self, message: str, cure: str = "", *, kind: str) -> None:
        super().__init__(message, cure)
        self.kind = kind


class NoFaceFound(BadImage):
    """No face was found in a picture."""

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message, cure, kind="no-face")


class BadData(PortraitistError):
    """A set of images or labels that cannot be used as a whole."""


class NothingLearned(PortraitistError):
    """A fine-tuning that ended no nearer to its exemplars than the base; it writes no style."""


class BadModel(PortraitistError):
    """A model file that is incomplete, damaged or of another kind than asked for."""


class NoLicence(BadModel):
    """A model, or a file that goes with one, that names no licence where one is required."""


class UntrustedFile(PortraitistError):
    """A file that asks for code to be run, or whose digest is wrong."""

    exit_code = 7


class OutOfMemory(PortraitistError):
    """The work does not fit into memory."""

    exit_code = 4


class StorageError(PortraitistError):
    """A disk or a server that is full, refuses or is gone."""

    exit_code = 5


class NonFinite(PortraitistError):
    """NaN or infinity appeared in training."""

    exit_code = 6


class RankLost(PortraitistError):
    """Another of the processes that train together is gone or does not answer."""

    exit_code = 8
