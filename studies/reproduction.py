"""The papers' comparisons, re-run on the models and data at hand, ours beside what is printed.

    python -m studies ui2i --out repro/ --data DATA/ --styles toon3d,charcoal --seeds 0-2

Trains what is missing into run folders under --out, reuses what is there, and can be interrupted and called again.
Writes reproduction.md, with what other papers were run in the same folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

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
from portraitist.ops import keep_heap
from portraitist.report.markdown import BLANK, prose
from portraitist.train.spec import Training, current

from . import agilegan, cartoon_stylegan, ui2i
from .material import drawn_photos
from .study import Study

PAPERS = {"ui2i": ui2i.reproduce, "cartoon-stylegan": cartoon_stylegan.reproduce, "agilegan": agilegan.reproduce}
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


# The command.


def parser(paper: str) -> argparse.ArgumentParser:
    """Return the options of a paper's command."""
    found = argparse.ArgumentParser(prog=f"python -m studies {paper}", description="Re-run a paper's comparison.")
    add = found.add_argument
    add("--out", "-o", type=Path, required=True, help="folder for runs, numbers and the page; continued")
    add("--data", type=Path, required=True, help="folder of exemplars: a folder or zip per style, NAME or style_NAME")
    add("--styles", help="styles, joined by commas (default: all folders named style_NAME)")
    add("--seeds", default="0-2", help="as in 0,1,2 or 0-2: each splits, trains and draws")
    add("--base", default="faces", help="model that styles are made from: name, file or run folder")
    add("--images", type=_at_least(1), default=3000, help="images that each training sees")
    add("--samples", type=_at_least(16), default=2000, help="latents that each model draws")
    add("--photos", type=Path, help="agilegan: aligned faces that nothing was trained on, folder or zip")
    add("--limit", type=_at_least(3), default=48, help="take so many photos, drawn with seed 0")
    add("--encoder", action="append", default=[], help="agilegan: NAME=FILE, as in pSp=wplus.safetensors")
    add("--steps", type=_at_least(1), help="agilegan: steps of every optimisation (default: 500, in-domain 100)")
    add("--features", type=Path, action="append", default=[], help="weights to compare sets with; may be repeated")
    add("--perceptual", type=Path, help="weights to compare pictures with (default: the base's discriminator)")
    add("--lpips", type=Path, help="LPIPS weights that were fitted on --perceptual")
    add("--identity", type=Path, help="weights of a face embedder")
    add("--no-scratch", dest="scratch", action="store_false", help="ui2i: leave out training from scratch")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="of every training's start")
    add("--device", default="auto", help="cpu, cuda or auto")
    return found


def main(paper: str, arguments: Sequence[str]) -> None:
    """Run a paper's command."""
    _check(paper)
    given = parser(paper).parse_args(arguments)
    keep_heap()
    device = options.device(given.device)
    model = registry.load(given.base)
    model.generator.to(device)
    side = model.generator.anatomy.resolution
    own = DiscriminatorFeatures(model.require_discriminator("to look with")).to(device)
    features = [load_features(file, largest=256) for file in given.features]
    perceptual = options.perceptual(given.perceptual, given.lpips, "--perceptual") or PerceptualDistance(own)
    for network in features:
        if isinstance(network, torch.nn.Module):
            network.to(device)
    study = Study(
        base=model,
        out=given.out,
        sets=_sets(given.data, given.styles, side),
        seeds=tuple(options.seeds(given.seeds)),
        images=given.images,
        samples=given.samples,
        features=(own, *features),
        perceptual=(perceptual.to(device),),
        identity=None if given.identity is None else options.persons(model, given.identity, device),
        photos=None if given.photos is None else drawn_photos(options.pictures(given.photos, side), given.limit),
        encoders=_encoders(model, given.encoder) if paper == "agilegan" else {},
        steps=given.steps,
        scratch=given.scratch,
        device=device,
        start=options.with_settings(Training(), [current(pair) for pair in given.set]) if given.set else None,
    )
    print(reproduce(paper, study))


def _at_least(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return read


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
