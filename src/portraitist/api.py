"""The steps of the command line as functions: train a style, invert a photo, edit it, score a style.

    from portraitist import edit_photo, evaluate_style, invert_photo, train_style

    trained = train_style("drawings", "runs/mine", recipe="freeze_fc", images=20_000)
    trained.stylizer().stylize("me.jpg").save("me.png")
    face = invert_photo("me.jpg")                           # face.code, face.reconstruction
    edit_photo("me.jpg", "pose.safetensors:pose", strength=2, style="toon3d").save("turned.png")
    rows = evaluate_style("runs/mine", "unseen-drawings")   # rows[0].values["kid"]

The packages ``portraitist.train``, ``invert``, ``edit`` and ``evaluate`` hold what these are made of; hence the longer
names. All errors are subclasses of ``PortraitistError``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .data import ImageSet
from .edit import moved, rows_of
from .errors import UsageError
from .evaluate.held_out import reference_of
from .evaluate.quality import Row, Scorer
from .faces import FaceFinder, finder_named
from .invert import Inverter
from .io import registry
from .io.headers import Header
from .io.words import direction_of
from .losses.perceptual import PerceptualDistance
from .networks.features import DiscriminatorFeatures
from .networks.identity import DiscriminatorIdentity
from .ops.devices import device_named
from .ops.memory import memory_told
from .recipes import compose
from .runs.finetune import TrainOptions, train
from .runs.source import Source
from .spaces.direction import Direction
from .stylize import Inversion, Portrait, Stylizer
from .stylize.crops import Photo
from .train.spec import Training
from .train.state import TrainState


@dataclass(frozen=True)
class TrainedStyle:
    """What a training left."""

    style: Path
    """The style pack, which ``Stylizer.from_pretrained`` takes."""
    folder: Path
    """The run folder, with a report card ``report.html`` and the sheet ``style.png``."""

    def stylizer(self, *, device: str = "auto") -> Stylizer:
        """Load the style, to draw in it."""
        return Stylizer.from_pretrained(self.folder, device=device)


def train_style(
    exemplars: Path | str,
    out: Path | str,
    *,
    base: Path | str = "faces",
    recipe: str = "baseline",
    preset: str = "default",
    training: Training | None = None,
    images: int | None = None,
    name: str = "",
    licence: str = "",
    credit: str = "",
    finder: FaceFinder | None = None,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> TrainedStyle:
    """Teach a base a style, or continue what was begun in the folder; ``portraitist train --from``.

    Args:
        exemplars: Folder, zip or LMDB of aligned drawings.
        out: The run folder.
        base: Name, file or run folder of the base.
        recipe: Recipes joined by ``+``; see ``portraitist recipes``.
        preset: ``default`` (what works best here), ``paper`` or ``released``.
        training: All settings, in place of recipe, preset and seed; see ``recipes.compose``.
        images: Images to show at most; those of the recipe when None.
        name: Of the style.
        licence: SPDX identifier of the terms that it may be used under.
        credit: Whom the licence asks to name.
        finder: Finds the faces of the exemplars, for the look of the style; the first of ``faces.FINDERS`` when None.
        seed: Of all random numbers.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        quiet: Show no progress bar.
        on_progress: Called at every tick with the images seen, and those there are at most.

    Raises:
        PortraitistError: The exemplars or settings cannot be used; see its subclasses.
        Interrupted: A signal came; a snapshot was written, and the same call continues.
    """
    model = registry.load_base(base)
    resolution = model.generator.anatomy.resolution
    chosen = training or compose(recipe, resolution, preset=preset, start=Training(seed=seed))
    if images is not None:
        chosen = replace(chosen, images=images)

    def watch(state: TrainState) -> None:
        if on_progress is not None:
            on_progress(state.images, chosen.images)

    options = TrainOptions(
        device=device_named(device, exact=True),
        quiet=quiet,
        recipe="" if training else f"{recipe} ({preset})",
        about=Header(model.generator.anatomy, name=name, licence=licence, credit=credit),
        finder=finder or finder_named(),
        watch=watch,
    )
    folder = Path(out)
    with memory_told():
        train(ImageSet.open(Path(exemplars), resolution), folder, Source(model), chosen, options)
    return TrainedStyle(folder / registry.RUN_FILES[0], folder)


def invert_photo(
    photo: Photo,
    *,
    base: Path | str = "faces",
    inversion: Inversion | Inverter | None = None,
    aligned: bool = False,
    finder: FaceFinder | None = None,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[int, int], None] | None = None,
) -> Portrait:
    """Find the code of the largest face of a photo; ``portraitist invert``.

    Args:
        photo: A file, its bytes, pixels ``uint8 [H, W, 3]``, or a picture of Pillow.
        base: Name, file or run folder of the model to invert into.
        inversion: How; by the encoder of the base if one is known, else by optimisation, when None.
        aligned: The photo is an aligned square face already.
        finder: Finds the face; the first of ``faces.FINDERS`` when None.
        seed: Of the optimisation.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        on_progress: Called with the steps done, and those there are.

    Returns:
        The face: its ``code`` [1, rows, w_dim], and its ``reconstruction``; it has no pictures.

    Raises:
        PortraitistError: The photo shows no face or cannot be read, or the base is not known; see its subclasses.
    """
    model = registry.load(base)
    stylizer = Stylizer(
        model, {}, inversion=inversion, finder=finder, seed=seed, device=device_named(device), progress=on_progress
    )
    return stylizer.stylize(photo, which="largest", aligned=aligned).faces[0]


def edit_photo(
    photo: Photo,
    direction: Direction | str,
    *,
    strength: float = 1.0,
    resolutions: Sequence[int] | None = None,
    style: Path | str | Sequence[Path | str] = (),
    inversion: Inversion | Inverter | None = None,
    aligned: bool = False,
    finder: FaceFinder | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Portrait:
    """Move the largest face of a photo along a direction, and draw it in every style; ``portraitist edit apply``.

    Args:
        photo: As :func:`invert_photo`.
        direction: A direction, a word that the base knows such as ``smile``, or ``FILE:NAME`` of one in a file
            (``FILE`` alone if it holds one).
        strength: How far, in deviations of the codes; may be negative.
        resolutions: Blocks that move, such as ``[4, 8]``; all when None.
        style: As ``Stylizer.from_pretrained``; the bundled styles of one base when empty.
        inversion: As :func:`invert_photo`.
        aligned: As :func:`invert_photo`.
        finder: As :func:`invert_photo`.
        seed: As :func:`invert_photo`.
        device: As :func:`invert_photo`.

    Returns:
        The face as it was drawn from the moved code.

    Raises:
        PortraitistError: As :func:`invert_photo`, or the direction belongs to another base.
    """
    # Edited codes are drawn: the pixels of the photo know nothing of the edit.
    stylizer = Stylizer.from_pretrained(style, inversion=inversion, finder=finder, detail=0, seed=seed, device=device)
    if isinstance(direction, str):
        direction = direction_of(direction, stylizer.base_digest, stylizer.base.header.name)
    rows = None if resolutions is None else rows_of(stylizer.base.generator.anatomy, list(resolutions))
    face = stylizer.stylize(photo, which="largest", aligned=aligned).faces[0]
    return stylizer.redraw(face.aligned, code=moved(face.code, direction, strength, rows=rows))


def evaluate_style(
    style: Path | str,
    exemplars: Path | str,
    *,
    trained: Path | str | None = None,
    attribute: str | None = None,
    samples: int = 2000,
    seed: int = 0,
    device: str = "auto",
) -> list[Row]:
    """Score what a style draws of random latents, beside three baselines; ``portraitist evaluate quality``.

    The base's own discriminator compares pictures and persons. Of the very set that the style was trained on, the
    exemplars that its training held out are scored on.

    Args:
        style: Name, file or run folder.
        exemplars: Folder, zip or LMDB of exemplars that the style has not seen, or all of its.
        trained: The exemplars that it was trained on, where they are kept apart.
        attribute: Path of a style that has several.
        samples: How many pictures to draw.
        seed: Of all draws.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Returns:
        The style's row first; its ``values`` have the keys of ``evaluate.quality.MEASURES``.

    Raises:
        PortraitistError: The style or the exemplars cannot be used; see its subclasses.
    """
    import torch

    if samples < 2:
        raise UsageError(f"{samples} samples cannot be scored.", "Draw more.")
    where, path = device_named(device, exact=True), registry.find(style)
    model = registry.load(path, attribute=attribute)
    base = registry.base_of(model.header, path) if model.header.base_digest else model
    resolution = model.generator.anatomy.resolution
    known = None if trained is None else ImageSet.open(Path(trained), resolution)
    reference = reference_of(model.header, ImageSet.open(Path(exemplars), resolution), known)
    discriminator = base.require_discriminator("to look with").to(where)
    for part in (model, base):
        part.generator.to(where)
    features = DiscriminatorFeatures(discriminator)
    identity = DiscriminatorIdentity.of_base(base.generator, discriminator)
    with memory_told():
        scorer = Scorer(reference.to(where), features, PerceptualDistance(features).to(where), identity, seed=seed)
        random = torch.Generator().manual_seed(seed)
        codes = torch.randn(samples, model.generator.anatomy.z_dim, generator=random).to(where)
        inputs = base.generator.sample_batches(codes)
        name = model.header.name or registry.name_of(path)
        return [scorer.row(name, model.generator.sample_batches(codes), inputs), *scorer.baselines(inputs)]
