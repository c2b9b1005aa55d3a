"""``portraitist distill``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import groups, options
from .look import told
from .options import opt

if TYPE_CHECKING:
    from ..data.folder import ImageSet
    from ..networks.painter import PainterAnatomy
    from ..stylize.mixture import Mixture
    from ..train.painter import PainterTraining

NETWORK = "Network"


def command(
    *,
    style: Annotated[str, typer.Argument(help="Style to distil: name, file, run folder, or a mixture.")],
    photos: Annotated[Path, opt("Folder, zip or LMDB of aligned photos.", "--photos")],
    exemplars: Annotated[Path, opt("Folder, zip or LMDB of the style's exemplars.", "--exemplars")],
    out: options.RunFolder,
    attribute: options.Attribute = None,
    images: Annotated[int | None, opt("Photos to show in all.", min=1)] = None,
    size: Annotated[int, opt("Side of the pictures in pixels, a multiple of 8.", min=32, max=1024)] = 256,
    start: Annotated[
        Path | None, opt("Painter to start from, of whatever style (default: a new one).", "--from", panel=NETWORK)
    ] = None,
    widths: Annotated[str, opt("Channels at a half, a quarter, an eighth, such as 24,48,96.", panel=NETWORK)] = "",
    blocks: Annotated[int | None, opt("Residual blocks.", min=0, max=64, panel=NETWORK)] = None,
    labels: options.Labels = None,
    balance: options.Balance = "",
    features: groups.Features,
    identity: Annotated[
        Path | None, opt("Face embedder, IR-SE50 or MobileFaceNet: keeps the person (default: none).")
    ] = None,
    authorship: groups.Authorship,
    pack: Annotated[
        Path | None, opt("Also write the style's pack with the painter in it, its default where it measures better.")
    ] = None,
    overwrite: options.Overwrite = False,
    set_: options.Set = None,
    dry_run: options.DryRun = False,
    processes: groups.Processes,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Turn a style into a painter, which draws in one pass.

    A painter is a small network that needs no code of a face. The style draws the photos first, as `stylize` does; its
    pictures stay in OUT/teacher. Ctrl-C keeps what was drawn and learned, and the same command continues: on the CPU,
    with as many threads, bit for bit. Licence and credit are the style's unless you name others. --from saves time:
    another style's painter knows faces already.
    """
    from dataclasses import asdict, replace

    from ..files import refuse_existing
    from ..io import registry
    from ..io.identity_files import load_identity
    from ..io.painter_files import check_painter_header, load_painter
    from ..losses.perceptual import default_perceptual
    from ..runs.painter import PainterOptions, distill, parts_of_exemplars
    from ..runs.painter_pack import check_carries, compared, refuse_nothing_held_out, save_with_painter
    from ..stylize import Stylizer
    from ..stylize.mixture import Mixture
    from ..stylize.teacher import StyleTeacher, painter_header
    from ..train.painter import PainterTraining
    from ..train.spec import refuse_idle

    where = options.device(device, exact=True)
    if pack is None and overwrite:
        raise UsageError("--overwrite is for --pack.", "Leave it out: the same command continues a run.")
    whole = None
    if pack is not None:
        refuse_existing(pack, overwrite)
        whole = registry.find(style)
        check_carries(whole)
    first = None if start is None else load_painter(start)
    if first is not None and (widths or blocks is not None):
        raise UsageError("A painter to start from has its own sizes.", "Leave out --widths and --blocks.")
    anatomy = _sizes(widths, blocks) if first is None else first.painter.anatomy
    plain = PainterTraining(seed=seed, side=size)
    training = options.with_settings(replace(plain, images=images or plain.images), set_ or [])
    refuse_idle(plain, training, training.idle)
    if pack is not None:
        refuse_nothing_held_out(training)
    training.refuse_idle(identity=identity is not None, features=features.features is not None)
    if identity is None and any(pair.startswith("identity.") for pair in set_ or []) and training.identity.weight:
        raise UsageError(
            "The settings of identity are for a face embedder, and none is given.", "Give --identity FILE."
        )
    perceptual = features.distance()
    embedder = None if identity is None else load_identity(identity)
    stylizer = Stylizer.load([style], attribute=attribute, method="code", seed=seed, device=where)
    mixture = Mixture.find(style, or_base=True, attribute=attribute)
    about = painter_header(mixture, stylizer, anatomy, **asdict(authorship))
    check_painter_header(about)
    faces = options.pictures(photos, training.side)
    shown, unseen = _exemplars(mixture, exemplars, labels, training)
    training = _balanced(training, shown, labels, balance)
    if dry_run:
        typer.echo(json.dumps({"painter": asdict(anatomy), **asdict(training)}, indent=1))
        apart = "" if unseen is None else f", {len(unseen)} more that the style has not seen"
        typer.echo(f"{len(faces)} photos, {len(shown)} exemplars{apart}")
        return
    if perceptual is None:
        perceptual = default_perceptual(stylizer.base.require_discriminator("to compare drawings with"))
    how = PainterOptions(
        device=where,
        **processes.settings(),
        perceptual=perceptual,
        identity=embedder,
        about=about,
        start=first,
        attribute=balance,
        unseen=unseen,
    )
    teacher = StyleTeacher(stylizer, training.side)
    path = distill(faces, shown, out, teacher, anatomy, training, how)
    options.echo_once(path)
    if pack is not None and whole is not None:
        stored, judge = load_painter(path), embedder or options.persons(stylizer.base, None, where)
        _, held_out = parts_of_exemplars(shown, unseen, training)
        found = compared(faces, held_out, out, teacher, training, stored.painter.to(where), judge, perceptual.features)
        for name, line in (("painter", found.painter), ("code", found.code)):
            typer.echo(f"{name:<8}{told(line)}{'  <- default' if found.is_better == (name == 'painter') else ''}")
        typer.echo(save_with_painter(whole, stored, found, pack, overwrite=overwrite))


def _sizes(widths: str, blocks: int | None) -> PainterAnatomy:
    from dataclasses import replace

    from ..networks.painter import PainterAnatomy

    anatomy, found = PainterAnatomy(), options.widths(widths, "--widths")
    if found:
        if len(found) != 3:
            raise UsageError(f"--widths takes three numbers, not '{widths}'.", "Write 24,48,96.")
        anatomy = replace(anatomy, widths=(found[0], found[1], found[2]))
    return anatomy if blocks is None else replace(anatomy, blocks=blocks)


def _exemplars(
    style: Mixture, folder: Path, labels: Path | None, training: PainterTraining
) -> tuple[ImageSet, ImageSet | None]:
    """Return the exemplars to train on, and those that the style held out; None where its file does not tell."""
    from ..evaluate.held_out import known_parts

    whole, parts = options.pictures(folder, training.side, labels), style.parts
    if len(parts) > 1 or not training.held_out:
        return whole, None
    header = parts[0].header
    return known_parts(header, options.pictures(folder, header.generator.resolution), whole) or (whole, None)


def _balanced(training: PainterTraining, exemplars: ImageSet, labels: Path | None, balance: str) -> PainterTraining:
    from dataclasses import replace

    if labels is not None and not balance:
        raise UsageError("--labels are for --balance.", "Name the attribute to balance, or leave --labels out.")
    return replace(training, balance=options.values_of(exemplars, balance, "")) if balance else training
