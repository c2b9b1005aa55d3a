"""Videos and cameras on the command line of ``stylize``, and painters, which draw them best."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, TypedDict

import typer

from ..errors import PortraitistError, UsageError
from ..files import refuse_existing, stems
from ..video.names import FORMATS, is_video
from .bars import bar_of
from .common import note, refuse_given, talk
from .inputs import STDOUT
from .options import opt

if TYPE_CHECKING:
    from ..faces import FaceFinder
    from ..stylize import PhotoPainter, Stylizer
    from ..stylize.choices import Options, Which
    from ..video import VideoReport
    from ..video.artists import Artist
    from ..video.redraw import OnFrame

log = logging.getLogger("portraitist")

Words = Annotated[
    list[str] | None,
    typer.Argument(
        help="Photos, folders of photos, patterns such as '*.jpg', or videos; - is standard input.", metavar="PHOTO..."
    ),
]

_OF_STYLES = frozenset(
    "style from_style attribute strength detail swap swap_by appearance appearance_from appearance_truncation "
    "reference reference_aligned method encoder refine samples best steps rank features lpips seed".split()
)
_OF_PHOTOS = frozenset(
    "aligned sheet size suffix report appearance appearance_from appearance_truncation reference reference_aligned "
    "samples best".split()
)


@dataclass(frozen=True)
class Moving:
    """What draws without codes, and what moves."""

    panel: ClassVar[str] = "Painter and camera"

    painter: Annotated[Path | None, opt("Paint by this painter (file or run folder) instead of drawing codes.")] = None
    camera: Annotated[str | None, opt("Draw what this camera sees, by number or name, into -o FILE.")] = None
    seconds: Annotated[float | None, opt("Length of a camera's recording (default: until Ctrl-C).", min=0.1)] = None

    def videos(self, words: Sequence[Path | str], out: Path | None, *, overwrite: bool) -> VideoRun | None:
        """Return the run over what moves; None where photos are drawn.

        Args:
            words: What the command was given to draw.
            out: Where to.
            overwrite: Files may be replaced.

        Raises:
            UsageError: Photos and videos are mixed, or an option does not belong to what is drawn.
        """
        if self.painter is not None:
            refuse_given(_OF_STYLES, "belongs to styles, and --painter draws by itself")
        moving = [Path(word) for word in words if is_video(word) and not os.path.isdir(word)]
        if self.camera is None and self.seconds is not None:
            raise UsageError("--seconds is for a camera.", "Add --camera, or leave it out.")
        if self.camera is None and not moving:
            if not words:
                raise UsageError("Missing argument: there is nothing to draw.", "Give photos, a video, or --camera.")
            return None
        if len(moving) < len(words) or (words and self.camera is not None):
            raise UsageError("Photos, videos and cameras are drawn one after the other.", "Give one kind of them.")
        refuse_given(_OF_PHOTOS, "has no meaning for a video")
        return VideoRun(moving, self, out, overwrite)

    def loaded(self, finder: FaceFinder, device: str) -> PhotoPainter | None:
        """Return the painter; None where none is given.

        Raises:
            UsageError: There is no such file.
            BadModel: The file is damaged or of another kind.
        """
        if self.painter is None:
            return None
        from ..stylize import PhotoPainter

        return PhotoPainter.load(self.painter, finder=finder, device=device)


class VideoRun:
    """One run of a command over videos or a camera."""

    def __init__(self, paths: Sequence[Path], moving: Moving, out: Path | None, overwrite: bool) -> None:
        if out == STDOUT:
            raise UsageError("A video cannot be written to standard output.", "Give -o FILE.mp4, or a folder.")
        self._paths = list({os.path.abspath(path): path for path in paths}.values())
        self._moving, self._out, self._overwrite = moving, out, overwrite
        self._is_file = out is not None and is_video(out) and not os.path.isdir(out)
        if moving.camera is not None and not self._is_file:
            raise UsageError("A camera's video needs a name.", "Give -o FILE.mp4.")
        if self._is_file and len(self._paths) > 1:
            raise UsageError(f"{len(self._paths)} videos do not fit into {out}.", "Give -o a folder.")
        if self._is_file and out is not None:
            refuse_existing(out, overwrite)
        self._begun = dict(zip(self._paths, _beginnings(self._paths, out), strict=True))

    def style(self, named: Sequence[str] | None, attribute: str | None) -> list[str]:
        """Return the style to draw in: the first that is bundled where none is named."""
        if named or self._moving.painter is not None:
            return list(named or [])
        from . import styles

        return styles.first_default(attribute)

    def redraw(self, redrawer: Stylizer | PhotoPainter, options: Options) -> None:
        """Redraw everything, and say what became of it.

        Raises:
            PortraitistError: The only video failed.
            typer.Exit: Some of several failed.
        """
        from ..stylize import PhotoPainter
        from ..video import PainterArtist, StyleArtist

        if isinstance(options.which, int):
            raise UsageError("The faces of a video have no numbers.", "Use --face all or --face largest.")
        artist = PainterArtist(redrawer) if isinstance(redrawer, PhotoPainter) else StyleArtist(redrawer)
        work = _Work(artist, redrawer.finder, options.which, self._overwrite)
        if self._moving.camera is not None:
            assert self._out is not None
            work.record(self._moving.camera, self._out, self._moving.seconds)
        failed = 0
        for path in self._paths:
            try:
                work.draw(path, self._place(path, artist.name))
            except PortraitistError as error:
                if len(self._paths) == 1:
                    raise
                failed += 1
                typer.echo(f"{path}: {error}", err=True)
        if failed:
            raise typer.Exit(3)

    def _place(self, path: Path, name: str) -> Path:
        """Return where the video of a video goes."""
        if self._is_file and self._out is not None:
            return self._out
        suffix = path.suffix.lower()
        return Path(f"{self._begun[path]}.{name}{suffix if suffix in FORMATS else '.mp4'}")


def _beginnings(paths: Sequence[Path], out: Path | None) -> list[str]:
    """Return what the paths of the videos of videos begin with, which all differ: in a folder, or beside their own."""
    from ..stylize.discovery import Photo, told_apart

    if out is None:
        begun = stems([os.path.abspath(path) for path in paths])
        return [str(path.with_name(os.path.basename(stem))) for path, stem in zip(paths, begun, strict=True)]
    return [str(out / video.stem) for video in told_apart([Photo(path, path.name, "") for path in paths])]


@dataclass(frozen=True)
class _Work:
    """What all videos of a run have in common."""

    artist: Artist
    finder: FaceFinder
    which: Which
    overwrite: bool

    def draw(self, path: Path, out: Path) -> None:
        from ..video import redraw_video

        try:
            with frame_bar() as told:
                report = redraw_video(path, out, self.artist, on_frame=told, **self._settings())
        except KeyboardInterrupt:
            log.info("What is finished is kept: the same command goes on from there.")
            raise
        _tell(report)

    def record(self, camera: str, out: Path, seconds: float | None) -> None:
        from ..video import VideoSource, record_camera

        with VideoSource.camera(camera) as source, frame_bar() as told:
            report = record_camera(source, out, self.artist, seconds=seconds, on_frame=told, **self._settings())
        _tell(report)

    def _settings(self) -> _Settings:
        return {"finder": self.finder, "which": self.which, "overwrite": self.overwrite}


class _Settings(TypedDict):
    finder: FaceFinder
    which: Which
    overwrite: bool


@contextmanager
def frame_bar() -> Iterator[OnFrame]:
    """Show a bar of the frames: how many a second, and the time left where their number is known."""
    with bar_of(unit=" frames") as bar:

        def update(done: int, every: int | None) -> None:
            if bar.n == 0 and done > 1:
                bar.initial = done - 1  # those of an earlier run took no time now
            bar.total = every
            bar.update(done - bar.n)

        yield update


def tell_source(report: VideoReport) -> None:
    """Say what of the source could not be read."""
    if report.undecodable:
        log.warning(f"{report.undecodable} pictures could not be decoded; the ones before them stay longer.")
    if not report.complete:
        log.warning("The file breaks off; its video ends there.")


def _tell(report: VideoReport) -> None:
    """Print the name of the file, and what is missing in it."""
    tell_source(report)
    if report.undrawn:
        log.warning(f"{report.undrawn} faces at the edge of a frame could not be drawn.")
    note(outputs=[*talk().result.get("outputs", []), str(report.out)])
    typer.echo(report.out)
