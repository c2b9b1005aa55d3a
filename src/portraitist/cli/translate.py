"""``portraitist translate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import options
from .stylize import conclude, folder_for, redraw, which_face

if TYPE_CHECKING:
    from ..data.groups import Groups
    from ..recipes.translator import TranslatorRecipe
    from ..runs.translator import TranslatorOptions
    from ..train.translator import TranslatorTraining

app = typer.Typer(
    help="Feed-forward translators from photos to drawings, with a branch per group of people.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

Data = Annotated[Path, typer.Argument(help="Folder with photos/GROUP/* and drawings/GROUP/*.")]
Translator = Annotated[Path, typer.Option("--translator", "-t", help="Translator file or run folder.")]
RunFolder = Annotated[Path, typer.Option("--out", "-o", help="Run folder; one that exists is continued.")]
Images = Annotated[int | None, typer.Option(min=1, help="Photos to show in all, of all groups together.")]
Name = Annotated[str, typer.Option(help="Name that the translator will carry.")]
Licence = Annotated[str, typer.Option(help="SPDX identifier of the terms of the weights.")]
Credit = Annotated[str, typer.Option(help="Whom the licence of the pictures asks to name.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="key=value of a setting; may be repeated.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, show the settings and stop.")]
Group = Annotated[str, typer.Option("--group", help="Whose branch; may be left out where there is one group only.")]


@app.callback()
def translate() -> None:
    """Feed-forward translators from photos to drawings, with a branch per group of people."""


@app.command()
def prepare(
    pictures: Annotated[Path, typer.Argument(help="Folder, for instance with photos/GROUP/* and drawings/GROUP/*.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the faces; sub-folders are kept.")],
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side of the faces in pixels.")] = 286,
    aligned: Annotated[
        bool, typer.Option("--aligned", help="The pictures are aligned square faces already; only put them on white.")
    ] = False,
) -> None:
    """Cut aligned faces out of pictures and put them on white, for training.

    Without a white background hair and skin of the drawings leak into it. Finished pictures are skipped.
    """
    from tqdm import tqdm

    from ..data.prepare import prepare
    from ..data.sources import open_source
    from ..faces import MediaPipeFinder
    from ..stylize.translate import onto_white

    finder = None if aligned else MediaPipeFinder()
    with tqdm(total=len(open_source(pictures, size).names), unit=" pictures") as bar:
        report = prepare(
            pictures,
            out,
            size,
            onto_white(size, finder),
            settings={"finder": repr(finder), "background": "white"},
            on_picture=lambda entry: bar.update() and None,
        )
    for line in report.lines():
        typer.echo(line)
    if not report.faces:
        raise typer.Exit(3)


@app.command()
def train(
    data: Data,
    out: RunFolder,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="The common group; several are trained on as one. The largest if absent."),
    ] = None,
    preset: Annotated[str, typer.Option(help="Whose recipe: paper, photo2cartoon, ugatit or cyclegan.")] = "paper",
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side of the pictures in pixels.")] = 256,
    channels: Annotated[int | None, typer.Option(min=4, max=256, help="Width; the recipe's own if absent.")] = None,
    full: Annotated[
        bool | None,
        typer.Option("--full/--light", help="Style from whole maps or from averages; as the recipe has it."),
    ] = None,
    own: Annotated[
        str, typer.Option(help="Parts at the start and at the end that each group will have for itself, as in 4,4.")
    ] = "",
    start: Annotated[
        Path | None, typer.Option("--from", help="Basic model to fine-tune: file or run folder; its sizes are taken.")
    ] = None,
    images: Images = None,
    identity: options.Identity = None,
    name: Name = "",
    licence: Licence = "",
    credit: Credit = "",
    set_: Set = None,
    dry_run: DryRun = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Train a basic model on the common group, the one with many drawings.

    Ctrl-C writes a snapshot; the same command continues; on the CPU, with as many threads, bit for bit.
    """
    from dataclasses import replace

    from ..io.translator_files import load_translator
    from ..runs.translator import train_translator

    recipe = _recipe(preset, size, channels, full, own)
    first = None if start is None else load_translator(start)
    if first is not None:
        recipe = replace(recipe, translator=first.system.anatomy, panel=first.system.players()[2].anatomy)
    recipe = replace(recipe, training=_training(recipe.training, images, seed, set_))
    pictures = _pictures(data, recipe.training.loaded(recipe.translator.resolution), group or [_largest(data)])
    told = _told(name, licence, credit, identity, device, recipe.training)
    if dry_run:
        _show(pictures, recipe)
        return
    typer.echo(train_translator(pictures, out, recipe, told, start=first))


@app.command()
def extend(
    data: Data,
    translator: Translator,
    out: RunFolder,
    group: Annotated[
        list[str] | None, typer.Option("--group", help="A group to add; may be repeated. All new ones if absent.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Whose settings: paper, photo2cartoon, ugatit or cyclegan.")] = "paper",
    images: Images = None,
    identity: options.Identity = None,
    name: Name = "",
    licence: Licence = "",
    credit: Credit = "",
    set_: Set = None,
    dry_run: DryRun = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Add groups with few drawings to a translator, each with a branch of its own.

    The drawings of the common group are needed again: they alone keep what the groups share as it is.
    """
    from ..data.groups import SIDES, folders
    from ..io.translator_files import load_translator
    from ..runs.translator import extend_translator

    basic = load_translator(translator)
    known = basic.system.groups
    both = set.intersection(*(set(folders(data / side)) for side in SIDES))
    new = group or sorted(both - set(known))
    training = _training(_recipe(preset).training, images, seed, set_)
    wanted = [known[0], *(g for g in known[1:] if g in both), *new]
    pictures = _pictures(data, training.loaded(basic.system.anatomy.resolution), wanted)
    told = _told(name, licence, credit, identity, device, training)
    if dry_run:
        _show(pictures, training)
        return
    typer.echo(extend_translator(pictures, out, basic, training, told))


@app.command()
def run(
    photo: Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")],
    translator: Translator,
    group: Annotated[
        str, typer.Option("--group", help="Whose branch draws, or auto: the classifier tells, where it is sure.")
    ] = "",
    out: options.Out = None,
    face: Annotated[str, typer.Option(help="all, largest, or the number of a face (1 is the largest).")] = "largest",
    keep_background: Annotated[
        bool, typer.Option("--keep-background", help="Do not put faces on white before and after they are drawn.")
    ] = False,
    paste_back: Annotated[bool, typer.Option("--paste-back", help="Put the drawn faces into the photo.")] = False,
    aligned: Annotated[bool, typer.Option("--aligned", help="The pictures are aligned square faces already.")] = False,
    sheet: Annotated[bool, typer.Option("--sheet", help="Write a sheet with the attention maps of both ways.")] = False,
    size: Annotated[int | None, typer.Option(min=16, max=4096, help="Side of the pictures in pixels.")] = None,
    suffix: Annotated[str, typer.Option(help="Format of the pictures: .png, .jpg or .webp.")] = ".png",
    report: Annotated[Path | None, typer.Option(help="JSON report; OUT/report.json for folders.")] = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Draw the faces of a photo or of a folder of them.

    A photo writes PHOTO.NAME.png beside itself or into --out, where NAME is the translator's. A folder needs --out;
    photos that are finished are skipped, those that cannot be drawn are listed, and the exit code is then 3.
    """
    target = folder_for(photo, out)
    from tqdm import tqdm

    from ..stylize.batch import Options, photos
    from ..stylize.translate import PictureTranslator

    wanted = Options(which_face(face), aligned, paste_back, sheet, size, suffix, overwrite)
    count = len(photos(photo, target))
    artist = PictureTranslator.load(
        translator, group=group, keep_background=keep_background, device=options.device(device)
    )
    with tqdm(total=count, unit=" photos", disable=count == 1) as bar:
        reports = redraw(artist, photo, target, wanted, report, bar)
    conclude(reports, photo, target)


@app.command("import")
def importing(
    file: Annotated[Path, typer.Argument(help="Checkpoint of photo2cartoon or UGATIT-pytorch.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Translator file to write.")],
    size: Annotated[
        int | None,
        typer.Option(
            min=16, max=1024, help="Side of the pictures that it was trained on; 256 if absent and the file is silent."
        ),
    ] = None,
    group: Annotated[str, typer.Option("--group", help="Name for its only group.")] = "all",
    name: Name = "",
    licence: Licence = "",
    credit: Credit = "",
    overwrite: options.Overwrite = False,
) -> None:
    """Read a checkpoint of another program; nothing in it is ever executed."""
    from ..io.photo2cartoon import read_photo2cartoon
    from ..io.translator_files import StoredTranslator, TranslatorHeader, save_translator

    system = read_photo2cartoon(file, resolution=size or 0, group=group)
    header = TranslatorHeader(
        system.anatomy,
        system.groups,
        name=name,
        licence=licence,
        credit=credit,
        lineage=[{"converted": {"format": system.anatomy.kind}}],
    )
    typer.echo(save_translator(out, StoredTranslator(system, header), overwrite=overwrite))


@app.command()
def export(
    translator: Annotated[Path, typer.Argument(help="Translator file or run folder.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="What to write: .onnx, .pt (photo2cartoon, UGATIT-pytorch), or .safetensors that can only draw.",
        ),
    ],
    group: Group = "",
    half: Annotated[bool, typer.Option("--half", help="Half precision; of .safetensors only.")] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Write a translator for another program, or a small file that can draw and no more."""
    from ..io.photo2cartoon import write_photo2cartoon
    from ..io.translator_files import load_translator, save_translator, without_trainers
    from ..io.translator_onnx import export_onnx

    if half and out.suffix != ".safetensors":
        raise UsageError("Only .safetensors can be in half precision.", "Leave out --half.")
    stored = load_translator(translator)
    groups = stored.system.groups
    if out.suffix == ".safetensors":
        if group:
            raise UsageError("Such a file keeps all groups.", "Leave out --group.")
        typer.echo(save_translator(out, without_trainers(stored), half=half, overwrite=overwrite))
        return
    if not group and len(groups) > 1:
        raise UsageError("Such a file has room for one group.", f"Give --group with one of {', '.join(groups)}.")
    if out.suffix not in (".onnx", ".pt", ".pth"):
        raise UsageError(f"Cannot tell a format from the name {out.name}.", "End it in .onnx, .pt or .safetensors.")
    write = export_onnx if out.suffix == ".onnx" else write_photo2cartoon
    typer.echo(write(out, stored.system, group=group or groups[0], overwrite=overwrite))


def _recipe(
    preset: str, size: int = 256, channels: int | None = None, full: bool | None = None, own: str = ""
) -> TranslatorRecipe:
    from dataclasses import replace

    from ..recipes.translator import PRESETS, Preset

    make = PRESETS[options.choice(preset, Preset, "preset")]
    recipe = make(size) if channels is None else make(size, channels)
    translator = recipe.translator
    if own:
        first, comma, last = own.partition(",")
        if not (comma and first.isdecimal() and last.isdecimal()):
            raise UsageError(f"--own takes two whole numbers, not '{own}'.", "Write 4,4.")
        translator = replace(translator, own_first=int(first), own_last=int(last))
    if full is not None:
        translator = replace(translator, light=not full)
    return replace(recipe, translator=translator)


def _training(
    training: TranslatorTraining, images: int | None, seed: int, pairs: list[str] | None
) -> TranslatorTraining:
    from dataclasses import replace

    return options.with_settings(replace(training, images=images or training.images, seed=seed), pairs or [])


def _largest(data: Path) -> str:
    """Return the group with the most drawings; where several have as many, it must be named."""
    from ..data.groups import folders
    from ..data.sources import FolderSource

    counts = {name: len(FolderSource(data / "drawings" / name).names) for name in folders(data / "drawings")}
    best = [name for name, count in counts.items() if count == max(counts.values())]
    if len(best) > 1:
        raise UsageError(f"{' and '.join(best)} have as many drawings.", "Name the common group with --group.")
    return best[0]


def _pictures(data: Path, side: int, groups: list[str]) -> Groups:
    from ..data.groups import Groups

    found = Groups.open(data, side, groups)
    for remark in found.remarks:
        typer.echo(remark, err=True)
    return found


def _told(
    name: str, licence: str, credit: str, identity: Path | None, device: str, training: TranslatorTraining
) -> TranslatorOptions:
    from ..io import registry
    from ..runs.translator import TranslatorOptions

    where = options.device(device)
    persons = options.persons(registry.load("faces"), identity, where) if training.person_weight else None
    return TranslatorOptions(where, name=name, licence=licence, credit=credit, identity=persons)


def _show(pictures: Groups, settings: TranslatorRecipe | TranslatorTraining) -> None:
    from dataclasses import asdict

    typer.echo(json.dumps(asdict(settings), indent=1))
    for name in pictures.names:
        typer.echo(f"{name}: {len(pictures.photos[name])} photos, {len(pictures.drawings[name])} drawings")
