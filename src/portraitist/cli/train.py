"""``portraitist train``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import groups, options
from .options import opt

if TYPE_CHECKING:
    from ..data import ImageSet


SCRATCH, PATHS = "From scratch", "Attributes"


def command(
    *,
    exemplars: Annotated[Path, typer.Argument(help="Folder, zip or LMDB of aligned pictures.")],
    out: options.RunFolder,
    base: Annotated[str | None, opt("Base to fine-tune (default: train from scratch).", "--from")] = None,
    attribute: options.Attribute = None,
    recipe: Annotated[str, opt("Recipes of a fine-tuning, joined by + (see `portraitist recipes`).")] = "",
    preset: Annotated[str, opt("paper, or released: as the authors' code does it.")] = "paper",
    images: Annotated[int | None, opt("Images to show at most.", min=1)] = None,
    features: options.Features = None,
    set_: options.Set = None,
    dry_run: options.DryRun = False,
    labels: Annotated[Path | None, opt("CSV file: `file` and a column per attribute.", panel=PATHS)] = None,
    by: Annotated[str, opt("Attribute that multipath makes paths for, if there are several.", panel=PATHS)] = "",
    paths: Annotated[str, opt("Values of the attribute, joined by commas (default: all).", panel=PATHS)] = "",
    authorship: groups.Authorship,
    resolution: Annotated[int, opt("Side in pixels.", panel=SCRATCH)] = 64,
    channel_base: Annotated[int, opt("Channels times side.", panel=SCRATCH)] = 4096,
    channel_cap: Annotated[int, opt("Most channels of a layer.", panel=SCRATCH)] = 256,
    latent: Annotated[int, opt("Size of latents and codes.", panel=SCRATCH)] = 256,
    mapping_layers: Annotated[int, opt("Layers of the mapping network.", panel=SCRATCH)] = 4,
    precision: Annotated[str, opt("fp32, or bf16: networks in mixed precision.")] = "fp32",
    rank_timeout: Annotated[float, opt("Seconds to wait for another process, under torchrun.", min=1)] = 120.0,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Fine-tune a base model on your drawings, or train one from scratch.

    A fine-tuning (--from, or --recipe, which takes the bundled base) holds out a fifth of the exemplars, stops when
    these no longer improve, and leaves a style and a report card. Ctrl-C writes a snapshot, and the same command
    continues: on the CPU, with as many threads, bit for bit.
    """
    import dataclasses
    import json

    from ..io import registry
    from ..io.feature_files import load_features
    from ..io.model_file import Header, check_header
    from ..networks import DiscriminatorAnatomy, GeneratorAnatomy, channels_for
    from ..recipes import check, compose, from_scratch
    from ..recipes.run import Settings, Source, train
    from ..train.crew import Precision
    from ..train.spec import Training

    if authorship.licence and not authorship.name:
        raise UsageError("A licence needs a name for the model that carries it.", "Give --name.")
    if recipe and base is None:
        base = "faces"
    if base is not None:
        model = registry.load(base, attribute=attribute)
        source = Source(base=model)
        anatomy = model.generator.anatomy
    else:
        channels = channels_for(resolution, base=channel_base, cap=channel_cap)
        anatomy = GeneratorAnatomy(resolution, channels, latent, latent, mapping_layers)
        source = Source(generator=anatomy, discriminator=DiscriminatorAnatomy(resolution, channels))
    # Rules look at the batch, so it comes first.
    asked = sorted(set_ or [], key=lambda pair: not pair.startswith("batch="))
    options.with_settings(Training(), asked)  # refuse a misspelt one before the exemplars are read
    if (by or paths) and "multipath" not in recipe.split("+"):
        raise UsageError("--by and --paths name the paths of the recipe multipath.", "Add multipath to --recipe.")
    about = Header(anatomy, **dataclasses.asdict(authorship))
    check_header(about)
    pictures = options.pictures(exemplars, anatomy.resolution, labels)
    start = options.with_settings(Training(seed=seed), [s for s in asked if s.startswith("batch=")])
    if base is None:
        recipe, training = "from_scratch", from_scratch(anatomy.resolution, start)
    else:
        recipe = recipe or "baseline"
        chosen = _paths(pictures, by, paths) if "multipath" in recipe.split("+") else ()
        training = compose(recipe, anatomy.resolution, preset=preset, paths=chosen, start=start)
    rest = [s for s in asked if not (s.startswith("batch=") and training.paths)]
    training = options.with_settings(dataclasses.replace(training, images=images or training.images), rest)
    check(training, anatomy)
    if dry_run:
        typer.echo(json.dumps(dataclasses.asdict(training), indent=1))
        typer.echo(f"{len(pictures)} images, {len(pictures.left_out)} left out")
        return
    network = None if features is None else load_features(features, largest=256)
    settings = Settings(
        f"{recipe} ({preset})",
        by,
        about,
        network,
        options.device(device),
        options.choice(precision, Precision, "precision"),
        rank_timeout,
    )
    path = train(pictures, out, source, training, settings)
    if int(os.environ.get("RANK", 0)) == 0:
        typer.echo(path)


def _paths(pictures: ImageSet, by: str, wanted: str) -> tuple[str, ...]:
    """Return the attributes that get a path: those named, or all values of a column, ``unknown`` left out."""
    from ..data.folder import UNKNOWN

    if wanted:
        return tuple(wanted.split(","))
    columns = [by] if by else list(pictures.attributes)
    if len(columns) != 1 or columns[0] not in pictures.attributes:
        raise UsageError(
            f"The attribute that paths are for is not clear: {', '.join(pictures.attributes) or 'there is none'}.",
            "Put the exemplars into a folder per attribute, or use --labels, and name a column with --by.",
        )
    return tuple(sorted(set(pictures.attributes[columns[0]]) - {UNKNOWN}))
