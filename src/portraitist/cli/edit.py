"""``portraitist edit``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import BadModel, UsageError
from ..files import refuse_existing
from . import options

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import ImageSet
    from ..data.images import Pixels
    from ..invert import Progress
    from ..io.directions import StoredDirections
    from ..io.model_file import Model
    from ..networks import Generator
    from ..spaces import WPlus
    from ..spaces.direction import Direction
    from ..stylize import Stylizer

PREVIEW = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
CODE = ".code.safetensors"
LIMIT = 1e6
"""No strength is as large."""

app = typer.Typer(
    help="Change a face by directions, words or other faces, in every style.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

Source = Annotated[Path, typer.Argument(help="A photo, or a code that `invert` or `edit` wrote.")]
Style = Annotated[
    list[str] | None,
    typer.Option(
        "--style",
        "-s",
        help="As `stylize` takes it; may be repeated. All bundled styles if absent. Sheets show the base too.",
    ),
]
Base = Annotated[str, typer.Option("--base", help="Model whose codes are meant: name, file or run folder.")]
OutFile = Annotated[Path, typer.Option("--out", "-o", help="File of directions to write (.safetensors).")]
Folder = Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.")]
Resolutions = Annotated[
    str | None,
    typer.Option(help="Blocks that move, as in 4-16 or 8,32; low ones pose, high ones colour. All if absent."),
]
Preview = Annotated[
    Path | None, typer.Option(help="Write a sheet here: a row a direction, strengths -3 to 3 from left to right.")
]
Aligned = Annotated[bool, typer.Option("--aligned", help="The pictures are aligned square faces already.")]
Licence = Annotated[
    str | None, typer.Option(help="SPDX identifier of the terms of the directions; those of the base if absent.")
]
Which = Annotated[str, typer.Option("--direction", "-d", help="FILE:NAME; FILE alone if it holds but one.")]


@app.callback()
def edit() -> None:
    """Change a face by directions, words or other faces, in every style."""


@app.command()
def directions(
    out: OutFile,
    base: Annotated[str, typer.Argument(help="Model to find directions of: name, file or run folder.")] = "faces",
    method: Annotated[
        Literal["sefa", "pose", "light", "smile"],
        typer.Option(
            help="sefa: what changes the drawing most, without names; the others measure samples: the nose, the "
            "brightness of both halves, the mouth."
        ),
    ] = "sefa",
    count: Annotated[int, typer.Option(min=1, help="How many directions of sefa.")] = 12,
    resolutions: Resolutions = None,
    normalise: Annotated[
        bool, typer.Option("--normalise", help="Weigh all channels alike, as SeFa's authors do and UI2I does not.")
    ] = False,
    samples: Annotated[int, typer.Option(min=20, help="Samples to measure.")] = 300,
    preview: Preview = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Find directions of a base, which then hold in every style of it.

    Writes a file of named directions: sefa01, sefa02, ... in falling order, or one called like the method.
    """
    _refuse([out, preview], overwrite)
    from ..edit import rows_of, sefa_directions
    from ..io import registry

    model = registry.load(base)
    model.generator.to(options.device(device))
    sides = _sides(resolutions)
    if method == "sefa":
        found = sefa_directions(model.generator, sides, normalise=normalise, count=count)
    else:
        rows = rows_of(model.generator.anatomy, sides)
        with options.step_bar() as progress:
            found = [_measured(method, model.generator, rows, samples, seed, progress)]
    _write(found, out, preview, model, model.header.licence, seed)


@app.command()
def learn(
    photos: Annotated[Path, typer.Argument(help="Folder, zip or LMDB of aligned photos.")],
    labels: Annotated[Path, typer.Argument(help="CSV file: a column `file`, and a column of numbers per rating.")],
    out: OutFile,
    by: Annotated[
        list[str] | None, typer.Option(help="Column to learn; may be repeated. All columns of numbers if absent.")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Column whose rating shall stay while the others change; may be repeated."),
    ] = None,
    base: Base = "faces",
    encoder: options.Encoder = None,
    resolutions: Resolutions = None,
    ridge: Annotated[
        float, typer.Option(min=0.0, help="Penalty of the regression; more keeps the direction within the prior.")
    ] = 1.0,
    licence: Licence = None,
    preview: Preview = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Learn directions from photos that people have rated.

    Each photo is turned into a code by the encoder; a direction is the way in which a rating rises. Writes a file of
    directions named like the columns.
    """
    _refuse([out, preview], overwrite)
    from ..edit import learn_direction, orthogonalise, rows_of
    from ..io import registry
    from ..spaces import WPlus

    model = registry.load(base)
    model.generator.to(options.device(device))
    rows = rows_of(model.generator.anatomy, _sides(resolutions))
    rated = options.pictures(photos, model.generator.anatomy.resolution, labels)
    stay = list(dict.fromkeys(without or []))
    ratings = _ratings(rated, by or [], stay)
    codes = WPlus(_encoded(model, rated, encoder))
    found = {k: learn_direction(_word(k), codes, v, rows=rows, ridge=ridge) for k, v in ratings.items()}
    fixed = [found.pop(name) for name in stay]
    if not found:
        raise UsageError("No column is left to learn.", "Name one with --by that is not one of --without.")
    terms = model.header.licence if licence is None else licence
    _write([orthogonalise(d, fixed) for d in found.values()], out, preview, model, terms, 0)


@app.command()
def apply(
    source: Source,
    direction: Which,
    out: Folder,
    strength: Annotated[
        float | None, typer.Option(help="How far, in deviations of the codes; negative goes back. 1 if absent.")
    ] = None,
    strengths: Annotated[
        str | None, typer.Option(help="Several, as FROM:TO:COUNT in -3:3:7: a sheet, a row a style.")
    ] = None,
    resolutions: Resolutions = None,
    style: Style = None,
    attribute: options.Attribute = None,
    method: options.Method = None,
    encoder: options.Encoder = None,
    refine: options.Refine = 0,
    aligned: Aligned = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Move a face along a direction and draw it in every style.

    With --strength writes NAME.DIRECTION+2.STYLE.png for each style and, for further edits, the code
    NAME.DIRECTION+2.code.safetensors; with --strengths the sheet NAME.DIRECTION.png.
    """
    from ..edit import rows_of, spread, sweep

    stored, chosen = _direction(direction)
    if strength is not None and strengths is not None:
        raise UsageError("--strength and --strengths are one too many.", "Give one of them.")
    steps = [_strength(1.0 if strength is None else strength)] if strengths is None else spread(*_range(strengths))
    end = chosen.name if strengths else f"{chosen.name}{steps[0]:+g}"
    sheet = out / f"{_stem(source)}.{end}.png"
    if strengths:
        _refuse([sheet], overwrite)
    with _stylizer(style, attribute, method, encoder, refine, seed, device) as stylizer:
        if not strengths:
            _refuse(_files(stylizer, out, f"{_stem(source)}.{end}"), overwrite)
        _check_base(stored, stylizer)
        anatomy = stylizer.base.generator.anatomy
        rows = None if resolutions is None else rows_of(anatomy, _sides(resolutions))
        codes = sweep(_code(stylizer, source, aligned), chosen, steps, rows=rows)
        if strengths:
            _write_sheet(stylizer, codes, sheet)
        else:
            _write_pictures(stylizer, codes, out, f"{_stem(source)}.{end}")


@app.command()
def text(
    source: Source,
    words: Annotated[str, typer.Option("--text", help="What the picture shall show.")],
    clip: Annotated[Path, typer.Option(help="Folder with a CLIP model in Hugging Face layout; nothing is downloaded.")],
    out: Folder,
    from_text: Annotated[str | None, typer.Option(help="What it shows now: only the difference shall change.")] = None,
    strength: Annotated[float, typer.Option(help="1 the code that was found, 0 the face as it was.")] = 1.5,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of the optimisation; its own if absent.")] = None,
    preset: Annotated[
        Literal["paper", "released"], typer.Option(help="StyleCLIP's settings, or those of Cartoon-StyleGAN's code.")
    ] = "paper",
    style: Style = None,
    attribute: options.Attribute = None,
    method: options.Method = None,
    encoder: options.Encoder = None,
    refine: options.Refine = 0,
    aligned: Aligned = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Change a face by words (StyleCLIP), and draw it in every style.

    Writes NAME.text.STYLE.png for each style, the code NAME.text.code.safetensors, and the sheet NAME.text.png: the
    face as it was, at strength 1, and at --strength.
    """
    from dataclasses import replace

    import torch

    from ..edit import edit_by_text
    from ..edit.clip import paper, released
    from ..io.clip_files import load_clip
    from ..spaces import WPlus
    from ..stylize.crops import one_thread

    _strength(strength)
    sheet = out / f"{_stem(source)}.text.png"
    _refuse([sheet], overwrite)
    settings = paper() if preset == "paper" else released()
    if steps is not None:
        settings = replace(settings, steps=steps)
    with _stylizer(style, attribute, method, encoder, refine, seed, device) as stylizer:
        _refuse(_files(stylizer, out, f"{_stem(source)}.text"), overwrite)
        model = load_clip(clip, pixels="released" if preset == "released" else "clip", device=stylizer.device)
        code = _code(stylizer, source, aligned)
        with one_thread():
            found = edit_by_text(
                stylizer.base.generator,
                code,
                model,
                words,
                from_text=from_text,
                settings=settings,
                progress=stylizer.progress,
            )
        stages = [found.at(s) for s in (0.0, 1.0, strength)]
        _write_pictures(stylizer, stages[-1], out, f"{_stem(source)}.text")
        _write_sheet(stylizer, WPlus(torch.cat([s.data for s in stages])), sheet)


@app.command()
def video(
    sources: Annotated[list[Path], typer.Argument(help="Photos or codes to go through, in order.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Video to write: .mp4 or .gif.")],
    direction: Annotated[
        str | None, typer.Option("--direction", "-d", help="FILE:NAME: one face, moved along a direction instead.")
    ] = None,
    strengths: Annotated[str, typer.Option(help="With --direction: FROM:TO.")] = "-2:2",
    style: Style = None,
    attribute: options.Attribute = None,
    frames: Annotated[int, typer.Option(min=2, max=100_000, help="Frames in all.")] = 60,
    fps: Annotated[int, typer.Option(min=1, max=100, help="Frames a second.")] = 30,
    loop: Annotated[bool, typer.Option("--loop", help="Come back to the first face.")] = False,
    ease: Annotated[
        Literal["smooth", "linear"], typer.Option(help="smooth: rest at every face; linear: one speed.")
    ] = "smooth",
    size: Annotated[int | None, typer.Option(min=16, max=4096, help="Side of each picture in pixels.")] = None,
    method: options.Method = None,
    encoder: options.Encoder = None,
    refine: options.Refine = 0,
    aligned: Aligned = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Go from face to face, or along a direction, in several styles side by side."""
    from tqdm import tqdm

    from ..data.video import check_video, write_video
    from ..edit import through

    check_video(out)
    _refuse([out], overwrite)
    chosen = None if direction is None else _direction(direction)
    if (len(sources) == 1) != (chosen is not None):
        raise UsageError(f"{len(sources)} faces make no video.", "Give two or more, or one with --direction.")
    with _stylizer(style, attribute, method, encoder, refine, seed, device) as stylizer:
        codes = [_code(stylizer, source, aligned) for source in sources]
        if chosen is not None:
            _check_base(chosen[0], stylizer)
            codes = _ends(codes[0], chosen[1], strengths)
        way = through(codes, frames, loop=loop, ease=ease)
        drawn = tqdm(_frames(stylizer, way, size), total=frames, unit=" frames")
        write_video(out, drawn, fps=fps, overwrite=overwrite)
    typer.echo(out)


def _refuse(files: Iterable[Path | None], overwrite: bool) -> None:
    wanted = [file for file in files if file is not None]
    if len(set(wanted)) < len(wanted):
        raise UsageError(f"{wanted[0]} cannot be two files.", "Give the preview a name of its own.")
    for file in wanted:
        refuse_existing(file, overwrite)


def _sides(texts: str | None) -> list[int] | None:
    """Read resolutions such as ``4-16,64``; a range means every power of two in it."""
    if texts is None:
        return None
    found: list[int] = []
    for part in texts.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"'{texts}' names no resolutions.", "Write 4-16 or 8,32.")
        ends = int(first), int(last or first)
        found += [side for side in (1 << k for k in range(2, 11)) if ends[0] <= side <= ends[1]] if dash else [ends[0]]
    if not found:
        raise UsageError(f"'{texts}' names no resolutions.", "Write 4-16 or 8,32.")
    return sorted(set(found))


def _strength(value: float) -> float:
    if not abs(value) < LIMIT:  # NaN neither
        raise UsageError(f"{value} is no strength.", "Codes of the prior lie between -3 and 3.")
    return value


def _numbers(text: str, parts: int, pattern: str) -> list[float]:
    try:
        found = [float(x) for x in text.split(":")]
    except ValueError:
        found = []
    if len(found) != parts or not all(abs(x) < LIMIT for x in found):
        raise UsageError(f"'{text}' are no strengths.", f"Write {pattern}.")
    return found


def _range(text: str) -> tuple[float, float, int]:
    first, last, count = _numbers(text, 3, "-3:3:7")
    if count != int(count) or not 2 <= count <= 1000:
        raise UsageError(f"'{text}' are no strengths.", "The count must be a whole number from 2 to 1000.")
    return first, last, int(count)


def _ends(code: WPlus, direction: Direction, strengths: str) -> list[WPlus]:
    from ..edit import moved

    return [moved(code, direction, s) for s in _numbers(strengths, 2, "-2:2")]


def _direction(text: str) -> tuple[StoredDirections, Direction]:
    """Read ``FILE:NAME``."""
    from ..io.directions import load_directions

    file, colon, name = (text, "", "") if Path(text).is_file() else text.rpartition(":")
    if not Path(file).is_file():
        raise UsageError(
            f"There is no file of directions {file or text}.", "Make one with `portraitist edit directions`."
        )
    stored = load_directions(file)
    if colon:
        return stored, stored.named(name)
    if len(stored.directions) > 1:
        raise UsageError(f"{file} holds several directions.", f"Write {file}:{next(iter(stored.directions))}.")
    return stored, next(iter(stored.directions.values()))


def _measured(
    method: Literal["pose", "light", "smile"],
    generator: Generator,
    rows: Sequence[int],
    samples: int,
    seed: int,
    progress: Progress,
) -> Direction:
    from ..edit import light, measured_direction, on_faces, smile, turn
    from ..faces import MediaPipeFinder

    measure = light if method == "light" else on_faces(MediaPipeFinder(), {"pose": turn, "smile": smile}[method])
    return measured_direction(method, generator, measure, rows=rows, count=samples, seed=seed, progress=progress)


def _ratings(rated: ImageSet, by: list[str], stay: list[str]) -> dict[str, Tensor]:
    """Return a number for each picture under the name of each column; NaN where there is none.

    Without ``by`` all columns of numbers count; those that are named must be such.
    """
    import torch

    from ..data.folder import UNKNOWN

    found = {}
    for column in dict.fromkeys([*(by or rated.attributes), *stay]):
        if column not in rated.attributes:
            raise UsageError(f"There is no column '{column}'.", f"Columns: {', '.join(rated.attributes)}.")
        try:
            numbers = [float("nan" if v == UNKNOWN else v) for v in rated.attributes[column]]
        except ValueError as error:
            if column in (*by, *stay):
                raise UsageError(f"The column '{column}' holds something else than numbers ({error}).") from None
            continue
        found[column] = torch.tensor(numbers)
    if not found:
        raise UsageError("The labels hold no column of numbers.", "Its first line must read: file,age,...")
    return found


def _word(column: str) -> str:
    """Return what a column is called as a direction: a word that may stand in a command."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", column)


def _encoded(model: Model, pictures: ImageSet, name: str | None) -> Tensor:
    import torch
    from tqdm import tqdm

    from ..io import registry
    from ..stylize.inversion import no_encoder

    stored = registry.load_encoder_of(model, name)
    if stored is None:
        raise no_encoder(model)
    encoder, where = stored.encoder.eval(), model.generator.w_mean.device
    encoder.to(where)
    found = []
    for part in tqdm(torch.split(torch.arange(len(pictures)), 32), unit=" batches"):
        images = pictures.batch(part, torch.zeros(len(part), dtype=torch.bool)).to(where)
        with torch.no_grad():
            found.append(encoder.styles_of(encoder(images).mu, model.generator))
    return torch.cat(found)


def _write(found: list[Direction], out: Path, preview: Path | None, model: Model, licence: str, seed: int) -> None:
    """Write directions, and a sheet of them on one sample of the base."""
    import torch

    from ..data.images import to_array, write_image
    from ..data.sheet import tile
    from ..edit import sweep
    from ..io.directions import save_directions
    from ..io.model_file import generator_digest
    from ..spaces import Z, truncate

    about = model.header
    save_directions(
        out,
        found,
        # Codes of a style are those of its base.
        base=about.base_digest or generator_digest(model),
        base_name=about.base_name or about.name,
        licence=licence,
        credit=about.credit,
        overwrite=True,
    )
    for direction in found:
        typer.echo(f"{direction.name:<16} {direction.found}")
    typer.echo(out)
    if preview is None:
        return
    generator = model.generator
    z = Z.sample(1, generator.anatomy.z_dim, torch.Generator().manual_seed(seed)).to(generator.w_mean.device)
    code, rows = truncate(generator.map(z), generator.mean, 0.7), []
    with torch.no_grad():
        for direction in found:
            rows += list(to_array(generator.synthesize(sweep(code, direction, PREVIEW))))
    typer.echo(write_image(preview, tile(rows, columns=len(PREVIEW))))


@contextmanager
def _stylizer(
    style: list[str] | None,
    attribute: str | None,
    method: str | None,
    encoder: str | None,
    refine: int,
    seed: int,
    device: str,
) -> Iterator[Stylizer]:
    """Load styles and what inverts photos; its steps are shown."""
    from ..stylize import Stylizer

    inversion = options.inversion(method, encoder=encoder, refine=refine, seed=seed)
    with options.step_bar() as progress:
        yield Stylizer.load(
            style or [],
            attribute=attribute,
            inversion=inversion,
            seed=seed,
            device=options.device(device),
            progress=progress,
        )


def _check_base(stored: StoredDirections, stylizer: Stylizer) -> None:
    from ..io.model_file import generator_digest

    stored.check_base(generator_digest(stylizer.base), stylizer.base.header.name)


def _stem(source: Path) -> str:
    return source.name.removesuffix(CODE) if source.name.endswith(CODE) else source.stem


def _code(stylizer: Stylizer, source: Path, aligned: bool) -> WPlus:
    """Read a code of the base, or find that of the largest face of a photo: [1, rows, w_dim]."""
    import torch

    from ..data.images import read_image
    from ..io.codes import load_codes
    from ..io.model_file import generator_digest
    from ..spaces import W, WPlus, Z, ZPlus

    if source.suffix != ".safetensors":
        return stylizer.stylize(read_image(source), which="largest", aligned=aligned).faces[0].code
    codes, digest = load_codes(source)
    if digest not in ("", generator_digest(stylizer.base)):
        raise BadModel(f"{source} holds codes of another base.", f"Invert the photo for '{stylizer.base.header.name}'.")
    if len(codes) != 1:
        raise BadModel(f"{source} holds {len(codes)} codes.", "Give a file of one.")
    generator, codes = stylizer.base.generator, codes.to(stylizer.device)
    anatomy = generator.anatomy
    sizes = {Z: (anatomy.z_dim,), ZPlus: (anatomy.rows, anatomy.z_dim), W: (anatomy.w_dim,)}
    # A file that names no base is known by its sizes alone.
    if tuple(codes.data.shape[1:]) != sizes.get(type(codes), (anatomy.rows, anatomy.w_dim)):
        raise BadModel(f"{source} does not fit '{stylizer.base.header.name}'.", "Invert the photo again.")
    if isinstance(codes, Z | ZPlus):
        with torch.no_grad():
            return generator.map(codes)
    if isinstance(codes, W):
        return codes.broadcast(anatomy.rows)
    assert isinstance(codes, WPlus)
    return codes


def _files(stylizer: Stylizer, out: Path, name: str) -> list[Path]:
    return [*(out / f"{name}.{style}.png" for style in stylizer.generators), out / f"{name}{CODE}"]


def _write_pictures(stylizer: Stylizer, code: WPlus, out: Path, name: str) -> None:
    from ..data.images import write_image
    from ..io.codes import save_codes
    from ..io.model_file import generator_digest
    from ..stylize.crops import one_thread

    *pictures, saved = _files(stylizer, out, name)
    with one_thread():
        for file, generator in zip(pictures, stylizer.generators.values(), strict=True):
            typer.echo(write_image(file, stylizer.draw(generator, code)))
    save_codes(saved, code, generator_digest(stylizer.base), overwrite=True)
    typer.echo(saved)


def _write_sheet(stylizer: Stylizer, codes: WPlus, file: Path) -> None:
    """Write a sheet: the base in the first row, a style in each further one; a code in each column."""
    from ..data.images import write_image
    from ..data.sheet import tile
    from ..stylize.crops import one_thread

    rows = (stylizer.base.generator, *stylizer.generators.values())
    with one_thread():
        drawn = [stylizer.draw(generator, codes[k]) for generator in rows for k in range(len(codes))]
    typer.echo(write_image(file, tile(drawn, columns=len(codes))))


def _frames(stylizer: Stylizer, codes: WPlus, size: int | None) -> Iterator[Pixels]:
    import numpy as np

    from ..stylize.crops import one_thread

    for k in range(len(codes)):
        with one_thread():
            yield np.concatenate([stylizer.draw(g, codes[k], size) for g in stylizer.generators.values()], axis=1)
