"""``portraitist train``."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ..errors import UsageError
from . import groups, options
from .options import opt

if TYPE_CHECKING:
    from ..data import ImageSet
    from ..runs.source import Source
    from ..train.spec import Training


@dataclass(frozen=True)
class Size:
    """The sizes of networks that are new, or that grow."""

    panel: ClassVar[str] = "Size"

    resolution: Annotated[
        int | None, opt("Side in pixels; larger than the base's: grow it first (default: the base's, or 64).")
    ] = None
    channels: Annotated[str, opt("Channels at 4, 8, ... pixels, joined by commas.")] = ""
    discriminator_channels: Annotated[str, opt("Those of the discriminator (default: --channels).")] = ""
    as_base: Annotated[
        bool, opt("Train the base on, at its own size, as a base: what comes of it is no style (docs/larger.md).")
    ] = False
    codes: Annotated[
        Path | None,
        opt("Folder of codes of the pictures in a smaller model: that of --smaller, else of --from (docs/larger.md)."),
    ] = None
    smaller: Annotated[str | None, opt("Smaller model that the training is held to: name, file or run folder.")] = None

    @property
    def widths(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The channels of the generator and of the discriminator; empty where they are not given."""
        mine = options.widths(self.channels, "--channels")
        return mine, options.widths(self.discriminator_channels, "--discriminator-channels")


@dataclass(frozen=True)
class Attributes:
    """What is known of the exemplars, and what it is for."""

    panel: ClassVar[str] = options.ATTRIBUTES

    labels: options.Labels = None
    by: Annotated[str, opt("Attribute that multipath makes paths for, if there are several.")] = ""
    paths: Annotated[str, opt("Values of the attribute, joined by commas (default: all).")] = ""
    balance: options.Balance = ""

    def check(self, recipe: str) -> None:
        """Refuse attributes that the training has no use for.

        Raises:
            UsageError: It has none.
        """
        multipath = "multipath" in recipe.split("+")
        if (self.by or self.paths) and not multipath:
            raise UsageError("--by and --paths name the paths of the recipe multipath.", "Add multipath to --recipe.")
        if self.balance and multipath:
            raise UsageError("The recipe multipath shows its paths equally often already.", "Leave --balance out.")
        if self.labels is not None and not (self.balance or multipath):
            raise UsageError(
                "--labels are for --balance, or the recipe multipath.", "Add one of these, or leave them out."
            )

    def chosen(self, pictures: ImageSet) -> tuple[str, ...]:
        """Return the values that get a path each, or are balanced."""
        return options.values_of(pictures, self.balance or self.by, self.paths)


@dataclass(frozen=True)
class Scratch:
    """The sizes of new networks."""

    panel: ClassVar[str] = "From scratch"

    channel_base: Annotated[int | None, opt("Channels times side (default: 4096).", min=1)] = None
    channel_cap: Annotated[int | None, opt("Most channels of a layer (default: 256).", min=1)] = None
    latent: Annotated[int | None, opt("Size of latents and codes (default: 256).", min=1)] = None
    mapping_layers: Annotated[int | None, opt("Layers of the mapping network (default: 4).", min=1)] = None

    def check(self, base: str | None, widths: tuple[int, ...]) -> None:
        """Refuse what a base has already, and a rule for channels beside the channels themselves.

        Raises:
            UsageError: Options exclude each other.
        """
        given = [f"--{key.replace('_', '-')}" for key, value in asdict(self).items() if value is not None]
        if base is not None and given:
            raise UsageError(f"{given[0]} is for training from scratch.", "A base has its own; --channels widens it.")
        if widths and (rules := [option for option in given if option.startswith("--channel-")]):
            raise UsageError(f"{rules[0]} and --channels cannot be combined.", "Give one of them.")

    def source(self, side: int, widths: tuple[int, ...], narrower: tuple[int, ...]) -> Source:
        """Return new networks for pictures of a side; the channels of the generator, and of the discriminator."""
        from ..networks import DiscriminatorAnatomy, GeneratorAnatomy, channels_for
        from ..runs.source import Source

        sizes = widths or channels_for(side, base=self.channel_base or 4096, cap=self.channel_cap or 256)
        codes = self.latent or 256
        generator = GeneratorAnatomy(side, sizes, codes, codes, self.mapping_layers or 4)
        return Source(generator=generator, discriminator=DiscriminatorAnatomy(side, narrower or sizes))


def command(
    *,
    exemplars: Annotated[Path, typer.Argument(help="Folder, zip or LMDB of aligned pictures.")],
    out: options.RunFolder,
    base: Annotated[str | None, opt("Base to fine-tune (default: train from scratch).", "--from")] = None,
    attribute: options.Attribute = None,
    recipe: Annotated[str, opt("Recipes of a fine-tuning, joined by + (see `portraitist recipes`).")] = "",
    preset: Annotated[
        str | None, opt("default: what works best here; paper: its text; released: the authors' code.")
    ] = None,
    images: Annotated[int | None, opt("Images to show at most.", min=1)] = None,
    features: options.Features = None,
    lpips: options.Lpips = None,
    set_: options.Set = None,
    dry_run: options.DryRun = False,
    attributes: Attributes,
    authorship: groups.Authorship,
    size: Size,
    scratch: Scratch,
    processes: groups.Processes,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Teach a base a style, or train a base from scratch.

    A fine-tuning (--from, or --recipe, which takes the bundled base) holds out a fifth of the exemplars, stops when
    these no longer improve, and leaves a style and a report card. Ctrl-C writes a snapshot, and the same command
    continues: on the CPU, with as many threads, bit for bit.

    With --from and a larger --resolution or more --channels, the base grows before it trains on, and keeps what it has
    learned (docs/larger.md); --as-base trains it on as it is. The result is a base, which you can then fine-tune.
    """
    import dataclasses
    import json

    from ..faces import finder_named
    from ..io.codes import load_known
    from ..io.headers import Header, check_header
    from ..recipes import compose, from_scratch, grow, held, known_terms, train_on
    from ..runs.finetune import TrainOptions, train
    from ..train.spec import Training, check, current, refuse_idle

    if authorship.licence and not authorship.name:
        raise UsageError("A licence needs a name for the model that carries it.", "Give --name.")
    if recipe and base is None:
        base = "faces"
    source = _source(base, attribute, recipe, size, scratch)
    if preset is not None and source.fine_tuned is None:
        raise UsageError("--preset is for the recipes of a fine-tuning.", "Leave it out, or name a --recipe.")
    anatomy = source.anatomies[0]
    # Rules look at the batch, so it comes first.
    asked = sorted(set_ or [], key=lambda pair: not pair.startswith("batch="))
    asked = [current(pair) for pair in asked]
    every = Training(terms=tuple(known_terms(anatomy.resolution).values()))
    _with_settings(every, asked, anatomy.resolution)  # refuse a misspelt one before the exemplars are read
    attributes.check(recipe)
    check_header(about := Header(anatomy, **dataclasses.asdict(authorship)))
    pictures = options.pictures(exemplars, anatomy.resolution, attributes.labels)
    if source.smaller is not None and size.codes is not None:
        known = load_known(size.codes, pictures.names, source.smaller.model)
        source = dataclasses.replace(source, smaller=dataclasses.replace(source.smaller, codes=known))
    start = options.with_settings(Training(seed=seed), [s for s in asked if s.startswith("batch=")])
    if base is None:
        recipe, training = "from_scratch", from_scratch(anatomy.resolution, start)
    elif source.fine_tuned is None:
        recipe, begin = ("grow", grow) if source.grows else ("train_on", train_on)
        training = begin(anatomy.resolution, start, features=features is not None)
    else:
        recipe = recipe or "baseline"
        chosen = attributes.chosen(pictures) if "multipath" in recipe.split("+") else ()
        training = compose(recipe, anatomy.resolution, preset=preset or "default", paths=chosen, start=start)
    rest = [s for s in asked if not (s.startswith("batch=") and training.paths)]
    if attributes.balance:
        training = dataclasses.replace(training, balance=attributes.chosen(pictures))
    if source.smaller is not None:
        training = held(training, codes=size.codes is not None)
    training = dataclasses.replace(training, images=images or training.images)
    derived, training = training, _with_settings(training, rest, anatomy.resolution)
    refuse_idle(derived, training, training.idle)
    check(training, anatomy)
    if dry_run:
        typer.echo(json.dumps(training.record(), indent=1))
        typer.echo(f"{len(pictures)} images, {len(pictures.left_out)} left out")
        return
    looks = options.perceptual(features, lpips)
    how = TrainOptions(
        device=options.device(device, exact=True),
        **processes.settings(),
        recipe=f"{recipe} ({preset or 'default'})",
        attribute=attributes.by or attributes.balance,
        about=about,
        features=None if looks is None else looks.features,
        lpips=None if looks is None else looks.weights,
        finder=finder_named(),
    )
    path = train(pictures, out, source, training, how)
    _say_what_is_next(path, out, paths=training.paths, styled=source.fine_tuned is not None)


def _source(base: str | None, attribute: str | None, recipe: str, size: Size, scratch: Scratch) -> Source:
    """Return what the training begins with: new networks, a base, or one that grows or is trained on."""
    from ..io import registry
    from ..runs.source import Smaller, grown, trained_on

    widths, narrower = size.widths
    scratch.check(base, widths)
    if base is None:
        if size.as_base:
            raise UsageError("--as-base is for a base that is there.", "Name it with --from, or leave --as-base out.")
        if size.smaller is not None or size.codes is not None:
            raise UsageError(
                "New networks cannot be held to a smaller model (--smaller, --codes).",
                "Grow that one: name it with --from, and give a larger --resolution.",
            )
        return scratch.source(size.resolution or 64, widths, narrower)
    models = registry.load_together([base, size.smaller] if size.smaller else [base], attribute=attribute)
    model = models[0]
    source = grown(model, size.resolution, widths, narrower)
    if size.as_base and not source.grows:
        source = trained_on(model)
    if size.smaller is not None or size.codes is not None:
        source = replace(source, smaller=Smaller(models[-1]))
    if source.fine_tuned is None and recipe:
        raise UsageError(
            "A base grows, or is trained on, by itself, without a recipe.",
            "Do so first, then teach it a style with --from its run.",
        )
    return source


def _say_what_is_next(path: Path, out: Path, *, paths: tuple[str, ...], styled: bool) -> None:
    """Print what a training wrote, and what to type next; of several processes only the first prints."""
    if int(os.environ.get("RANK", 0)):
        return
    run = shlex.quote(str(out))
    if not styled:
        typer.echo(path)
        typer.echo(f"next: portraitist train DRAWINGS --from {run} -o STYLE, or portraitist sample {run} -o pictures/")
        return
    typer.echo(out / "style.safetensors")
    typer.echo(out / "report.html")
    attribute = f" --attribute {paths[0]}" if paths else ""
    typer.echo(f"next: portraitist stylize me.jpg --style {run}{attribute}")


def _with_settings(training: Training, pairs: list[str], resolution: int) -> Training:
    """Replace settings, those of a loss by its name: ``structure.weight=2`` adds the loss where it is absent."""
    from ..recipes import known_terms

    known = known_terms(resolution)
    for pair in sorted(pairs, key=lambda pair: ".weight=" not in pair):  # weights add losses, so they come first
        name, dot, rest = pair.partition("=")[0].partition(".")
        if name == "terms" or (name in known and not dot):
            raise UsageError(f"--set {pair}: losses are set one by one.", f"Use {next(iter(known))}.weight=1.")
        if name in known:
            term = next((t for t in training.terms if t.name == name), known[name] if rest == "weight" else None)
            if term is None:
                raise UsageError(f"--set {pair}: there is no loss '{name}' to set.", f"Add it with {name}.weight=1.")
            training = training.with_term(options.with_settings(term, [f"{rest}={pair.partition('=')[2]}"]))
        else:
            training = options.with_settings(training, [pair])
    return training
