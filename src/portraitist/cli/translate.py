"""``portraitist translate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import folders, groups, inputs, options
from .common import note, refuse_given, talk
from .options import opt

if TYPE_CHECKING:
    from ..data.groups import Groups
    from ..recipes.translator import TranslatorRecipe
    from ..runs.translator import TranslatorOptions
    from ..train.translator_settings import TranslatorTraining

HELP = "Draw faces by one network, with a branch per group."

app = typer.Typer(help=HELP, rich_markup_mode=None, no_args_is_help=True)

Data = Annotated[Path, typer.Argument(help="Folder with photos/GROUP/* and drawings/GROUP/*.")]
Translator = Annotated[Path, opt("Translator by name, file or run folder.", "--translator", "-t")]
Framed = Annotated[str, opt("How faces are cut out of photos: ffhq or photo2cartoon.", "--framing")]
Images = Annotated[int | None, opt("Photos to show, of all groups together.", min=1)]

LARGEST = groups.Faces(face="largest")


@app.callback()
def translate() -> None:
    """Translate photos into drawings by one network, with a branch per group of people."""


@groups.add(app)
def prepare(
    *,
    pictures: Annotated[Path, typer.Argument(help="Folder, for instance with photos/GROUP/* and drawings/GROUP/*.")],
    out: Annotated[Path, opt("Folder for the faces; sub-folders are kept.", "--out", "-o")],
    size: Annotated[int, opt("Side of the faces in pixels.", min=16, max=1024)] = 286,
    aligned: Annotated[bool, opt("The pictures are aligned square faces already.", "--aligned")] = False,
    framing: Framed = "ffhq",
    detector: options.Detector = "",
    overwrite: options.Overwrite = False,
) -> None:
    """Crop aligned faces and put them on white, for training.

    Without a white background hair and skin of the drawings leak into it. Finished pictures are skipped.
    """
    from ..faces import finder_named
    from ..faces.align import Framing
    from ..faces.background import LEAST_PERSON
    from ..stylize.translate import onto_white

    cut = options.choice(framing, Framing, "framing")
    if aligned and cut != "ffhq":
        raise UsageError("Aligned faces are not cut out, so --framing has nothing to say.", "Leave out one of the two.")
    finder = None if aligned else finder_named(detector)
    settings: dict[str, object] = {"finder": repr(finder), "background": "white", "least_person": LEAST_PERSON}
    if cut != "ffhq":
        settings["framing"] = cut
    folders.prepare_faces(pictures, out, size, onto_white(size, finder, cut), settings, overwrite)


@groups.add(app)
def train(
    *,
    data: Data,
    out: options.RunFolder,
    group: Annotated[list[str] | None, opt("Common group; several become one (default: largest).", "--group")] = None,
    preset: Annotated[
        str, opt("Recipe: default, paper, photo2cartoon, ugatit, cyclegan, unit, munit, drit.")
    ] = "default",
    size: Annotated[
        int | None, opt("Side of the pictures in pixels (default: the recipe's).", min=16, max=1024)
    ] = None,
    channels: Annotated[int | None, opt("Width (default: the recipe's).", min=4, max=256)] = None,
    full: Annotated[bool | None, opt("Style from whole maps or from averages.", "--full/--light")] = None,
    own: Annotated[str, opt("Parts at the start and at the end that each group has for itself, such as 2,2.")] = "",
    start: Annotated[
        Path | None, opt("Basic model to fine-tune, by name, file or run folder; sets the sizes.", "--from")
    ] = None,
    framing: Framed = "",
    images: Images = None,
    identity: options.Identity = None,
    authorship: groups.Authorship,
    set_: options.Set = None,
    dry_run: options.DryRun = False,
    processes: groups.Processes,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Train a basic model on the group with many drawings.

    Ctrl-C writes a snapshot, and the same command continues: on the CPU, with as many threads, bit for bit.
    """
    from dataclasses import replace

    from ..data.groups import largest_group
    from ..io.translator_files import load_translator
    from ..runs.translator import train_translator
    from ..train.spec import refuse_idle

    sizes = {"--size": size, "--channels": channels, "--full": full, "--own": own or None}
    if start is not None and (given := [option for option, value in sizes.items() if value is not None]):
        raise UsageError(f"{given[0]} is for a new translator; --from sets the sizes.", "Leave out one of them.")
    recipe = _recipe(preset, size, channels, full, own)
    first = None if start is None else load_translator(start)
    if first is not None:
        recipe = replace(recipe, translator=first.system.anatomy, panel=first.system.players()[2].anatomy)
    if first is not None:
        recipe = replace(recipe, training=recipe.going_on())
    training = _training(recipe.training, images, seed, set_)
    idle = training.idle(groups=1, attention=recipe.translator.attentive, new=first is None)
    refuse_idle(recipe.training, training, idle)
    recipe = replace(recipe, training=training)
    training.refuse_foreign(recipe.translator)
    pictures = _pictures(data, recipe.training.loaded(recipe.translator.resolution), group or [largest_group(data)])
    settings = _settings(authorship, processes, identity, device, recipe.training, framing)
    if dry_run:
        _show(pictures, recipe)
        return
    options.echo_once(train_translator(pictures, out, recipe, settings, start=first))


@groups.add(app)
def extend(
    *,
    data: Data,
    translator: Translator,
    out: options.RunFolder,
    group: Annotated[list[str] | None, opt("Group to add; may be repeated (default: all new ones).", "--group")] = None,
    preset: Annotated[
        str, opt("Settings: default, paper, photo2cartoon, ugatit, cyclegan, unit, munit, drit.")
    ] = "default",
    images: Images = None,
    identity: options.Identity = None,
    authorship: groups.Authorship,
    set_: options.Set = None,
    dry_run: options.DryRun = False,
    processes: groups.Processes,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Add groups with few drawings to a translator.

    Each gets a branch of its own.

    The drawings of the common group are needed again: they keep what the groups share unchanged.
    """
    from ..data.groups import SIDES, folders
    from ..io.translator_files import load_translator
    from ..runs.translator import extend_translator
    from ..train.spec import refuse_idle

    basic = load_translator(translator)
    known = basic.system.groups
    both = set.intersection(*(set(folders(data / side)) for side in SIDES))
    new = group or sorted(both - set(known))
    plain = _recipe(preset).going_on()
    training = _training(plain, images, seed, set_)
    idle = training.idle(groups=len(known) + len(new), attention=basic.system.anatomy.attentive, new=False)
    refuse_idle(plain, training, idle)
    training.refuse_foreign(basic.system.anatomy)
    wanted = [known[0], *(g for g in known[1:] if g in both), *new]
    pictures = _pictures(data, training.loaded(basic.system.anatomy.resolution), wanted)
    settings = _settings(authorship, processes, identity, device, training)
    if dry_run:
        _show(pictures, training)
        return
    options.echo_once(extend_translator(pictures, out, basic, training, settings))


@groups.add(app)
def run(
    *,
    photo: inputs.Words,
    translator: Translator,
    group: Annotated[str, opt("Group whose branch draws; auto: predicted for each face.", "--group")] = "",
    keep_background: Annotated[bool, opt("Do not put faces on white.", "--keep-background")] = False,
    appearance: Annotated[str | None, opt("random:N: also draw N random appearances (munit, drit).")] = None,
    reference: Annotated[list[Path] | None, opt("Also draw in the look of this drawing (munit, drit).")] = None,
    reference_aligned: Annotated[bool, opt("References are aligned.", "--reference-aligned")] = False,
    faces: groups.Faces = LARGEST,
    output: groups.Output,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Draw the faces of photos, or of folders of photos.

    A photo writes PHOTO.NAME.png beside itself or into --out, where NAME is the translator's; further pictures
    PHOTO.NAME.random1.png (--appearance) and PHOTO.NAME.REFERENCE.png. A folder needs --out: finished photos are
    skipped, failed ones listed, and the exit code is then 3.
    """
    written = output.written(faces)
    given = inputs.Inputs.of(photo, output.out)
    count = options.random_appearances(appearance)
    if not reference:
        refuse_given({"reference_aligned"}, "is for --reference")
    from ..stylize import Appearance, Reference
    from ..stylize.translate import PictureTranslator

    references = tuple(Reference.read(path, aligned=reference_aligned) for path in reference or [])
    redrawer = PictureTranslator.load(
        translator,
        group=group,
        finder=faces.finder(),
        keep_background=keep_background,
        appearance=Appearance(count, references),
        seed=seed,
        device=options.device(device),
    )
    folders.PhotoRun(given, output.report).redraw(redrawer, written)


@groups.add(app, "list")
def listing() -> None:
    """List the translators that have a name, bundled ones and your own."""
    from dataclasses import asdict

    from ..io import catalogue

    found = catalogue.translators(lambda path, error: typer.echo(f"{path}: {error}", err=True))
    if talk().json:
        note(translators=[asdict(entry) for entry in found])
        return
    for entry in found:
        header = entry.header
        what = f"{','.join(header.groups):<18} {header.translator.resolution:>4} px "
        typer.echo(options.listed(entry, what, header.description).rstrip())
    typer.echo(
        f"bundled translators lie in {catalogue.bundled_folder()}\nyour translators lie in    {catalogue.user_folder()}"
    )


@groups.add(app, "import")
def importing(
    *,
    file: Annotated[Path, typer.Argument(help="Checkpoint of photo2cartoon or UGATIT-pytorch.")],
    out: Annotated[Path, opt("Translator file to write.", "--out", "-o")],
    size: Annotated[int | None, opt("Side of the training pictures (default: the file's).", min=16, max=1024)] = None,
    group: Annotated[str, opt("Name of its only group.", "--group")] = "all",
    framing: Framed = "",
    authorship: groups.Authorship,
    overwrite: options.Overwrite = False,
) -> None:
    """Read a checkpoint of another program; nothing in it is executed.

    Photos for photo2cartoon's weights are cut out as its program does it, unless --framing says otherwise.
    """
    from dataclasses import asdict

    from ..faces.align import Framing
    from ..io.headers import TranslatorHeader
    from ..io.photo2cartoon import read_photo2cartoon
    from ..io.translator_files import StoredTranslator, save_translator

    system = read_photo2cartoon(file, resolution=size or 0, group=group)
    lineage = [{"converted": {"format": system.anatomy.kind}}]
    usual = "photo2cartoon" if system.anatomy.kind == "photo2cartoon" else "ffhq"
    cut = options.choice(framing or usual, Framing, "framing")
    header = TranslatorHeader(system.anatomy, system.groups, lineage=lineage, framing=cut, **asdict(authorship))
    typer.echo(save_translator(out, StoredTranslator(system, header), overwrite=overwrite))


def _recipe(
    preset: str, size: int | None = None, channels: int | None = None, full: bool | None = None, own: str = ""
) -> TranslatorRecipe:
    from dataclasses import replace

    from ..recipes.translator import PRESETS, Preset

    make = PRESETS[options.choice(preset, Preset, "preset")]
    sizes = {"resolution": size, "channels": channels}
    recipe = make(**{name: value for name, value in sizes.items() if value is not None})
    translator = recipe.translator
    if own:
        first, comma, last = own.partition(",")
        if not (comma and first.isdecimal() and last.isdecimal()):
            raise UsageError(f"--own takes two whole numbers, not '{own}'.", "Write 2,2.")
        translator = replace(translator, own_first=int(first), own_last=int(last))
    if full is not None:
        if "style" not in translator.parts:
            raise UsageError(
                f"Translators of the kind {translator.kind} have no style.", "Leave out --full and --light."
            )
        translator = replace(translator, light=not full)
    return replace(recipe, translator=translator)


def _training(
    training: TranslatorTraining, images: int | None, seed: int, pairs: list[str] | None
) -> TranslatorTraining:
    from dataclasses import replace

    return options.with_settings(replace(training, images=images or training.images, seed=seed), pairs or [])


def _pictures(data: Path, side: int, groups: list[str]) -> Groups:
    from ..data.groups import Groups

    found = Groups.open(data, side, groups)
    for remark in found.remarks:
        typer.echo(remark, err=True)
    return found


def _settings(
    authorship: groups.Authorship,
    processes: groups.Processes,
    identity: Path | None,
    device: str,
    training: TranslatorTraining,
    framing: str = "",
) -> TranslatorOptions:
    from ..faces.align import Framing
    from ..io import registry
    from ..runs.translator import TranslatorOptions

    training.refuse_idle(identity is not None)
    where = options.device(device, exact=True)
    embedder = options.persons(registry.load("faces"), identity, where) if training.person_weight else None
    return TranslatorOptions(
        device=where,
        **processes.settings(),
        name=authorship.name,
        licence=authorship.licence,
        credit=authorship.credit,
        identity=embedder,
        framing=options.choice(framing, Framing, "framing") if framing else None,
    )


def _show(pictures: Groups, settings: TranslatorRecipe | TranslatorTraining) -> None:
    from dataclasses import asdict

    typer.echo(json.dumps(asdict(settings), indent=1))
    for name in pictures.names:
        typer.echo(f"{name}: {len(pictures.photos[name])} photos, {len(pictures.drawings[name])} drawings")
