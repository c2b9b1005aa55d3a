"""The mediapipe wheel, whose networks are used here: imported late, without a display, without chatter."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from portraitist.errors import PortraitistError


def solutions() -> Any:
    """Import mediapipe's solutions, without the chatter of its C++ parts.

    Raises:
        PortraitistError: It is not installed, or is a version whose wheel has no models.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Its own call of an old protobuf function, on every picture.
    warnings.filterwarnings("ignore", message=r"SymbolDatabase\.GetPrototype")
    try:
        with silent_stderr(), _drawing_optional():
            import mediapipe

            return mediapipe.solutions
    except (ImportError, AttributeError) as error:
        version = ".".join(map(str, sys.version_info[:2]))
        raise PortraitistError(
            f"Faces cannot be found: mediapipe 0.10.14 is not usable here (Python {version}).",
            "Run `pip install mediapipe==0.10.14` on Python 3.11 or 3.12, or give the landmarks in a file.",
        ) from error


@contextmanager
def _drawing_optional() -> Iterator[None]:
    """Let mediapipe be imported where OpenCV cannot be: it only draws with it, and we never ask it to.

    The OpenCV that comes with mediapipe needs libGL and GLib, which a machine without a screen often lacks.
    """
    try:
        import cv2  # noqa: F401
    except ImportError:
        sys.modules["cv2"] = ModuleType("cv2")
        try:
            yield
        finally:
            del sys.modules["cv2"]
    else:
        yield


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Send what C++ code writes to stderr elsewhere; if the block fails, it is written after all."""
    try:
        kept = os.dup(2)
    except OSError:  # A process without a stderr has nothing to silence.
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        except BaseException:
            sink.seek(0)
            os.write(kept, sink.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
