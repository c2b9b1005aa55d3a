"""``portraitist animate``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import bars, groups, options
from .common import note
from .options import opt
from .videos import frame_bar, tell_source

if TYPE_CHECKING:
    from ..stylize import Stylizer
    from ..video import VideoReport
    from ..video.puppet import Puppet

log = logging.getLogger("portraitist")

STYLE, MOTION = "Style", "Motion"


def command(
    *,
    photo: Annotated[Path, typer.Argument(help="Photo of the face to draw; of several the largest.")],
    drive: Annotated[Path, opt("Video whose face the portrait follows.")],
    out: Annotated[Path, opt("Video to write: .mp4, .mov or .mkv.", "--out", "-o")],
    style: Annotated[
        str | None, opt("Name, file, run folder or mixture (default: the first bundled).", "--style", "-s", panel=STYLE)
    ] = None,
    attribute: options.Attribute = None,
    strength: Annotated[float, opt("0 draws no style, 1 the style as trained.", min=0.0, max=1.5, panel=STYLE)] = 1.0,
    detail: options.Detail = 1.0,
    size: Annotated[int | None, opt("Side of the frames in pixels.", min=16, max=4096, panel=STYLE)] = None,
    motion: Annotated[
        Path | None,
        opt("Move by this first-order motion model (vox-cpk.pth.tar) instead of code and warp.", panel=MOTION),
    ] = None,
    directions: Annotated[
        Path | None,
        opt(
            "Expressions that `edit directions --method expressions` wrote (default: those of the base).", panel=MOTION
        ),
    ] = None,
    face: Annotated[
        str, opt("Face of the first frame that drives: largest, or its number (1 is the largest).", panel=MOTION)
    ] = "largest",
    aligned: options.Aligned = False,
    detector: options.Detector = "",
    inversion: groups.Inversion,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Draw a photo, and let the drawing do what the face of a video does.

    Motion is counted from the video's first frame, in which the drawing is as `stylize` draws the photo: begin with a
    face that looks like the photo's. While no face is seen, the last frame stays. Sound and times are those of the
    video. A run that was stopped goes on when started again.
    """
    number = _number(face)
    if motion is not None and directions is not None:
        raise UsageError(
            "--motion moves without codes, so --directions has no meaning for it.", "Leave one of them out."
        )
    options.refuse([out], overwrite)
    from ..faces import finder_named
    from ..stylize import Stylizer
    from ..video.animation import animate_video, check_videos
    from . import styles

    check_videos(drive, out)
    where = options.device(device)
    with bars.stages() as on_progress:
        stylizer = Stylizer.load(
            [style] if style else styles.first_default(attribute),
            attribute=attribute,
            inversion=inversion.how(seed),
            finder=finder_named(detector),
            strength=strength,
            detail=detail,
            seed=seed,
            device=where,
            on_progress=on_progress,
        )
        puppet = _puppet(stylizer, photo, motion, directions, aligned=aligned, size=size)
    try:
        with frame_bar() as told:
            report = animate_video(
                puppet, drive, out, finder=stylizer.finder, number=number, overwrite=overwrite, on_frame=told
            )
    except KeyboardInterrupt:
        log.info("What is finished is kept: the same command goes on from there.")
        raise
    _tell(report)


def _puppet(
    stylizer: Stylizer, photo: Path, motion: Path | None, directions: Path | None, *, aligned: bool, size: int | None
) -> Puppet:
    """Return what moves: by code and warp, or by the model of a file."""
    from ..video.animation import expressions_of, portrait_puppet, still_of

    if motion is not None:
        from ..io.motion_files import load_motion
        from ..video.first_order import FirstOrderPuppet

        model = load_motion(motion)
        return FirstOrderPuppet(still_of(stylizer, photo, aligned=aligned, size=size)[0], model, stylizer.device)
    if directions is not None:
        from ..io.directions import load_directions

        stored = load_directions(directions)
        stored.check_base(stylizer.base_digest, stylizer.base.header.name)
        found = list(stored.directions.values())
    else:
        with bars.step_bar() as progress:
            found = expressions_of(stylizer, progress)
    return portrait_puppet(stylizer, photo, found, aligned=aligned, size=size)


def _number(face: str) -> int:
    """Return the number of the face that drives."""
    which = options.which_face(face)
    if which == "all":
        raise UsageError("One face drives a portrait.", "Use --face largest or the number of a face.")
    if isinstance(which, int) and which < 1:
        raise UsageError("There is no face 0.", "1 is the largest.")
    return which if isinstance(which, int) else 1


def _tell(report: VideoReport) -> None:
    """Print the name of the file, and what its frames lack."""
    tell_source(report)
    if report.undrawn:
        log.warning(f"{report.undrawn} frames show no face of the one that drives; the frames before them stay longer.")
    note(outputs=[str(report.out)])
    typer.echo(report.out)
