"""A portrait that does what the face of a driving video does, as a video; docs/animate.md shows how.

After AgileGAN (Song et al. 2021, Sec. 4.4), which moves its portraits by the first-order motion model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..data.images import Pixels
from ..edit.expressions import MESH, expression_directions
from ..errors import UsageError
from ..faces import FaceFinder
from ..files import refuse_existing
from ..io.directions import load_directions
from ..spaces import WPlus
from ..spaces.direction import Direction
from ..stylize import Portrait, Stylizer
from ..stylize.crops import Photo, one_thread
from ..stylize.drawings import Synthesizer
from .driving import Driver
from .puppet import CodePuppet, Puppet
from .redraw import FrameRun, OnFrame, VideoReport, frames_digest, tell_tracks
from .segments import Parts, Square, check_output
from .source import VideoSource
from .tracks import Arrays

log = logging.getLogger("portraitist")


class Animator:
    """Makes a frame of the portrait of each frame of the driving video; where its face is lost, the last one stays.

    Args:
        puppet: What moves.
        finder: Finds faces.
        number: Which face of the first frame drives: 1 is the largest.
    """

    def __init__(self, puppet: Puppet, finder: FaceFinder, number: int = 1) -> None:
        self.puppet = puppet
        self.driver = Driver(finder, number, reads=puppet.reads)
        self.undrawn = 0
        self._last: Pixels = puppet.still

    @property
    def people(self) -> int:
        """People that were told apart so far."""
        return self.driver.tracker.count

    def redraw(self, frame: Pixels, seconds: float) -> tuple[Pixels, int]:
        """Return the portrait's frame, uint8 [S, S, 3], and 1 if a face drives it, else 0.

        Args:
            frame: One more of the driving video.
            seconds: Since the frame before, above 0.

        Raises:
            NoFaceFound: The first frame shows no face, or none of that number.
            UsageError: The finder does not give what the puppet goes by.
        """
        movement = self.driver.step(frame, seconds)
        if movement is None:
            self.undrawn += 1
            return self._last, 0
        with one_thread():
            self._last = self.puppet.move(movement)
        return self._last, 1

    def state(self) -> Arrays:
        """Return all that a resumed run needs."""
        return {**self.driver.state(), "picture": self._last}

    def resume(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Go on where a run stood that gave this state."""
        state = dict(state)
        self._last = np.array(state.pop("picture"), dtype=np.uint8)
        self.driver.resume(state)


def animate_video(
    puppet: Puppet,
    drive: Path,
    out: Path,
    *,
    finder: FaceFinder,
    number: int = 1,
    overwrite: bool = False,
    on_frame: OnFrame | None = None,
) -> VideoReport:
    """Let a portrait do what a face of a video does; sound and times of the frames are those of the video.

    The first frame is the portrait itself. A run that was stopped goes on behind its last finished segment when it is
    started again.

    Args:
        puppet: What moves.
        drive: The driving video.
        out: What to write: .mp4, .mov or .mkv. It appears when it is whole.
        finder: Finds faces.
        number: Which face of the first frame drives: 1 is the largest.
        overwrite: Replace an existing file.
        on_frame: Called behind each frame.

    Raises:
        UsageError: There is no such video, the file exists or cannot be written so, or the finder gives no face mesh.
        BadData: The video is damaged, encrypted or empty.
        NoFaceFound: The first frame shows no face, or none of that number.
        StorageError: The disk is full, read-only or gone; finished segments stay.
    """
    refuse_existing(out, overwrite)
    with VideoSource.open(drive) as source:
        check_output(source, out)
        tell_tracks(source)
        canvas = Square(len(puppet.still))
        parts = Parts(out, frames_digest(drive, [puppet.settings, repr(finder), number]))
        run = FrameRun(source, parts, Animator(puppet, finder, number), on_frame, canvas)
        run.over(source.frames(run.resume()))
        return run.finish(out, overwrite)


def check_videos(drive: Path, out: Path) -> None:
    """Refuse a driving video that cannot be read, and a file that cannot be written; ask before long work.

    Raises:
        UsageError: There is no such video, or the file cannot be written so.
        BadData: The video is damaged, encrypted or empty.
    """
    with VideoSource.open(drive) as source:
        check_output(source, out)


def portrait_puppet(
    stylizer: Stylizer,
    photo: Photo,
    directions: Sequence[Direction],
    *,
    aligned: bool = False,
    size: int | None = None,
) -> CodePuppet:
    """Draw the largest face of a photo in the style that a stylizer holds, so that it can move.

    Args:
        stylizer: Holds one style, and draws no further renderings.
        photo: As ``Stylizer.stylize`` takes it.
        directions: Of its base, named as ``edit.expressions.EXPRESSIONS``.
        aligned: The photo is an aligned face already.
        size: Side of the frames in pixels; the model's resolution, but at least 256, when None.

    Raises:
        UsageError: The stylizer holds several styles, or the drawing shows no face.
        NoFaceFound: The photo shows no face.
        BadImage: The photo cannot be read.
    """
    name = the_style(stylizer)
    still, face = still_of(stylizer, photo, aligned=aligned, size=size)
    seen = face.aligned.closeup or face.aligned
    side, expected = len(still), None if seen.landmarks is None else seen.landmarks.full

    def drawn_by(generator: Synthesizer) -> Callable[[WPlus], Pixels]:
        return lambda code: stylizer.draw(generator, code, side)

    return CodePuppet(
        still,
        face.code,
        drawn_by(stylizer.generators[name]),
        base=drawn_by(stylizer.base.generator),
        directions=directions,
        finder=stylizer.finder,
        expected=None if expected is None or len(expected) < MESH else expected[:MESH] / len(seen.image),
    )


def still_of(
    stylizer: Stylizer, photo: Photo, *, aligned: bool = False, size: int | None = None
) -> tuple[Pixels, Portrait]:
    """Return the picture of the largest face of a photo, as ``Stylizer.stylize`` draws it, and all that is known of it.

    Arguments and errors as of :func:`portrait_puppet`.
    """
    name = the_style(stylizer)
    face = stylizer.stylize(photo, which="largest", aligned=aligned, size=size).faces[0]
    return face.picture(name), face


def the_style(stylizer: Stylizer) -> str:
    """Return the name of the only style.

    Raises:
        UsageError: There are several, or further renderings are drawn.
    """
    if len(stylizer.styles) != 1 or stylizer.further:
        raise UsageError(
            f"A portrait moves in one style, not in {', '.join((*stylizer.styles, *stylizer.further)) or 'none'}.",
            "Name one with --style.",
        )
    return stylizer.styles[0]


def known_expressions(base_digest: str) -> list[Direction]:
    """Return the directions of expressions that come with a base, none where none do."""
    bundled = load_directions(Path(__file__).parents[1] / "edit" / "expressions.safetensors")
    return list(bundled.directions.values()) if bundled.header.base_digest == base_digest else []


def expressions_of(stylizer: Stylizer, progress: Callable[[int, int], None] | None = None) -> list[Direction]:
    """Return the directions of expressions of a base: those that come with it, else they are learned now.

    Args:
        stylizer: Of the base.
        progress: Called with the drawings measured and all.

    Raises:
        UsageError: The base draws too few faces to learn from.
    """
    if known := known_expressions(stylizer.base_digest):
        return known
    log.info(
        "No expressions are known of this base, so they are learned now. "
        "`portraitist edit directions --method expressions` keeps them in a file for --directions."
    )
    with one_thread():
        return expression_directions(stylizer.base.generator, stylizer.finder, progress=progress)
