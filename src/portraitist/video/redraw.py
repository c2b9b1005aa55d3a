"""A whole video or a recording of a camera, redrawn.

report = redraw_video(Path("clip.mp4"), Path("out.mp4"), artist, finder=finder_named())
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Protocol

import numpy as np

from .._version import __version__
from ..data.folder_run import settings_digest
from ..data.images import Pixels
from ..data.video import av_package
from ..errors import BadImage, NoFaceFound
from ..faces import FaceFinder
from ..faces.paste import paste_all
from ..files import refuse_existing
from ..stylize.choices import Which
from .artists import Artist, DrawnFace
from .segments import Canvas, Coder, Packet, Parts, Segment, check_output, join
from .source import Frame, Mark, VideoSource
from .tracks import Arrays, Tracker

log = logging.getLogger("portraitist")

SEGMENT = 30
"""Frames of a segment: what a run that is stopped loses at most."""
_LONGEST = 0.5
"""Seconds between frames that count as motion at most; behind a longer gap, anything may have happened."""

OnFrame = Callable[[int, int | None], None]
"""Told of the frames done and, where it is known, of all frames."""


@dataclass(frozen=True)
class VideoReport:
    """What became of a video."""

    out: Path
    frames: int
    drawn: int
    """Frames with a drawn face."""
    people: int
    """People that were told apart."""
    undecodable: int
    """Pictures that could not be decoded; the frame before them stays longer."""
    undrawn: int
    """Faces that could not be drawn; the frame shows them as they are."""
    resumed: int
    """Frames that an earlier run had finished."""
    complete: bool
    """False where the file broke off."""


class FrameMaker(Protocol):
    """Makes a frame of the result of each frame of a video."""

    undrawn: int
    """Faces that could not be drawn so far."""

    @property
    def people(self) -> int:
        """People that were told apart so far."""
        ...

    def redraw(self, frame: Pixels, seconds: float) -> tuple[Pixels, int]:
        """Return what becomes of one more frame, and how many faces were drawn in it."""
        ...

    def state(self) -> Arrays:
        """Return all that a resumed run needs."""
        ...

    def resume(self, state: Arrays) -> None:
        """Go on where a run stood that gave this state."""
        ...


class FrameRedrawer:
    """Redraws the people of consecutive frames.

    Args:
        artist: Draws faces.
        finder: Finds them.
        which: All people, or the largest alone.
    """

    def __init__(self, artist: Artist, finder: FaceFinder, which: Which = "all") -> None:
        self.artist, self.which = artist, which
        self.tracker = Tracker(finder)
        self.undrawn = 0

    @property
    def people(self) -> int:
        """People that were told apart so far."""
        return self.tracker.count

    def state(self) -> Arrays:
        """Return all that a resumed run needs."""
        return self.tracker.state()

    def resume(self, state: Arrays) -> None:
        """Go on where a run stood that gave this state."""
        self.tracker.resume(state)

    def redraw(self, frame: Pixels, seconds: float) -> tuple[Pixels, int]:
        """Return one more frame, uint8 [H, W, 3], redrawn, and how many faces were drawn in it.

        Args:
            frame: The picture.
            seconds: Since the frame before, above 0.
        """
        tracks = self.tracker.step(frame, seconds)
        drawn = []
        for track in tracks[:1] if self.which == "largest" else tracks:
            try:
                face = self.artist.draw(frame, track.landmarks, track.memory)
            except BadImage:  # it has left the frame
                self.undrawn += 1
                continue
            drawn.append(_faded(face, track.shown))
        return paste_all(frame, [(face.picture, face.aligned, face.mask) for face in drawn]), len(drawn)


def redraw_video(
    path: Path,
    out: Path,
    artist: Artist,
    *,
    finder: FaceFinder,
    which: Which = "all",
    overwrite: bool = False,
    on_frame: OnFrame | None = None,
) -> VideoReport:
    """Redraw the people of a video; sound, times of the frames and colours stay as they are.

    A run that was stopped goes on behind its last finished segment when it is started again.

    Args:
        path: The video.
        out: What to write: .mp4, .mov or .mkv. It appears when it is whole.
        artist: Draws faces.
        finder: Finds them.
        which: All people, or the largest alone.
        overwrite: Replace an existing file.
        on_frame: Called behind each frame.

    Raises:
        UsageError: There is no such video, or the file exists or cannot be written so.
        BadData: The video is damaged, encrypted or empty.
        NoFaceFound: No frame shows a face.
        StorageError: The disk is full, read-only or gone; finished segments stay.
    """
    refuse_existing(out, overwrite)
    with VideoSource.open(path) as source:
        check_output(source, out)
        _tell(source)
        parts = Parts(out, frames_digest(path, [artist.settings, repr(finder), which]))
        run = FrameRun(source, parts, FrameRedrawer(artist, finder, which), on_frame)
        run.over(source.frames(run.resume()))
        return run.finish(out, overwrite)


def record_camera(
    source: VideoSource,
    out: Path,
    artist: Artist,
    *,
    finder: FaceFinder,
    which: Which = "all",
    seconds: float | None = None,
    overwrite: bool = False,
    on_frame: OnFrame | None = None,
) -> VideoReport:
    """Redraw the people before a camera until so many seconds have passed, or until it is interrupted.

    Args:
        source: An opened camera.
        out: As :func:`redraw_video`.
        artist: As :func:`redraw_video`.
        finder: As :func:`redraw_video`.
        which: As :func:`redraw_video`.
        seconds: How long to record; until KeyboardInterrupt when None.
        overwrite: As :func:`redraw_video`.
        on_frame: As :func:`redraw_video`.

    Raises:
        UsageError: The file exists or cannot be written so.
        NoFaceFound: No frame shows a face.
        StorageError: The disk is full, read-only or gone.
    """
    refuse_existing(out, overwrite)
    check_output(source, out)
    parts = Parts(out, "camera")
    parts.remove()
    run = FrameRun(source, parts, FrameRedrawer(artist, finder, which), on_frame)
    with contextlib.suppress(KeyboardInterrupt):
        run.over(_until(source, seconds))
    return run.finish(out, overwrite)


class FrameRun:
    """Frames to segments, and segments to the video.

    Args:
        source: Of the frames.
        parts: Where segments go.
        maker: Makes the frames of the result.
        on_frame: Called behind each frame.
        canvas: What the frames of the result are like; as those of the source when None.
    """

    def __init__(
        self,
        source: VideoSource,
        parts: Parts,
        maker: FrameMaker,
        on_frame: OnFrame | None = None,
        canvas: Canvas | None = None,
    ) -> None:
        self.source, self.parts, self.maker, self.on_frame = source, parts, maker, on_frame
        self.canvas = canvas
        self.coder = Coder(source, canvas)
        self.segments, self.frames, self.drawn, self.resumed, self.before = 0, 0, 0, 0, 0
        self.last: Mark | None = None
        self.packets: list[Packet] = []

    def resume(self) -> Mark | None:
        """Go on behind the last finished segment; returns where that is."""
        self.segments, segment = self.parts.finished()
        if segment is None:
            return None
        self.maker.resume(segment.state)
        counts = segment.counts
        self.frames = self.resumed = counts["frames"]
        self.drawn, self.maker.undrawn, self.before = (counts[k] for k in ("drawn", "undrawn", "undecodable"))
        self.last = segment.mark
        log.info(f"{self.resumed} frames are finished already.")
        return segment.mark

    def over(self, frames: Iterator[Frame]) -> None:
        """Redraw frames, and write a segment for every so many; whatever ends this, what is coded is kept."""
        last: Frame | None = None
        try:
            for frame in frames:
                pixels, faces = self.maker.redraw(frame.pixels, self._since(frame))
                self.packets += self.coder.add(pixels, frame.time, frame.duration)
                self.frames, self.drawn = self.frames + 1, self.drawn + bool(faces)
                self.last, last = frame.mark, frame
                if self.on_frame is not None:
                    self.on_frame(self.frames, self.source.count)
                if self.frames % SEGMENT == 0:
                    self._write()
        finally:
            if last is not None and self.source.live:
                self._write()
        self._write()

    def finish(self, out: Path, overwrite: bool) -> VideoReport:
        """Join the segments, and remove them."""
        if not self.drawn:
            self.parts.remove()
            raise NoFaceFound(f"No frame of {self.source.path} shows a face.", "Use another video.")
        join(self.parts, self.source, out, canvas=self.canvas, overwrite=overwrite)
        self.parts.remove_all()
        undecodable = self.before + self.source.undecodable
        people = self.maker.people
        return VideoReport(
            out, self.frames, self.drawn, people, undecodable, self.maker.undrawn, self.resumed, self.source.complete
        )

    def _since(self, frame: Frame) -> float:
        """Return the seconds between the frame before and this one."""
        ticks = 0 if self.last is None else frame.time - self.last.time
        apart = ticks * self.source.tick if ticks else 1 / self.source.rate
        return float(np.clip(float(apart), 1e-3, _LONGEST))

    def _write(self) -> None:
        packets = self.packets + self.coder.end()
        self.packets = []
        if not packets or self.last is None:
            return
        counts = {
            "frames": self.frames,
            "drawn": self.drawn,
            "undrawn": self.maker.undrawn,
            "undecodable": self.before + self.source.undecodable,
        }
        self.parts.write(self.segments, Segment(packets, self.last, self.maker.state(), counts))
        self.segments += 1


def _until(source: VideoSource, seconds: float | None) -> Iterator[Frame]:
    frames = source.frames()
    if seconds is None:
        return frames
    first = next(frames)
    rest = takewhile(lambda frame: (frame.time - first.time) * source.tick < seconds, frames)
    return (frame for some in ((first,), rest) for frame in some)


def _faded(face: DrawnFace, shown: float) -> DrawnFace:
    if shown >= 1:
        return face
    whole = np.ones((2, 2), np.float32) if face.mask is None else face.mask
    return DrawnFace(face.picture, face.aligned, whole * np.float32(shown))


def _tell(source: VideoSource) -> None:
    """Say what of the video will be otherwise than in the source."""
    if source.hdr:
        log.warning(
            f"{source.path.name} is {source.hdr}: it is drawn with 8 bits a colour, which may show bands, and drawn "
            "faces may look flat. Convert it to SDR first for better ones."
        )
    tell_tracks(source)


def tell_tracks(source: VideoSource) -> None:
    """Say which tracks are left out."""
    if source.others:
        log.warning(f"{source.others} tracks of {source.path.name} are neither video nor sound; they are left out.")


def frames_digest(path: Path, settings: object) -> str:
    """Return the digest of all that determines the frames: a video, and settings as JSON values."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    libraries = {name: list(version) for name, version in av_package().library_versions.items()}
    return settings_digest([content, settings, SEGMENT, __version__, libraries])
