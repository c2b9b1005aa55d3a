"""``portraitist distill``."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ..errors import UsageError
from . import groups, options
from .look import told
from .options import opt

if TYPE_CHECKING:
    from ..data.folder import ImageSet
    from ..io.painter_files import StoredPainter
    from ..networks.painter import PainterAnatomy
    from ..runs.painter_pack import Compared
    from ..stylize.mixture import Mixture
    from ..train.painter import PainterTraining


@dataclass(frozen=True)
class Network:
    """The painter to train."""

    panel: ClassVar[str] = "Network"

    start: Annotated[
        str | None,
        opt(
            "Painter to start from, of whatever style: file, run folder, or a style that carries one (default: a new "
            "one).",
            "--from",
        ),
    ] = None
    widths: Annotated[str, opt("Channels at a half, a quarter, an eighth, such as 24,48,96.")] = ""
    blocks: Annotated[int | None, opt("Residual blocks.", min=0, max=64)] = None

    def first(self) -> StoredPainter | None:
        """Return the painter to start from; None for a new one.

        Raises:
            UsageError: It is to have other sizes than its own, or the style carries none.
        """
        from ..io import registry
        from ..io.headers import kind_of
        from ..io.painter_files import load_painter, packed_painter

        if self.start is None:
            return None
        if self.widths or self.blocks is not None:
            raise UsageError("A painter to start from has its own sizes.", "Leave out --widths and --blocks.")
        path = Path(self.start)
        if os.path.isdir(path) or (os.path.isfile(path) and kind_of(path) == "painter"):
            return load_painter(path)
        if (found := packed_painter(registry.load(self.start))) is None:
            raise UsageError(f"{self.start} carries no painter.", "Name a style that does, or the file of a painter.")
        return found

    def anatomy(self, first: StoredPainter | None, *, grey: bool) -> PainterAnatomy:
        """Return the sizes of the painter: those of the first, or those asked for."""
        from dataclasses import replace

        from ..networks.painter import PainterAnatomy

        if first is not None:
            return replace(first.painter.anatomy, grey=grey)
        anatomy, found = PainterAnatomy(grey=grey), options.widths(self.widths, "--widths")
        if found:
            if len(found) != 3:
                raise UsageError(f"--widths takes three numbers, not '{self.widths}'.", "Write 24,48,96.")
            anatomy = replace(anatomy, widths=(found[0], found[1], found[2]))
        return anatomy if self.blocks is None else replace(anatomy, blocks=self.blocks)


@dataclass(frozen=True)
class Balance:
    """By what the exemplars are balanced."""

    panel: ClassVar[str] = options.ATTRIBUTES

    labels: options.Labels = None
    balance: options.Balance = ""

    def __post_init__(self) -> None:
        if self.labels is not None and not self.balance:
            raise UsageError("--labels are for --balance.", "Name the attribute to balance, or leave --labels out.")

    def of(self, training: PainterTraining, exemplars: ImageSet) -> PainterTraining:
        """Return the training that shows the exemplars in this way."""
        from dataclasses import replace

        if not self.balance:
            return training
        return replace(training, balance=options.values_of(exemplars, self.balance, ""))


@dataclass(frozen=True)
class Packing:
    """The style's pack that the painter goes into."""

    panel: ClassVar[str] = "Output"

    pack: Annotated[
        Path | None, opt("Also write the style's pack with the painter in it, its default where it measures better.")
    ] = None
    overwrite: options.Overwrite = False

    def check(self, style: str, training: PainterTraining) -> None:
        """Refuse a pack that cannot be written once the painter is trained.

        Raises:
            UsageError: The file is there, the style cannot carry a painter, or nothing is held out to measure it on.
        """
        from ..files import refuse_existing
        from ..io import registry
        from ..runs.painter_pack import check_carries, refuse_nothing_held_out

        if self.pack is None:
            if self.overwrite:
                raise UsageError("--overwrite is for --pack.", "Leave it out: the same command continues a run.")
            return
        refuse_existing(self.pack, self.overwrite)
        check_carries(registry.find(style))
        refuse_nothing_held_out(training)

    def write(self, style: str, stored: StoredPainter, found: Compared) -> None:
        """Print what was measured, and write the pack where one is wanted."""
        from ..io import registry
        from ..runs.painter_pack import save_with_painter

        assert self.pack is not None
        for name, line in (("painter", found.painter), ("code", found.code)):
            typer.echo(f"{name:<8}{told(line)}{'  <- default' if found.is_better == (name == 'painter') else ''}")
        typer.echo(save_with_painter(registry.find(style), stored, found, self.pack, overwrite=self.overwrite))


def command(
    *,
    style: Annotated[str, typer.Argument(help="Style to distil: name, file, run folder, or a mixture.")],
    photos: Annotated[Path, opt("Folder, zip or LMDB of aligned photos.", "--photos")],
    exemplars: Annotated[Path, opt("Folder, zip or LMDB of the style's exemplars.", "--exemplars")],
    out: options.RunFolder,
    attribute: options.Attribute = None,
    images: Annotated[int | None, opt("Photos to show in all.", min=1)] = None,
    size: Annotated[int, opt("Side of the pictures in pixels, a multiple of 8.", min=32, max=1024)] = 256,
    network: Network,
    balance: Balance,
    features: groups.Features,
    identity: Annotated[
        Path | None, opt("Face embedder, IR-SE50 or MobileFaceNet: keeps the person (default: none).")
    ] = None,
    authorship: groups.Authorship,
    packing: Packing,
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
    another style's painter knows faces already; its licence and credit are added.
    """
    from dataclasses import asdict, replace

    from ..io.identity_files import load_identity
    from ..io.painter_files import check_painter_header, load_painter
    from ..losses.perceptual import default_perceptual
    from ..ops.colour import are_grey
    from ..runs.painter import PainterOptions, distill, parts_of_exemplars
    from ..runs.painter_pack import compared
    from ..stylize import Stylizer
    from ..stylize.mixture import Mixture
    from ..stylize.teacher import StyleTeacher, painter_header
    from ..train.painter import PainterTraining
    from ..train.spec import refuse_idle

    where = options.device(device, exact=True)
    first = network.first()
    plain = PainterTraining(seed=seed, side=size)
    training = options.with_settings(replace(plain, images=images or plain.images), set_ or [])
    refuse_idle(plain, training, training.idle)
    packing.check(style, training)
    training.refuse_idle(identity=identity is not None, features=features.features is not None)
    if identity is None and any(pair.startswith("identity.") for pair in set_ or []) and training.identity.weight:
        raise UsageError(
            "The settings of identity are for a face embedder, and none is given.", "Give --identity FILE."
        )
    perceptual = features.distance()
    embedder = None if identity is None else load_identity(identity)
    stylizer = Stylizer.load([style], attribute=attribute, method="code", seed=seed, device=where)
    mixture = Mixture.find(style, or_base=True, attribute=attribute)
    faces = options.pictures(photos, training.side)
    shown, unseen = _exemplars(mixture, exemplars, balance.labels, training)
    training = balance.of(training, shown)
    anatomy = network.anatomy(first, grey=are_grey(shown.all()))
    about = painter_header(mixture, stylizer, anatomy, **asdict(authorship))
    check_painter_header(about)
    if dry_run:
        typer.echo(json.dumps({"painter": asdict(anatomy), **asdict(training)}, indent=1))
        apart = "" if unseen is None else f", {len(unseen)} more that the style has not seen"
        typer.echo(f"{len(faces)} photos, {len(shown)} exemplars{apart}")
        return
    if perceptual is None:
        perceptual = default_perceptual(
            stylizer.base.require_discriminator("to compare drawings with", or_features=True)
        )
    how = PainterOptions(
        device=where,
        **processes.settings(),
        perceptual=perceptual,
        identity=embedder,
        about=about,
        start=first,
        attribute=balance.balance,
        unseen=unseen,
    )
    teacher = StyleTeacher(stylizer, training.side)
    path = distill(faces, shown, out, teacher, anatomy, training, how)
    options.echo_once(path)
    if packing.pack is not None:
        stored, judge = load_painter(path), embedder or options.persons(stylizer.base, None, where)
        _, held_out = parts_of_exemplars(shown, unseen, training)
        found = compared(faces, held_out, out, teacher, training, stored.painter.to(where), judge, perceptual.features)
        packing.write(style, stored, found)


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
