"""``portraitist evaluate inversion``."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import typer

from ..errors import UsageError
from . import bars, groups, options
from .bars import bar_of
from .options import opt

if TYPE_CHECKING:
    from torch import Tensor

    from ..invert import Inverter
    from ..io.encoder_files import StoredEncoder
    from ..io.model_file import Model
    from ..losses.perceptual import PerceptualDistance

_ENCODER = re.compile(r"encoder(?:\+([1-9]\d{0,3}))?")


@dataclass(frozen=True)
class Ways:
    """The methods that are compared."""

    panel: ClassVar[str] = groups.Inversion.panel

    method: Annotated[
        list[str] | None,
        opt(
            "As `portraitist invert` takes it, or encoder+20 for 20 steps of --refine; may be repeated (default: "
            "encoder where one is known, else portrait).",
            "--method",
            "-m",
        ),
    ] = None
    encoder: Annotated[
        list[str] | None,
        opt("Encoder to judge, or for in-domain: name, file or run folder; may be repeated (default: the known one)."),
    ] = None
    steps: Annotated[int | None, opt("Steps of every optimisation (default: each method's own).", min=1)] = None

    def check(self) -> None:
        """Refuse methods that there are not, and encoders that none of them uses.

        Raises:
            UsageError: There is one.
        """
        from ..invert import METHODS

        methods = self.method or []
        for name in methods:
            if name not in METHODS and not _ENCODER.fullmatch(name):
                raise UsageError(f"Unknown method '{name}'.", f"Use {' or '.join(METHODS)} or encoder or encoder+20.")
        if self.encoder and methods and not any(_ENCODER.fullmatch(m) or METHODS[m]().needs_encoder for m in methods):
            raise UsageError(f"--encoder has no part in {' and '.join(methods)}.", "Leave it out, or add -m encoder.")

    def of(
        self, model: Model, perceptual: PerceptualDistance, seed: int
    ) -> dict[str, tuple[Inverter, dict[str, object]]]:
        """Return what each method is called -> what inverts, and its settings."""
        from ..invert import refine
        from ..stylize.inversion import ByEncoder, encoder_inverter, no_encoder, projector

        encoders = _encoders(model, self.encoder or [])
        found: dict[str, tuple[Inverter, dict[str, object]]] = {}
        for method in self.method or ["encoder" if encoders else "portrait"]:
            refined = _ENCODER.fullmatch(method)
            settings = None if refined else options.projection(method, steps=self.steps, seed=seed)
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


@dataclass(frozen=True)
class Prior:
    """What codes are compared with."""

    panel: ClassVar[str] = "Prior"

    prior: Annotated[str, opt("z+: codes of the prior have a latent per row, as AgileGAN's; z: one for all.")] = "z+"
    prior_codes: Annotated[int, opt("How many codes of the prior.", min=2)] = 2000
    tsne: Annotated[bool, opt("Plot the codes among the prior's; needs scikit-learn.", "--tsne")] = False


def inversion(
    *,
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of them.")],
    out: Annotated[Path, opt("Folder for the report.", "--out", "-o")],
    base: Annotated[str, opt("Model whose codes are judged: name, file or run folder.", "--base")] = "faces",
    limit: Annotated[int | None, opt("Take the first photos only, by name.", min=1)] = None,
    aligned: options.Aligned = False,
    ways: Ways,
    features: groups.Features,
    identity: options.Identity = None,
    prior: Prior,
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
    from ..data.images import read_image, to_tensor
    from ..evaluate import compare_inversions
    from ..io import registry
    from ..losses.perceptual import default_perceptual
    from ..report.inversion import check_inversion_report, write_inversion_report
    from ..stylize import Stylizer
    from ..stylize.crops import as_aligned_face, one_thread

    kind = options.choice(prior.prior, Literal["z+", "z"], "prior")
    ways.check()
    check_inversion_report(out, prior.tsne, overwrite)
    names = _photos(photos, out, limit)
    where = options.device(device, exact=True)
    model = registry.load(base)
    model.generator.to(where)
    resolution = model.generator.anatomy.resolution
    perceptual = features.distance()
    if perceptual is None:
        perceptual = default_perceptual(model.require_discriminator("to measure likeness with", or_features=True))
    perceptual.to(where)
    compared = ways.of(model, perceptual, seed)
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
            {name: way for name, (way, _) in compared.items()},
            model.generator,
            perceptual,
            embedder,
            prior=kind,
            prior_count=prior.prior_codes,
            seed=seed,
            progress=progress,
            on_photo=tell,
        )
        about = {
            "base": {"name": model.header.name, "digest": model.digest},
            "aligned": aligned,
            "methods": {name: settings for name, (_, settings) in compared.items()},
        }
        files = write_inversion_report(found, out, about=about, with_tsne=prior.tsne, overwrite=overwrite)
    typer.echo(f"{len(found.photos)} photos measured, {len(found.failures)} left out")
    for file in files:
        typer.echo(file)
    if found.failures:
        raise typer.Exit(3)


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
