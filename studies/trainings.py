"""Which training keeps the person: recipes at equal images, measured on what they draw of men and women.

python -m studies trainings --photos Q.zip --labels q.csv --exemplars style_toon3d --exemplar-labels toon3d.csv
    --identity mobilefacenet.pt --features mobilenetv2.npz --shown folder --runs runs/trainings
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import cross_val_predict

from portraitist.data import ImageSet
from portraitist.data.images import Pixels, write_image
from portraitist.evaluate import PictureScorer, baselines, embed
from portraitist.evaluate.picture_baselines import NOTHING
from portraitist.evaluate.picture_signals import SIDE, Batch
from portraitist.evaluate.pictures import ExemplarReference
from portraitist.faces import finder_named
from portraitist.files import write_bytes
from portraitist.io import registry
from portraitist.io.feature_files import load_features
from portraitist.io.identity_files import load_identity
from portraitist.io.model_file import Model
from portraitist.networks.features import Features
from portraitist.recipes import compose
from portraitist.report.labels import labelled
from portraitist.report.markdown import prose, table
from portraitist.runs.finetune import TrainOptions, train
from portraitist.runs.source import Source
from portraitist.stylize import Stylizer
from portraitist.train.source_losses import Structure

from .groups.study import group_classifier
from .material import shown_people
from .pictures import HEAD, cells
from .study import UNSEEN

GENDERS = ("female", "male")
PEOPLE = 36
"""Men, and women, that are drawn."""
SHOWN = 8
Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Way:
    """How a style is trained."""

    recipe: str
    balanced: bool = False
    weight: float = 0.0
    """Of the structure loss; the recipe's own when 0."""

    @property
    def name(self) -> str:
        """The name of its row."""
        return f"{self.recipe}, balanced" if self.balanced else self.recipe

    @property
    def paths(self) -> tuple[str, ...]:
        """The values that have a path each."""
        return GENDERS if "multipath" in self.recipe else ()


WAYS = (
    Way("freeze_fc"),
    Way("freeze_sg"),
    Way("structure", weight=1.0),
    Way("agilegan"),
    Way("agilegan", balanced=True),
    Way("agilegan+multipath"),
)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies trainings", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="aligned photos that no model has seen")
    parser.add_argument("--labels", type=Path, required=True, help="CSV file of these: file, gender")
    parser.add_argument("--exemplars", type=Path, required=True, help="folder of a style")
    parser.add_argument("--exemplar-labels", type=Path, required=True, help="CSV file of these: file, gender")
    parser.add_argument("--identity", type=Path, required=True, help="face embedder")
    parser.add_argument("--features", type=Path, required=True, help="feature network of style and gender")
    parser.add_argument("--shown", type=Path, required=True, help="folder with sd3_*.jpg, whole photos for the sheet")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the run folders; finished ones are kept")
    parser.add_argument("--images", type=int, default=3000, help="images that each training sees")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheet")
    given = parser.parse_args(arguments)
    base = registry.load("faces")
    side = base.generator.anatomy.resolution
    every = ImageSet.open(given.exemplars, side, labels=given.exemplar_labels)
    rest, unseen = every.split(UNSEEN, 0)
    styles = {way: trained(way, rest, base, given.images, given.runs) for way in WAYS}
    people = people_of(ImageSet.open(given.photos, SIDE, labels=given.labels))
    photos, men = np.concatenate(list(people.values())), np.repeat([False, True], PEOPLE)
    features = load_features(given.features)
    gender = Gender.of(every, features)
    scorer = PictureScorer(photos, load_identity(given.identity), features)
    judges = Judges(scorer, scorer.exemplars(np.stack(list(unseen.decoded_at(SIDE)))), gender, men)
    lines = ["# Which training keeps the person", "", *intro(given, rest, unseen, gender)]
    for title, detail in (("The code alone", 0.0), ("With detail, as `stylize` draws", 1.0)):
        rows = [judges.row(NOTHING, baselines(photos, side)[NOTHING])]
        for way, path in styles.items():
            drawings = np.concatenate([drawn(way, path, people[value], value, detail) for value in GENDERS])
            rows.append(judges.row(way.name, drawings))
        lines += [f"## {title}", "", *table((*HEAD[:-1], "men drawn as men", "women as women"), rows)]
    lines += ["![Photos, and what each training draws of them, by the code alone](trainings.png)", ""]
    lines += prose("Photos: Eileen Collins (NASA, public domain), and people of nobody (Stable Diffusion 3, CC0).")
    write_image(given.out / "trainings.png", sheet(styles, shown_people(given.shown, SHOWN)))
    write_bytes(given.out / "trainings.md", ("\n".join(lines).rstrip() + "\n").encode(), overwrite=True)
    print(given.out / "trainings.md")


def trained(way: Way, exemplars: ImageSet, base: Model, images: int, runs: Path) -> Path:
    """Train in a run folder of the way, or find what is done; return its style pack."""
    out = runs / way.name.replace(", ", "-").replace("+", "_")
    training = compose(way.recipe, base.generator.anatomy.resolution, paths=way.paths)
    training = replace(training, images=images, held_out=0.0, patience=0)
    if way.balanced:
        training = replace(training, balance=GENDERS)
    if way.weight:
        training = training.with_term(Structure(weight=way.weight))
    options = TrainOptions(recipe=f"{way.recipe} (default)", attribute="gender", finder=finder_named(), quiet=True)
    train(exemplars, out, Source(base=base), training, options)
    return out / "style.safetensors"


def people_of(photos: ImageSet) -> Mapping[str, Batch]:
    """Return people of each gender, evenly spread over a labelled set: ``uint8 [N, 256, 256, 3]``."""
    parts = {value: photos.select(value, by="gender") for value in GENDERS}
    chosen = {value: [part[k * len(part) // PEOPLE] for k in range(PEOPLE)] for value, part in parts.items()}
    return {value: torch.stack(pictures).permute(0, 2, 3, 1).numpy() for value, pictures in chosen.items()}


@dataclass(frozen=True, eq=False)
class Gender:
    """What tells how a drawing would be labelled, from the labelled exemplars of its style."""

    predict: partial[Rows]
    features: Features
    recall: Mapping[str, float]
    """Share of the exemplars of a gender that it tells right, each time taught without them."""

    @classmethod
    def of(cls, exemplars: ImageSet, features: Features) -> Gender:
        """Learn it from the exemplars of a known gender."""
        parts = [exemplars.select(value, by="gender") for value in GENDERS]
        rows = np.concatenate([rows_of(np.stack(list(part.decoded_at(SIDE))), features) for part in parts])
        labels = np.repeat([False, True], [len(part) for part in parts])
        found = cross_val_predict(group_classifier(), rows, labels, cv=5)
        recall = {value: float((found == labels)[labels == k].mean()) for k, value in enumerate(GENDERS)}
        return cls(partial(group_classifier().fit(rows, labels).predict), features, recall)

    def shares(self, drawings: Batch, men: npt.NDArray[np.bool_]) -> tuple[float, float]:
        """Return the share of men who are drawn as men, and of women who are drawn as women."""
        right = self.predict(rows_of(drawings, self.features)) == men
        return float(right[men].mean()), float(right[~men].mean())


def rows_of(pictures: Batch, features: Features) -> Rows:
    """Describe pictures ``uint8 [N, 256, 256, 3]`` by a feature network: [N, features]."""
    found: Rows = embed(features, torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1).numpy()
    return found


def drawn(way: Way, style: Path, photos: Batch, gender: str, detail: float) -> Batch:
    """Draw aligned people of a gender, by its own path where there is one."""
    by = Stylizer.load([str(style)], attribute=gender if way.paths else None, method="code", detail=detail)
    (name,) = by.styles
    return np.stack([by.stylize(photo, aligned=True, size=SIDE).faces[0].pictures[name] for photo in photos])


@dataclass(frozen=True, eq=False)
class Judges:
    """What measures drawings of the same people."""

    scorer: PictureScorer
    reference: ExemplarReference
    gender: Gender
    men: npt.NDArray[np.bool_]

    def row(self, name: str, drawings: Batch) -> list[str]:
        """Return a row of the table."""
        measures = cells(self.scorer.measure(drawings, self.reference))[:-1]
        return [name, *measures, *(f"{share:.2f}" for share in self.gender.shares(drawings, self.men))]


def sheet(styles: Mapping[Way, Path], photos: Sequence[Pixels]) -> Pixels:
    """Return the first faces of whole photos beside what each way draws of them by the code alone."""
    columns: dict[str, list[Pixels]] = {}
    for way, style in styles.items():
        by = Stylizer.load([str(style)], attribute="auto" if way.paths else None, method="code", detail=0.0)
        (name,) = by.styles
        faces = [by.stylize(photo, which="largest", size=SIDE).faces[0] for photo in photos]
        columns.setdefault("photo", [by.crops(photo, "largest", SIDE)[0].image for photo in photos])
        columns[way.name] = [f.pictures[name] for f in faces]
    return labelled(columns, 128)


def intro(given: argparse.Namespace, rest: ImageSet, unseen: ImageSet, gender: Gender) -> list[str]:
    """Say what was trained and measured, and how."""
    counts = {value: len(rest.select(value, by="gender")) for value in GENDERS}
    return [
        *prose(
            "Written by `python -m studies trainings`, with `--photos FILE --labels FILE --exemplars FOLDER "
            "--exemplar-labels FILE --identity FILE --features FILE --shown FOLDER --runs FOLDER`."
        ),
        *prose(
            f"{given.exemplars.name} on the bundled base `faces`, {given.images} images each, seed 0, without early "
            f"stopping: {len(rest)} exemplars ({counts['female']} women, {counts['male']} men) are trained on, "
            f"{len(unseen)} measure the style. {PEOPLE} men and {PEOPLE} women of {given.photos.name} are drawn; a "
            "style with paths is told which. The measures are those of [pictures.md](pictures.md): identity by "
            f"{given.identity.stem}, style by {given.features.stem}. Who is drawn as a man or a woman is told by a "
            f"logistic regression on the features of {given.features.stem} that was taught on the exemplars; of "
            f"exemplars that it was not taught on it tells {gender.recall['male']:.0%} of the men and "
            f"{gender.recall['female']:.0%} of the women."
        ),
    ]
