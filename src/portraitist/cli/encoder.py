"""``portraitist encoder``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import options

if TYPE_CHECKING:
    from ..io.encoder_files import StoredEncoder
    from ..io.model_file import Model
    from ..networks.encoder import EncoderAnatomy

app = typer.Typer(help="Encoders, which turn photos into codes at once.", rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def encoder() -> None:
    """Encoders, which turn photos into codes at once."""


@app.command("list")
def listing(as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False) -> None:
    """List the encoders that can be used by name: bundled ones and the user's own."""
    from dataclasses import asdict

    from ..io import registry

    found = registry.encoders(lambda path, error: typer.echo(f"{path}: {error}", err=True))
    if as_json:
        typer.echo(json.dumps([asdict(e) | {"path": str(e.path)} for e in found], indent=1))
        return
    for entry in found:
        header = entry.header
        base = f"of {header.base_name or header.base_digest[:12] or 'an unknown base'}"
        description = " ".join(header.description.split())
        typer.echo(
            f"{entry.name:<16} {header.encoder.kind:<5} {base:<18} {entry.where:<8} "
            f"{header.licence or 'licence unknown':<18} {entry.sha256[:12] or 'no digest':<12}  {description}".rstrip()
        )
    typer.echo(f"bundled encoders lie in {registry.bundled_folder()}\nyour encoders lie in    {registry.user_folder()}")


@app.command("import")
def importing(
    file: Annotated[Path, typer.Argument(help="An encoder of ours, or encoder.pt of pSp, e4e or AgileGAN.")],
    base: Annotated[str, typer.Option("--base", help="The model whose codes it gives: name, file or run folder.")] = "",
    name: Annotated[str, typer.Option(help="Name to use it by; its own if absent.")] = "",
    licence: Annotated[str, typer.Option(help="SPDX identifier of the terms of the weights.")] = "",
    credit: Annotated[str, typer.Option(help="Whom the licence asks to name.")] = "",
    overwrite: options.Overwrite = False,
) -> None:
    """Bring an encoder into your folder of models, to be used by name.

    An encoder that is known to be of a base is used for it by default; without --base, one of another program is used
    only where it is asked for by name. Nothing in the file is ever executed.
    """
    from dataclasses import replace

    from ..io import registry
    from ..io.encoder_files import StoredEncoder

    entry: registry.Entry | registry.EncoderEntry
    if not (base or licence or credit) and (file.is_dir() or registry.is_native(file)):
        entry = registry.add(registry.find_encoder(file), name=name, overwrite=overwrite)
    else:
        stored = _read(file, _base(base))
        said = stored.header
        header = replace(said, licence=licence or said.licence, credit=credit or said.credit)
        own = name or said.name or registry.name_of(file)
        entry = registry.add_encoder(StoredEncoder(stored.encoder, header), name=own, overwrite=overwrite)
    typer.echo(f"{entry.name}: {entry.path}")


@app.command()
def train(
    photos: Annotated[Path, typer.Argument(help="Folder, zip or LMDB of aligned photos.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder; one that exists is continued.")],
    base: Annotated[
        str, typer.Option("--base", help="Model whose codes are wanted: name, file or run folder.")
    ] = "faces",
    start: Annotated[
        str | None,
        typer.Option("--from", help="Encoder to go on from: name, file or run folder; its kind and sizes are taken."),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            help="hvae: a posterior over Z+ (AgileGAN); w+: a code of W+ (pSp); vae, z+: hvae with one latent for all "
            "rows, or without its posterior."
        ),
    ] = "hvae",
    preset: Annotated[str, typer.Option(help="Whose settings: agilegan or psp.")] = "agilegan",
    size: Annotated[
        str, typer.Option(help="small: a few megabytes, for bases of 64 pixels; ir-se50: the papers', about 1 GB.")
    ] = "small",
    widths: Annotated[str, typer.Option(help="Channels of the stem and the four stages, as in 32,32,64,96,128.")] = "",
    units: Annotated[str, typer.Option(help="Residual units of the four stages, as in 1,1,2,1.")] = "",
    equal_rows: Annotated[
        bool, typer.Option("--equal-rows", help="A third of the rows from each level, instead of 3, 4 and the rest.")
    ] = False,
    standardised: Annotated[
        bool,
        typer.Option(
            "--standardised",
            help="Hold the mean codes of all photos together to the prior's mean and deviation: nearer to the prior.",
        ),
    ] = False,
    images: Annotated[int | None, typer.Option(min=1, help="Pictures to show in all.")] = None,
    features: options.Features = None,
    lpips: options.Lpips = None,
    identity: options.Identity = None,
    name: Annotated[str, typer.Option(help="Name that the encoder will carry.")] = "",
    licence: Annotated[str, typer.Option(help="SPDX identifier of the terms of the weights.")] = "",
    credit: Annotated[str, typer.Option(help="Whom the licence of the photos asks to name.")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value of a setting; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show the settings and stop.")] = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Train an encoder for a base from aligned photos.

    The base does not change. Ctrl-C writes a snapshot; the same command continues; on the CPU, with as many threads,
    bit for bit. `portraitist encoder import OUT` makes the result the encoder that stylize uses.
    """
    from dataclasses import asdict, replace

    from ..io import registry
    from ..io.encoder_files import EncoderHeader, check_encoder_header, load_encoder
    from ..io.identity_files import load_identity
    from ..runs.encoder import EncoderOptions, train_encoder
    from ..train.encoder import PRESETS, Preset

    model = _base(base)
    assert model is not None
    first = None if start is None else load_encoder(registry.find_encoder(start))
    sizes = first.encoder.anatomy if first else _sizes(model, kind, size, widths, units, equal_rows)
    anatomy = replace(sizes, standardised=sizes.standardised or standardised)
    about = EncoderHeader(anatomy, name=name, licence=licence, credit=credit)
    check_encoder_header(about)
    training = replace(PRESETS[options.choice(preset, Preset, "preset")](), seed=seed)
    training = options.with_settings(replace(training, images=images or training.images), set_ or [])
    pictures = options.pictures(photos, model.generator.anatomy.resolution)
    if dry_run:
        typer.echo(json.dumps({"encoder": asdict(anatomy), **asdict(training)}, indent=1))
        typer.echo(f"{len(pictures)} images, {len(pictures.left_out)} left out")
        return
    how = EncoderOptions(
        device=options.device(device),
        about=about,
        perceptual=options.perceptual(features, lpips),
        identity=None if identity is None else load_identity(identity),
        start=first,
    )
    typer.echo(train_encoder(pictures, out, model, anatomy, training, how))


def _sizes(base: Model, kind: str, size: str, widths: str, units: str, equal_rows: bool) -> EncoderAnatomy:
    from dataclasses import replace
    from typing import Literal

    from ..networks.encoder import EncoderKind, ir_se50, small

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
        raise UsageError(f"'{text}' is no list of numbers.", "Join whole numbers by commas, as in 1,1,2,1.") from None


def _base(name: str) -> Model | None:
    from ..io import registry

    if not name:
        return None
    model = registry.load(name)
    if model.header.kind != "model":
        raise UsageError(f"'{name}' is a style, not a base.", f"Give its base, '{model.header.base_name}'.")
    return model


def _read(file: Path, base: Model | None) -> StoredEncoder:
    """Read an encoder of any layout; its header then names the base, where one is given."""
    from dataclasses import replace

    from ..io import registry
    from ..io.encoder_files import StoredEncoder, load_encoder, read_foreign_encoder
    from ..io.model_file import generator_digest

    if not (file.is_dir() or registry.is_native(file)):
        return read_foreign_encoder(file, base=base)
    stored = load_encoder(registry.find_encoder(file), base=base)
    if base is None:
        return stored
    header = replace(stored.header, base_name=base.header.name, base_digest=generator_digest(base))
    return StoredEncoder(stored.encoder, header)
