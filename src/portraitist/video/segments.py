"""The video that is being written: coded frames in segments, each a file that is whole or absent, and their joining.

A segment begins with a frame that needs no other, and holds what the run knew behind its last frame. So a run that was
stopped at any moment goes on behind its last segment, and the finished video does not depend on where it was stopped.

    coder = Coder(source)
    packets = [p for frame in frames for p in coder.add(frame.pixels, frame.time, frame.duration)] + coder.end()
    parts.write(0, Segment(packets, mark, state, counts))
    join(parts, source, Path("out.mp4"))
"""

from __future__ import annotations

import glob
import hashlib
import heapq
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..data.images import Pixels
from ..data.video import av_package
from ..errors import UsageError
from ..files import atomic_write, parse_json, refuse_over, sweep_partial, write_bytes
from .names import FORMATS
from .source import Colour, Mark, VideoSource
from .tracks import Arrays

# No frame refers to a later one: so times of decoding are times of showing, and segments can be laid one after another.
# With several threads the bits would depend on the cores of the machine.
CODEC, _SETTINGS = "libx264", {"crf": "18", "preset": "veryfast", "bf": "0", "threads": "1"}
_LIMITED = 1  # the range of values that players expect


class Canvas(Protocol):
    """What frames are like; those of a video by itself."""

    @property
    def width(self) -> int:
        """In pixels."""
        ...

    @property
    def height(self) -> int:
        """In pixels."""
        ...

    @property
    def aspect(self) -> Fraction:
        """Width of a pixel by its height."""
        ...

    @property
    def colour(self) -> Colour:
        """How values are meant."""
        ...


@dataclass(frozen=True)
class Square:
    """Square frames of pictures on a screen: BT.709."""

    side: int
    aspect: Fraction = field(default=Fraction(1), init=False)
    colour: Colour = field(default_factory=lambda: Colour(1, 1, 1), init=False)

    @property
    def width(self) -> int:
        """In pixels."""
        return self.side

    @property
    def height(self) -> int:
        """In pixels."""
        return self.side


class Packet(NamedTuple):
    """One coded frame."""

    data: bytes
    time: int
    duration: int
    is_key: bool


@dataclass(frozen=True)
class Segment:
    """Consecutive coded frames, and where the run stood behind them."""

    packets: list[Packet]
    mark: Mark
    """The last frame."""
    state: Arrays
    """What the run knew."""
    counts: Mapping[str, int]
    """What the run had counted."""


class Coder:
    """Codes frames as H.264, with the times of a source.

    Args:
        source: Whose times.
        canvas: What the frames are like; as those of the source when None.
    """

    def __init__(self, source: VideoSource, canvas: Canvas | None = None) -> None:
        self._source, self._canvas = source, canvas or source
        self._context: Any = None
        self._durations: dict[int, int] = {}

    def add(self, pixels: Pixels, time: int, duration: int) -> list[Packet]:
        """Code one frame, uint8 [H, W, 3]; returns what is ready."""
        av = av_package()
        if self._context is None:
            self._context = configured(av.CodecContext.create(CODEC, "w"), self._source, self._canvas)
            self._context.flags |= av.codec.context.Flags.global_header
        even = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        matrix = self._canvas.colour.matrix
        known = {int(space): space for space in av.video.reformatter.Colorspace}
        frame = frame.reformat(
            format="yuv420p", dst_colorspace=known.get(matrix), dst_color_range=av.video.reformatter.ColorRange.MPEG
        )
        frame.pts, frame.time_base = time, self._source.tick
        self._durations[time] = duration
        return self._taken(self._context.encode(frame))

    def end(self) -> list[Packet]:
        """Return the frames that are still due; the next frame begins a new segment."""
        if self._context is None:
            return []
        left = self._taken(self._context.encode(None))
        self._context = None
        return left

    def _taken(self, packets: Iterable[Any]) -> list[Packet]:
        return [Packet(bytes(p), p.pts, self._durations.pop(p.pts, 0), p.is_keyframe) for p in packets]


def configured(context: Any, source: VideoSource, canvas: Canvas) -> Any:
    """Set an H.264 encoder up for frames like these with the times of a source."""
    context.width, context.height = canvas.width + canvas.width % 2, canvas.height + canvas.height % 2
    context.pix_fmt, context.options = "yuv420p", _SETTINGS
    context.time_base, context.framerate = source.tick, source.rate
    context.sample_aspect_ratio = canvas.aspect
    colour = canvas.colour
    context.color_primaries, context.color_trc, context.colorspace = colour.primaries, colour.transfer, colour.matrix
    context.color_range = _LIMITED
    return context


class Parts:
    """The segments of one video, in a hidden folder beside it.

    Args:
        out: The video.
        digest: Of all that determines its frames: segments of other settings are not touched.
    """

    def __init__(self, out: Path, digest: str) -> None:
        self._out = out
        self._name = os.fsencode(out.name)[:180].decode("utf-8", "ignore")  # file systems allow 255 bytes
        self.folder = out.with_name(f".{self._name}.{digest[:16]}.parts")

    def __len__(self) -> int:
        count = 0
        while self._path(count).exists():
            count += 1
        return count

    def write(self, index: int, segment: Segment) -> None:
        """Write a segment, whole or not at all.

        Raises:
            StorageError: The disk is full, read-only or gone.
        """
        packets = segment.packets
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "data": np.frombuffer(b"".join(p.data for p in packets), dtype=np.uint8),
            "packets": np.array([(len(p.data), p.time, p.duration, p.is_key) for p in packets], dtype=np.int64),
        }
        arrays |= {f"state.{name}": np.ascontiguousarray(value) for name, value in segment.state.items()}
        mark = segment.mark
        about: dict[str, object] = {"mark": [mark.number, mark.time, mark.crc], "counts": dict(segment.counts)}
        about["digest"] = _digest(about, arrays)
        sweep_partial(self.folder)
        write_bytes(self._path(index), save(arrays, {"about": json.dumps(about)}), overwrite=True)

    def read(self, index: int) -> Segment | None:
        """Read a segment; None where it is missing or damaged."""
        try:
            with safe_open(self._path(index), framework="np") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}
                about = parse_json(file.metadata()["about"])
            if about.pop("digest") != _digest(about, arrays):
                return None
            data, packets, at = arrays["data"].tobytes(), [], 0
            for size, time, duration, is_key in arrays["packets"].tolist():
                packets.append(Packet(data[at : at + size], time, duration, bool(is_key)))
                at += size
            state = {name[6:]: value for name, value in arrays.items() if name.startswith("state.")}
            return Segment(packets, Mark(*about["mark"]), state, about["counts"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def finished(self) -> tuple[int, Segment | None]:
        """Return how many segments are whole, one behind the other, and the last of them."""
        last, count = None, 0
        while (segment := self.read(count)) is not None:
            last, count = segment, count + 1
        return count, last

    def packets(self) -> Iterator[Packet]:
        """Yield the coded frames of all segments; one segment at a time is in memory."""
        index = 0
        while (segment := self.read(index)) is not None:
            yield from segment.packets
            index += 1

    def remove(self) -> None:
        """Remove the segments."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_all(self) -> None:
        """Remove all segments of the video, those of other settings too."""
        for folder in self._out.parent.glob(f".{glob.escape(self._name)}.*.parts"):
            shutil.rmtree(folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.safetensors"


def check_output(source: VideoSource, out: Path) -> None:
    """Refuse a file that cannot be written, is the source or cannot hold its sound; ask before long work.

    Raises:
        UsageError: There is such a reason.
    """
    suffix = out.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"A video cannot be written as '{out.name}'.", f"End it in {', '.join(FORMATS)}.")
    if not source.live:
        refuse_over(out, [source.path])
    av = av_package()
    try:
        with av.open(io.BytesIO(), "w", format=FORMATS[suffix]) as container:
            _streams(container, source, source)
            container.start_encoding()
    except (av.error.FFmpegError, ValueError) as error:
        raise UsageError(
            f"The sound of {source.path} cannot be copied into a file of {suffix}.",
            "Write a .mkv or a .mov, which hold other kinds.",
        ) from error


def join(
    parts: Parts, source: VideoSource, out: Path, *, canvas: Canvas | None = None, overwrite: bool = False
) -> None:
    """Lay the segments one after another, with the sound of the source, into a file that appears whole.

    Args:
        parts: The segments.
        source: Whose sound and times.
        out: What to write.
        canvas: What the frames are like; as those of the source when None.
        overwrite: Replace an existing file.

    Raises:
        UsageError: The file exists, and ``overwrite`` is False.
        StorageError: The disk is full, read-only or gone.
    """
    av = av_package()
    with atomic_write(out, overwrite=overwrite) as file:
        with av.open(file, "w", format=FORMATS[out.suffix.lower()]) as container:
            video, sounds = _streams(container, source, canvas or source)
            container.start_encoding()
            for _, _, packet in heapq.merge(_video(parts, source, video), _sound(source, sounds), key=lambda p: p[:2]):
                container.mux(packet)


def _streams(container: Any, source: VideoSource, canvas: Canvas) -> tuple[Any, dict[int, Any]]:
    """Add the tracks: that of the video, and those of the sound by their number in the source."""
    video = container.add_stream(CODEC, rate=source.rate)
    configured(video.codec_context, source, canvas)
    video.time_base = source.tick
    sounds = {s.index: container.add_stream_from_template(s) for s in source.sound_streams()}
    return video, sounds


Timed = tuple[Fraction, int, Any]


def _video(parts: Parts, source: VideoSource, stream: Any) -> Iterator[Timed]:
    av = av_package()
    for coded in parts.packets():
        packet = av.Packet(coded.data)
        packet.pts = packet.dts = coded.time
        packet.duration, packet.time_base, packet.is_keyframe = coded.duration, source.tick, coded.is_key
        packet.stream = stream
        yield coded.time * source.tick, 0, packet


def _sound(source: VideoSource, streams: Mapping[int, Any]) -> Iterator[Timed]:
    for packet in source.packets():
        shift = int(source.zero / packet.time_base)
        number = packet.stream_index
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts -= shift
        packet.stream = streams[number]
        yield packet.dts * packet.time_base, 1, packet


def _digest(about: Mapping[str, object], arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
