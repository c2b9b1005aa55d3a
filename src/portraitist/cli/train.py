"""``portraitist train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from . import options


def command(
    exemplars: Annotated[Path, typer.Argument(help="Folder, zip or LMDB of aligned pictures.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder; one that exists is continued.")],
    base: Annotated[
        str | None, typer.Option("--from", help="Model to fine-tune: name, file or run folder. From scratch if absent.")
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Images to show in all.")] = None,
    name: Annotated[str, typer.Option(help="Name that the model will carry.")] = "",
    licence: Annotated[str, typer.Option(help="SPDX identifier of the licence of the exemplars.")] = "",
    credit: Annotated[str, typer.Option(help="Whom the licence of the exemplars asks to name.")] = "",
    resolution: Annotated[int, typer.Option(help="Side in pixels, of a model from scratch.")] = 64,
    channel_base: Annotated[int, typer.Option(help="Channels times side, of a model from scratch.")] = 4096,
    channel_cap: Annotated[int, typer.Option(help="Most channels of a layer, of a model from scratch.")] = 256,
    latent: Annotated[int, typer.Option(help="Size of latents and codes, of a model from scratch.")] = 256,
    mapping_layers: Annotated[int, typer.Option(help="Layers of the mapping network, from scratch.")] = 4,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value of a setting; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show the settings and stop.")] = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Teach a base a style, or train a base from scratch.

    Fine-tuning and training from scratch are the same command with and without --from. Ctrl-C writes a snapshot; the
    same command continues; on the CPU, with as many threads, bit for bit.
    """
    import dataclasses
    import json

    from ..data import ImageSet
    from ..io import registry
    from ..io.model_file import Header, check_header
    from ..networks import DiscriminatorAnatomy, GeneratorAnatomy, channels_for
    from ..recipes import baseline, from_scratch
    from ..recipes.baseline import with_gamma
    from ..recipes.run import Source, train

    if licence and not name:
        raise UsageError("A licence needs a name for the model that carries it.", "Give --name.")
    if base is not None:
        model = registry.load(base)
        source = Source(base=model)
        anatomy = model.generator.anatomy
    else:
        channels = channels_for(resolution, base=channel_base, cap=channel_cap)
        anatomy = GeneratorAnatomy(resolution, channels, latent, latent, mapping_layers)
        source = Source(generator=anatomy, discriminator=DiscriminatorAnatomy(resolution, channels))
    training = from_scratch(anatomy.resolution) if base is None else baseline(anatomy.resolution)
    training = dataclasses.replace(training, seed=seed, images=images or training.images)
    training = options.with_settings(training, set_ or [])
    if not any(pair.startswith("r1_gamma=") for pair in set_ or []):
        training = with_gamma(training, anatomy.resolution)  # the rule looks at the batch
    about = Header(anatomy, name=name, licence=licence, credit=credit)
    check_header(about)
    pictures = ImageSet.open(exemplars, anatomy.resolution, mirror=training.mirror)
    for left_out, _, reason in pictures.left_out:
        typer.echo(f"left out {left_out}: {reason}", err=True)
    if dry_run:
        typer.echo(json.dumps(dataclasses.asdict(training), indent=1))
        typer.echo(f"{len(pictures)} images, {len(pictures.left_out)} left out")
        return
    typer.echo(train(pictures, out, source, training, about=about, device=options.device(device)))
