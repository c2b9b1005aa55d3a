"""``portraitist evaluate distance``, ``quality`` and ``report``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BadData, UsageError
from ..files import refuse_existing, write_bytes
from . import options
from .bars import bar_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..evaluate.quality import Scorer
    from ..invert import Inverter
    from ..io.headers import Header
    from ..io.model_file import Model
    from ..losses.perceptual import PerceptualDistance
    from ..networks import Generator
    from ..networks.features import Features as Network
    from ..report.quality import Table
    from ..surgery import FeatureSwap

_SWAP = re.compile(r"(?P<low>.+)\+(?P<high>.+)@(?P<upto>\d+)")

SetFeatures = Annotated[
    Path | None,
    typer.Option(
        help="Weights to compare sets with: Inception-v3 of the FID, MobileNetV2, or as --perceptual; the base's own "
        "discriminator if absent."
    ),
]
Perceptual = Annotated[
    Path | None,
    typer.Option(
        help="Weights of VGG16, AlexNet or SqueezeNet to compare two pictures with; the base's own if absent."
    ),
]


def distance(
    models: Annotated[
        list[str], typer.Argument(help="Models: name, file or run folder; LOW+HIGH@32 swaps their layers at 32 pixels.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for the matrix: .md or .json.")] = None,
    samples: Annotated[int, typer.Option(min=2, help="How many shared latents.")] = 2000,
    features: options.Features = None,
    lpips: options.Lpips = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Measure how far models draw apart.

    The result is a matrix of perceptual distances over shared latents (UI2I, Eq. 1).

    Each model maps latents with its own mapping network and draws with its stored noise, untruncated. The distance is
    that of the first model's discriminator unless --features names weights; it is LPIPS only with --lpips too.
    """
    if len(models) < 2:
        raise UsageError("A distance needs two models.", "Name another model.")
    if len(set(models)) < len(models):
        raise UsageError("A model is named twice.", "Name each model once.")
    if out is not None:
        if out.suffix.lower() not in (".md", ".json"):
            raise UsageError(f"--out takes a .md or .json file, not {out}.")
        refuse_existing(out, overwrite)

    from ..evaluate import distance_matrix
    from ..ops.memory import keep_heap
    from ..report.markdown import shown, table

    keep_heap()
    where = options.device(device, exact=True)
    found = {name: _drawer(name) for name in models}
    sizes = {(g.anatomy.z_dim, g.anatomy.resolution) for g, _ in found.values()}
    if len(sizes) > 1:
        raise UsageError(f"The models have different latents or sizes: {sorted(sizes)}.", "Compare models of one size.")
    perceptual = _perceptual(found[models[0]][1], features, lpips, where, "--features")
    for generator, _ in found.values():
        generator.to(where)
    with bar_of(total=samples, unit=" codes") as bar:
        matrix = distance_matrix(
            {name: generator for name, (generator, _) in found.items()},
            perceptual,
            z_dim=next(iter(sizes))[0],
            count=samples,
            seed=seed,
            device=where,
            on_batch=bar.update,
        )
    by = f"{perceptual.name} sha256:{perceptual.features.digest[:8]}"
    title = f"{by}, {samples} latents, seed {seed}; ± half of the 95 % interval"
    both = matrix | {(b, a): value for (a, b), value in matrix.items()}
    rows = [[a, *(shown(both[a, b]) if a != b else "0" for b in models)] for a in models]
    text = "\n".join([*table(["", *models], rows), title])
    typer.echo(text)
    if out is not None:
        numbers = [{"models": pair, "value": v.value, "spread": v.spread} for pair, v in matrix.items()]
        about = {"distance": perceptual.name, "digest": perceptual.features.digest, "samples": samples, "seed": seed}
        content = text if out.suffix.lower() == ".md" else json.dumps({**about, "pairs": numbers}, indent=1)
        write_bytes(out, f"{content}\n".encode(), overwrite=overwrite)


def quality(
    style: Annotated[str, typer.Argument(help="Style or model: name, file or run folder.")],
    exemplars: Annotated[
        Path, typer.Option("--exemplars", help="Exemplars that the style has not seen, or all of its.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the report.")],
    trained: Annotated[
        Path | None, typer.Option(help="The exemplars that it was trained on, where they are kept apart.")
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="Aligned faces to redraw as well: folder or zip.")] = None,
    limit: Annotated[int | None, typer.Option(min=6, help="Take the first photos only, by name.")] = None,
    attribute: options.Attribute = None,
    samples: Annotated[int, typer.Option(min=16, help="How many pictures to draw.")] = 2000,
    features: SetFeatures = None,
    perceptual: Perceptual = None,
    lpips: Annotated[Path | None, typer.Option(help="LPIPS weights that were fitted on --perceptual.")] = None,
    identity: options.Identity = None,
    encoder: options.Encoder = None,
    refine: options.Refine = 0,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Score a style on exemplars that it has not seen.

    Three baselines stand beside it: the input, a tint, and copies.

    Writes a table (quality.md), all numbers (quality.json) and a sheet (quality.png). Of the very set that the style
    was trained on, recognised by its digest, the exemplars that its training held out are scored on; of any other set
    those that it was not trained on, which the digests of single pictures tell.
    """
    files = [out / name for name in ("quality.md", "quality.json", "quality.png")]
    for file in files:
        refuse_existing(file, overwrite)
    if photos is None and (encoder is not None or refine or limit is not None):
        raise UsageError("--encoder, --refine and --limit need redrawn photos.", "Give --photos too.")

    from ..data.images import write_image
    from ..evaluate.held_out import reference_of
    from ..evaluate.quality import Scorer
    from ..io import registry
    from ..ops.memory import keep_heap
    from ..report.quality import Table, sheet

    keep_heap()
    where = options.device(device, exact=True)
    model = registry.load(style, attribute=attribute)
    base = _base(model.header, style) or model
    resolution = model.generator.anatomy.resolution
    faces = None if photos is None else _faces(photos, resolution, limit)
    known = None if trained is None else options.pictures(trained, resolution)
    reference = reference_of(model.header, options.pictures(exemplars, resolution), known)
    if reference.warning:
        typer.echo(f"warning: {reference.warning}", err=True)
    for part in (model, base):
        part.generator.to(where)
    scorer = Scorer(
        reference.to(where),
        set_network(base, features, where),
        _perceptual(base, perceptual, lpips, where, "--perceptual"),
        options.persons(base, identity, where),
        seed=seed,
    )
    name = model.header.name or registry.name_of(registry.find(style))
    about = {**scorer.settings, "style": name, "style_digest": model.digest, "base": base.header.name}
    tables = [_of_samples(name, base, model, scorer, samples, seed)]
    drawn = _shown_samples(base, model, seed)
    if faces is not None:
        found, drawn = _of_photos(name, base, model, scorer, faces.to(where), (encoder, refine, seed))
        tables.append(found)
    tables = [Table(t.title, t.rows, {**about, **t.settings}, t.notes) for t in tables]
    write_bytes(files[0], "\n".join(t.markdown() for t in tables).encode(), overwrite=True)
    write_bytes(files[1], (json.dumps([t.as_json() for t in tables], indent=1) + "\n").encode(), overwrite=True)
    write_image(files[2], sheet(drawn.pop("inputs"), drawn))
    for table in tables:
        typer.echo(table.markdown())
    for file in files:
        typer.echo(file)


def report(
    runs: Annotated[
        list[str], typer.Argument(help="Styles, run folders, or folders of `portraitist evaluate quality`.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .html or .md.")],
    overwrite: options.Overwrite = False,
) -> None:
    """Compare styles or runs on one page.

    It shows the metadata of their files, and their measurements.
    """
    if out.suffix.lower() not in (".html", ".md"):
        raise UsageError(f"--out takes a .html or .md file, not {out}.")
    refuse_existing(out, overwrite)

    from ..report.side_by_side import html_page, markdown_page, side_by_side

    sections = side_by_side(runs)
    text = html_page(sections) if out.suffix.lower() == ".html" else markdown_page(sections)
    write_bytes(out, text.encode(), overwrite=overwrite)
    typer.echo(out)


def _drawer(name: str) -> tuple[Generator | FeatureSwap, Model]:
    """Return what draws, and a model that knows a discriminator."""
    from ..io import registry
    from ..surgery import swap

    pair = _SWAP.fullmatch(name)
    # A path may look like a swap.
    if pair is None or Path(name).exists():
        model = registry.load(name)
        return model.generator, model
    low, high = registry.load(pair["low"]), registry.load(pair["high"])
    return swap(low.generator, high.generator, upto=int(pair["upto"]), by="features"), low


def _base(header: Header, style: str) -> Model | None:
    """Return the base that a style was made from; None of a model that stands by itself."""
    from ..io import registry

    return registry.base_of(header, registry.find(style)) if header.base_digest else None


def set_network(base: Model, features: Path | None, device: str) -> Network:
    """Return what sets are compared with."""
    import torch

    from ..io.feature_files import load_features
    from ..networks.features import DiscriminatorFeatures

    if features is not None:
        network = load_features(features, largest=256)
    elif base.discriminator is None:
        raise UsageError(f"The base '{base.header.name}' has no discriminator to look with.", "Give --features.")
    else:
        network = DiscriminatorFeatures(base.discriminator)
    if isinstance(network, torch.nn.Module):
        network.to(device)
    return network


def _perceptual(base: Model, file: Path | None, lpips: Path | None, device: str, flag: str) -> PerceptualDistance:
    """Return what two pictures are compared with, whose weights are given with ``flag``."""
    from ..losses.perceptual import PerceptualDistance

    return (options.perceptual(file, lpips, flag) or PerceptualDistance(set_network(base, None, device))).to(device)


def _faces(photos: Path, resolution: int, limit: int | None) -> Tensor:
    """Read the photos, as many as a table needs at least."""
    from ..evaluate.quality import K_DENSITY

    found = options.pictures(photos, resolution)
    if len(found) <= K_DENSITY:
        raise BadData(f"{len(found)} photos are too few to measure redrawn ones.", f"Bring at least {K_DENSITY + 1}.")
    return found.subset(range(len(found))[:limit]).all()


def _of_samples(name: str, base: Model, model: Model, scorer: Scorer, samples: int, seed: int) -> Table:
    """Measure what the style draws of random latents, beside the base's pictures of the same."""
    import torch

    from ..evaluate import path_length
    from ..report.quality import Table

    generator = model.generator
    z_dim = generator.anatomy.z_dim
    codes = torch.randn(samples, z_dim, generator=torch.Generator().manual_seed(seed)).to(generator.w_mean.device)
    inputs = base.generator.sample_batches(codes)
    smooth = path_length(
        generator.styles,
        generator.synthesis,
        scorer.distance,
        z_dim=z_dim,
        count=samples,
        seed=seed,
        device=codes.device,
    )
    outputs = generator.sample_batches(codes)
    rows = [scorer.row(name, outputs, inputs, {"path_length": smooth}), *scorer.baselines(inputs)]
    note = f"{samples} random latents (seed {seed}), untruncated; inputs are what the base draws of them."
    return Table(f"{name}: samples", rows, {**scorer.settings, "samples": samples}, (note,))


def _of_photos(
    name: str,
    base: Model,
    model: Model,
    scorer: Scorer,
    inputs: Tensor,
    how: tuple[str | None, int, int],
) -> tuple[Table, dict[str, Tensor]]:
    """Measure redrawn photos; return the pictures too."""
    import torch

    from ..evaluate.quality import DO_NOTHING, baselines
    from ..io import registry
    from ..report.quality import Table
    from ..spaces import WPlus
    from ..stylize.inversion import ByEncoder, encoder_inverter, no_encoder, projector

    encoder, refine, seed = how
    stored = registry.load_encoder_of(base, encoder)
    inverter: Inverter
    if stored is None:
        if refine:
            raise no_encoder(base)
        inverter, way = projector(base, options.projection("portrait", seed=seed), scorer.distance), "portrait"
    else:
        stored.encoder.to(inputs.device)
        inverter = encoder_inverter(base, stored, scorer.distance, ByEncoder(refine=refine), seed=seed)
        way = f"the encoder {stored.header.name}" + (f" and {refine} steps" if refine else "")
    codes = torch.cat([inverter.invert(photo).code.data for photo in torch.split(inputs, 1)])
    with torch.no_grad():
        outputs = torch.cat([model.generator.synthesize(WPlus(part)) for part in torch.split(codes, 16)])
        faces_drawn = torch.cat([base.generator.synthesize(WPlus(part)) for part in torch.split(codes, 16)])
    rows = [scorer.row(name, outputs, inputs), scorer.row("the base", faces_drawn, inputs)]
    note = f"{len(inputs)} photos, by {way}; *the base* draws the same codes without a style."
    table = Table(f"{name}: photos", [*rows, *scorer.baselines(inputs)], {**scorer.settings, "way": way}, (note,))
    others = baselines(inputs, scorer.reference, scorer.seed)
    shown = {name: pictures for name, pictures in others.items() if name != DO_NOTHING}
    return table, {"inputs": inputs, name: outputs, **shown}


def _shown_samples(base: Model, model: Model, seed: int) -> dict[str, Tensor]:
    import torch

    z_dim = base.generator.anatomy.z_dim
    codes = torch.randn(8, z_dim, generator=torch.Generator().manual_seed(seed)).to(base.generator.w_mean.device)
    return {"inputs": base.generator.sample_batches(codes), "style": model.generator.sample_batches(codes)}
