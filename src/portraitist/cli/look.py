"""``portraitist look``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BadData, UsageError
from . import options
from .common import refuse_given
from .evaluate_models import set_network
from .options import opt

if TYPE_CHECKING:
    from ..data import ImageSet
    from ..data.images import Pixels
    from ..detail import Look
    from ..evaluate import PictureMeasures
    from ..faces import FaceFinder
    from ..io.model_file import Model

AUTO = "auto"
SHAPES = (1.0, 1.6)
CHOICE = "Choice"


def command(
    *,
    style: Annotated[str, typer.Argument(help="Name, file or run folder of a style.")],
    exemplars: Annotated[Path, opt("Folder or zip of the style's exemplars, aligned; 256 pixels or more are best.")],
    out: Annotated[
        Path | None, opt("File to write (default: the style's own, with --overwrite).", "--out", "-o")
    ] = None,
    medium: Annotated[
        str, opt("smooth, paint, brush, dry; or auto: the one that measures best on --photos.")
    ] = "smooth",
    shape: Annotated[float, opt("How far the parts of the face move: 1 as in the exemplars.", min=0, max=3)] = 1.0,
    colour: Annotated[float, opt("How far colours move: 1 as in the exemplars.", min=0, max=1.5)] = 0.8,
    labels: Annotated[
        Path | None, opt("Table of the exemplars with the column gender: photos of as many women and men are compared.")
    ] = None,
    photos: Annotated[Path | None, opt("Aligned photos of different people to try looks on.", panel=CHOICE)] = None,
    count: Annotated[int, opt("Photos to try them on.", min=3, max=1000, panel=CHOICE)] = 24,
    identity: options.Identity = None,
    features: options.Features = None,
    detector: options.Detector = "",
    overwrite: options.Overwrite = False,
) -> None:
    """Measure what a style changes in any photo.

    The detail stage applies such a look, which is stored in the style's pack. Training stores one by itself. This
    command measures it again, for other media, or gives one to an older pack. With --medium auto, every medium and
    shape is tried on photos: those count that keep people (identity of 0.5, of 0.35 in grey) and are as sharp as the
    exemplars (0.7 to 1.2 times); the nearest to held-out exemplars is taken.
    """
    from ..detail import MEDIA

    if medium not in (*MEDIA, AUTO):
        raise UsageError(f"There is no medium '{medium}'.", f"Use {', '.join((*MEDIA, AUTO))}.")
    if (medium == AUTO) != (photos is not None):
        raise UsageError("--medium auto and --photos belong together.", "Give both, or neither.")
    if medium == AUTO:
        refuse_given({"shape"}, "is chosen by --medium auto")
    else:
        refuse_given({"identity", "features", "count"}, "is for --medium auto")

    from ..data import ImageSet
    from ..detail import measure_look, photo_population
    from ..evaluate.held_out import parts_of
    from ..faces import finder_named
    from ..files import refuse_existing
    from ..io import catalogue, registry
    from ..io.described import stored_in_half
    from ..io.headers import read_header
    from ..io.model_file import load_model, save_pack
    from ..runs.looks import levelled, people_of, population

    path = registry.find(style)
    header = read_header(path)
    if header.kind != "style-pack":
        raise UsageError(f"{path.name} is a base, and looks are of styles.", "Name a style.")
    target = out or path
    refuse_existing(target, overwrite)
    base = registry.base_of(header, path)
    paths = {a: load_model(path, find_base=lambda h: base, attribute=a) for a in header.paths or (None,)}
    parts = parts_of(header, ImageSet.open(exemplars, header.generator.resolution, labels=labels))
    finder = finder_named(detector)
    seen = parts.trained or parts.held_out
    people = people_of(seen)
    if labels is not None and not people:
        raise UsageError(
            f"{labels.name} calls no exemplar female or male in a column gender.", "Write that column, or leave it out."
        )
    measured, compared = population(_pictures(seen), finder), photo_population(people)
    chosen = [(medium, shape)] if medium != AUTO else [(name, factor) for name in MEDIA for factor in SHAPES]
    encoder = registry.load_encoder_of(base)

    def found_in(name: str, factor: float) -> Look:
        look = measure_look(measured, compared, MEDIA[name], shape=factor, colour=colour)
        return levelled(look, base, list(paths.values()), encoder)

    looks = {f"{name}-{factor:g}": found_in(name, factor) for name, factor in chosen}
    best = next(iter(looks))
    if photos is not None:
        known = ImageSet.open(photos, 256)
        some = known.subset(list(range(0, len(known), max(1, len(known) // count)))[:count])
        first = next(iter(paths.values()))
        found = _tried(base, first, looks, some, list(_pictures(parts.held_out)), identity, features, finder)
        best = _best(found, measured.is_colourless)
        for name, line in found.items():
            typer.echo(f"{name:<12}{told(line)}{'  <- taken' if name == best else ''}")
    styles = {a: _with_look(model, looks[best]) for a, model in paths.items()}
    packed = {a: m for a, m in styles.items() if a is not None} or styles[None]
    typer.echo(f"{best}: {save_pack(target, packed, base, half=stored_in_half(path), overwrite=overwrite)}")
    if target.parent.resolve() in (catalogue.bundled_folder(), catalogue.user_folder()):
        registry.record_digest(target)


def _with_look(model: Model, look: Look) -> Model:
    """Return a style with a look, and without what was measured of people as it drew before."""
    from dataclasses import replace

    from ..io.measured import without_people

    return replace(model, look=look, header=replace(model.header, metrics=without_people(model.header.metrics)))


def _pictures(images: ImageSet) -> Iterator[Pixels]:
    """Yield images at the side of the detail stage."""
    from ..detail import SIDE

    yield from images.decoded_at(SIDE)


def _tried(
    base: Model,
    style: Model,
    looks: dict[str, Look],
    photos: ImageSet,
    held_out: list[Pixels],
    identity: Path | None,
    features: Path | None,
    finder: FaceFinder,
) -> dict[str, PictureMeasures]:
    """Draw photos in every look, and measure."""
    from dataclasses import replace

    import numpy as np

    from ..evaluate import PictureScorer
    from ..stylize import Stylizer
    from ..stylize.crops import one_thread

    stylizer = Stylizer(
        base, {name: replace(style, look=look) for name, look in looks.items()}, finder=finder, method="code"
    )
    people = [image.permute(1, 2, 0).numpy() for image in (photos[k] for k in range(len(photos)))]
    drawn = [stylizer.stylize(picture, aligned=True, size=256).faces[0].pictures for picture in people]
    with one_thread():
        embedder, network = options.persons(base, identity, "cpu"), set_network(base, features, "cpu")
        scorer = PictureScorer(np.stack(people), embedder, network)
        exemplars = scorer.exemplars(np.stack(held_out))
        return {name: scorer.measure(np.stack([pictures[name] for pictures in drawn]), exemplars) for name in looks}


def _best(found: dict[str, PictureMeasures], colourless: bool) -> str:
    """Return the look that is nearest to the style, of those that keep people and are sharp.

    Raises:
        BadData: No look does.
    """

    def distance(name: str) -> float:
        style = found[name].style
        assert style is not None
        return style.value

    if not (good := [name for name, measures in found.items() if measures.is_fit(colourless)]):
        lines = "; ".join(f"{name}{told(measures)}" for name, measures in found.items())
        raise BadData(f"No look keeps people and is as sharp as the exemplars: {lines}.", "Name one with --medium.")
    return min(good, key=distance)


def told(measures: PictureMeasures) -> str:
    """Return what was measured of drawings, as a line."""
    assert measures.style is not None and measures.exemplar_sharpness is not None
    return (
        f"  identity {measures.identity.value:.3f}  rank-1 {measures.rank1.value:.2f}  style {measures.style.value:.2f}"
        f" +- {measures.style.half_width:.2f}"
        f"  sharpness {measures.sharpness.value / measures.exemplar_sharpness.value:.2f} of the exemplars'"
    )
