"""Moving pictures: frames into an mp4 (H.264, through PyAV) or a gif.

The same frames give the same pictures, with one version of the encoder; the file appears whole or not at all.

    write_video("walk.mp4", frames, fps=30)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..errors import UsageError
from ..files import atomic_write
from .images import Pixels

SUFFIXES = (".mp4", ".gif")


def check_video(path: Path | str) -> None:
    """Refuse what cannot be written; ask before long work.

    Raises:
        UsageError: The suffix is of no format, or the package for it is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"Cannot tell a video format from the name {Path(path).name}.", "End it in .mp4 or .gif.")
    if suffix == ".mp4":
        av_package("Writing mp4", ", or end the name in .gif")


def write_video(path: Path | str, frames: Iterable[Pixels], *, fps: int = 30, overwrite: bool = False) -> Path:
    """Write frames ``uint8 [H, W, 3]`` of one size as ``.mp4`` or ``.gif``, told by the suffix.

    An mp4 has even sides, as players want it: an odd one gains a repeated row or column. A gif repeats for ever, has
    256 colours a frame, and frames of whole hundredths of a second.

    Args:
        path: File to write.
        frames: One at least; taken one by one, so that an mp4 of any length fits into memory.
        fps: Frames a second, 1 to 100.
        overwrite: Replace an existing file.

    Raises:
        UsageError: There is no frame, frames differ in size, the format cannot be written, or the file exists.
    """
    path = Path(path)
    check_video(path)
    if not 1 <= fps <= 100:
        raise UsageError(f"{fps} frames a second cannot be shown.", "Choose 1 to 100.")
    checked = _checked(frames)
    first = next(checked, None)
    if first is None:
        raise UsageError("A video needs a frame.")
    with atomic_write(path, overwrite=overwrite) as file:
        write = _write_mp4 if path.suffix.lower() == ".mp4" else _write_gif
        write(file, chain([first], checked), fps)
    return path


def _checked(frames: Iterable[Pixels]) -> Iterator[Pixels]:
    shape = None
    for frame in frames:
        shape = shape or frame.shape
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != shape:
            raise UsageError(f"A frame of {frame.dtype} {frame.shape} does not fit into a video of {shape}.")
        yield frame


def _write_mp4(file: BinaryIO, frames: Iterable[Pixels], fps: int) -> None:
    av = av_package()
    with av.open(file, "w", format="mp4") as container:
        stream = None
        for frame in frames:
            even = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
            if stream is None:
                # With several threads the bits would depend on the cores of the machine.
                stream = container.add_stream("libx264", rate=fps, options={"crf": "16", "threads": "1"})
                stream.height, stream.width = even.shape[:2]
                stream.pix_fmt = "yuv420p"
            picture = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p")
            container.mux(stream.encode(picture))
        assert stream is not None
        container.mux(stream.encode())


def _write_gif(file: BinaryIO, frames: Iterable[Pixels], fps: int) -> None:
    first, *rest = (Image.fromarray(f).quantize(256, Image.Quantize.MEDIANCUT) for f in frames)
    # A gif counts hundredths of a second.
    first.save(file, "GIF", save_all=True, append_images=rest, duration=max(round(100 / fps), 1) * 10, loop=0)


def av_package(purpose: str = "Video", otherwise: str = "") -> Any:
    """Return the package that reads and writes videos, which is an extra.

    Raises:
        UsageError: It is not installed; ``purpose`` needs it, and ``otherwise`` ends the cure.
    """
    try:
        import av
    except ImportError as error:
        raise UsageError(
            f"{purpose} needs the package av.", f'Run pip install "portraitist[video]"{otherwise}.'
        ) from error
    return av
