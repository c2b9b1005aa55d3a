"""Frames of a video or a camera: upright, with their times, one by one.

with VideoSource.open("clip.mov") as source:
    for frame in source.frames():
        frame.pixels, frame.time
"""

from __future__ import annotations

import os
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..data.images import Pixels
from ..data.video import av_package
from ..errors import BadData, UsageError

LARGEST = 8192
"""Sides of more pixels are refused: a damaged header can claim any."""
_HDR = {16: "HDR10 (PQ)", 18: "HLG"}
_MATRICES = (1, 4, 5, 6, 7, 9)
"""Those that are written as they were read; others, such as RGB itself, become an unspecified one."""
_ONLY_FILES = {"protocol_whitelist": "file"}
"""A playlist that calls itself a video must not reach for the network."""


@dataclass(frozen=True)
class Colour:
    """How the values of a video are meant, by the numbers of ITU-T H.273; 2 is unspecified."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame."""

    number: int
    """From 0, among those that can be decoded."""
    time: int
    """In ticks of the video, from the same zero as the sound's."""
    duration: int
    """In ticks; 0 where the file does not say."""
    pixels: Pixels
    """uint8 [H, W, 3], upright."""

    @property
    def mark(self) -> Mark:
        """What finds the place again."""
        return Mark(self.number, self.time, zlib.crc32(self.pixels.data))


@dataclass(frozen=True)
class Mark:
    """A place in a video: number and time of a frame, and the CRC-32 of its pixels."""

    number: int
    time: int
    crc: int


class VideoSource:
    """An opened video, or a camera.

    Attributes:
        path: The file; what a camera is called by.
        width: Of the upright frames, in pixels.
        height: Of the upright frames.
        tick: Seconds of a tick.
        rate: Frames a second, on average or as the file guesses.
        colour: How its values are meant.
        aspect: Width of a pixel by its height.
        undecodable: Pictures that could not be decoded so far.
        complete: False once the file has broken off.
    """

    def __init__(self, container: Any, path: Path, *, live: bool = False) -> None:
        self._container, self.path, self.live = container, path, live
        self._stream = _stream_of(container, path)
        # With several threads, what becomes of damaged pictures depends on the machine.
        self._stream.thread_type = "NONE"
        self.tick: Fraction = self._stream.time_base
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = Fraction(rate) if rate and 0 < rate <= 1000 else Fraction(30)
        self.undecodable, self.complete = 0, True
        self._encrypted = self._untimed = False
        self._pictures = self._decoded()
        first = next(self._pictures, None)
        if first is None:
            raise self._nothing()
        matrix = int(first.colorspace)
        self.colour = Colour(
            int(first.color_primaries), int(first.color_trc), matrix if matrix in _MATRICES else Colour.matrix
        )
        self._size = first.width, first.height
        self._turns = round(first.rotation / 90) % 4
        self.width, self.height = self._size[::-1] if self._turns % 2 else self._size
        aspect = Fraction(self._stream.sample_aspect_ratio or 1) or Fraction(1)
        self.aspect = 1 / aspect if self._turns % 2 else aspect
        self._first: Any = first
        # Cameras count from when the machine was started.
        self._zero = (first.pts or 0) if live else int(self.zero / self.tick)

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a video file.

        Raises:
            UsageError: There is no such file, or the package av is not installed.
            BadData: It is no video, is encrypted, or none of its pictures can be decoded.
        """
        path = Path(path)
        return cls(_opened(path), path)

    @classmethod
    def camera(cls, device: str, *, format: str | None = None, options: dict[str, str] | None = None) -> Self:
        """Open a camera of this machine.

        Args:
            device: Its number, or the name by which the system knows it.
            format: FFmpeg's name of what reads cameras; that of this system when None. A format of files takes a file
                for the camera.
            options: Of that format, e.g. ``{"video_size": "640x360"}``.

        Raises:
            UsageError: There is no such camera, it is in use or may not be used, or av cannot read cameras here.
        """
        av = av_package("A camera")
        name = device
        if format is None:
            format, name = _camera(device)
        try:
            container = av.open(name, format=format, options=options or {})
        except (av.error.FFmpegError, ValueError) as error:
            raise UsageError(
                f"The camera '{device}' cannot be opened ({_reason(error)}).",
                "Check that it is plugged in and that no other program uses it, or give another --camera.",
            ) from error
        return cls(container, Path(device), live=True)

    @property
    def hdr(self) -> str:
        """The kind of high dynamic range, or nothing."""
        return _HDR.get(self.colour.transfer, "")

    @property
    def count(self) -> int | None:
        """Frames, as far as the file tells."""
        if self.live:
            return None
        if self._stream.frames:
            return int(self._stream.frames)
        if self._stream.duration:
            return max(1, int(self._stream.duration * self.tick * self.rate + Fraction(1, 2)))
        if self._container.duration:
            return max(1, int(Fraction(self._container.duration, 1_000_000) * self.rate + Fraction(1, 2)))
        return None

    @property
    def sounds(self) -> int:
        """Number of sound tracks."""
        return len(self._container.streams.audio)

    @property
    def others(self) -> int:
        """Number of tracks that are neither the video nor sound."""
        return len(self._container.streams) - 1 - self.sounds

    @property
    def zero(self) -> Fraction:
        """Seconds at which the file begins, where that is after 0; all times are taken from there."""
        started = [s.start_time * s.time_base for s in (self._stream, *self._container.streams.audio) if s.start_time]
        every = len(started) == 1 + self.sounds
        return max(Fraction(0), min(started)) if every else Fraction(0)

    def frames(self, after: Mark | None = None) -> Iterator[Frame]:
        """Yield the frames, from the beginning or behind a place; once for each opened video.

        Times grow from frame to frame: one that does not is put a tick behind the frame before.

        Raises:
            BadData: The video does not have this place.
        """
        if after is None:
            yield from self._timed(chain([self._first], self._pictures))
            return
        # Most files find a place by its time; all find it by counting from the beginning.
        for sought in (True, False):
            self._reopen()
            if sought and not self._sought(after):
                continue
            frames = self._timed(self._decoded())
            reached = next((f for f in frames if (f.time >= after.time if sought else f.number == after.number)), None)
            if reached is None or (sought and self._untimed):
                continue
            if (reached.time, reached.mark.crc) == (after.time, after.crc):
                self.undecodable = 0
                yield from (replace(f, number=f.number - reached.number + after.number) for f in frames)
                return
        raise BadData(f"{self.path} is not the video that this run began with.", "Write to another file.")

    def packets(self) -> Iterator[Any]:
        """Yield the packets of all sound tracks of the file, which is opened once more for it."""
        if not self.sounds:
            return
        av = av_package()
        with _opened(self.path) as container:
            packets = container.demux(*container.streams.audio)
            while True:
                try:
                    packet = next(packets, None)
                except av.error.FFmpegError:
                    return  # the file breaks off
                if packet is None:
                    return
                if packet.dts is not None and packet.size:
                    yield packet

    def sound_streams(self) -> list[Any]:
        """Return the sound tracks, as templates for those of another file."""
        return list(self._container.streams.audio)

    def close(self) -> None:
        """Let go of the file or the camera."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _reopen(self) -> None:
        self._container.close()
        self._container = _opened(self.path)
        self._stream = _stream_of(self._container, self.path)
        self._stream.thread_type = "NONE"

    def _sought(self, mark: Mark) -> bool:
        """Go to a place before a mark, near it; tell whether the file can."""
        try:
            self._container.seek(mark.time + self._zero, stream=self._stream, backward=True)
        except av_package().error.FFmpegError:
            return False
        return True

    def _timed(self, pictures: Iterator[Any]) -> Iterator[Frame]:
        last, step = None, max(1, round(1 / (self.rate * self.tick)))
        for number, picture in enumerate(pictures):
            self._untimed |= picture.pts is None
            due = 0 if last is None else last + step
            when = due if picture.pts is None else picture.pts - self._zero
            last = when if last is None else max(when, last + 1)
            yield Frame(number, last, int(picture.duration or 0), self._upright(picture))

    def _upright(self, picture: Any) -> Pixels:
        width, height = self._size
        pixels: Pixels = picture.reformat(width, height, format="rgb24").to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, self._turns))

    def _decoded(self) -> Iterator[Any]:
        """Yield pictures; what cannot be decoded is counted."""
        av = av_package()
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.EOFError:
                return
            except av.error.BlockingIOError:  # a camera that has no picture yet
                time.sleep(0.005)
                continue
            except av.error.FFmpegError:
                self.complete = False
                return
            if packet is None:
                return
            if packet.has_sidedata("encryption_info"):
                self._encrypted = True
                return
            try:
                pictures = packet.decode()
            except av.error.FFmpegError:
                self.undecodable += 1
                continue
            yield from pictures

    def _nothing(self) -> BadData:
        """Say why there is no picture."""
        if self._encrypted:
            return BadData(f"{self.path} is encrypted.", "Give a video without copy protection.")
        why = " that can be decoded" if self.undecodable or not self.complete else ""
        return BadData(f"{self.path} has no picture{why}.", "Check that it plays, or convert it anew.")


def _opened(path: Path) -> Any:
    """Open a file as a container.

    Raises:
        UsageError: There is no such file.
        BadData: It is no video.
    """
    av = av_package()
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UsageError(f"{path} is a folder or a device, not a video.", "Give a file, or --camera for a camera.")
        # With the prefix, no name is taken for an address.
        return av.open(f"file:{os.path.abspath(path)}", options=_ONLY_FILES, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise BadData(f"{path} is no video that can be read ({_reason(error)}).", "Check that it plays.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).", "Check the name and its permissions.") from error


def _stream_of(container: Any, path: Path) -> Any:
    """Return the first track of moving pictures.

    Raises:
        BadData: There is none, or its frames are too large or of no known codec.
    """
    covers = int(av_package().stream.Disposition.attached_pic)
    streams = [s for s in container.streams.video if not int(s.disposition) & covers]
    if not streams:
        raise BadData(f"{path} has no video, only sound or other tracks.", "Give a file with moving pictures.")
    codec = streams[0].codec_context
    if codec is None:
        raise BadData(f"The pictures of {path} are of an unknown codec.", "Convert it to H.264.")
    if not (0 <= codec.width <= LARGEST and 0 <= codec.height <= LARGEST):
        raise BadData(f"Frames of {codec.width} x {codec.height} pixels are too large.", f"At most {LARGEST} a side.")
    return streams[0]


def _camera(device: str) -> tuple[str, str]:
    """Return FFmpeg's format for cameras of this system, and its name for one.

    Raises:
        UsageError: A number where the system knows cameras by name.
    """
    number = device.isascii() and device.isdecimal()
    if sys.platform == "darwin":
        return "avfoundation", device
    if sys.platform == "win32":
        if number:
            raise UsageError("Windows knows cameras by name, not by number.", 'Give --camera "Integrated Camera".')
        return "dshow", f"video={device}"
    return "v4l2", f"/dev/video{int(device)}" if number else device


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
