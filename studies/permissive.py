"""The permissive set, models that a product may use, beside the default one: what the smaller set of pictures costs.

python -m studies permissive --data DATA
python -m studies permissive --data DATA --encoder runs/models/faces-open-hvae/encoder.safetensors
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from portraitist.data import ImageSet
from portraitist.data.images import Pixels, to_array, write_image
from portraitist.data.sheet import grid
from portraitist.evaluate import PictureScorer, pooled_features
from portraitist.evaluate.picture_signals import SIDE
from portraitist.files import write_bytes
from portraitist.io import registry
from portraitist.io.encoder_files import StoredEncoder, load_encoder
from portraitist.io.feature_files import load_features
from portraitist.io.headers import read_header
from portraitist.io.identity_files import load_identity
from portraitist.networks.features import Features
from portraitist.report.labels import labelled
from portraitist.report.markdown import BLANK, interval, prose, table
from portraitist.stylize import ByEncoder, Stylizer

from .growth import drawn, measure_heads, measured
from .material import drawn_photos, shown_people
from .models import Kept, redrawn
from .pictures import HEAD, cells, draw, exemplars_of, people_of

SAMPLES, SHOWN, PHOTOS, STEPS, PEOPLE = 500, 40, 48, 20, 8
NETWORKS = ("squeezenet1_1_imagenet_mxnet.npz", "mobilenetv2_imagenet_mxnet_features_fp16.npz")
LICENCES = ("MIT", "CC0-1.0")
"""Of the photos that the permissive base learned from."""


@dataclass(frozen=True)
class ModelSet:
    """A base with styles of it."""

    base: str
    styles: Mapping[str, str]
    """Name -> folder of its exemplars."""


SETS = (
    ModelSet("faces", {"toon3d": "style_toon3d", "charcoal": "style_charcoal"}),
    ModelSet("faces-open", {"toon3d-open": "style_toon3d", "charcoal-open": "style_charcoal"}),
)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies permissive", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with photos_256.zip, style_toon3d, weights, ..."
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheets")
    parser.add_argument("--encoder", type=Path, help="an encoder of faces-open to measure beside that of faces")
    given = parser.parse_args(arguments)
    lines = [
        "# The permissive set",
        BLANK,
        *prose(
            "Written by `python -m studies permissive`: the models that a product may use beside the default ones. "
            "Their base has seen 699 photos instead of 1,699; style by style the exemplars are the same."
        ),
        *base_section(given.data, given.out),
        *(encoder_section(given.data, load_encoder(given.encoder)) if given.encoder else ()),
        *style_section(given.data, given.out),
    ]
    write_bytes(given.out / "permissive.md", ("\n".join(lines).rstrip() + "\n").encode(), overwrite=True)


def networks(data: Path) -> list[Features]:
    return [load_features(data / "weights" / name) for name in NETWORKS]


def base_section(data: Path, out: Path) -> list[str]:
    """Return how near each base comes to photos that neither has seen, and to those that it learned from."""
    features = networks(data)
    bases = {of.base: registry.load(of.base).generator for of in SETS}
    sizes = bases["faces"].anatomy
    side, latents = sizes.resolution, torch.randn(SAMPLES, sizes.z_dim, generator=torch.Generator().manual_seed(11))
    every = ImageSet.open(data / "photos_256.zip", side, labels=data / "photos_256.csv")
    free = every.subset([k for k, licence in enumerate(every.attributes["licence"]) if licence in LICENCES])
    held_out = ImageSet.open(data / "photos_eval_256.zip", side)
    targets = {
        "photos_eval_256": drawn_photos(held_out, len(held_out)),
        "the 699 photos": drawn_photos(free, len(free)),
    }
    pictures = {
        "all 1,699 photos": drawn_photos(every, SAMPLES),
        "the 699 photos": drawn_photos(free, SAMPLES),
        **{f"samples of `{name}`": drawn(generator, latents) for name, generator in bases.items()},
    }
    write_image(out / "permissive_samples.png", grid(pictures["samples of `faces-open`"][:SHOWN], columns=10))
    lines = [
        "## The base",
        BLANK,
        f"![{SHOWN} samples of `faces-open`, not truncated](permissive_samples.png)",
        BLANK,
        *prose(
            f"{SAMPLES} pictures of each set at {side} pixels, by pooled features; samples are not truncated. The "
            "makers of the 699 photos are others than those of `photos_eval_256`, so that these photos themselves lie "
            "away from it: the second table compares with the 699 photos. ± is one standard error."
        ),
    ]
    for target, photos in targets.items():
        wanted = [pooled_features(network, photos) for network in features]
        rows = [(n, *measured(p, features, wanted)) for n, p in pictures.items() if n != target]
        lines += table([f"to {target}", *measure_heads(features)], rows)
    return lines


def encoder_section(data: Path, encoder: StoredEncoder) -> list[str]:
    """Return what the encoders, of `faces` the bundled one, keep of people that no model has seen."""
    identity = load_identity(data / "weights/mobilefacenet.pt")
    encoders = {"faces": None, "faces-open": encoder}
    rows = []
    for path in (data / "photos_eval_256.zip", data / "people_london/neutral"):
        photos = [to_array(photo) for photo in drawn_photos(ImageSet.open(path, SIDE), PHOTOS)]
        for of in SETS:
            base = registry.load(of.base)
            for name, steps in (("encoder", 0), (f"encoder + {STEPS} steps", STEPS)):
                way = ByEncoder(encoders[of.base], refine=steps)
                kept: Kept = redrawn(Stylizer(base, {}, inversion=way), photos)[0]["base"]
                same, strangers = kept.identity(identity)
                rows.append(
                    [path.stem, of.base, name, f"{interval(same)} ({interval(strangers)})", interval(kept.layout())]
                )
    return [
        "## The encoder",
        BLANK,
        *prose(
            f"{PHOTOS} photos of each set, reconstructed. *Identity*: cosine of MobileFaceNet between photo and "
            "reconstruction, in brackets that of another photo and the reconstruction. *Layout*: correlation of "
            "luminance over 16 x 16 areas. The encoder of `faces-open` (`--encoder`) does not ship."
        ),
        *table(["photos", "base", "codes by", "identity ↑", "layout ↑"], rows),
    ]


def style_section(data: Path, out: Path) -> list[str]:
    """Return what the drawings of both sets measure, and the sheet of people."""
    photos = people_of([f"{data}/photos_eval_256.zip=36", f"{data}/people_london/neutral=36"])
    scorer = PictureScorer(photos, load_identity(data / "weights/mobilefacenet.pt"), networks(data)[-1])
    lines = [
        "## The styles",
        BLANK,
        *prose(
            f"As `portraitist stylize` draws {len(photos)} people whom no model has seen (36 each of "
            "photos_eval_256 and people_london). The measures are those of [pictures.md](pictures.md). *Held-out "
            "distance* and *copies* stand in the file of the style: kernel distance of samples to exemplars it "
            "has not seen, by the base's discriminator, and how many of 500 samples lie suspiciously near to one."
        ),
    ]
    rows, kept = [], []
    for of in SETS:
        pictures = draw(Stylizer.load(list(of.styles)), photos)
        for name, folder in of.styles.items():
            reference = scorer.exemplars(exemplars_of(name, data / folder)[0])
            found = scorer.measure(pictures.pictures[name], reference, pictures.mirrored[name])
            rows.append((name, *cells(found)))
            kept.append(file_scores(name))
    write_image(out / "permissive.png", labelled(dict(sheet_columns(data)), 160))
    return [
        *lines,
        *table(["style", *HEAD[1:]], sorted(rows, reverse=True)),
        *table(["style", "recipe", "images", "held-out distance ↓", "copies"], sorted(kept, reverse=True)),
        "![Photos, and their pictures in the styles of both sets](permissive.png)",
        BLANK,
        "Photos: Eileen Collins (NASA, public domain), and synthetic faces (Stable Diffusion 3, CC0).",
    ]


def file_scores(name: str) -> list[str]:
    """Return what a style's file says of its training."""
    header = read_header(registry.find(name))
    scores = header.metrics
    copies = f"{scores['copies']['below']}, {'ALARM' if scores['copies']['alarm'] else 'silent'}"
    held_out = f"{scores['held_out']:.3f} ± {scores['held_out_spread']:.3f}"
    return [name, str(header.recipe["recipe"]), f"{scores['images']:.0f}", held_out, copies]


def sheet_columns(data: Path) -> Iterator[tuple[str, list[Pixels]]]:
    """Yield the columns of the sheet: photos, and their pictures in each style."""
    people = shown_people(data / "test_unaligned", PEOPLE)
    for number, of in enumerate(SETS):
        by = Stylizer.load(list(of.styles))
        faces = [by.stylize(photo, which="largest", size=SIDE).faces[0] for photo in people]
        if not number:
            yield (
                "photo",
                [np.asarray(face.aligned.closeup.image) for face in faces if face.aligned.closeup is not None],
            )
        for style in of.styles:
            yield style, [face.pictures[style] for face in faces]
