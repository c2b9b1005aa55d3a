"""``portraitist encoder``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import groups, options
from .common import note, talk
from .options import opt

if TYPE_CHECKING:
    from ..io.model_file import Model
    from ..networks.encoder_anatomy import EncoderAnatomy

HELP = "Train, grow, list and import encoders, and choosers."

app = typer.Typer(help=HELP, rich_markup_mode=None, no_args_is_help=True)

SIZES = "Network"


@app.callback()
def encoder() -> None:
    """Train, grow, list and import encoders, which turn photos into codes in one pass; learn what chooses paths."""


@groups.add(app, "list")
def listing() -> None:
    """List the encoders that have a name, bundled ones and your own, and what chooses paths by them."""
    from dataclasses import asdict

    from ..io import catalogue
    from ..io.headers import EncoderHeader

    found = catalogue.encoders(lambda path, error: typer.echo(f"{path}: {error}", err=True))
    choosers = catalogue.choosers()
    if talk().json:
        note(encoders=[asdict(e) for e in found], choosers=[asdict(e) for e in choosers])
        return
    listed: list[catalogue.EncoderEntry | catalogue.ChooserEntry] = [*found, *choosers]
    for entry in listed:
        header = entry.header
        kind = header.encoder.kind if isinstance(header, EncoderHeader) else header.kind
        base = f"of {header.base_name or header.base_digest[:12] or 'an unknown base'}"
        typer.echo(options.listed(entry, f"{kind:<7} {base:<18}", header.description).rstrip())
    typer.echo(
        f"bundled encoders lie in {catalogue.bundled_folder()}\nyour encoders lie in    {catalogue.user_folder()}"
    )


@groups.add(app, "import")
def importing(
    *,
    file: Annotated[Path, typer.Argument(help="An encoder of ours, or encoder.pt of pSp, e4e or AgileGAN.")],
    base: Annotated[str, opt("Model that it was trained for: name, file or run folder.", "--base")] = "",
    authorship: groups.Authorship,
    overwrite: options.Overwrite = False,
) -> None:
    """Copy an encoder into your folder of models, to be used by name.

    An encoder whose base is known is used for it by default; one of another program that is imported without --base is
    used only where you name it. Nothing in the file is executed.
    """
    from ..io import registry

    terms = authorship.licence, authorship.credit
    of = registry.load_base(base) if base else None
    entry = registry.import_encoder(file, base=of, name=authorship.name, terms=terms, overwrite=overwrite)
    typer.echo(f"{entry.name}: {entry.path}")


@groups.add(app)
def grow(
    *,
    encoder: Annotated[str, typer.Argument(help="Encoder of the smaller base: name, file or run folder.")],
    base: Annotated[str, opt("Base that has grown from that one: name, file or run folder.", "--base")],
    out: Annotated[Path, opt("File to write.", "--out", "-o")],
    name: Annotated[str, opt("Name that its file carries.")] = "",
    half: Annotated[bool, opt("Store it in half precision.", "--half")] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Give an encoder the rows that its base has gained.

    For a base that grew with `train --codes`: codes mean in it what they did. The rows of new layers repeat the last,
    so it gives the codes that it gave. `portraitist encoder import OUT` makes it the encoder that stylize uses.
    """
    from dataclasses import replace

    from ..io import registry
    from ..io.encoder_files import load_encoder, save_encoder
    from ..surgery.encoders import grown_encoder

    stored = load_encoder(registry.find_encoder(encoder))
    if not stored.header.base_digest:
        raise UsageError(
            f"The encoder '{encoder}' does not say which base it is for.",
            "Import it first: portraitist encoder import FILE --base BASE.",
        )
    found = grown_encoder(stored, registry.known_base(stored.header), registry.load_base(base))
    named = replace(found, header=replace(found.header, name=name))
    typer.echo(save_encoder(out, named, half=half, overwrite=overwrite))


@groups.add(app)
def train(
    *,
    photos: Annotated[Path, typer.Argument(help="Folder, zip or LMDB of aligned photos.")],
    out: options.RunFolder,
    base: Annotated[str, opt("Model to invert into: name, file or run folder.", "--base")] = "faces",
    start: Annotated[str | None, opt("Encoder to start from; sets kind and sizes.", "--from", panel=SIZES)] = None,
    kind: Annotated[
        str,
        opt(
            "hvae: posterior over Z+ (AgileGAN); w+: code of W+ (pSp); vae: one latent for all rows; "
            "z+: no posterior. By default the preset's.",
            panel=SIZES,
        ),
    ] = "",
    preset: Annotated[str, opt("Settings: agilegan or psp.")] = "agilegan",
    size: Annotated[
        str, opt("small (default): for 64-pixel bases; ir-se50: the papers', about 1 GB.", panel=SIZES)
    ] = "",
    widths: Annotated[str, opt("Channels of the stem and the four stages, such as 32,32,64,96,128.", panel=SIZES)] = "",
    units: Annotated[str, opt("Residual units of the four stages, such as 1,1,2,1.", panel=SIZES)] = "",
    equal_rows: Annotated[bool, opt("A third of the rows from each level.", "--equal-rows", panel=SIZES)] = False,
    standardised: Annotated[bool, opt("Match mean codes to the prior's.", "--standardised", panel=SIZES)] = False,
    images: Annotated[int | None, opt("Pictures to show.", min=1)] = None,
    features: groups.Features,
    identity: options.Identity = None,
    authorship: groups.Authorship,
    set_: options.Set = None,
    dry_run: options.DryRun = False,
    processes: groups.Processes,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Train an encoder for a base on aligned photos.

    The base does not change. Ctrl-C writes a snapshot, and the same command continues: on the CPU, with as many
    threads, bit for bit. `portraitist encoder import OUT` makes the result the encoder that stylize uses.
    """
    from dataclasses import asdict, replace

    from ..io import registry
    from ..io.encoder_files import load_encoder
    from ..io.headers import EncoderHeader, check_encoder_header
    from ..io.identity_files import load_identity
    from ..runs.encoder import EncoderOptions, train_encoder
    from ..train.encoder import KINDS, PRESETS, Preset
    from ..train.spec import refuse_idle

    model = registry.load_base(base)
    first = None if start is None else load_encoder(registry.find_encoder(start))
    asked = {"--kind": kind, "--size": size, "--widths": widths, "--units": units, "--equal-rows": equal_rows}
    if first and (given := [option for option, value in asked.items() if value]):
        raise UsageError(f"{given[0]} is for a new encoder; --from sets kind and sizes.", "Leave out one of them.")
    chosen = options.choice(preset, Preset, "preset")
    kind = kind or KINDS[chosen]
    sizes = first.encoder.anatomy if first else _sizes(model, kind, size or "small", widths, units, equal_rows)
    anatomy = replace(sizes, standardised=sizes.standardised or standardised)
    about = EncoderHeader(anatomy, **asdict(authorship))
    check_encoder_header(about)
    plain = replace(PRESETS[chosen](), seed=seed)
    training = options.with_settings(replace(plain, images=images or plain.images), set_ or [])
    refuse_idle(plain, training, training.idle(posterior=anatomy.variational))
    training.refuse_idle(identity=identity is not None, features=features.features is not None)
    pictures = options.pictures(photos, model.generator.anatomy.resolution)
    if dry_run:
        typer.echo(json.dumps({"encoder": asdict(anatomy), **asdict(training)}, indent=1))
        typer.echo(f"{len(pictures)} images, {len(pictures.left_out)} left out")
        return
    how = EncoderOptions(
        device=options.device(device, exact=True),
        **processes.settings(),
        about=about,
        perceptual=features.distance(),
        identity=None if identity is None else load_identity(identity),
        start=first,
    )
    options.echo_once(train_encoder(pictures, out, model, anatomy, training, how))


@groups.add(app)
def chooser(
    *,
    photos: Annotated[Path, typer.Argument(help="Folder, zip or LMDB of aligned photos.")],
    out: Annotated[Path, opt("File to write.", "--out", "-o")],
    labels: Annotated[Path | None, opt("CSV file: `file` and a column per attribute.")] = None,
    by: Annotated[list[str], opt("Column of the labels whose values paths are named by; may be repeated.", "--by")],
    base: Annotated[str, opt("Model of the styles: name, file or run folder.", "--base")] = "faces",
    encoder: Annotated[str | None, opt("Encoder whose latents it takes (default: the base's).", "--encoder")] = None,
    held_out: Annotated[Path | None, opt("Other aligned photos, to measure it on (default: folds).")] = None,
    held_out_labels: Annotated[Path | None, opt("The labels of these.")] = None,
    authorship: groups.Authorship,
    set_: options.Set = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Learn what chooses the path of a style for a face.

    It is a logistic regression on the latents of the encoder, from labelled photos. The file holds how often it was
    right and the margin below which it refuses. `portraitist models add OUT` makes it the one that stylize uses.
    """
    from ..files import refuse_existing
    from ..io import registry
    from ..io.chooser_files import save_chooser
    from ..io.headers import About
    from ..runs.chooser import Fit, learn_chooser

    refuse_existing(out, overwrite)
    if held_out_labels is not None and held_out is None:
        raise UsageError("--held-out-labels needs photos.", "Give --held-out.")
    model = registry.load_base(base)
    stored = registry.load_encoder_of(model, encoder)
    if stored is None:
        raise UsageError(f"No encoder of '{base}' is known.", "Train one with `portraitist encoder train`.")
    side = model.generator.anatomy.resolution
    known = None if held_out is None else options.pictures(held_out, side, held_out_labels)
    about = About(name=authorship.name or out.stem, licence=authorship.licence, credit=authorship.credit)
    fit = options.with_settings(Fit(), set_ or [])
    learned = learn_chooser(
        options.pictures(photos, side, labels), by, model, stored, held_out=known, fit=fit, about=about
    )
    save_chooser(out, learned, half=True, overwrite=overwrite)
    for choice in learned.header.choices:
        typer.echo(
            f"{choice.attribute} ({', '.join(choice.values)}): right for {choice.accuracy:.1%} of {choice.held_out} "
            f"photos; chooses for {choice.chosen:.1%} of them, right for {choice.chosen_accuracy:.1%} of these"
        )
    typer.echo(out)


def _sizes(base: Model, kind: str, size: str, widths: str, units: str, equal_rows: bool) -> EncoderAnatomy:
    from dataclasses import replace
    from typing import Literal

    from ..networks.encoder import ir_se50, small
    from ..networks.encoder_anatomy import EncoderKind

    chosen = options.choice(size, Literal["small", "ir-se50"], "size")
    make = small if chosen == "small" else ir_se50
    anatomy = make(base.generator.anatomy, options.choice(kind, EncoderKind, "kind"), equal=equal_rows)
    return replace(
        anatomy,
        widths=_numbers(widths) if widths else anatomy.widths,
        units=_numbers(units) if units else anatomy.units,
    )


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"'{text}' does not list numbers.", "Join whole numbers by commas, such as 1,1,2,1.") from None
