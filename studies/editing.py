r"""One direction in every style: found on the bundled base, applied to the same codes, and measured.

UI2I, Fig. 6, and AgileGAN, Fig. 16, on our models.

    python -m studies editing --photos DATA/photos_256.zip --ratings DATA/omi_attribute_means.csv \\
        --features squeezenet.npz

The ratings are those of One Million Impressions (Peterson et al. 2022): the stimulus N is the photo omi_NNNN.jpg. The
people on the sheet do not exist: they are samples of the base.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from portraitist import load
from portraitist.data import ImageSet, resize, to_array, to_tensor, write_image
from portraitist.data.images import Pixels
from portraitist.data.sheet import beside, tile
from portraitist.edit import (
    Direction,
    learn_direction,
    light,
    measured_direction,
    on_faces,
    orthogonalise,
    rows_of,
    sefa_directions,
    sweep,
    turn,
)
from portraitist.edit.measure import Measure, drawn
from portraitist.faces import BlazeFinder
from portraitist.io import registry
from portraitist.io.feature_files import load_features
from portraitist.io.model_file import Model
from portraitist.networks import Generator
from portraitist.networks.features import Features
from portraitist.report.markdown import BLANK, prose, table
from portraitist.spaces import W, WPlus

from .material import samples

STYLES = ("toon3d", "charcoal")
STRENGTHS = (-2.0, -1.0, 0.0, 1.0, 2.0)
SHOWN = (0, 3, 5)
"""Samples on the sheet, by their place among those of seed 0."""
SEED_LEARNED, SEED_MEASURED = 1, 1000
SIDE = 80


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies editing", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="the photos that were rated: folder or zip")
    parser.add_argument("--ratings", type=Path, required=True, help="the ratings, a CSV file with the column stimulus")
    parser.add_argument(
        "--features", type=Path, required=True, help="weights of a network that reads ages off pictures"
    )
    parser.add_argument("--samples", type=int, default=200, help="samples that pose and light are learned from")
    parser.add_argument("--measured", type=int, default=24, help="other samples that every direction is measured on")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheet")
    given = parser.parse_args(arguments)
    base = load("faces")
    generators = {"base": base.generator, **{name: load(name).generator for name in STYLES}}
    rated = Rated.read(given.photos, given.ratings, base.generator.anatomy.resolution)
    reader, fitted = age_reader(rated, load_features(given.features))
    yaw = on_faces(BlazeFinder(), turn)
    directions = found_directions(base, rated, yaw, given.samples)
    measures: dict[str, Measure] = {"age": reader, "pose": yaw, "light": light}
    codes = samples(base, given.measured, SEED_MEASURED)
    write_image(
        given.out / "editing.png", sheet(generators, samples(base, max(SHOWN) + 1, 0), list(directions.values()))
    )
    results = {
        (name, style): measured(generator, codes, directions[name], measure)
        for name, measure in measures.items()
        for style, generator in generators.items()
    }
    lines = page(directions, results, fitted, given.measured, base.generator)
    (given.out / "editing.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Rated:
    """Photos that people have rated."""

    pictures: ImageSet
    ratings: Mapping[str, Tensor]
    """By column, a number for each picture; NaN for those that nobody rated."""

    @classmethod
    def read(cls, photos: Path, ratings: Path, resolution: int, columns: Sequence[str] = ("age", "gender")) -> Rated:
        pictures = ImageSet.open(photos, resolution, method="area")
        with ratings.open(newline="", encoding="utf-8") as file:
            by_name = {f"omi_{int(row['stimulus']):04d}.jpg": row for row in csv.DictReader(file)}
        rows = [by_name.get(Path(name).name) for name in pictures.names]
        numbers = {c: torch.tensor([float(row[c]) if row else math.nan for row in rows]) for c in columns}
        chosen = [k for k, row in enumerate(rows) if row]
        return cls(pictures.subset(chosen), {c: v[chosen] for c, v in numbers.items()})

    def batches(self) -> Iterator[Tensor]:
        for part in torch.split(torch.arange(len(self.pictures)), 50):
            yield self.pictures.batch(part, torch.zeros(len(part), dtype=torch.bool))


def age_reader(rated: Rated, features: Features) -> tuple[Measure, str]:
    """Return what reads an age off a picture: a regression on another network than the codes come from."""

    def pooled(images: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([x.mean((2, 3)) for x in features.taps(images)], 1)

    seen = torch.cat([pooled(images) for images in rated.batches()])
    centre, spread = seen.mean(0), seen.std(0).clamp(min=1e-6)
    scale = learn_direction("age", W((seen - centre) / spread), rated.ratings["age"], rows=(0,))

    def read(picture: Pixels) -> float:
        return float((pooled(to_tensor(picture)[None])[0] - centre) / spread @ scale.vector) / scale.unit

    return read, scale.found


def found_directions(base: Model, rated: Rated, yaw: Measure, count: int) -> dict[str, Direction]:
    """Return age from ratings, pose and light from measured samples."""
    stored = registry.load_encoder_of(base)
    assert stored is not None
    encoder, generator = stored.encoder.eval(), base.generator
    with torch.no_grad():
        codes = WPlus(torch.cat([encoder.styles_of(encoder(x).mu, generator) for x in rated.batches()]))
    every, low = rows_of(generator.anatomy), rows_of(generator.anatomy, [4, 8])
    age, gender = (learn_direction(c, codes, rated.ratings[c], rows=every) for c in ("age", "gender"))
    return {
        "age": orthogonalise(age, [gender]),
        "pose": measured_direction("pose", generator, yaw, rows=low, count=count, seed=SEED_LEARNED),
        "light": measured_direction("light", generator, light, rows=every, count=count, seed=SEED_LEARNED),
    }


@dataclass(frozen=True)
class Measured:
    """What one direction does in one style."""

    means: tuple[float, ...]
    """At each strength, over the samples that could be measured at all of them."""
    deviation: float
    """Of the measure over samples at strength 0."""
    rising: float
    """Share of the samples whose measure is higher at the greatest strength than at the least."""
    count: int


def measured(generator: Generator, codes: WPlus, direction: Direction, measure: Measure) -> Measured:
    """Measure the drawings of samples moved by every strength."""
    ways = (readings(generator, sweep(codes[k], direction, STRENGTHS), measure) for k in range(len(codes)))
    whole = np.array([way for way in ways if len(way) == len(STRENGTHS)])
    rising = float((whole[:, -1] > whole[:, 0]).mean())
    deviation = float(whole[:, STRENGTHS.index(0.0)].std())
    return Measured(tuple(float(x) for x in whole.mean(0)), deviation, rising, len(whole))


def readings(generator: Generator, codes: WPlus, measure: Measure) -> list[float]:
    """Measure drawings until one cannot be measured."""
    found = (measure(drawn(generator, codes[k])) for k in range(len(codes)))
    return list(takewhile(math.isfinite, found))


def sheet(generators: Mapping[str, Generator], codes: WPlus, directions: Sequence[Direction]) -> Pixels:
    """Draw a block for each direction: three people, a row in each style, a column for each strength."""
    blocks: list[Pixels] = []
    for direction in directions:
        pictures: list[Pixels] = []
        for k in SHOWN:
            way = sweep(codes[k], direction, STRENGTHS)
            for generator in generators.values():
                with torch.no_grad():
                    pictures += [resize(p, SIDE) for p in to_array(generator.synthesize(way))]
        blocks.append(tile(pictures, columns=len(STRENGTHS)))
    return beside(blocks, blocks[0].shape[0], gap=12)


def page(
    directions: Mapping[str, Direction],
    results: Mapping[tuple[str, str], Measured],
    fitted: str,
    count: int,
    generator: Generator,
) -> list[str]:
    """Return the lines of the page."""
    steps = [f"{s:+g}" for s in STRENGTHS]
    body = []
    for (name, style), m in results.items():
        change = f"{(m.means[-1] - m.means[0]) / m.deviation:+.1f}"
        body.append([name, style, m.count, *(f"{x:+.2f}" for x in m.means), change, f"{100 * m.rising:.0f} %"])
    return [
        "# One direction in every style",
        BLANK,
        *prose(
            """Written by `python -m studies editing` (UI2I, Fig. 6; AgileGAN, Fig. 16). The directions were found on
            the bundled base; each is applied to the same codes with the same strengths in the base and in two styles
            fine-tuned from it."""
        ),
        "![Three people who do not exist, each in three models, moved along three directions](editing.png)",
        BLANK,
        *prose(
            f"""Three people, each in three rows: base, toon3d, charcoal. Three blocks from left to right: age, pose,
            light. In each block the columns are the strengths {", ".join(steps)}. A unit is one deviation of the codes
            along the direction."""
        ),
        *table(
            ["direction", "how it was found", "rows that move", "of SeFa's first 12 most like"],
            (row_of_direction(d, generator) for d in directions.values()),
        ),
        *prose(
            f"""Measured on {count} other samples (truncation 0.7). *Age* is what a regression on pooled features of
            SqueezeNet reads, in deviations of what it reads off the rated photos; it was fitted on these ({fitted})
            and on no drawing, so in styles only its change says something. *Pose* is where MediaPipe sees the nose
            between the eyes, in distances of the eyes (+ to the picture's right); samples in which it finds no face
            at some strength are left out. *Light* is the brightness of the right half of the face less that of the
            left, over their sum. The change from the least strength to the greatest is given in deviations of the
            measure over samples of the same model."""
        ),
        *table(["direction", "model", "samples", *steps, "change in deviations", "samples that rise"], body),
        verdict(results),
    ]


def row_of_direction(direction: Direction, generator: Generator) -> list[str]:
    """Tell how a direction was found, and which of SeFa's first twelve over the same blocks is most like it."""
    rows = direction.rows
    anatomy = generator.anatomy
    sides = [r for r in anatomy.resolutions if set(rows_of(anatomy, [r])) <= set(rows)]
    sefa = sefa_directions(generator, sides)
    cosine = [abs(float(d.vector @ direction.vector)) for d in sefa]
    best = int(np.argmax(cosine))
    where = f"{rows[0]} to {rows[-1]} ({sides[0]} to {sides[-1]} pixels)"
    return [direction.name, direction.found, where, f"{sefa[best].name}, cosine {cosine[best]:.2f}"]


def verdict(results: Mapping[tuple[str, str], Measured]) -> str:
    """Say in a sentence whether every attribute moves the same way in every style."""
    names = list(dict.fromkeys(name for name, _ in results))
    same = [n for n in names if all(m.means[-1] > m.means[0] for (name, _), m in results.items() if name == n)]
    other = [name for name in names if name not in same]
    text = (
        f"The measured attribute rises with the strength in the base and in every style for {', '.join(same) or 'none'}"
    )
    return f"{text}; not for {', '.join(other)}." if other else f"{text}."
