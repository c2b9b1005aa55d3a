"""``portraitist evaluate reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import options

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import ImageSet
    from ..io.encoder_files import StoredEncoder
    from ..io.model_file import Model


def reproduce(
    paper: Annotated[str, typer.Argument(help="ui2i, cartoon-stylegan or agilegan.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for runs, numbers and the page; continued.")],
    data: Annotated[
        Path, typer.Option("--data", help="Folder with a folder or zip of exemplars per style, NAME or style_NAME.")
    ],
    styles: Annotated[
        str | None, typer.Option(help="Styles, joined by commas; all folders named style_NAME if absent.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, as in 0,1,2: each splits, trains and draws.")] = "0-2",
    base: Annotated[str, typer.Option("--base", help="Model that styles are made from: name, file or run folder.")] = (
        "faces"
    ),
    images: Annotated[int, typer.Option(min=1, help="Images that each training sees.")] = 3000,
    samples: Annotated[int, typer.Option(min=16, help="Latents that each model draws.")] = 2000,
    photos: Annotated[
        Path | None, typer.Option(help="Of agilegan: aligned faces that nothing was trained on, folder or zip.")
    ] = None,
    limit: Annotated[int, typer.Option(min=3, help="Take so many photos, drawn with seed 0.")] = 48,
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="Of agilegan: NAME=FILE, as in pSp=wplus.safetensors; hVAE is the base's own if not named."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Of agilegan: steps of every optimisation; 500, and 100 of in-domain, if absent."),
    ] = None,
    features: Annotated[
        list[Path] | None,
        typer.Option(help="Weights to compare sets with beside the base's discriminator; may be repeated."),
    ] = None,
    perceptual: Annotated[
        Path | None, typer.Option(help="Weights to compare pictures with in place of the base's discriminator.")
    ] = None,
    lpips: Annotated[Path | None, typer.Option(help="LPIPS weights that were fitted on --perceptual.")] = None,
    identity: options.Identity = None,
    scratch: Annotated[
        bool, typer.Option("--scratch/--no-scratch", help="Of ui2i: train from scratch too, for its row.")
    ] = True,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value of every training's start.")] = None,
    device: options.Device = "auto",
) -> None:
    """Re-run a paper's comparison on the models and data at hand, and write ours beside what is printed.

    Trains what is missing into run folders under --out, reuses what is there, and can be interrupted and called again.
    Writes reproduction.md, with what other papers were run in the same folder.
    """
    import torch

    from ..io import registry
    from ..io.feature_files import load_features
    from ..losses.perceptual import PerceptualDistance
    from ..networks.features import DiscriminatorFeatures
    from ..ops.memory import keep_heap
    from ..recipes import reproduction
    from ..train.spec import Training, current

    options.choice(paper, reproduction.Paper, "paper")
    keep_heap()
    where = options.device(device)
    chosen = options.seeds(seeds)
    start = options.with_settings(Training(), [current(pair) for pair in set_]) if set_ else None
    model = registry.load(base)
    model.generator.to(where)
    side = model.generator.anatomy.resolution
    if model.discriminator is None:
        raise UsageError(f"The base '{model.header.name}' has no discriminator.", "Use a base that has one.")
    own = DiscriminatorFeatures(model.discriminator).to(where)
    given = [load_features(file, largest=256) for file in features or []]
    named = options.perceptual(perceptual, lpips, "--perceptual")
    look = PerceptualDistance(own) if named is None else named
    for network in (*given, look.features):
        if isinstance(network, torch.nn.Module):
            network.to(where)
    bench = reproduction.Bench(
        base=model,
        out=out,
        sets=_sets(data, styles, side),
        seeds=tuple(chosen),
        images=images,
        samples=samples,
        features=(own, *given),
        looks=(look,),
        persons=None if identity is None else options.persons(model, identity, where),
        photos=None if photos is None else _drawn(options.pictures(photos, side), limit),
        encoders=_encoders(model, encoder or []) if paper == "agilegan" else {},
        steps=steps,
        scratch=scratch,
        device=where,
        start=start,
    )
    typer.echo(reproduction.reproduce(paper, bench))


def _sets(data: Path, styles: str | None, side: int) -> dict[str, ImageSet]:
    """Open the exemplars of each style."""
    if styles is None:
        found = {path.stem.removeprefix("style_"): path for path in sorted(data.glob("style_*"))}
    else:
        names = [name for name in styles.split(",") if name]
        places = {
            name: [data / f"{kind}{name}{end}" for kind in ("", "style_") for end in ("", ".zip")] for name in names
        }
        found = {name: next((p for p in paths if p.exists()), paths[0]) for name, paths in places.items()}
    missing = [name for name, path in found.items() if not path.exists()]
    if missing or not found:
        raise UsageError(f"{data} holds no exemplars of {missing[0] if missing else 'a style'}.", "Name folders in it.")
    return {name: options.pictures(path, side) for name, path in found.items()}


def _drawn(photos: ImageSet, limit: int) -> Tensor:
    """Draw photos with seed 0; the first do not depend on how many."""
    import torch

    order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(0))[:limit]
    return photos.batch(order, torch.zeros(len(order), dtype=torch.bool))


def _encoders(base: Model, given: list[str]) -> dict[str, StoredEncoder]:
    """Return the encoders by the names of their rows."""
    from ..io import registry

    found: dict[str, StoredEncoder] = {}
    for pair in given:
        name, equals, file = pair.partition("=")
        if not (equals and name and file):
            raise UsageError(f"--encoder takes NAME=FILE, not '{pair}'.")
        stored = registry.load_encoder_of(base, file)
        assert stored is not None
        found[name] = stored
    if "hVAE" not in found and (own := registry.load_encoder_of(base)) is not None:
        found["hVAE"] = own
    return found
