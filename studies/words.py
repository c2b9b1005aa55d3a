r"""The words that a base knows, learned from rated photos, judged, and written: what `edit apply --word` uses.

    python -m studies words --photos DATA/photos_256.zip --ratings DATA/omi_attribute_means.csv \\
        --features squeezenet.npz

The ratings are those of One Million Impressions (Peterson et al. 2022): the stimulus N is the photo omi_NNNN.jpg. A
word is learned from the codes of the bundled encoder. Whether it does what it says is read off pictures by a network
that had no part in finding it, fitted on the photos; words that do not are left out. The people on the sheet do not
exist: they are samples of the base.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from portraitist import load
from portraitist.data import resize, to_array, write_image
from portraitist.data.images import Pixels
from portraitist.data.sheet import tile
from portraitist.edit import Direction, learn_direction, moved, on_faces, orthogonalise, rows_of, sweep
from portraitist.edit.measure import smile
from portraitist.faces import BlazeFinder
from portraitist.invert.encode import encode_all
from portraitist.io import registry
from portraitist.io.catalogue import bundled_folder
from portraitist.io.directions import save_directions
from portraitist.io.feature_files import load_features
from portraitist.io.model_file import Model, generator_digest
from portraitist.io.words import FOLDER
from portraitist.networks import Generator
from portraitist.networks.features import Features
from portraitist.report.markdown import prose, table
from portraitist.spaces import W, WPlus

from .editing import Rated
from .material import samples

WORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "smile": ("happy", ("age", "gender")),
    "age": ("age", ("gender",)),
    "masculine": ("gender", ("age",)),
    "long-hair": ("long-haired", ("age", "gender", "hair-color")),
    "dark-hair": ("hair-color", ("age", "gender", "skin-color")),
    "weight": ("weight", ("age", "gender")),
    "outdoors": ("outdoors", ("age", "gender")),
    "groomed": ("well-groomed", ("age", "gender", "skin-color")),
    "cute": ("cute", ("age", "gender", "skin-color")),
    "alert": ("alert", ("age", "gender")),
}
"""Word -> the column that people rated, and those that stay as they are."""
BASE, SMILE = "the base", "smile"
STYLES = ("toon3d", "charcoal")
STRENGTHS = (-2.0, -1.0, 0.0, 1.0, 2.0)
RIDGE, RIDGE_OF_JUDGE = 5.0, 10.0
ACCURATE, CHANGED, RISING, OTHERS = 0.5, 1.0, 0.8, 1.1
"""What a word needs to be kept: held-out correlation, change in deviations, share of the samples that rise; and by how
many times its own change another word's reading may change."""
SHOWN = (0, 3, 5)
SEED = 1000
SIDE = 80
LICENCE = "CC-BY-NC-SA-4.0"
CREDIT = "One Million Impressions: Peterson et al. 2022, PNAS, doi 10.1073/pnas.2115228119"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies words", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="the photos that were rated: folder or zip")
    parser.add_argument("--ratings", type=Path, required=True, help="the ratings, a CSV file with the column stimulus")
    parser.add_argument("--features", type=Path, required=True, help="weights of the network that judges")
    parser.add_argument("--measured", type=int, default=24, help="samples that every word is judged on")
    parser.add_argument("--words", type=Path, default=bundled_folder() / FOLDER / "faces.safetensors")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheet")
    given = parser.parse_args(arguments)
    base = load("faces")
    columns = tuple(dict.fromkeys(c for column, others in WORDS.values() for c in (column, *others)))
    rated = Rated.read(given.photos, given.ratings, base.generator.anatomy.resolution, columns)
    network = load_features(given.features)
    judge = Judge.fitted(rated, network)
    directions, encoder = learned(base, rated)
    codes = samples(base, given.measured, SEED)
    generators = {BASE: base.generator, **{name: load(name).generator for name in STYLES}}
    found = {w: {n: judged(g, codes, d, judge, w) for n, g in generators.items()} for w, d in directions.items()}
    kept = {w: replace(d, judged=found[w][BASE].change) for w, d in directions.items() if keeps(w, d, found[w])}
    lineage = {
        "photos": {"digest": rated.pictures.digest, "count": len(rated.pictures)},
        "ratings": given.ratings.name,
        "encoder": encoder,
        "judge": {"network": network.name, "digest": network.digest, "samples": given.measured},
    }
    save_directions(
        given.words,
        list(kept.values()),
        base=generator_digest(base),
        base_name=base.header.name,
        licence=LICENCE,
        credit=CREDIT,
        lineage=lineage,
        overwrite=True,
    )
    write_image(given.out / "words.png", sheet(base.generator, samples(base, max(SHOWN) + 1, 0), list(kept.values())))
    lines = page(directions, kept, found, judge, len(rated.pictures), given.measured)
    (given.out / "words.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Judge:
    """What reads ratings off pictures: regressions on pooled features of a network."""

    network: Features
    centre: Tensor
    spread: Tensor
    scales: Mapping[str, Direction]
    """By column."""

    @classmethod
    def fitted(cls, rated: Rated, network: Features) -> Judge:
        seen = torch.cat([pooled(network, images) for images in rated.batches()])
        centre, spread = seen.mean(0), seen.std(0).clamp(min=1e-6)
        codes = W((seen - centre) / spread)
        fit = {
            c: learn_direction(c, codes, rated.ratings[c], rows=(0,), ridge=RIDGE_OF_JUDGE)
            for c in {column for column, _ in WORDS.values()}
        }
        return cls(network, centre, spread, fit)

    def read(self, images: Tensor) -> dict[str, Tensor]:
        """Return what pictures [N, 3, R, R] look rated as, [N] per column."""
        features = (pooled(self.network, images) - self.centre) / self.spread
        return {c: features @ d.vector / d.unit for c, d in self.scales.items()}


def pooled(network: Features, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([x.mean((2, 3)) for x in network.taps(images)], 1)


def learned(base: Model, rated: Rated) -> tuple[dict[str, Direction], dict[str, object]]:
    """Return the direction of every word, and what encoder gave the codes."""
    stored = registry.load_encoder_of(base)
    assert stored is not None
    codes = encode_all(stored.encoder, base.generator, rated.pictures)
    rows = rows_of(base.generator.anatomy)
    raw = {c: learn_direction(c, codes, v, rows=rows, ridge=RIDGE, per_row=True) for c, v in rated.ratings.items()}
    found = {
        word: replace(orthogonalise(raw[column], [raw[other] for other in others]), name=word)
        for word, (column, others) in WORDS.items()
    }
    about = {word: f"ratings of '{WORDS[word][0]}': {d.found}" for word, d in found.items()}
    digest: dict[str, object] = {"name": stored.header.name, "digest": stored.digest}
    return {word: replace(d, found=about[word]) for word, d in found.items()}, digest


@dataclass(frozen=True)
class Judged:
    """What a word does to the samples of one model."""

    change: float
    """Of its own reading from strength -2 to 2, in deviations over samples of the model."""
    rising: float
    """Share of the samples whose reading rises."""
    most: str
    """The word whose reading changes most."""
    most_change: float


@torch.no_grad()
def judged(generator: Generator, codes: WPlus, direction: Direction, judge: Judge, word: str) -> Judged:
    """Read what a word changes; the smile is read off the mouth, by landmarks."""
    ends = [generator.synthesize(moved(codes, direction, s)) for s in (STRENGTHS[0], 0.0, STRENGTHS[-1])]
    low, still, high = (judge.read(images) for images in ends)
    change = {w: float((high[c] - low[c]).mean() / still[c].std()) for w, (c, _) in WORDS.items()}
    column = WORDS[word][0]
    most = max(change, key=lambda w: abs(change[w]) * (1 if w == word else 1 / OTHERS))
    rising = float((high[column] > low[column]).double().mean())
    found = Judged(change[word], rising, most, change[most])
    if word != SMILE:
        return found
    wider, grown = mouth(ends)
    return replace(found, change=wider, rising=grown)


def keeps(word: str, direction: Direction, found: Mapping[str, Judged]) -> bool:
    """Tell whether a word does what it says."""
    base = found[BASE]
    accurate = direction.accuracy is not None and direction.accuracy >= ACCURATE
    return accurate and base.change >= CHANGED and base.rising >= RISING and base.most == word


def mouth(ends: Sequence[Tensor]) -> tuple[float, float]:
    """Return how the width of the mouth changes, in deviations, and in what share of the faces it grows."""
    read = on_faces(BlazeFinder(), smile)
    width = np.array([[read(picture) for picture in to_array(images)] for images in ends])
    low, still, high = width[:, np.isfinite(width).all(0)]
    return float((high - low).mean() / still.std()), float((high > low).mean())


@torch.no_grad()
def sheet(generator: Generator, codes: WPlus, directions: Sequence[Direction]) -> Pixels:
    """Draw a row for each word: people side by side, each at all strengths."""
    pictures: list[Pixels] = []
    for direction in directions:
        for k in SHOWN:
            pictures += [resize(p, SIDE) for p in to_array(generator.synthesize(sweep(codes[k], direction, STRENGTHS)))]
    return tile(pictures, columns=len(SHOWN) * len(STRENGTHS))


def faint(kept: Mapping[str, Direction], found: Mapping[str, Mapping[str, Judged]]) -> str:
    """Return the sentence about words that a style hardly draws."""
    pairs = [f"{word} in {style}" for word in kept for style in STYLES if found[word][style].change < CHANGED / 2]
    return (
        f"Hardly drawn (below {CHANGED / 2:g}): {', '.join(pairs)}." if pairs else "Every word is drawn in every style."
    )


def page(
    directions: Mapping[str, Direction],
    kept: Mapping[str, Direction],
    found: Mapping[str, Mapping[str, Judged]],
    judge: Judge,
    photos: int,
    count: int,
) -> list[str]:
    """Return the lines of the page."""
    rows = []
    for word, direction in directions.items():
        column, others = WORDS[word]
        base, styles = found[word][BASE], [f"{found[word][name].change:+.1f}" for name in STYLES]
        most = "itself" if base.most == word else f"{base.most} {base.most_change:+.1f}"
        own = judge.scales[column].accuracy
        rows.append(
            [
                *(word, column, ", ".join(others), f"{direction.accuracy:.2f}", f"{own:.2f}"),
                *(f"{base.change:+.1f}", f"{base.rising:.0%}", most, *styles, "yes" if word in kept else "**no**"),
            ]
        )
    head = ["word", "rated column", "without", "accuracy", "judge", "change", "rising", "changes most"]
    text = [
        f"{photos} photos that people have rated (One Million Impressions) become codes of W+ by the bundled "
        "encoder; a "
        f"word is the gradient of a ridge regression ({RIDGE:g}), a vector a row, without what it has in "
        "common with the "
        "columns in the third column. *Accuracy* is the correlation of the ratings with what a regression "
        "says that has "
        "not seen them (five folds).",
        "The *judge* reads ratings off pictures: ridge regressions on pooled features of "
        f"{judge.network.name}, fitted on "
        "the same photos and on no drawing; its column is its own held-out correlation. *Change* is that of "
        "its reading "
        f"from strength -2 to 2 over {count} samples (truncation 0.7), in deviations of the reading over "
        "samples of the "
        "same model; *rising* is the share of them that rise; *changes most* is the word whose reading changes most. A "
        f"word is kept where accuracy is {ACCURATE} or more, the change {CHANGED} or more, {RISING:.0%} rise, "
        "and no other "
        f"word changes by more than {OTHERS} times as much. Change and rise of *smile* are those of the width "
        "of the mouth, "
        "by landmarks.",
        f"Of the styles only the change counts: the judge has seen no drawing. {faint(kept, found)}",
        "The set has ratings of 34 attributes. Those of ethnicity, skin colour, sexual orientation, religion, politics "
        "and character (trustworthy, smart, ...) are no words: they say what raters believe of faces, and `portraitist "
        "edit learn` makes them for those who study that. Nobody rated glasses or beards, so there is no "
        "word for them; "
        "*masculine* brings beards.",
    ]
    lines = ["# The words that the base knows", "", *prose(f"Written by `python -m studies words`. {text[0]}")]
    lines += table([*head, *STYLES, "kept"], rows)
    for paragraph in text[1:]:
        lines += prose(paragraph)
    names = ", ".join(kept)
    alt = "Three people who do not exist, moved by each word"
    lines += [f"![{alt}](words.png)", ""]
    return [
        *lines,
        *prose(f"Rows from above: {names}. Three people, each at the strengths -2 to 2 from left to right."),
    ]
