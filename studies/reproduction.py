"""The papers' comparisons, re-run on the models and data at hand, ours beside what is printed.

    python -m studies ui2i --out repro/ --data DATA/ --styles toon3d,charcoal --seeds 0-2

Trains what is missing into run folders under --out, reuses what is there, and can be interrupted and called again.
Writes reproduction.md, with what other papers were run in the same folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from portraitist.cli import options
from portraitist.data import ImageSet
from portraitist.errors import UsageError
from portraitist.files import write_bytes
from portraitist.io import registry
from portraitist.io.encoder_files import StoredEncoder
from portraitist.io.feature_files import load_features
from portraitist.io.model_file import Model
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.features import DiscriminatorFeatures
from portraitist.report.markdown import BLANK, prose
from portraitist.train.spec import Training, current

from . import agilegan, cartoon_stylegan, ui2i
from .material import drawn_photos
from .study import Study

PAPERS = {"ui2i": ui2i.reproduce, "cartoon-stylegan": cartoon_stylegan.reproduce, "agilegan": agilegan.reproduce}
USED = {
    "ui2i": ("--photos", "--steps", "--learn-from"),
    "cartoon-stylegan": (),
    "agilegan": ("--photos", "--steps", "--encoder", "--pairs", "--learn-from"),
}
"""The options about photos that a paper's comparison uses."""
PAGE = "reproduction.md"


def reproduce(paper: str, study: Study) -> Path:
    """Run one paper's comparison, and write the page of all that were run in this folder.

    Interrupted, it goes on where it stopped: trainings from their last snapshot, measurements one by one.

    Returns:
        The page.

    Raises:
        UsageError: There is no such paper, or something that it needs is missing.
    """
    _check(paper)
    lines = PAPERS[paper](study)
    part = study.out / "measured" / f"page-{paper}.md"
    write_bytes(part, "\n".join([*lines, *_data(study)]).encode(), overwrite=True)
    parts = [study.out / "measured" / f"page-{name}.md" for name in PAPERS]
    text = "\n".join([*_HEAD, *(p.read_text(encoding="utf-8").rstrip() + "\n" for p in parts if p.exists())])
    write_bytes(study.out / PAGE, text.encode(), overwrite=True)
    return study.out / PAGE


_HEAD = [
    "# The papers' tables, re-run",
    BLANK,
    *prose(
        """Written by `python -m studies`. Ours stands beside what is printed; the models are smaller, the
        exemplars fewer and the networks that measure others, so orders can be compared and values cannot. Every
        table has its baselines: *do nothing* hands on the input, *mean colour* tints it, the *memoriser* copies
        exemplars of the training."""
    ),
]


def _check(paper: str) -> None:
    if paper not in PAPERS:
        raise UsageError(f"There is no paper '{paper}'.", f"Use {' or '.join(PAPERS)}.")


def _data(study: Study) -> list[str]:
    """Say what was at hand."""
    sizes = ", ".join(f"{style} {len(images)}" for style, images in study.sets.items())
    return prose(
        f"""At hand: base {study.base.header.name} ({study.side} pixels, digest {study.base.digest[:12]}), exemplars
        {sizes} (of which a fifth is unseen and a fifth judges), seeds {", ".join(map(str, study.seeds))},
        {study.images} images a training, {study.samples} latents."""
    )


# The command, whose options `portraitist evaluate reproduce` has.


def study_of(
    paper: str,
    *,
    out: Path,
    data: Path,
    styles: str | None,
    seeds: tuple[int, ...],
    base: str,
    images: int,
    samples: int,
    scratch: bool,
    settings: list[str],
    photos: Path | None,
    limit: int,
    encoders: Sequence[str],
    pairs: Path | None,
    learn_from: Path | None,
    steps: int | None,
    features: Sequence[Path],
    perceptual: Path | None,
    lpips: Path | None,
    identity: Path | None,
    device: str,
) -> Study:
    """Read what a paper's comparison needs; the arguments are the options of the command.

    Raises:
        UsageError: There is no such paper, it has no use for an option, or one names what is not there.
    """
    _check(paper)
    given = {"--photos": photos is not None, "--steps": steps is not None, "--encoder": bool(encoders)}
    given |= {"--pairs": pairs is not None, "--learn-from": learn_from is not None}
    if idle := [option for option, is_given in given.items() if is_given and option not in USED[paper]]:
        raise UsageError(f"{idle[0]} has no part in {paper}.", "Leave it out.")
    if learn_from is not None and photos is None:
        raise UsageError("Translators that learn from --learn-from draw --photos.", "Give both.")
    if pairs is not None and identity is None:
        raise UsageError("--pairs are compared by a face embedder.", "Name one with --identity.")
    model = registry.load(base)
    model.generator.to(device)
    side = model.generator.anatomy.resolution
    own = DiscriminatorFeatures(model.require_discriminator("to look with")).to(device)
    judges = [load_features(file, largest=256) for file in features]
    distance = options.perceptual(perceptual, lpips, "--perceptual") or PerceptualDistance(own)
    for network in judges:
        if isinstance(network, torch.nn.Module):
            network.to(device)
    return Study(
        base=model,
        out=out,
        sets=_sets(data, styles, side),
        seeds=seeds,
        images=images,
        samples=samples,
        features=(own, *judges),
        perceptual=(distance.to(device),),
        identity=None if identity is None else options.persons(model, identity, device),
        photos=None if photos is None else drawn_photos(options.pictures(photos, side), limit),
        pairs=None if pairs is None else pairs_of(pairs, side),
        learned=None if learn_from is None else options.pictures(learn_from, side),
        encoders=_encoders(model, encoders) if paper == "agilegan" else {},
        steps=steps,
        scratch=scratch,
        device=device,
        start=options.with_settings(Training(), [current(pair) for pair in settings]) if settings else None,
    )


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
    labels = {name: data / f"labels_style_{name}.csv" for name in found}
    return {n: options.pictures(p, side, labels[n] if labels[n].exists() else None) for n, p in found.items()}


def pairs_of(folder: Path, side: int) -> tuple[Tensor, Tensor]:
    """Read the photos of persons twice, from the folders ``neutral`` and ``smiling``.

    Raises:
        UsageError: A person is in one of them only.
    """
    neutral, smiling = (options.pictures(folder / name, side) for name in ("neutral", "smiling"))
    if alone := set(neutral.names) ^ set(smiling.names):
        raise UsageError(
            f"{min(alone)} is in one of {folder / 'neutral'} and {folder / 'smiling'} only.",
            "Name both photos of a person alike.",
        )
    return neutral.all(), smiling.all()


def _encoders(base: Model, given: Sequence[str]) -> dict[str, StoredEncoder]:
    """Return the encoders by the names of their rows; hVAE is the base's own where none is named so."""
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
