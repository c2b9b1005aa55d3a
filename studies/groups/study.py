"""Ways to draw groups of people from few drawings, trained and measured."""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from portraitist.data import BatchOrder, ImageSet
from portraitist.data.groups import Groups
from portraitist.data.images import Pixels, resize, to_array, to_tensor
from portraitist.errors import UsageError
from portraitist.evaluate.features import embed
from portraitist.evaluate.kernel import kernel_distance
from portraitist.faces.background import composite, person_or_oval
from portraitist.files import write_bytes
from portraitist.io import registry
from portraitist.io.feature_files import load_features
from portraitist.io.identity_files import load_identity
from portraitist.io.translator_files import FILE, StoredTranslator, load_translator
from portraitist.networks.features import DiscriminatorFeatures, Features
from portraitist.networks.identity import Identity
from portraitist.recipes.translator import PRESETS, TranslatorRecipe
from portraitist.runs.translator import TranslatorOptions, extend_translator, train_translator

from ..kept import refuse_other
from .pictures import PHOTOS, SETS, prepared

BATCH = 16
SNAPSHOT = 500

BASIC, MIXED, NAIVE, APART, OURS, OPEN, MORE = (
    "basic",
    "mixed",
    "naive fine-tuning",
    "per-group fine-tuning",
    "ours",
    "ours, not selective",
    "basic, trained on",
)
METHODS = (BASIC, MIXED, NAIVE, APART, OURS, OPEN, MORE)
PHOTOS_ROW, DRAWINGS_ROW = "photos as they are", "drawings trained on"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all studies of groups."""
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs/groups"))
    parser.add_argument("--style", default="toon3d", choices=list(SETS))
    parser.add_argument("--size", type=int, default=64, help="side of the pictures")
    parser.add_argument("--channels", type=int, default=16, help="width of the networks")
    parser.add_argument("--preset", default="paper", choices=list(PRESETS))
    parser.add_argument("--transposed", action="store_true", help="CycleGAN's transposed convolutions, also in default")
    parser.add_argument("--images", type=int, default=4000, help="photos that the basic model is shown")
    parser.add_argument("--initial", type=float, help="share of them that are only drawn as they are; the preset's")
    parser.add_argument("--few", type=int, default=1500, help="photos of each group in the second stage")
    parser.add_argument("--few-rate", type=float, help="learning rate of the second stage; that of the first if absent")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rate", type=float, help="learning rate; that of the preset if absent")
    parser.add_argument("--decay-from", type=float, help="share of a training after which the rate falls; the preset's")
    parser.add_argument("--identity", type=Path, help="weights of a face embedder for the face-ID loss; else it is off")
    parser.add_argument("--features", type=Path, help="weights of a feature network to measure with as well")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--page", action="store_true", help="train nothing; write the page from what is there")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheets")


@dataclass(frozen=True)
class Drawer:
    """A translator and the branch that a group is drawn with."""

    stored: StoredTranslator
    group: str

    @torch.no_grad()
    def __call__(self, photos: Tensor, device: str) -> Tensor:
        network = self.stored.system.to_drawing.to(device).eval()
        return torch.cat([network(part.to(device), self.group).image.cpu() for part in torch.split(photos, BATCH)])


class GroupStudy:
    """Pictures, trainings and measures; all that takes long is kept in the folder of runs."""

    def __init__(self, options: argparse.Namespace, group_weight: float) -> None:
        """Prepare the pictures.

        Args:
            options: Those of the command line.
            group_weight: Of the group classification in the second stage; the basic model knows one group.
        """
        if options.transposed and not PRESETS[options.preset]().translator.resized:
            raise UsageError(f"--transposed changes nothing in {options.preset}.", "Leave it out.")
        self.options, self.group_weight, self.drawings = options, group_weight, SETS[options.style]
        self.groups = tuple(self.drawings.counts)
        self.common, *few = self.groups
        self.few = tuple(few)
        self.pictures = prepared(options.data, options.runs / "pictures", self.drawings)
        self.base = registry.load("faces")
        self.networks: list[Features] = [DiscriminatorFeatures(self.base.require_discriminator("to measure with"))]
        if options.features is not None:
            self.networks.append(load_features(options.features))
        self.identity: Identity | None = None
        if options.identity is not None:
            self.identity = load_identity(options.identity)
            if isinstance(self.identity, torch.nn.Module):
                self.identity.to(options.device)
        self._sets: dict[tuple[str, str, int], ImageSet] = {}
        self._classifiers: dict[str, tuple[Pipeline, list[float]]] = {}

    def weighing(self, group_weight: float) -> Self:
        """Return the same study with another weight; pictures, networks and classifiers are shared."""
        other = copy.copy(self)
        other.group_weight = group_weight
        return other

    def beginning(self, initial: float) -> Self:
        """Return the same study of basic models that draw pictures as they are for that share of their training."""
        other = copy.copy(self)
        other.options = argparse.Namespace(**{**vars(self.options), "initial": initial})
        return other

    @property
    def folder(self) -> Path:
        """Where the trainings are that begin with the same settings."""
        options, recipe = self.options, self.first_stage
        training = recipe.training
        parts = (options.style, options.preset, options.size, options.channels, options.images, options.batch)
        settings = (training.learning_rate, training.decay_from, training.person_weight)
        initial = (f"initial{training.initial_share:g}",) if training.initial_share else ()
        resized = ("resized",) if recipe.translator.resized else ()
        return Path(options.runs, "-".join(map(str, (*parts, *settings, *initial, *resized))))

    @property
    def first_stage(self) -> TranslatorRecipe:
        """The recipe of the basic model."""
        options = self.options
        recipe = PRESETS[options.preset](options.size, options.channels)
        training = replace(recipe.training, images=options.images, batch=options.batch, snapshot=SNAPSHOT)
        if options.initial is not None:
            training = replace(training, initial_share=options.initial)
        if options.rate is not None:
            training = replace(training, learning_rate=options.rate)
        if options.decay_from is not None:
            training = replace(training, decay_from=options.decay_from)
        if options.identity is None:
            training = replace(training, person_weight=0.0)
        translator = replace(recipe.translator, resized=recipe.translator.resized and not options.transposed)
        return replace(recipe, translator=translator, training=training)

    @property
    def recipe_name(self) -> str:
        """What a page calls the recipe."""
        other = " with transposed convolutions (`--transposed`)" if self.options.transposed else ""
        return f"`{self.options.preset}`{other}"

    @property
    def second_stage(self) -> Path:
        """Beside the number of a seed, the folder of what differs in the second stage."""
        rate = "" if self.options.few_rate is None else f"-{self.options.few_rate:g}"
        return Path(f"{self.options.few}-{self.group_weight:g}{rate}")

    def part(self, side: str, group: str, seed: int, *, held_out: bool, resolution: int) -> ImageSet:
        """Return the pictures of a group that a seed trains on, or those that it holds out."""
        key = (side, group, resolution)
        if key not in self._sets:
            self._sets[key] = ImageSet.open(self.pictures / side / group, resolution)
        images = self._sets[key]
        train, held = (PHOTOS if side == "photos" else self.drawings.counts)[group]
        order = BatchOrder(len(images), len(images), seed, mirror=False).at(0)[0].tolist()
        assert len(order) > held
        return images.subset(order[:held] if held_out else order[held : held + train])

    def data(self, groups: Sequence[str], seed: int) -> Groups:
        side = self.first_stage.training.loaded(self.options.size)
        photos, drawings = (
            {g: self.part(s, g, seed, held_out=False, resolution=side) for g in groups} for s in ("photos", "drawings")
        )
        return Groups(photos, drawings)

    def basic(self, seed: int) -> Path:
        """Train the basic model, or go on with it."""
        out = self.folder / str(seed) / BASIC
        recipe = self.first_stage
        recipe = replace(recipe, training=replace(recipe.training, seed=seed))
        if not self._there(out, recipe, groups=1):
            train_translator(self.data([self.common], seed), out, recipe, self.run_options)
        return out

    def _there(self, out: Path, recipe: TranslatorRecipe, groups: int) -> bool:
        """Tell whether a training is finished, and refuse a run folder that holds another one."""
        if not (out / FILE).exists():
            return False
        settings = asdict(recipe.training)
        for idle in recipe.training.idle(groups=groups, attention=recipe.translator.attentive, new=True):
            del settings[idle]
        persons = None if self.identity is None else {"digest": self.identity.digest}
        refuse_other(out, {**settings, "translator": asdict(recipe.translator), "persons": persons})
        return True

    def trained(
        self, name: str, seed: int, groups: Sequence[str], *, selective: bool = True, fresh: bool = False
    ) -> Path:
        """Train a second stage from the basic model, go on with it, or find what is trained already.

        Args:
            name: Of its run folder.
            seed: Of the split and the training.
            groups: Whom it sees.
            selective: Keep all but the common group from the shared layers.
            fresh: Begin anew, and see as many photos as both stages together.
        """
        out = self.folder / str(seed) / self.second_stage / name
        first, several = self.first_stage, len(groups) == len(self.groups)
        training = replace(first.training, seed=seed, selective=selective, group_weight=self.group_weight)
        few = self.options.few * len(groups)
        if fresh:
            share = training.initial_images / (training.images + few)  # as many as the basic model draws as they are
            training = replace(training, images=training.images + few, initial_share=share)
        else:  # of translators that draw already
            rate = self.options.few_rate or training.learning_rate
            training = replace(training, images=few, learning_rate=rate).going_on()
        recipe = replace(first, training=training)
        if self._there(out, recipe, len(groups) if several and not fresh else 1):
            return out
        data = self.data(groups, seed)
        if fresh:
            train_translator(data, out, recipe, self.run_options)
        elif several:
            extend_translator(data, out, load_translator(self.basic(seed)), recipe.training, self.run_options)
        else:
            train_translator(data, out, recipe, self.run_options, start=load_translator(self.basic(seed)))
        return out

    @property
    def run_options(self) -> TranslatorOptions:
        """How trainings are carried out."""
        return TranslatorOptions(identity=self.identity, device=self.options.device)

    def drawers(self, method: str, seed: int) -> dict[str, Drawer]:
        """Train what a method needs, and return what draws each group."""

        def one(path: Path) -> dict[str, Drawer]:
            stored = load_translator(path)
            return {group: Drawer(stored, stored.system.groups[0]) for group in self.groups}

        basic = self.basic(seed)
        if method == BASIC:
            return one(basic)
        if method == MORE:
            return one(self.trained("more", seed, [self.common]))
        if method == MIXED:
            return one(self.trained(MIXED, seed, self.groups, fresh=True))
        if method == NAIVE:
            return one(self.trained("naive", seed, self.few))
        if method == APART:
            return one(basic) | {g: one(self.trained(f"apart-{g}", seed, [g]))[g] for g in self.few}
        path = self.trained("ours" if method == OURS else "open", seed, self.groups, selective=method == OURS)
        stored = load_translator(path)
        return {group: Drawer(stored, group) for group in self.groups}

    def kept(self, method: str, seed: int) -> Path:
        """Return where that is which was measured of a method."""
        stage = Path() if method == BASIC else self.second_stage
        return self.folder / str(seed) / stage / f"{METHODS.index(method)}.json"

    def measured(self, method: str, seed: int) -> dict[str, Any]:
        """Return what is measured of a method: network -> group -> figures; and how far the common group moved."""
        kept = self.kept(method, seed)
        found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
        if {look.name for look in self.networks} <= set(found):
            return found
        size, device = self.options.size, self.options.device
        drawers = self.drawers(method, seed)
        photos = {g: self.part("photos", g, seed, held_out=True, resolution=size).all() for g in self.groups}
        drawn = {g: drawers[g](photos[g], device) for g in self.groups}
        first = Drawer(load_translator(self.basic(seed)), self.common)
        found = {look.name: self.figures(look, drawn, seed) for look in self.networks}
        found["moved"] = float((drawn[self.common] - first(photos[self.common], device)).abs().mean())
        write_bytes(kept, json.dumps(found, indent=1).encode(), overwrite=True)
        print(seed, method, json.dumps(found), flush=True)
        return found

    def figures(self, look: Features, drawn: Mapping[str, Tensor], seed: int) -> dict[str, dict[str, float]]:
        classifier, _ = self.classifier(look)
        figures = {}
        for group, pictures in drawn.items():
            held = self.part("drawings", group, seed, held_out=True, resolution=self.options.size)
            rows = embed(look, pictures)
            figures[group] = {
                "distance": kernel_distance(rows, embed(look, held.all())),
                "accuracy": float((classifier.predict(rows.numpy()) == self.groups.index(group)).mean()),
            }
        return figures

    def ends(self, look: Features, seed: int) -> dict[str, dict[str, dict[str, float]]]:
        """Return the figures of the held-out photos as they are, and of the drawings that were trained on."""
        size = self.options.size
        photos = {g: self.part("photos", g, seed, held_out=True, resolution=size).all() for g in self.groups}
        drawings = {g: self.part("drawings", g, seed, held_out=False, resolution=size).all() for g in self.groups}
        return {
            PHOTOS_ROW: self.figures(look, photos, seed),
            DRAWINGS_ROW: self.figures(look, drawings, seed),
        }

    def classifier(self, look: Features) -> tuple[Pipeline, list[float]]:
        """Return what tells the group of a drawing, taught on all that are labelled, and how many of each it knows."""
        if look.name not in self._classifiers:
            rows, labels = self.labelled("drawings", look)
            classifier = group_classifier()
            predicted = cross_val_predict(classifier, rows, labels, cv=5)
            shares = [float((predicted[labels == k] == k).mean()) for k in range(len(self.groups))]
            self._classifiers[look.name] = classifier.fit(rows, labels), shares
        return self._classifiers[look.name]

    def labelled(self, side: str, look: Features) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return the features of all pictures of one side, and their groups as numbers."""
        sets = [ImageSet.open(self.pictures / side / g, self.options.size) for g in self.groups]
        rows = torch.cat([embed(look, images.all()) for images in sets]).numpy()
        return rows, np.repeat(np.arange(len(self.groups)), [len(images) for images in sets])


def group_classifier() -> Pipeline:
    """Return what is taught the groups of pictures, from their features."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000))


def people_of(study: GroupStudy, each: int) -> dict[str, list[Pixels]]:
    """Return, for each group, the samples of the base that a classifier of photos is surest of, on white."""
    look = study.networks[0]
    rows, labels = study.labelled("photos", look)
    classifier = group_classifier()
    classifier.fit(rows, labels)
    random = torch.Generator().manual_seed(7)
    z = torch.randn(200, study.base.generator.anatomy.z_dim, generator=random)
    drawn = study.base.generator.sample_batches(z, 20).clamp(-1, 1)
    faces = [resize(picture, 256) for picture in to_array(drawn)]
    white = [composite(face, person_or_oval(face)) for face in faces]
    pictures = torch.stack([to_tensor(picture) for picture in white])
    shares = classifier.predict_proba(embed(look, pictures).numpy())
    return {g: [white[i] for i in np.argsort(-shares[:, k])[:each]] for k, g in enumerate(study.groups)}


def amounts(study: GroupStudy) -> tuple[str, str, str]:
    """Say how many photos and drawings of each group are trained on and held out, and what the learning rate does."""
    counts = study.drawings.counts
    trained, held = ("; ".join(f"{g} {PHOTOS[g][k]}/{counts[g][k]}" for g in study.groups) for k in (0, 1))
    falls = study.first_stage.training.decay_from
    return trained, held, f"that falls after {falls:.0%} of each training" if falls < 1 else "throughout"
