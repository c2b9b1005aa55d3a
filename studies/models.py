"""The bundled models, measured on what they were not trained on.

    python -m studies models --data DATA --runs runs/models --sheets out/results

Photos of `photos_eval_256`, `people_london` and `test_unaligned` are measured, never trained on. Only pictures of faces
that belong to nobody, and of the public domain, go into the documents; sheets of the others stay in the folder given.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from portraitist.data import ImageSet
from portraitist.data.images import Pixels, resize, to_array, to_tensor, write_image
from portraitist.data.sheet import beside, grid, tile
from portraitist.errors import PortraitistError
from portraitist.evaluate import (
    Interval,
    kernel_interval,
    layout_similarity,
    model_distance,
    neighbourhoods,
    pooled_features,
)
from portraitist.faces import BlazeFinder
from portraitist.io import catalogue, registry
from portraitist.io.feature_files import load_features
from portraitist.io.headers import Header
from portraitist.io.identity_files import load_identity
from portraitist.io.model_file import Model
from portraitist.losses.perceptual import default_perceptual
from portraitist.networks.features import DiscriminatorFeatures, Features
from portraitist.networks.identity import Identity
from portraitist.report.markdown import BLANK, interval, prose, table
from portraitist.spaces import WPlus
from portraitist.stylize import ByEncoder, Portrait, Portraits, Stylizer, stylize_files
from portraitist.stylize.choices import Options

from .material import drawn_photos, samples, shown_people
from .verdict import mean_error

BASE = "faces"
SAMPLES, SHOWN, PHOTOS, PEOPLE, CODES, STEPS = 1000, 64, 24, 12, 2000, 20
HEIGHT = 128


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies models", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with photos_eval_256.zip, test_unaligned, ...")
    parser.add_argument("--runs", type=Path, default=Path("runs/models"), help="run folders of make_models.py")
    parser.add_argument("--sheets", type=Path, default=Path("out/results"), help="folder for pictures to look at")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheets")
    given = parser.parse_args(arguments)
    models = BundledModels.of(given.data)
    write_image(given.out / "models_samples.png", grid(models.samples[:SHOWN], columns=16))
    write_image(given.out.parent / "models.png", family(models))
    write_image(given.out / "models_people.png", people_sheet(models, given.data))
    write_image(given.out / "models_between.png", between_sheet(models, given.data))
    lines = [
        "# The bundled models, measured",
        BLANK,
        *prose(
            "Written by `python -m studies models`, on one core, with photos that nothing was trained on: "
            "`photos_eval_256` (synthetic people of other makers than those of the training photos), `people_london` "
            "(real people, neutral) and `test_unaligned` (pictures as people have them, 512 to 1024 pixels, not "
            "aligned). ± is a standard error, by jackknife for distances of sets."
        ),
        *base_section(models, given.data),
        *style_section(models, given.data, given.sheets),
        *frame_section(models, given.data, given.sheets),
        *training_section(given.runs),
    ]
    (given.out / "models.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True, eq=False)
class BundledModels:
    """The base and its styles, with the networks that measure them."""

    base: Model
    stylizers: Mapping[str, Stylizer]
    """By the words for how codes are found; each holds every style, and every path of one that has paths."""
    features: Mapping[str, Features]
    """What sets are compared with."""
    identity: Identity
    samples: Tensor
    """Of the base, [N, 3, R, R], not truncated."""

    @classmethod
    def of(cls, data: Path) -> BundledModels:
        base = registry.load(BASE)
        features = {
            "discriminator": DiscriminatorFeatures(base.require_discriminator("to measure with")),
            "SqueezeNet": load_features(data / "weights/squeezenet1_1_imagenet_mxnet.npz"),
        }
        z = torch.randn(SAMPLES, base.generator.anatomy.z_dim, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            drawn = torch.cat([base.generator(part).clamp(-1, 1) for part in torch.split(z, 50)])
        ways = {"encoder": ByEncoder(), f"encoder + {STEPS} steps": ByEncoder(refine=STEPS)}
        stylizers = {name: Stylizer(base, {}, inversion=way) for name, way in ways.items()}
        for stylizer in stylizers.values():
            for name, attribute in styles():
                stylizer.add(name, name=label(name, attribute), attribute=attribute)
        return cls(base, stylizers, features, load_identity(data / "weights/mobilefacenet.pt"), drawn)

    @property
    def side(self) -> int:
        return self.base.generator.anatomy.resolution

    @property
    def refined(self) -> Stylizer:
        """What the sheets are drawn with, as `make demo` does."""
        return self.stylizers[f"encoder + {STEPS} steps"]


def packs() -> list[catalogue.Entry[Header]]:
    """Return the bundled styles of the base."""
    return [
        e for e in registry.entries() if (e.where, e.header.kind, e.header.base_name) == ("bundled", "style-pack", BASE)
    ]


def styles() -> list[tuple[str, str | None]]:
    """Return every bundled style of the base, and every path of one that has paths."""
    return [(e.name, path) for e in packs() for path in (e.header.paths or (None,))]


def label(name: str, attribute: str | None) -> str:
    return name if attribute is None else f"{name}: {attribute}"


# The base.


def base_section(models: BundledModels, data: Path) -> list[str]:
    """Return how near the samples of the base are to photos it has not seen."""
    seen, held_out = (open_photos(data / f"{name}.zip", models.side) for name in ("photos_256", "photos_eval_256"))
    sets = {
        "samples of the base": models.samples,
        "its training photos": seen,
        "the mean face": models.samples.mean(0, keepdim=True).repeat(len(models.samples), 1, 1, 1),
    }
    lines = [
        "## The base",
        "",
        f"![{SHOWN} samples of the base, not truncated](models_samples.png)",
        "",
        *prose(
            f"{len(models.samples)} samples, not truncated, against the {len(held_out)} photos of `photos_eval_256`, "
            "whose people come from other makers; the training photos say what a set of real photos would get. Kernel "
            "distance (Binkowski et al. 2018), and precision, recall (k = 3), density and coverage (k = 5) at equal "
            "numbers, on pooled features of the base's discriminator and of SqueezeNet 1.1 (ImageNet)."
        ),
    ]
    body = []
    for by, features in models.features.items():
        target = pooled_features(features, held_out)
        for name, images in sets.items():
            rows = pooled_features(features, images)
            around = neighbourhoods(target, rows)
            cells = (kernel_interval(rows, target), around.precision, around.recall, around.density, around.coverage)
            body.append([name, by, *map(interval, cells)])
    head = ["set", "features", "kernel distance ↓", "precision ↑", "recall ↑", "density ↑", "coverage ↑"]
    return [*lines, *table(head, body)]


def open_photos(path: Path, side: int) -> Tensor:
    return ImageSet.open(path, side).all()


# The styles.


@dataclass
class Kept:
    """What is left of the photos in one style's drawings."""

    photos: list[Tensor] = field(default_factory=list)
    drawings: list[Tensor] = field(default_factory=list)
    wanted: list[npt.NDArray[np.float64] | None] = field(default_factory=list)
    found: list[npt.NDArray[np.float64] | None] = field(default_factory=list)

    def note(self, photo: Pixels, picture: Pixels, wanted: npt.NDArray[np.float64] | None) -> None:
        self.photos.append(to_tensor(photo))
        self.drawings.append(to_tensor(picture))
        self.wanted.append(wanted)
        self.found.append(points(picture))

    def identity(self, embedder: Identity) -> tuple[Interval, Interval]:
        """Return the cosine of photo and drawing, and that of impostors."""
        with torch.no_grad():
            a, b = (embedder.embed(torch.stack(x)) for x in (self.photos, self.drawings))
        return mean_error((a * b).sum(1)), mean_error((a.roll(1, 0) * b).sum(1))

    def layout(self) -> Interval:
        return mean_error(layout_similarity(torch.stack(self.drawings), torch.stack(self.photos)))

    def moved(self) -> tuple[float, int, int]:
        """Return how far eyes and mouth corners have moved, in distances of the eyes; faces lost; faces looked at."""
        pairs = [(w, f) for w, f in zip(self.wanted, self.found, strict=True) if w is not None]
        errors = [
            float(np.linalg.norm(f - w, axis=1).mean() / np.linalg.norm(w[1] - w[0])) for w, f in pairs if f is not None
        ]
        return statistics.median(errors) if errors else float("nan"), len(pairs) - len(errors), len(pairs)


def style_section(models: BundledModels, data: Path, sheets: Path) -> list[str]:
    """Return what each style keeps of held-out people, and how far it is from the base."""
    lines = [
        "## The styles",
        "",
        "![The same twelve codes of the prior in the base and in each style](../models.png)",
        "",
        *pack_table(models),
        *prose(
            f"What is kept of {PHOTOS} photos of `photos_eval_256` and of {PHOTOS} people of `people_london`. "
            "*Identity*: cosine of MobileFaceNet (foamliu) between photo and drawing, and, in brackets, between the "
            "next photo and the drawing, which is its zero; it was trained on photos, so that no style can reach what "
            "the base does. *Layout*: correlation of luminance over 16 x 16 areas. *Moved*: median distance of eyes "
            "and mouth corners to where they are in the photo, in distances of the eyes; how many drawings no face was "
            "found in."
        ),
    ]
    body = []
    for group, photos in held_out_people(data).items():
        for way, stylizer in models.stylizers.items():
            kept, rows = redrawn(stylizer, photos)
            write_image(sheets / f"{group}-{way.replace(' ', '')}.png", np.concatenate(rows))
            for name, one in kept.items():
                (same, other), (moved, lost, asked) = one.identity(models.identity), one.moved()
                cells = (
                    f"{interval(same)} ({other.value:.3f})",
                    interval(one.layout()),
                    f"{moved:.3f}",
                    f"{lost} of {asked}",
                )
                body.append([group, way, name, *cells])
    head = ["photos", "codes by", "drawing", "identity ↑", "layout ↑", "moved ↓", "no face"]
    return [*lines, *table(head, body)]


def pack_table(models: BundledModels) -> list[str]:
    """Return what the packs say of themselves, and their distance to the base."""
    distance = default_perceptual(models.base.require_discriminator("to measure with"))
    lines = [
        *prose(
            "*Held-out distance*: kernel distance to the fifth of the exemplars that was not trained on, by the base's "
            "discriminator, of the tick that was kept; *likeness*: correlation of its layout with the base's; "
            "*copies*: of 500 samples, how many lie suspiciously near to a training exemplar. *Distance to the base*: "
            f"mean perceptual distance over {CODES} shared codes, by the base's discriminator (UI2I, Eq. 1)."
        ),
    ]
    body = []
    for entry in packs():
        metrics, header = entry.header.metrics, entry.header
        apart = [
            model_distance(
                models.base.generator,
                models.refined.generators[label(entry.name, path)],
                distance,
                z_dim=models.base.generator.anatomy.z_dim,
                count=CODES,
            )
            for path in header.paths or (None,)
        ]
        copies = f"{metrics['copies']['below']}, {'ALARM' if metrics['copies']['alarm'] else 'silent'}"
        held_out = interval(Interval(metrics["held_out"], metrics["held_out_spread"]))
        cells = held_out, f"{metrics['likeness']:.3f}", copies, ", ".join(map(interval, apart))
        size = f"{entry.path.stat().st_size / 1e6:.1f}"
        body.append([entry.name, str(header.recipe["recipe"]), f"{metrics['images']:.0f}", *cells, size])
    head = ["style", "recipe", "images", "held-out distance ↓", "likeness ↑", "copies", "distance to the base", "MB"]
    return [*lines, *table(head, body)]


def held_out_people(data: Path) -> dict[str, list[Pixels]]:
    """Return aligned photos by the name of their set."""
    found = {}
    for name in ("photos_eval_256", "people_london"):
        path = data / f"{name}.zip" if name.startswith("photos") else data / name / "neutral"
        photos = ImageSet.open(path, 256)
        found[name] = [to_array(x) for x in drawn_photos(photos, PHOTOS)]
    return found


def redrawn(stylizer: Stylizer, photos: Sequence[Pixels]) -> tuple[dict[str, Kept], list[Pixels]]:
    """Redraw aligned photos in every style."""
    kept: dict[str, Kept] = {name: Kept() for name in ("base", *stylizer.generators)}
    rows = []
    for photo in photos:
        portraits = stylizer.stylize(photo, aligned=True)
        face, wanted = portraits.faces[0], points(photo)
        for name, picture in drawings(face).items():
            kept[name].note(photo, resize(picture, len(photo)), wanted)
        rows.append(portraits.sheet(HEIGHT))
    return kept, rows


def drawings(face: Portrait) -> dict[str, Pixels]:
    return {"base": face.reconstruction, **face.pictures}


def points(picture: Pixels) -> npt.NDArray[np.float64] | None:
    """Return eyes and mouth corners of the largest face, [4, 2], or None."""
    found = BlazeFinder().find(picture)
    return np.asarray(found[0].landmarks.four) if found else None


# Whole photos.


def frame_section(models: BundledModels, data: Path, sheets: Path) -> list[str]:
    """Return what became of photos as people have them, and the sheets of people."""
    folder = data / "test_unaligned"
    reports = stylize_files(
        models.stylizers["encoder"], folder, sheets / "files", Options(overwrite=True, paste_back=True)
    )
    frames = []
    for path in sorted(folder.rglob("*.jpg"))[:PHOTOS]:
        try:
            frames.append(frame_row(models.refined, models.refined.stylize(path)))
        except PortraitistError as error:
            print(path, error)
    widest = max(frame.shape[1] for frame in frames)
    padded = [np.pad(f, ((0, 0), (0, widest - f.shape[1]), (0, 0)), constant_values=255) for f in frames]
    write_image(sheets / "frames.png", np.concatenate(padded))
    counts = Counter(report.status for report in reports)
    seconds = [report.seconds / max(report.faces, 1) for report in reports if report.status == "done"]
    names = ", ".join(models.refined.generators)
    return [
        "## Whole photos",
        "",
        *prose(
            f"`stylize --paste-back` on the {len(reports)} photos of `test_unaligned`: {counts['done']} redrawn "
            f"({sum(report.faces for report in reports)} faces), {counts['failed']} refused with a reason, no crash; "
            f"{statistics.median(seconds):.2f} s a face (median; {max(seconds):.2f} s at most) for reading, finding, "
            f"aligning, encoding, drawing {len(models.refined.generators)} styles, pasting, writing PNG files, "
            "one core."
        ),
        f"![From left to right: photo, base, {names}](models_people.png)",
        "",
        "Eileen Collins (NASA, public domain), and faces of nobody (drawn by Stable Diffusion 3, CC0).",
        "",
        "![From one face to another, in the base and in two styles](models_between.png)",
        "",
    ]


def frame_row(stylizer: Stylizer, portraits: Portraits) -> Pixels:
    return beside([portraits.photo, *(portraits.pasted(style) for style in stylizer.generators)], HEIGHT)


def family(models: BundledModels, count: int = 12) -> Pixels:
    """Draw the same codes of the prior with the base and with each style, a row each."""
    generators = [models.base.generator, *models.refined.generators.values()]
    code = samples(models.base, count, 0)
    with torch.no_grad():
        return grid(torch.cat([generator.synthesize(code) for generator in generators]), columns=count)


def nobody(models: BundledModels, data: Path, count: int) -> list[Portraits]:
    """Redraw photos that may be shown."""
    return [models.refined.stylize(photo, which="largest") for photo in shown_people(data / "test_unaligned", count)]


def people_sheet(models: BundledModels, data: Path) -> Pixels:
    return np.concatenate([portraits.sheet(HEIGHT) for portraits in nobody(models, data, PEOPLE)])


def between_sheet(models: BundledModels, data: Path, steps: int = 9) -> Pixels:
    """Go from one person to another along a line in W+, in the base and in two styles."""
    first, *_, last = (portraits.faces[0].code.data for portraits in nobody(models, data, 3))
    codes = [WPlus(torch.lerp(first, last, k / (steps - 1))) for k in range(steps)]
    chosen = [models.base.generator, *list(models.refined.generators.values())[:2]]
    return tile([models.refined.draw(g, code, HEIGHT) for g in chosen for code in codes], columns=steps)


# How they were made.


def training_section(runs: Path) -> list[str]:
    """Return the cost of every run folder."""
    body = []
    for settings in sorted(runs.glob("*/settings.json")):
        run = json.loads(settings.read_text(encoding="utf-8"))
        stats = [json.loads(line) for line in (settings.parent / "stats.jsonl").read_text().splitlines()]
        minutes = sum(
            (b["images"] - a["images"]) / b["images_per_second"] / 60
            for a, b in zip([{"images": 0.0}, *stats], stats, strict=False)
        )
        what = f"batch {run['batch']}, rate {run['learning_rate']}, seed {run['seed']}"
        body.append([settings.parent.name, f"{stats[-1]['images']:.0f}", what, str(run["device"]), f"{minutes:.0f}"])
    return [
        "## How they were made",
        BLANK,
        "From the run folders of `make models`; a style that was tried with several recipes has a run for each.",
        BLANK,
        *table(["run", "images", "settings", "device", "minutes"], body),
    ]
