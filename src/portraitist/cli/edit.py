"""``portraitist edit``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import typer

from ..errors import UsageError
from . import bars, groups, options
from .bars import bar_of
from .common import talk
from .options import opt

if TYPE_CHECKING:
    from ..io.model_file import Model
    from ..spaces.direction import Direction
    from ..stylize import Stylizer

LIMIT = 1e6
"""No strength is as large."""
HELP = "Change a face by directions, words or other faces."

app = typer.Typer(help=HELP, rich_markup_mode=None, no_args_is_help=True)

Source = Annotated[Path, typer.Argument(help="A photo, or a code that `invert` or `edit` wrote.")]
OutFile = Annotated[Path, opt("File of directions to write (.safetensors).", "--out", "-o")]
Folder = Annotated[Path, opt("Folder for the pictures.", "--out", "-o")]
Resolutions = Annotated[str | None, opt("Blocks that move, such as 4-16 or 8,32; low ones pose (default: all).")]
Preview = Annotated[Path | None, opt("Write a sheet here: a row per direction, strengths -3 to 3 from left to right.")]
Which = Annotated[str, opt("FILE:NAME, or FILE alone if it holds one direction.", "--direction", "-d")]


@dataclass(frozen=True)
class Drawing:
    """What photos are drawn with."""

    panel: ClassVar[str] = "Style"

    style: Annotated[list[str] | None, opt("Style; may be repeated (default: all bundled).", "--style", "-s")] = None
    attribute: options.Attribute = None
    aligned: options.Aligned = False
    detector: options.Detector = ""

    @contextmanager
    def stylizer(self, inversion: groups.Inversion, run: Run) -> Iterator[Stylizer]:
        """Load styles and what inverts photos; its steps are shown."""
        from ..faces import finder_named
        from ..stylize import Stylizer

        with bars.step_bar() as progress:
            yield Stylizer.load(
                self.style or [],
                attribute=self.attribute,
                inversion=inversion.how(run.seed),
                finder=finder_named(self.detector),
                detail=0,  # edited codes are drawn: the pixels of the photo know nothing of the edit
                seed=run.seed,
                device=options.device(run.device),
                progress=progress,
            )


@dataclass(frozen=True)
class Run:
    """How a command runs."""

    panel: ClassVar[str] = "Run"

    seed: options.Seed = 0
    device: options.Device = "auto"
    overwrite: options.Overwrite = False


@app.callback()
def edit() -> None:
    """Change a face by directions, words or other faces, in every style."""


@groups.add(app)
def directions(
    *,
    base: Annotated[str, typer.Argument(help="Model to find directions of: name, file or run folder.")] = "faces",
    out: OutFile,
    method: Annotated[
        Literal["sefa", "pose", "light", "smile"],
        opt(
            "sefa: the strongest directions of the weights, without names; the others are learned from samples, "
            "by the nose, the brightness of both halves, the mouth."
        ),
    ] = "sefa",
    count: Annotated[int, opt("Number of SeFa directions.", min=1)] = 12,
    resolutions: Resolutions = None,
    normalise: Annotated[bool, opt("Weigh all channels alike, as SeFa's authors do.", "--normalise")] = False,
    samples: Annotated[int, opt("Samples to measure.", min=20)] = 300,
    preview: Preview = None,
    detector: options.Detector = "",
    run: Run,
) -> None:
    """Find directions of a base; they hold in every style of it.

    Writes a file of named directions: sefa01, sefa02, ... in falling order, or one called like the method.
    """
    options.refuse([out, preview], run.overwrite)
    from ..edit import measured_direction, rows_of, sefa_directions
    from ..edit.measure import MEASURES
    from ..faces import finder_named
    from ..io import registry

    model = registry.load(base)
    model.generator.to(options.device(run.device))
    sides = options.resolutions(resolutions)
    if method == "sefa":
        found = sefa_directions(model.generator, sides, normalise=normalise, count=count)
    else:
        rows, measure = rows_of(model.generator.anatomy, sides), MEASURES[method](finder_named(detector))
        with bars.step_bar() as progress:
            found = [
                measured_direction(
                    method, model.generator, measure, rows=rows, count=samples, seed=run.seed, progress=progress
                )
            ]
    _write(found, out, preview, model, model.header.licence, run.seed)


@groups.add(app)
def learn(
    *,
    photos: Annotated[Path, typer.Argument(help="Folder, zip or LMDB of aligned photos.")],
    labels: Annotated[Path, typer.Argument(help="CSV file: a column `file`, and a column of numbers per rating.")],
    out: OutFile,
    by: Annotated[list[str] | None, opt("Column to learn; may be repeated (default: all columns of numbers).")] = None,
    without: Annotated[list[str] | None, opt("Column whose rating stays as it is; may be repeated.")] = None,
    base: Annotated[str, opt("Model to invert into: name, file or run folder.", "--base")] = "faces",
    encoder: options.Encoder = None,
    resolutions: Resolutions = None,
    ridge: Annotated[float, opt("Penalty of the regression; more keeps directions within the prior.", min=0.0)] = 1.0,
    licence: Annotated[str | None, opt("SPDX identifier of the directions' licence (default: the base's).")] = None,
    preview: Preview = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Learn directions from photos that people have rated.

    The encoder turns each photo into a code; a direction is the way in which a rating rises. Writes a file of
    directions named like the columns.
    """
    options.refuse([out, preview], overwrite)
    from ..edit import learn_direction, orthogonalise, rows_of
    from ..edit.ratings import as_word, ratings
    from ..invert.encode import encode_all
    from ..io import registry
    from ..stylize.inversion import no_encoder

    model = registry.load(base)
    model.generator.to(options.device(device))
    rows = rows_of(model.generator.anatomy, options.resolutions(resolutions))
    rated = options.pictures(photos, model.generator.anatomy.resolution, labels)
    stay = list(dict.fromkeys(without or []))
    numbers = ratings(rated, by or [], stay)
    stored = registry.load_encoder_of(model, encoder)
    if stored is None:
        raise no_encoder(model)
    with bars.step_bar() as progress:
        codes = encode_all(stored.encoder, model.generator, rated, progress=progress)
    found = {k: learn_direction(as_word(k), codes, v, rows=rows, ridge=ridge) for k, v in numbers.items()}
    fixed = [found.pop(name) for name in stay]
    if not found:
        raise UsageError("No column is left to learn.", "Name one with --by that is not one of --without.")
    terms = model.header.licence if licence is None else licence
    _write([orthogonalise(d, fixed) for d in found.values()], out, preview, model, terms, 0)


@groups.add(app)
def apply(
    *,
    source: Source,
    direction: Which,
    out: Folder,
    strength: Annotated[float | None, opt("How far, in deviations of the codes; may be negative (default: 1).")] = None,
    strengths: Annotated[str | None, opt("Several, FROM:TO:COUNT such as -3:3:7: a sheet, a row per style.")] = None,
    resolutions: Resolutions = None,
    drawing: Drawing,
    inversion: groups.Inversion,
    run: Run,
) -> None:
    """Move a face along a direction and draw it in every style.

    With --strength writes NAME.DIRECTION+2.STYLE.png for each style and, for further edits, the code
    NAME.DIRECTION+2.code.safetensors; with --strengths the sheet NAME.DIRECTION.png.
    """
    from ..data.images import write_image
    from ..edit import rows_of, spread, sweep
    from ..io.directions import find_direction
    from ..stylize import edited

    stored, chosen = find_direction(direction)
    if strength is not None and strengths is not None:
        raise UsageError("--strength and --strengths cannot be combined.", "Give one of them.")
    steps = [_strength(1.0 if strength is None else strength)] if strengths is None else spread(*_range(strengths))
    name = f"{edited.stem_of(source)}.{chosen.name if strengths else f'{chosen.name}{steps[0]:+g}'}"
    if strengths:
        options.refuse([out / f"{name}.png"], run.overwrite)
    with drawing.stylizer(inversion, run) as stylizer:
        if not strengths:
            options.refuse(edited.files_of(stylizer, out, name), run.overwrite)
        stored.check_base(stylizer.base_digest, stylizer.base.header.name)
        sides = options.resolutions(resolutions)
        rows = None if sides is None else rows_of(stylizer.base.generator.anatomy, sides)
        code = edited.code_of(stylizer, source, aligned=drawing.aligned)
        codes = sweep(code, chosen, steps, rows=rows)
        if strengths:
            _echo([write_image(out / f"{name}.png", edited.sheet(stylizer, codes))])
        else:
            _echo(edited.write_pictures(stylizer, codes, out, name))


@groups.add(app)
def text(
    *,
    source: Source,
    words: Annotated[str, opt("What the picture should show.", "--text")],
    clip: Annotated[Path, opt("Folder with a CLIP model in Hugging Face layout; nothing is downloaded.")],
    out: Folder,
    from_text: Annotated[str | None, opt("What the picture shows now: only the difference changes.")] = None,
    strength: Annotated[float, opt("1 draws the code that was found, 0 the unchanged face.")] = 1.5,
    steps: Annotated[int | None, opt("Optimisation steps (default: the preset's).", min=1)] = None,
    preset: Annotated[Literal["paper", "released"], opt("Settings of StyleCLIP or Cartoon-StyleGAN.")] = "paper",
    drawing: Drawing,
    inversion: groups.Inversion,
    run: Run,
) -> None:
    """Change a face by words (StyleCLIP).

    Writes NAME.text.STYLE.png for each style, the code NAME.text.code.safetensors, and the sheet NAME.text.png: the
    unchanged face, then strength 1, then --strength.
    """
    from dataclasses import replace

    import torch

    from ..data.images import write_image
    from ..edit import edit_by_text
    from ..edit.clip import paper, released
    from ..io.clip_files import load_clip
    from ..spaces import WPlus
    from ..stylize import edited
    from ..stylize.crops import one_thread

    _strength(strength)
    name = f"{edited.stem_of(source)}.text"
    options.refuse([out / f"{name}.png"], run.overwrite)
    settings = paper() if preset == "paper" else released()
    settings = settings if steps is None else replace(settings, steps=steps)
    with drawing.stylizer(inversion, run) as stylizer:
        options.refuse(edited.files_of(stylizer, out, name), run.overwrite)
        model = load_clip(clip, pixels="released" if preset == "released" else "clip", device=stylizer.device)
        code, base = edited.code_of(stylizer, source, aligned=drawing.aligned), stylizer.base.generator
        with one_thread():
            found = edit_by_text(
                base, code, model, words, from_text=from_text, settings=settings, progress=stylizer.progress
            )
        stages = [found.at(s) for s in (0.0, 1.0, strength)]
        _echo(edited.write_pictures(stylizer, stages[-1], out, name))
        _echo([write_image(out / f"{name}.png", edited.sheet(stylizer, WPlus(torch.cat([s.data for s in stages]))))])


@groups.add(app)
def video(
    *,
    sources: Annotated[list[Path], typer.Argument(help="Photos or codes to go through, in order.")],
    out: Annotated[Path, opt("Video to write: .mp4 or .gif.", "--out", "-o")],
    direction: Annotated[str | None, opt("Move one face along FILE:NAME instead.", "--direction", "-d")] = None,
    strengths: Annotated[str, opt("With --direction: FROM:TO.")] = "-2:2",
    frames: Annotated[int, opt("Number of frames.", min=2, max=100_000)] = 60,
    fps: Annotated[int, opt("Frames per second.", min=1, max=100)] = 30,
    loop: Annotated[bool, opt("Return to the first face.", "--loop")] = False,
    ease: Annotated[Literal["smooth", "linear"], opt("smooth: slow down at every face; linear: constant.")] = "smooth",
    size: Annotated[int | None, opt("Side of each picture in pixels.", min=16, max=4096)] = None,
    drawing: Drawing,
    inversion: groups.Inversion,
    run: Run,
) -> None:
    """Go from face to face, or along a direction.

    Several styles are drawn side by side.
    """
    from ..data.video import check_video, write_video
    from ..edit import moved, through
    from ..io.directions import find_direction
    from ..stylize import edited

    check_video(out)
    options.refuse([out], run.overwrite)
    chosen = None if direction is None else find_direction(direction)
    if (len(sources) == 1) != (chosen is not None):
        raise UsageError("A video needs two or more faces, or one with --direction.")
    with drawing.stylizer(inversion, run) as stylizer:
        codes = [edited.code_of(stylizer, source, aligned=drawing.aligned) for source in sources]
        if chosen is not None:
            chosen[0].check_base(stylizer.base_digest, stylizer.base.header.name)
            codes = [moved(codes[0], chosen[1], s) for s in options.numbers(strengths, 2, "-2:2", LIMIT)]
        way = through(codes, frames, loop=loop, ease=ease)
        drawn = bar_of(edited.frames(stylizer, way, size), total=frames, unit=" frames")
        write_video(out, drawn, fps=fps, overwrite=run.overwrite)
    typer.echo(out)


def _strength(value: float) -> float:
    if not abs(value) < LIMIT:  # NaN neither
        raise UsageError(f"{value} is out of range for a strength.", "Codes of the prior lie between -3 and 3.")
    return value


def _range(text: str) -> tuple[float, float, int]:
    first, last, count = options.numbers(text, 3, "-3:3:7", LIMIT)
    if count != int(count) or not 2 <= count <= 1000:
        raise UsageError(f"'{text}' does not list strengths.", "The count must be a whole number from 2 to 1000.")
    return first, last, int(count)


def _write(found: Sequence[Direction], out: Path, preview: Path | None, model: Model, licence: str, seed: int) -> None:
    """Write directions, and a sheet of them on one sample of the base."""
    from ..data.images import write_image
    from ..edit.preview import preview as sheet
    from ..io.directions import save_directions
    from ..io.model_file import generator_digest

    about = model.header
    base = about.base_digest or generator_digest(model)  # codes of a style are those of its base
    name = about.base_name or about.name
    save_directions(out, found, base=base, base_name=name, licence=licence, credit=about.credit, overwrite=True)
    for direction in found:
        typer.echo(f"{direction.name:<16} {direction.found}")
    typer.echo(out)
    if preview is not None:
        typer.echo(write_image(preview, sheet(model.generator, found, seed)))


def _echo(files: Sequence[Path]) -> None:
    talk().clear()
    for file in files:
        typer.echo(file)
