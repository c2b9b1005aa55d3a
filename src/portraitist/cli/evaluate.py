"""``portraitist evaluate``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import bars, evaluate_models, evaluate_pictures, evaluate_reproduce, evaluate_study, groups, options
from .bars import bar_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..invert import Inverter
    from ..io.encoder_files import StoredEncoder
    from ..io.model_file import Model
    from ..losses.perceptual import PerceptualDistance

_ENCODER = re.compile(r"encoder(?:\+([1-9]\d{0,3}))?")

app = typer.Typer(help="Measure how good models and inversions are.", rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Measure how good models and inversions are."""


for command in (
    evaluate_models.distance,
    evaluate_models.quality,
    evaluate_models.report,
):
    groups.add(app)(command)
groups.add(app)(evaluate_pictures.pictures)
groups.add(app)(evaluate_study.study)
groups.add(app)(evaluate_reproduce.reproduce)


@groups.add(app)
def inversion(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the report.")],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="As `portraitist invert` takes it, or encoder+20 for 20 steps of --refine; may be repeated. If "
            "absent, encoder where one is known, else portrait.",
        ),
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="Encoder to judge, or for in-domain: name, file or run folder; may be repeated. The known one of the "
            "base if absent."
        ),
    ] = None,
    base: Annotated[
        str, typer.Option("--base", help="Model whose codes are judged: name, file or run folder.")
    ] = "faces",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of every optimisation; each method's own if absent.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take the first photos only, by name.")] = None,
    features: options.Features = None,
    lpips: options.Lpips = None,
    identity: options.Identity = None,
    prior: Annotated[
        str, typer.Option(help="z+: codes of the prior have a latent per row, as AgileGAN's; z: one for all.")
    ] = "z+",
    prior_codes: Annotated[int, typer.Option(min=2, help="How many codes of the prior.")] = 2000,
    tsne: Annotated[bool, typer.Option("--tsne", help="Plot the codes among the prior's; needs scikit-learn.")] = False,
    aligned: Annotated[bool, typer.Option("--aligned", help="The pictures are aligned square faces already.")] = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Compare inversion methods.

    They are compared by reconstruction and by the distance of the codes to the prior. The largest face of each photo is
    used. Writes a table (inversion.md), all numbers (inversion.json), a sheet of photos and drawings (inversion.png)
    and, with --tsne, a plot of the codes (codes.png). Photos that cannot be used are listed with the reason, and the
    exit code is then 3.
    """
    from typing import Literal

    from ..data.images import read_image, to_tensor
    from ..evaluate import compare_inversions
    from ..io import registry
    from ..losses.perceptual import default_perceptual
    from ..report.inversion import check_inversion_report, write_inversion_report
    from ..stylize import Stylizer
    from ..stylize.crops import as_aligned_face, one_thread

    kind = options.choice(prior, Literal["z+", "z"], "prior")
    _check(method or [], encoder or [])
    check_inversion_report(out, tsne, overwrite)
    names = _photos(photos, out, limit)
    where = options.device(device, exact=True)
    model = registry.load(base)
    model.generator.to(where)
    resolution = model.generator.anatomy.resolution
    perceptual = options.perceptual(features, lpips)
    if perceptual is None:
        perceptual = default_perceptual(model.require_discriminator("to measure likeness with"))
    perceptual.to(where)
    ways = _ways(model, perceptual, method or [], encoder or [], steps, seed)
    embedder = options.persons(model, identity, where)
    finder = Stylizer(model, {}, device=where)

    def read(name: str) -> Tensor:
        picture = read_image(Path(name), name="the picture")
        crop = as_aligned_face(picture, resolution) if aligned else finder.crops(picture, "largest", resolution)[0]
        return to_tensor(crop.image)

    with bar_of(total=len(names), unit=" photos") as bar, bars.step_bar(len(names) == 1) as progress, one_thread():

        def tell(name: str, reason: str) -> None:
            if reason:
                bar.write(f"{name}: {reason}", file=sys.stderr)
            bar.update()

        found = compare_inversions(
            names,
            read,
            {name: way for name, (way, _) in ways.items()},
            model.generator,
            perceptual,
            embedder,
            prior=kind,
            prior_count=prior_codes,
            seed=seed,
            progress=progress,
            on_photo=tell,
        )
        about = {
            "base": {"name": model.header.name, "digest": model.digest},
            "aligned": aligned,
            "methods": {name: settings for name, (_, settings) in ways.items()},
        }
        files = write_inversion_report(found, out, about=about, with_tsne=tsne, overwrite=overwrite)
    typer.echo(f"{len(found.photos)} photos measured, {len(found.failures)} left out")
    for file in files:
        typer.echo(file)
    if found.failures:
        raise typer.Exit(3)


def _check(methods: list[str], encoders: list[str]) -> None:
    from ..invert import METHODS

    for name in methods:
        if name not in METHODS and not _ENCODER.fullmatch(name):
            raise UsageError(f"Unknown method '{name}'.", f"Use {' or '.join(METHODS)} or encoder or encoder+20.")
    if encoders and methods and not any(_ENCODER.fullmatch(m) or METHODS[m]().needs_encoder for m in methods):
        raise UsageError(f"--encoder has no part in {' and '.join(methods)}.", "Leave it out, or add -m encoder.")


def _ways(
    model: Model, perceptual: PerceptualDistance, methods: list[str], names: list[str], steps: int | None, seed: int
) -> dict[str, tuple[Inverter, dict[str, object]]]:
    """Return what each method is called -> what inverts, and its settings."""
    from dataclasses import asdict

    from ..invert import refine
    from ..stylize.inversion import ByEncoder, encoder_inverter, no_encoder, projector

    encoders = _encoders(model, names)
    found: dict[str, tuple[Inverter, dict[str, object]]] = {}
    for method in methods or ["encoder" if encoders else "portrait"]:
        refined = _ENCODER.fullmatch(method)
        settings = None if refined else options.projection(method, steps=steps, seed=seed)
        if settings is not None and not settings.needs_encoder:
            found[method] = projector(model, settings, perceptual), asdict(settings)
            continue
        if not encoders:
            raise no_encoder(model)
        for name, stored in encoders.items():
            about: dict[str, object] = {"encoder": stored.header.name, "encoder_digest": stored.digest}
            if settings is not None:
                label = f"{method} {name}" if len(encoders) > 1 else method
                found[label] = projector(model, settings, perceptual, stored), asdict(settings) | about
            else:
                count = int(refined[1] or 0) if refined else 0
                label = method.replace("encoder", name or "encoder", 1)
                inverter = encoder_inverter(model, stored, perceptual, ByEncoder(refine=count))
                found[label] = inverter, about | (asdict(refine(count)) if count else {})
    return found


def _encoders(model: Model, names: list[str]) -> dict[str, StoredEncoder]:
    """Return the encoders asked for by their names; the known one of the base under no name when none is."""
    from ..io import registry

    if not names:
        known = registry.load_encoder_of(model)
        return {} if known is None else {"": known}
    found: dict[str, StoredEncoder] = {}
    for name in names:
        label = registry.name_of(registry.find_encoder(name))
        stored = registry.load_encoder_of(model, name)
        if label in found or stored is None:
            raise UsageError(f"Two encoders are called '{label}'.", "Name each once, or rename a file or run folder.")
        found[label] = stored
    return found


def _photos(sources: list[Path], out: Path, limit: int | None) -> list[str]:
    """Return the paths of photos, each once."""
    from ..stylize.discovery import photos

    found = dict.fromkeys(str(photo.path) for source in sources for photo in photos(source, out))
    return list(found)[:limit]
