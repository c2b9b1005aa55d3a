"""Swapped layers, appearances, and every pair of models, on the bundled models.

The people are samples of the bundled base, so that what each model should draw of them is known.

    python -m studies surgery
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from portraitist.data.images import Pixels, resize, to_array, to_tensor, write_image
from portraitist.files import write_bytes
from portraitist.invert import portrait
from portraitist.io import registry
from portraitist.io.model_file import Model
from portraitist.losses.perceptual import PerceptualDistance, default_perceptual
from portraitist.networks import Generator
from portraitist.report.markdown import table
from portraitist.spaces import WPlus
from portraitist.stylize import Appearance, ByOptimisation, Reference, Stylizer
from portraitist.stylize.crops import as_aligned_face
from portraitist.surgery import By, FeatureSwap, swap
from portraitist.surgery.compatibility import CODES, FAR, compatibility

from .material import samples

SIDE, GAP, LABEL = 96, 2, 14
WAYS: tuple[By, ...] = ("features", "weights")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies surgery", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheets")
    parser.add_argument("--people", type=int, default=3, help="rows of people in a sheet")
    parser.add_argument("--pairs", type=int, default=4, help="drawings that each model inverts")
    parser.add_argument("--steps", type=int, default=200, help="of each inversion")
    given = parser.parse_args(arguments)
    base, *styles = load()
    people = codes(base, given.people)
    write_image(given.out / "surgery.png", swaps(base, styles, people))
    write_image(given.out / "surgery-appearances.png", appearances(base, styles, people, given.steps))
    sheet, found = pairs([base, *styles], codes(base, given.pairs, first=50), given.steps)
    write_image(given.out / "surgery-pairs.png", sheet)
    lines = page(distances([base, *styles]), found, given.pairs, given.steps)
    write_bytes(given.out / "surgery.md", "\n".join(lines).encode(), overwrite=True)


def load() -> list[Model]:
    """Return the bundled base and two styles."""
    return [registry.load(name) for name in ("faces", "charcoal", "toon3d")]


def codes(base: Model, count: int, first: int = 0) -> list[WPlus]:
    """Draw people, one a seed."""
    return [samples(base, 1, first + k) for k in range(count)]


@torch.no_grad()
def drawn(model: Generator | FeatureSwap, code: WPlus) -> Pixels:
    return to_array(model.synthesize(code)[0])


def swaps(base: Model, styles: Sequence[Model], people: Sequence[WPlus]) -> Pixels:
    """Show each person in the base, in each style, and with the base's layers up to each resolution."""
    places = base.generator.anatomy.resolutions
    rows: list[list[Pixels]] = []
    names = []
    for style, by in itertools.product(styles, WAYS):
        models = [swap(base.generator, style.generator, r, by) for r in places]
        for code in people:
            rows.append([drawn(m, code) for m in (base.generator, style.generator, *models)])
            names.append(f"{style.header.name}, {by}")
    return labelled(rows, [base.header.name, "style", *(f"upto {r}" for r in places)], names)


def appearances(base: Model, styles: Sequence[Model], people: Sequence[WPlus], steps: int) -> Pixels:
    """Show each person in eight appearances of each style and in those of two references."""
    others = codes(base, 2, first=900)
    rows, names = [], []
    resolution = base.generator.anatomy.resolution
    for style, start in itertools.product(styles, (resolution // 2, resolution)):
        references = tuple(
            Reference(f"reference{k}", drawn(style.generator, code), aligned=True) for k, code in enumerate(others, 1)
        )
        stylizer = Stylizer(
            base,
            {"style": style},
            inversion=ByOptimisation(replace(portrait(), steps=steps)),
            appearance=Appearance(8, references, start),
        )
        for code in people:
            crop = as_aligned_face(drawn(base.generator, code), resolution)
            face = stylizer.redraw(crop, resolution, code=code)
            rows.append([crop.image, face.pictures["style"], *(s.pictures["style"] for s in face.samples)])
            names.append(f"{style.header.name}, from {start}")
        if start == resolution:
            rows.append([np.full_like(crop.image, 255)] * 10 + [r.pixels for r in references])
            names.append("(the references)")
    ends = [base.header.name, "style", *(f"random{k}" for k in range(1, 9)), "ref. 1", "ref. 2"]
    return labelled(rows, ends, names)


def pairs(
    models: Sequence[Model], people: Sequence[WPlus], steps: int
) -> tuple[Pixels, dict[tuple[str, str], tuple[float, float]]]:
    """Invert drawings of each model in it, and draw them by every model.

    Returns:
        The sheet, and (source, target) -> distance to what the target draws of the true code, and that of the other
        people: means over people.
    """
    base = models[0]
    distance = default_perceptual(base.require_discriminator("to measure with"))
    rows, names = [], []
    cells: dict[tuple[str, str], tuple[float, float]] = {}
    for source in models:
        stylizer = Stylizer(
            base,
            {m.header.name: m for m in models},
            source=source,
            inversion=ByOptimisation(replace(portrait(), steps=steps)),
        )
        found: dict[str, list[Pixels]] = {m.header.name: [] for m in models}
        for code in people:
            picture = drawn(source.generator, code)
            face = stylizer.redraw(as_aligned_face(picture, len(picture)), len(picture))
            rows.append([picture, *face.pictures.values()])
            names.append(f"from {source.header.name}")
            for name, drawing in face.pictures.items():
                found[name].append(drawing)
        for target in models:
            truth = [drawn(target.generator, code) for code in people]
            cells[source.header.name, target.header.name] = nearness(found[target.header.name], truth, distance)
    return labelled(rows, ["drawing", *(f"to {m.header.name}" for m in models)], names), cells


def nearness(found: Sequence[Pixels], truth: Sequence[Pixels], distance: PerceptualDistance) -> tuple[float, float]:
    """Return the mean distance of drawings to the true ones, and to those of other people."""

    def images(pictures: Sequence[Pixels]) -> Tensor:
        return torch.stack([to_tensor(picture) for picture in pictures])

    with torch.no_grad():
        own = float(distance(images(found), images(truth)).mean())
        turns = [images([*truth[k:], *truth[:k]]) for k in range(1, len(truth))]
        return own, statistics.fmean(float(distance(images(found), turn).mean()) for turn in turns)


def distances(models: Sequence[Model]) -> dict[tuple[str, str], tuple[float, float]]:
    """Return (low, high) -> distance, and its share of the distance of different persons."""
    found = {}
    for low, high in itertools.combinations(models, 2):
        both = compatibility(low, high)
        assert both.distance is not None and both.relative_distance is not None and not both.warning
        found[low.header.name, high.header.name] = (both.distance, both.relative_distance)
    return found


def labelled(
    rows: Sequence[Sequence[Pixels]], columns: Sequence[str], names: Sequence[str], side: int = SIDE
) -> Pixels:
    """Arrange pictures in rows, with a name over each column and beside each row that differs from the one before."""
    left = 8 + max(round(ImageDraw.Draw(Image.new("RGB", (1, 1))).textlength(name)) for name in names)
    step = side + GAP
    sheet = Image.new("RGB", (left + len(columns) * step, LABEL + len(rows) * step), "white")
    pen = ImageDraw.Draw(sheet)
    for x, name in enumerate(columns):
        pen.text((left + x * step + 2, 1), name, fill="black")
    for y, (row, name) in enumerate(zip(rows, names, strict=True)):
        if y == 0 or names[y - 1] != name:
            pen.text((2, LABEL + y * step + 2), name, fill="black")
        for x, picture in enumerate(row):
            sheet.paste(Image.fromarray(resize(picture, side)), (left + x * step, LABEL + y * step))
    return np.asarray(sheet)


def page(
    compatible: Mapping[tuple[str, str], tuple[float, float]],
    found: Mapping[tuple[str, str], tuple[float, float]],
    count: int,
    steps: int,
) -> list[str]:
    """Return the lines of the page."""
    names = list(dict.fromkeys(source for source, _ in found))
    worst = max(own / others for (a, b), (own, others) in found.items() if a != b)
    wrapped = textwrap.fill(
        f"A cell is the distance of {count} drawings to what the target draws of the person's true code, and "
        "in brackets that to what it draws of the other people. The worst of the "
        f"{len(names) * (len(names) - 1)} pairs comes to {worst:.2f} of the latter.",
        118,
    )
    return [
        "# Swapped layers, appearances and pairs of models, on the bundled models",
        "",
        "Written by `python -m studies surgery`. The people are samples of the base, distances those of the features",
        f"of its discriminator, and inversions have {steps} steps.",
        "",
        "## Layers swapped at each resolution",
        "",
        "The base gives the low resolutions, the style the high ones. Both styles are FreezeSG's, whose blocks rest up",
        "to 8 pixels, so that a swap up to there is the style itself, by weights and by features.",
        "",
        "![swapped layers](surgery.png)",
        "",
        f"Model distance over {CODES} codes, and its share of that between persons (`swap` warns from {FAR} on):",
        "",
        *table(
            ["low", "high", "distance", "share"],
            ([a, b, f"{d:.2f}", f"{s:.2f}"] for (a, b), (d, s) in compatible.items()),
        ),
        "## Appearances",
        "",
        "Eight random ones and two of references, which were inverted in the style.",
        "",
        "![appearances](surgery-appearances.png)",
        "",
        "## Every pair",
        "",
        "A drawing that each model made is inverted in that model, by optimisation, and drawn by all of them. Drawings",
        "by hand lie farther from what a model can draw.",
        "",
        "![pairs](surgery-pairs.png)",
        "",
        *wrapped.splitlines(),
        "",
        *table(
            ["from", *(f"to {name}" for name in names)],
            ([a, *(f"{found[a, b][0]:.2f} ({found[a, b][1]:.2f})" for b in names)] for a in names),
        ),
    ]
