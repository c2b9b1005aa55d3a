"""How steady redrawn videos are, and what a frame costs, on a clip whose motion is made.

python -m studies video
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from skimage.data import astronaut

from portraitist.data.images import Pixels, write_image
from portraitist.data.sheet import tile
from portraitist.data.video import write_video
from portraitist.evaluate import Flicker
from portraitist.faces import Face, FaceFinder, Landmarks, finder_named
from portraitist.files import write_bytes
from portraitist.io import registry
from portraitist.io.headers import read_header
from portraitist.report.markdown import BLANK, prose, table
from portraitist.stylize import Stylizer
from portraitist.stylize.mixture import default_styles
from portraitist.stylize.packed import Method
from portraitist.video import Artist, FrameRedrawer, StyleArtist, Tracker, VideoSource
from portraitist.video.segments import Coder
from portraitist.video.tracks import Arrays, Follows

FRAMES, WIDTH, HEIGHT, RATE = 30, 640, 360, 30
METHODS: tuple[Method, ...] = ("painter", "code")
NOISE = 3.0
SHOWN = (0, 10, 20)
T = TypeVar("T")


def frame(k: int) -> Pixels:
    """Return a frame of the clip: a face that moves, turns, comes nearer and is lit otherwise, with noise."""
    seconds = k / RATE

    def wave(height: float, cycles: float) -> float:
        return float(height * np.sin(2 * np.pi * seconds * cycles))

    face = Image.fromarray(astronaut()[:300, 80:380])  # type: ignore[no-untyped-call]
    zoom, turn, x, y = 1.15 + wave(0.12, 0.7), wave(0.12, 0.5), 320 + wave(50, 0.4), 180 + wave(14, 0.9)
    cos, sin = np.cos(turn) / zoom, np.sin(turn) / zoom
    back = (cos, sin, 150 - cos * x - sin * y, -sin, cos, 150 + sin * x - cos * y)
    size, kind = (WIDTH, HEIGHT), Image.Transform.AFFINE
    moved = np.asarray(face.transform(size, kind, back, Image.Resampling.BICUBIC), np.float32)
    mask = Image.new("L", face.size, 255).transform(size, kind, back, Image.Resampling.BILINEAR)
    share = np.asarray(mask, np.float32)[..., None] / 255
    lit = (moved * share + 110 * (1 - share)) * (1 + wave(0.1, 0.6))
    noise = np.random.default_rng(k).normal(0, NOISE, lit.shape)
    levels: Pixels = np.rint(lit + noise).clip(0, 255).astype(np.uint8)
    return levels


@dataclass
class Clock:
    """Processor time by stage."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def timed(self, stage: str, work: Callable[[], T]) -> T:
        """Do work, and count its time."""
        start = time.process_time()
        result = work()
        self.seconds[stage] += time.process_time() - start
        return result


@dataclass(frozen=True)
class TimedFinder:
    """A finder whose time is counted."""

    finder: Any
    clock: Clock

    def find(self, image: Pixels) -> list[Face]:
        """Search a frame."""
        return self.clock.timed("search", lambda: self.finder.find(image))

    def follow(self, image: Pixels, near: Landmarks) -> Landmarks | None:
        """Read a face again."""
        found: Landmarks | None = self.clock.timed("follow", lambda: self.finder.follow(image, near))
        return found


@dataclass(frozen=True)
class TimedArtist:
    """An artist whose time is counted."""

    artist: Artist
    clock: Clock

    @property
    def name(self) -> str:
        """As the artist's."""
        return self.artist.name

    @property
    def settings(self) -> dict[str, object]:
        """As the artist's."""
        return self.artist.settings

    def draw(self, picture: Pixels, landmarks: Landmarks, memory: Arrays) -> Any:
        """Draw a face."""
        return self.clock.timed("draw", lambda: self.artist.draw(picture, landmarks, memory))


@dataclass
class Result:
    """What became of the clip by one artist."""

    flicker: Flicker
    seconds: Mapping[str, float]
    """Stage -> processor time of the whole clip."""
    shown: list[Pixels]


def main(arguments: Sequence[str]) -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m studies video", description=__doc__)
    parser.add_argument("-o", type=Path, default=Path("docs/results"), dest="out", help="folder of the page")
    wanted = parser.parse_args(arguments)
    finder = finder_named()
    assert isinstance(finder, Follows)
    artists: dict[str, Artist] = {
        f"{name}, {method}": StyleArtist(Stylizer.load([name], method=method))
        for method in METHODS
        for name in default_styles(None)
        if method == "code" or read_header(registry.find(name)).painter is not None
    }
    with tempfile.TemporaryDirectory() as folder:
        clip = write_video(Path(folder) / "clip.mp4", map(frame, range(FRAMES)), fps=RATE)
        first = next(iter(artists.values()))
        measured(clip, first, finder, np.inf, 2)  # what is loaded once is no cost of a frame
        unfiltered = measured(clip, first, finder, np.inf)
        results = {name: measured(clip, artist, finder) for name, artist in artists.items()}
    source = [frame(k) for k in SHOWN]
    sheet = tile([p[:, 140:500] for p in (*source, *(p for r in results.values() for p in r.shown))], len(SHOWN))
    write_image(wanted.out / "video.png", sheet[::2, ::2])
    lines = page(results, unfiltered, next(iter(artists)))
    write_bytes(wanted.out / "video.md", ("\n".join(lines) + "\n").encode(), overwrite=True)


def measured(
    clip: Path, artist: Artist, finder: FaceFinder, cutoff: float | None = None, count: int = FRAMES
) -> Result:
    """Redraw the clip, and measure; ``cutoff`` is that of the filter at rest, None its own."""
    clock, flicker, shown = Clock(), Flicker(), []
    timed = TimedFinder(finder, clock)
    redrawer = FrameRedrawer(TimedArtist(artist, clock), timed)
    if cutoff is not None:
        redrawer.tracker = Tracker(timed, cutoff)
    with VideoSource.open(clip) as source:
        coder, frames = Coder(source), source.frames()
        for k in range(count):
            now = clock.timed("decode", lambda: next(frames))
            drawn, _ = clock.timed("redraw", lambda picture=now.pixels: redrawer.redraw(picture, 1 / RATE))  # type: ignore[misc]
            clock.timed("code", lambda p=drawn, f=now: coder.add(p, f.time, f.duration))  # type: ignore[misc]
            flicker.add(now.pixels, drawn, redrawer.tracker.tracks[0].measured)
            if k in SHOWN:
                shown.append(drawn)
    inner = sum(clock.seconds[name] for name in ("search", "follow", "draw"))
    clock.seconds["track and paste"] = clock.seconds.pop("redraw") - inner
    return Result(flicker, clock.seconds, shown)


STAGES = ("decode", "search", "follow", "draw", "track and paste", "code")


def page(results: Mapping[str, Result], unfiltered: Result, first: str) -> list[str]:
    """Return the lines of the page."""
    rows = [
        [name, *(f"{np.mean(x):.2f}" for x in (r.flicker.source, r.flicker.drawing)), f"{r.flicker.ratio:.2f}"]
        for name, r in results.items()
    ]
    costs = [
        [name, *(f"{r.seconds[stage]:.2f}" for stage in STAGES), f"{sum(r.seconds.values()):.1f}"]
        for name, r in results.items()
    ]
    return [
        "# Videos: how steady, and how fast",
        BLANK,
        *prose(
            f"""Written by `python -m studies video`. The clip is made: {FRAMES} frames of {WIDTH} x {HEIGHT} pixels of
            a public-domain portrait that moves, turns, comes nearer and is lit otherwise, with noise of {NOISE:g} grey
            levels."""
        ),
        "![Frames of the clip, and the same redrawn, a row for each artist](video.png)",
        BLANK,
        "## Flicker",
        BLANK,
        *prose(
            """Mean difference of consecutive frames over the oval of the face, in grey levels, after the motion of the
            face mesh was taken out (`evaluate.Flicker`: alignment, then a thin-plate spline through the points as read,
            not as filtered). 1 is as steady as the source; more than 1.2 would be seen."""
        ),
        *table(["drawn by", "source", "drawings", "ratio"], rows),
        *prose(f"Without the One Euro filter, the ratio of {first} is {unfiltered.flicker.ratio:.2f}."),
        "## Time",
        BLANK,
        *prose(
            f"""Processor seconds of one core for the {FRAMES} frames, by stage, without what is loaded once. The whole
            frame is searched for faces every five frames; in between, the mesh follows each face."""
        ),
        *table(["drawn by", *STAGES, "all"], costs),
    ]
