"""Small videos, and people who are discs of one colour, with what finds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from portraitist.data.images import Pixels
from portraitist.faces import Face, Landmarks

RED, BLUE = (220, 40, 40), (40, 60, 220)
TICK = Fraction(1, 600)
Disc = tuple[float, float, float, tuple[int, int, int]]
"""x, y, radius and colour."""


def scene(discs: Sequence[Disc], width: int = 96, height: int = 64) -> Pixels:
    """Draw discs on grey, the last in front."""
    frame = np.full((height, width, 3), 110, np.uint8)
    y, x = np.mgrid[:height, :width] + 0.5
    for across, down, radius, colour in discs:
        frame[(x - across) ** 2 + (y - down) ** 2 < radius**2] = colour
    return frame


def walk(k: int) -> Pixels:
    """A red disc that moves to the right."""
    return scene([(30 + k, 32, 14, RED)])


@dataclass(frozen=True)
class DiscFinder:
    """Finds red and blue discs of which at least half are seen."""

    def find(self, image: Pixels) -> list[Face]:
        faces = []
        for channel, other in ((0, 2), (2, 0)):
            rows, columns = np.nonzero((image[..., channel] > 150) & (image[..., other] < 110))
            if len(rows) < 60:
                continue
            width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
            radius, x, y = height / 2, (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
            if len(rows) > 0.4 * np.pi * radius**2 and width > 0.6 * height:
                places = [(-0.4, -0.2), (0.4, -0.2), (0, 0.1), (-0.3, 0.5), (0.3, 0.5)]
                points = [(x + radius * a, y + radius * b) for a, b in places]
                faces.append(Face.around(Landmarks.from_points(points), 1.0))
        return sorted(faces, key=lambda face: face.box[0] - face.box[2])


@dataclass(frozen=True)
class FollowingFinder(DiscFinder):
    """Also reads the disc nearest to a place, whichever it is, as the face mesh does."""

    def follow(self, image: Pixels, near: Landmarks) -> Landmarks | None:
        reach = 3 * near.eye_distance
        found = [f.landmarks for f in self.find(image)]
        apart = [float(np.linalg.norm(f.four.mean(axis=0) - near.four.mean(axis=0))) for f in found]
        best = int(np.argmin(apart)) if found else -1
        return found[best] if found and apart[best] < reach else None


def write_video(
    path: Path,
    count: int = 20,
    frame: Callable[[int], Pixels] = walk,
    *,
    times: Sequence[int] | None = None,
    sound: str = "",
    rotation: int = 0,
    transfer: int = 2,
    matrix: int = 2,
    start: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write frames ``frame(0)``, ... at 30 a second, or at ``times`` in ticks, with a tone of a codec."""
    with av.open(str(path), "w", options=options or {}) as container:
        height, width = frame(0).shape[:2]
        video: Any = container.add_stream("libx264", rate=30, options={"crf": "8", "threads": "1", "g": "8"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.time_base = TICK
        video.codec_context.color_trc, video.codec_context.colorspace = transfer, matrix
        space = {int(known): known for known in av.video.reformatter.Colorspace}.get(matrix)
        if rotation:
            video.set_display_rotation(rotation)
        tone: Any = container.add_stream(sound, rate=44100, layout="mono") if sound else None
        for k in range(count):
            picture = av.VideoFrame.from_ndarray(frame(k), format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace=space)
            picture.pts, picture.time_base = start + (k * 20 if times is None else times[k]), TICK
            container.mux(video.encode(picture))
        container.mux(video.encode())
        if tone is not None:
            for k in range(count * 1470 // 1024 + 1):
                wave = np.sin((np.arange(1024) + k * 1024) / 16)
                kind = tone.codec_context.format.name
                data = (wave * 9000).astype(np.int16) if kind == "s16" else wave.astype(np.float32)
                piece = av.AudioFrame.from_ndarray(data[None], format=kind, layout="mono")
                piece.sample_rate, piece.pts = 44100, k * 1024 + int(start * TICK * 44100)
                container.mux(tone.encode(piece))
            container.mux(tone.encode())
    return path


def frames_of(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def times_of(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [f.pts * f.time_base for f in container.decode(video=0)]


def sound_of(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(audio=0) if p.size]
