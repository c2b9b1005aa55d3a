"""``portraitist edit``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import typer

from ..errors import UsageError
from . import bars, groups, options
from .bars import bar_of
from .common import refuse_given, talk
from .options import opt

if TYPE_CHECKING:
    from ..io.directions import StoredDirections
    from ..io.model_file import Model
    from ..spaces.direction import Direction
    from ..stylize import Stylizer

log = logging.getLogger("portraitist")

LIMIT = 1e6
"""No strength is as large."""
HELP = "Change a face by directions, words or other faces."

app = typer.Typer(help=HELP, rich_markup_mode=None, no_args_is_help=True)

Source = Annotated[Path, typer.Argument(help="A photo, or a code that `invert` or `edit` wrote.")]
OutFile = Annotated[Path, opt("File of directions to write (.safetensors).", "--out", "-o")]
Folder = Annotated[Path, opt("Folder for the pictures.", "--out", "-o")]
Resolutions = Annotated[str | None, opt("Blocks that move, such as 4-16 or 8,32; low ones pose (default: all).")]
Preview = Annotated[Path | None, opt("Write a sheet here: a row per direction, strengths -3 to 3 from left to right.")]
Which = Annotated[str | None, opt("FILE:NAME, or FILE alone if it holds one direction.", "--direction", "-d")]
Words = Annotated[
    list[str] | None,
    opt("Word that the base knows, such as smile or smile=2; may be repeated. See `edit words`.", "--word", "-w"),
]


@dataclass(frozen=True)
class Drawing:
    """What photos are drawn with."""

    panel: ClassVar[str] = "Style"

    style: Annotated[
        list[str] | None, opt("Style; may be repeated (default: the bundled ones of one base).", "--style", "-s")
    ] = None
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
        Literal["sefa", "pose", "light", "smile", "expressions"],
        opt(
            "sefa: the strongest directions of the weights, without names; the others are learned from samples, "
            "by the nose, the brightness of both halves, the mouth. expressions: yaw, pitch, smile, mouth, blink and "
            "gaze, each while the others stay, as `animate` wants them."
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

    Writes a file of named directions: sefa01, sefa02, ... in falling order, one called like the method, or the six
    expressions.
    """
    options.refuse([out, preview], run.overwrite)
    from ..edit import measured_direction, rows_of, sefa_directions
    from ..edit.measure import MEASURES
    from ..faces import finder_named
    from ..io import registry

    model = registry.load(base)
    model.generator.to(options.device(run.device))
    sides = options.resolutions(resolutions)
    if method == "expressions" and sides is not None:
        raise UsageError("Expressions move all blocks up to 32 pixels.", "Leave out --resolutions.")
    if method == "expressions":
        found = _expressions(model, detector, samples, run.seed)
    elif method == "sefa":
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
    per_row: Annotated[bool, opt("Learn a vector for each row of W+ instead of one for all.", "--per-row")] = False,
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
    found = {
        k: learn_direction(as_word(k), codes, v, rows=rows, ridge=ridge, per_row=per_row) for k, v in numbers.items()
    }
    fixed = [found.pop(name) for name in stay]
    if not found:
        raise UsageError("No column is left to learn.", "Name one with --by that is not one of --without.")
    terms = model.header.licence if licence is None else licence
    _write([orthogonalise(d, fixed) for d in found.values()], out, preview, model, terms, 0)


@groups.add(app)
def words(base: Annotated[str, typer.Argument(help="Base: name, file or run folder.")] = "faces") -> None:
    """List the words that a base knows.

    They are directions with plain names, for `edit apply --word`.

    Accuracy is the correlation of people's ratings with what a regression says that has not seen them; the change is
    that from strength -2 to 2, in deviations of what another network reads off the pictures.
    """
    from ..io import registry
    from ..io.model_file import generator_digest
    from ..io.words import words_of

    model = registry.load(base)
    about = model.header
    stored = words_of(about.base_digest or generator_digest(model), about.base_name or about.name)
    typer.echo(f"{'word':<14}{'accuracy':>9}{'change':>8}  found by")
    for d in stored.directions.values():
        accuracy, change = (
            "-" if n is None else f"{n:{form}}" for n, form in ((d.accuracy, ".2f"), (d.judged, "+.1f"))
        )
        typer.echo(f"{d.name:<14}{accuracy:>9}{change:>8}  {d.found}")
    if stored.header.licence:
        typer.echo(f"licence {stored.header.licence}")


@groups.add(app)
def apply(
    *,
    source: Source,
    direction: Which = None,
    word: Words = None,
    out: Folder,
    strength: Annotated[float | None, opt("How far, in deviations of the codes; may be negative (default: 1).")] = None,
    strengths: Annotated[str | None, opt("Several, FROM:TO:COUNT such as -3:3:7: a sheet, a row per style.")] = None,
    resolutions: Resolutions = None,
    drawing: Drawing,
    inversion: groups.Inversion,
    run: Run,
) -> None:
    """Move a face along a direction, or by words.

    With --strength or --word smile=2 writes NAME.DIRECTION+2.STYLE.png for each style and, for further edits, the code
    NAME.DIRECTION+2.code.safetensors; with --strengths the sheet NAME.DIRECTION.png.
    """
    from ..data.images import write_image
    from ..edit import moved, rows_of, spread, sweep
    from ..stylize import edited

    if strength is not None and strengths is not None:
        raise UsageError("--strength and --strengths cannot be combined.", "Give one of them.")
    moves = _moves(direction, word or [], strength, strengths)
    steps = None if strengths is None else spread(*_range(strengths))
    name = ".".join([edited.stem_of(source), *(m.name if steps else f"{m.name}{m.strength:+g}" for m in moves)])
    if steps:
        options.refuse([out / f"{name}.png"], run.overwrite)
    with drawing.stylizer(inversion, run) as stylizer:
        if not steps:
            options.refuse(edited.files_of(stylizer, out, name), run.overwrite)
        sides = options.resolutions(resolutions)
        rows = None if sides is None else rows_of(stylizer.base.generator.anatomy, sides)
        found = [move.direction(stylizer) for move in moves]
        code = edited.code_of(stylizer, source, aligned=drawing.aligned)
        if steps:
            _echo([write_image(out / f"{name}.png", edited.sheet(stylizer, sweep(code, found[0], steps, rows=rows)))])
            return
        for move, along in zip(moves, found, strict=True):
            code = moved(code, along, move.strength, rows=rows)
        _echo(edited.write_pictures(stylizer, code, out, name))


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
    word: Annotated[str | None, opt("Move one face by a word instead; see `edit words`.", "--word", "-w")] = None,
    strengths: Annotated[str, opt("With --direction or --word: FROM:TO.")] = "-2:2",
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
    from ..stylize import edited

    check_video(out)
    options.refuse([out], run.overwrite)
    moves = [] if direction is word is None else _moves(direction, [] if word is None else [word], None, strengths)
    if (len(sources) == 1) != bool(moves):
        raise UsageError("A video needs two or more faces, or one with --direction or --word.")
    if not moves:
        refuse_given({"strengths"}, "is for --direction and --word")
    with drawing.stylizer(inversion, run) as stylizer:
        codes = [edited.code_of(stylizer, source, aligned=drawing.aligned) for source in sources]
        for along in (move.direction(stylizer) for move in moves):
            codes = [moved(codes[0], along, s) for s in options.numbers(strengths, 2, "-2:2", LIMIT)]
        way = through(codes, frames, loop=loop, ease=ease)
        drawn = bar_of(edited.frames(stylizer, way, size), total=frames, unit=" frames")
        write_video(out, drawn, fps=fps, overwrite=run.overwrite)
    typer.echo(out)


@dataclass(frozen=True)
class _Move:
    """One step of an edit: along a direction of a file, or by a word."""

    name: str
    strength: float
    stored: tuple[StoredDirections, Direction] | None = None
    """None for a word, which the base knows."""

    def direction(self, stylizer: Stylizer) -> Direction:
        """Return where it goes in the codes of this base; a weak direction is told."""
        from ..edit.directions import WEAK
        from ..io.words import words_of

        name = stylizer.base.header.name
        if self.stored is None:
            found = words_of(stylizer.base_digest, name).named(self.name)
        else:
            self.stored[0].check_base(stylizer.base_digest, name)
            found = self.stored[1]
        if found.accuracy is not None and found.accuracy < WEAK:
            log.warning(
                "'%s' is weak: its accuracy is %.2f; below %g it means little", found.name, found.accuracy, WEAK
            )
        return found


def _moves(direction: str | None, words: Sequence[str], strength: float | None, strengths: str | None) -> list[_Move]:
    """Return the steps that an edit is asked for.

    Raises:
        UsageError: Nothing is asked for, or what cannot be combined.
    """
    from ..io.directions import find_direction

    if (direction is None) == (not words):
        raise UsageError("An edit needs a --direction, or --word.", "`portraitist edit words` lists words.")
    if direction is not None:
        stored = find_direction(direction)
        return [_Move(stored[1].name, _strength(1.0 if strength is None else strength), stored)]
    if strengths is not None and (len(words) > 1 or "=" in words[0]):
        raise UsageError(
            "--strengths goes through the strengths of one word.", "Write --word smile --strengths -2:2:5."
        )
    found = []
    for text in words:
        name, equals, number = text.partition("=")
        if equals and strength is not None:
            raise UsageError(f"--word {text} and --strength both say how far.", "Give one of them.")
        try:
            how_far = float(number) if equals else 1.0 if strength is None else strength
        except ValueError:
            raise UsageError(f"'{text}' is no word with a strength.", "Write --word smile=2.") from None
        found.append(_Move(name, _strength(how_far)))
    if len({move.name for move in found}) < len(found):
        raise UsageError("A word is given twice.", "Give each once.")
    return found


def _expressions(model: Model, detector: str, samples: int, seed: int) -> list[Direction]:
    from ..edit import expression_directions
    from ..faces import finder_named
    from ..stylize.crops import one_thread

    with bars.step_bar() as progress, one_thread():
        return expression_directions(
            model.generator, finder_named(detector), count=samples, seed=seed, progress=progress
        )


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
    from ..edit.directions import WEAK
    from ..edit.preview import preview as sheet
    from ..io.directions import save_directions
    from ..io.model_file import generator_digest

    about = model.header
    base = about.base_digest or generator_digest(model)  # codes of a style are those of its base
    name = about.base_name or about.name
    save_directions(out, found, base=base, base_name=name, licence=licence, credit=about.credit, overwrite=True)
    for direction in found:
        weak = direction.accuracy is not None and direction.accuracy < WEAK
        typer.echo(f"{direction.name:<16} {direction.found}{' (weak)' if weak else ''}")
    typer.echo(out)
    if preview is not None:
        typer.echo(write_image(preview, sheet(model.generator, found, seed)))


def _echo(files: Sequence[Path]) -> None:
    talk().clear()
    for file in files:
        typer.echo(file)
