r"""Groups from few drawings: the few-shot paper's comparisons as numbers, on the shared photos and drawings.

    python -m studies groups --data ../shared/data --runs runs/groups --features squeezenet.npz \
        --preset ugatit --size 64 --images 4500 --few 600 --rate 5e-4 --group-weight 1

Seven ways to draw three groups of people, each trained from each seed. Every training is a run folder below --runs that
goes on where it was when the command is called again, and what was measured of it is kept beside it; so the work can
be stopped at any time, and --page writes the page from what is there. --device cuda takes a GPU.
"""

from __future__ import annotations

import argparse
import csv
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from portraitist.data import BatchOrder, ImageSet
from portraitist.data.groups import Groups
from portraitist.data.images import Pixels, read_image, resize, to_array, write_image
from portraitist.data.sheet import tile
from portraitist.errors import UsageError
from portraitist.evaluate.features import embed
from portraitist.evaluate.kernel import kernel_distance
from portraitist.faces.background import composite, person_mask
from portraitist.files import write_bytes
from portraitist.io import registry
from portraitist.io.feature_files import load_features
from portraitist.io.identity_files import load_identity
from portraitist.io.translator_files import FILE, StoredTranslator, load_translator
from portraitist.networks.features import DiscriminatorFeatures, Features
from portraitist.networks.identity import Identity
from portraitist.recipes.translator import PRESETS, TranslatorRecipe
from portraitist.report.markdown import BLANK, fill, mean_std, prose, table
from portraitist.runs.translator import TranslatorOptions, extend_translator, train_translator
from portraitist.stylize.translate import PictureTranslator

STYLE = "toon3d"
COMMON, FEW = "women", ("men", "kids")
GROUPS = (COMMON, *FEW)
STORED = 286
# Pictures to train on and to hold out, as near to the paper's (Sec. 4.1) as the labelled ones allow.
PHOTOS = {"women": (400, 50), "men": (75, 50), "kids": (50, 50)}
DRAWINGS = {"women": (138, 40), "men": (15, 10), "kids": (8, 5)}
BATCH = 16

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


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies groups", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs/groups"))
    parser.add_argument("--size", type=int, default=64, help="side of the pictures")
    parser.add_argument("--channels", type=int, default=16, help="width of the networks")
    parser.add_argument("--preset", default="paper", choices=list(PRESETS))
    parser.add_argument("--images", type=int, default=4000, help="photos that the basic model is shown")
    parser.add_argument("--few", type=int, default=1500, help="photos of each group in the second stage")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rate", type=float, help="learning rate; that of the preset if absent")
    parser.add_argument("--group-weight", type=float, default=100.0, help="of the group classification")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--identity", type=Path, help="weights of a face embedder for the face-ID loss; else it is off")
    parser.add_argument("--features", type=Path, help="weights of a feature network to measure with as well")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--page", action="store_true", help="train nothing; write the page from what is there")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheets")
    options = parser.parse_args(arguments)
    study = GroupStudy(options, prepared(options.data, options.runs / "pictures"))
    if not options.page:
        for seed in range(options.seeds):
            for method in METHODS:
                study.measured(method, seed)
    write_page(study, options.out)


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

    def __init__(self, options: argparse.Namespace, pictures: Path) -> None:
        self.options, self.pictures = options, pictures
        parts = (options.preset, options.size, options.channels, options.images, options.few, options.group_weight)
        self.folder: Path = options.runs / "-".join(map(str, parts if options.rate is None else (*parts, options.rate)))
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

    @property
    def recipe(self) -> TranslatorRecipe:
        recipe = PRESETS[self.options.preset](self.options.size, self.options.channels)
        training = replace(recipe.training, images=self.options.images, batch=self.options.batch)
        if self.options.rate is not None:
            training = replace(training, learning_rate=self.options.rate)
        if self.identity is None:
            training = replace(training, person_weight=0.0)
        return replace(recipe, training=replace(training, group_weight=self.options.group_weight))

    def part(self, side: str, group: str, seed: int, *, held_out: bool, resolution: int) -> ImageSet:
        """Return the pictures of a group that a seed trains on, or those that it holds out."""
        key = (side, group, resolution)
        if key not in self._sets:
            self._sets[key] = ImageSet.open(self.pictures / side / group, resolution)
        images = self._sets[key]
        train, held = (PHOTOS if side == "photos" else DRAWINGS)[group]
        order = BatchOrder(len(images), len(images), seed, mirror=False).at(0)[0].tolist()
        assert len(order) > held
        return images.subset(order[:held] if held_out else order[held : held + train])

    def data(self, groups: Sequence[str], seed: int) -> Groups:
        side = self.recipe.training.loaded(self.options.size)
        photos, drawings = (
            {g: self.part(s, g, seed, held_out=False, resolution=side) for g in groups} for s in ("photos", "drawings")
        )
        return Groups(photos, drawings)

    def trained(self, name: str, seed: int, groups: Sequence[str], start: str = "", selective: bool = True) -> Path:
        """Train, go on, or find what is trained already."""
        out = self.folder / str(seed) / name
        if (out / FILE).exists():
            return out
        everyone = len(groups) == len(GROUPS)
        settings = TranslatorOptions(identity=self.identity, device=self.options.device)
        training = replace(self.recipe.training, seed=seed, selective=selective)
        if not start:
            if everyone:  # as many in all as are shown to ours in its two stages
                training = replace(training, images=training.images + self.options.few * len(groups))
            train_translator(self.data(groups, seed), out, replace(self.recipe, training=training), settings)
            return out
        first = load_translator(self.folder / str(seed) / start)
        training = replace(training, images=self.options.few * len(groups))
        if everyone:
            extend_translator(self.data(groups, seed), out, first, training, settings)
        else:
            recipe = replace(self.recipe, training=training)
            train_translator(self.data(groups, seed), out, recipe, settings, start=first)
        return out

    def drawers(self, method: str, seed: int) -> dict[str, Drawer]:
        """Train what a method needs, and return what draws each group."""

        def one(path: Path) -> dict[str, Drawer]:
            stored = load_translator(path)
            return {group: Drawer(stored, stored.system.groups[0]) for group in GROUPS}

        basic = self.trained(BASIC, seed, [COMMON])
        if method == BASIC:
            return one(basic)
        if method == MORE:
            return one(self.trained("more", seed, [COMMON], start=BASIC))
        if method == MIXED:
            return one(self.trained(MIXED, seed, GROUPS))
        if method == NAIVE:
            return one(self.trained("naive", seed, FEW, start=BASIC))
        if method == APART:
            return one(basic) | {g: one(self.trained(f"apart-{g}", seed, [g], start=BASIC))[g] for g in FEW}
        path = self.trained("ours" if method == OURS else "open", seed, GROUPS, start=BASIC, selective=method == OURS)
        stored = load_translator(path)
        return {group: Drawer(stored, group) for group in GROUPS}

    def kept(self, method: str, seed: int) -> Path:
        """Return where that is which was measured of a method."""
        return self.folder / str(seed) / f"{METHODS.index(method)}.json"

    def measured(self, method: str, seed: int) -> dict[str, Any]:
        """Return what is measured of a method: network -> group -> figures; and how far the common group moved."""
        kept = self.kept(method, seed)
        found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
        if {look.name for look in self.networks} <= set(found):
            return found
        size, device = self.options.size, self.options.device
        drawers = self.drawers(method, seed)
        photos = {g: self.part("photos", g, seed, held_out=True, resolution=size).all() for g in GROUPS}
        drawn = {g: drawers[g](photos[g], device) for g in GROUPS}
        first = Drawer(load_translator(self.trained(BASIC, seed, [COMMON])), COMMON)
        found = {look.name: self.figures(look, drawn, seed) for look in self.networks}
        found["moved"] = float((drawn[COMMON] - first(photos[COMMON], device)).abs().mean())
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
                "accuracy": float((classifier.predict(rows.numpy()) == GROUPS.index(group)).mean()),
            }
        return figures

    def ends(self, look: Features, seed: int) -> dict[str, dict[str, dict[str, float]]]:
        """Return the figures of the held-out photos as they are, and of the drawings that were trained on."""
        size = self.options.size
        photos = {g: self.part("photos", g, seed, held_out=True, resolution=size).all() for g in GROUPS}
        drawings = {g: self.part("drawings", g, seed, held_out=False, resolution=size).all() for g in GROUPS}
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
            shares = [float((predicted[labels == k] == k).mean()) for k in range(len(GROUPS))]
            self._classifiers[look.name] = classifier.fit(rows, labels), shares
        return self._classifiers[look.name]

    def labelled(self, side: str, look: Features) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return the features of all pictures of one side, and their groups as numbers."""
        sets = [ImageSet.open(self.pictures / side / g, self.options.size) for g in GROUPS]
        rows = torch.cat([embed(look, images.all()) for images in sets]).numpy()
        return rows, np.repeat(np.arange(len(GROUPS)), [len(images) for images in sets])


def group_classifier() -> Pipeline:
    """Return what is taught the groups of pictures, from their features."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000))


# Pictures.


def prepared(data: Path, folder: Path) -> Path:
    """Put the labelled photos and drawings on white, once: FOLDER/photos/GROUP and FOLDER/drawings/GROUP."""
    # All drawings that are labelled: the classifier learns from them.
    needed = {"photos": {g: sum(PHOTOS[g]) for g in GROUPS}, "drawings": dict.fromkeys(GROUPS, 10_000)}
    sources = {
        "photos": (data / "labels_photos_256.csv", "photos_256.zip"),
        "drawings": (data / f"labels_style_{STYLE}.csv", ""),
    }
    for side, (labels, archive) in sources.items():
        for group, names in chosen(labels, needed[side]).items():
            for name in names:
                target = folder / side / group / f"{Path(name).stem}.png"
                if not target.exists():
                    write_image(target, resize(on_white(read(data, archive, name)), STORED))
    return folder


def chosen(labels: Path, needed: Mapping[str, int]) -> dict[str, list[str]]:
    with labels.open(newline="", encoding="utf-8") as file:
        rows = sorted((row["file"], row["group"]) for row in csv.DictReader(file))
    return {group: [name for name, g in rows if g == group][:count] for group, count in needed.items()}


def read(data: Path, archive: str, name: str) -> Pixels:
    if not archive:
        return read_image(data / f"style_{STYLE}" / name)
    with zipfile.ZipFile(data / archive) as file:
        return read_image(file.read(name), name=name)


def on_white(picture: Pixels) -> Pixels:
    return composite(picture, person_mask(picture))


# The page.


def write_page(study: GroupStudy, out: Path) -> None:
    """Write tables, verdicts and pictures of all seeds that are measured whole."""
    seeds = [s for s in range(study.options.seeds) if all(study.kept(method, s).exists() for method in METHODS)]
    if not seeds:
        raise UsageError("No seed is measured whole yet.", "Call the command without --page.")
    found = {method: [study.measured(method, seed) for seed in seeds] for method in METHODS}
    lines = [
        "# Groups from few drawings, measured",
        BLANK,
        *prose(head(study, seeds)),
        f"![Two samples of the base for each of {', '.join(GROUPS)}; then {', '.join(METHODS)}](groups.png)",
        BLANK,
        *(line for look in study.networks for line in tables(study, look, found, seeds)),
        "## What was seen of the paper's claims",
        BLANK,
        *verdicts(study, found),
        BLANK,
        "## Attention (Fig. 7)",
        BLANK,
        *prose(ATTENTION_TEXT),
        "![Attention maps](groups_attention.png)",
    ]
    draw_sheets(study, seeds[0], out)
    (out / "groups.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def head(study: GroupStudy, seeds: Sequence[int]) -> str:
    options, training = study.options, study.recipe.training
    sizes = "; ".join(f"{g} {PHOTOS[g][0]}/{DRAWINGS[g][0]}" for g in GROUPS)
    held = "; ".join(f"{g} {PHOTOS[g][1]}/{DRAWINGS[g][1]}" for g in GROUPS)
    face = f"of weight {training.person_weight:g}" if training.person_weight else "off"
    few, total = options.few, options.images + options.few * len(GROUPS)
    return f"""Written by `python -m studies groups`: recipe `{options.preset}` at {options.size} pixels,
    {options.channels} channels, batch {options.batch}, learning rate {training.learning_rate:g}
    {f"that falls after {training.decay_from:.0%} of each training" if training.decay_from < 1 else "throughout"},
    face-ID loss {face}, group loss of weight {training.group_weight:g}; synthetic photos and {STYLE} drawings on
    white, split into groups by their labels. Photos/drawings trained on, at most: {sizes}; held out: {held}. Seeds
    {", ".join(map(str, seeds))}; a seed splits, initialises and trains. *Basic* sees {options.images} photos of
    women; *mixed* (baseline 1) {total} of all groups, as often as there are photos of each, without telling them
    apart: as many as *ours* sees in both stages. From the basic model, with {few} photos of each group that they
    see: *naive fine-tuning* (baseline 2) on men and kids together, one photo of either in a step and so
    {len(FEW) * few} steps; *per-group fine-tuning* (baseline 3) on each alone, {few} steps; *ours* with a branch
    for each and a photo of each group in every of {few} steps; ours without selective back-propagation; and, to
    tell what a second stage does by itself, the *basic* model *trained on* with women alone, {few} steps. Kernel
    distance (Binkowski et al. 2018, unbiased, so that it may be negative; with so few held-out drawings it is
    coarse) of drawings of held-out photos to held-out drawings of the group; accuracy is the share of them that a
    classifier, taught on the labelled drawings, takes for their group. Mean ± standard deviation over seeds."""


ATTENTION_TEXT = """Samples of the base, never of a person: the sample, where the translator to drawings looks, its
drawing, where the translator back looks, and the sample again; a row for each group, by *ours*."""


def tables(study: GroupStudy, look: Features, found: Mapping[str, Sequence[Any]], seeds: Sequence[int]) -> list[str]:
    """Return the table of one network: per group the distance and the accuracy, and what became of the common group."""
    _, sure = study.classifier(look)
    known = ", ".join(f"{share:.0%} of {group}" for share, group in zip(sure, GROUPS, strict=True))
    ends = [study.ends(look, seed) for seed in seeds]
    rows = {row: [end[row] for end in ends] for row in (PHOTOS_ROW, DRAWINGS_ROW)}
    rows |= {method: [f[look.name] for f in found[method]] for method in METHODS}
    columns = [f"{g}: {what}" for what in ("distance ↓", "accuracy ↑") for g in GROUPS]
    body = []
    for name, values in rows.items():
        cells = [mean_std([v[g][what] for v in values]) for what in ("distance", "accuracy") for g in GROUPS]
        since, moved = "", ""
        if name in METHODS:
            since = mean_std(paired(found, look.name, name, BASIC, COMMON, "distance"), sign=True)
            moved = mean_std([f["moved"] for f in found[name]])
        body.append([name, *cells, since, moved])
    return [
        f"## By {look.name} ({look.digest[:12]})",
        BLANK,
        *prose(
            f"""Of drawings that it was not taught on (5 folds) the classifier takes {known} for what they are; by
            chance it would be {1 / len(GROUPS):.0%}. It was taught on those of *{DRAWINGS_ROW}*. *Moved* is the mean
            change of the drawings of {COMMON} since the basic model, of pixels in [-1, 1]; per-group fine-tuning leaves
            {COMMON} to the basic model."""
        ),
        *table(["", *columns, f"{COMMON}: distance since basic", "moved"], body),
    ]


def verdicts(study: GroupStudy, found: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """Yield, for each claim of the paper, in how many seeds it holds, by each network."""
    claims: list[tuple[str, str, str, Sequence[str], str, int]] = [
        ("The basic model draws the other groups as women (lower accuracy than ours)", OURS, BASIC, FEW, "accuracy", 1),
        ("Mixed training does so too (lower accuracy than ours)", OURS, MIXED, FEW, "accuracy", 1),
        ("Naive fine-tuning forgets the common group (larger distance)", NAIVE, BASIC, [COMMON], "distance", 1),
        ("... (lower accuracy)", NAIVE, BASIC, [COMMON], "accuracy", -1),
        ("Ours forgets less than naive fine-tuning (smaller distance)", OURS, NAIVE, [COMMON], "distance", -1),
        ("... (higher accuracy)", OURS, NAIVE, [COMMON], "accuracy", 1),
        ("... and less than basic, trained on (smaller distance)", OURS, MORE, [COMMON], "distance", -1),
        ("Ours is nearer to the drawings of few-shot groups than basic", OURS, BASIC, FEW, "distance", -1),
        ("... than mixed training", OURS, MIXED, FEW, "distance", -1),
        ("... than per-group fine-tuning", OURS, APART, FEW, "distance", -1),
        ("... than without selective back-propagation", OURS, OPEN, FEW, "distance", -1),
        ("Without selective back-propagation the common group suffers more", OPEN, OURS, [COMMON], "distance", 1),
    ]
    for text, left, right, groups, what, sign in claims:
        parts = []
        for look in study.networks:
            gains = [paired(found, look.name, left, right, g, what) for g in groups]
            said = ", ".join(
                f"{g} {sum(x * sign > 0 for x in gain)}/{len(gain)} ({mean_std(gain, sign=True)})"
                for g, gain in zip(groups, gains, strict=True)
            )
            parts.append(f"{look.name}: {said}")
        yield fill(f"- {text}: {'; '.join(parts)}.", indent="  ")


def paired(found: Mapping[str, Sequence[Any]], look: str, left: str, right: str, group: str, what: str) -> list[float]:
    return [a[look][group][what] - b[look][group][what] for a, b in zip(found[left], found[right], strict=True)]


def draw_sheets(study: GroupStudy, seed: int, out: Path, each: int = 2, side: int = 96) -> None:
    """Draw samples of the base, which are pictures of nobody, by every method, and the attention on some of them."""
    people = samples(study, each)
    size = study.options.size
    drawers = {method: study.drawers(method, seed) for method in METHODS}
    rows: list[Pixels] = []
    for group, pictures in people.items():
        for picture in pictures:
            small = torch.from_numpy(resize(picture, size).astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
            drawn = [to_array(drawers[method][group](small, study.options.device)[0]) for method in METHODS]
            rows += [resize(p, side) for p in (picture, *drawn)]
    write_image(out / "groups.png", np.ascontiguousarray(tile(rows, 1 + len(METHODS))))
    stored = drawers[OURS][COMMON].stored
    stories = []
    for group, pictures in people.items():
        artist = PictureTranslator(stored, group=group, keep_background=True, device=study.options.device)
        stories.append(artist.stylize(pictures[0], aligned=True).sheet(128))
    write_image(out / "groups_attention.png", np.concatenate(stories))


def samples(study: GroupStudy, each: int) -> dict[str, list[Pixels]]:
    """Return, for each group, the samples of the base that a classifier of photos is surest of, on white."""
    look = study.networks[0]
    rows, labels = study.labelled("photos", look)
    classifier = group_classifier()
    classifier.fit(rows, labels)
    random = torch.Generator().manual_seed(7)
    z = torch.randn(200, study.base.generator.anatomy.z_dim, generator=random)
    drawn = study.base.generator.sample_batches(z, 20).clamp(-1, 1)
    white = [on_white(resize(picture, 256)) for picture in to_array(drawn)]
    pictures = torch.stack([torch.from_numpy(p.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1 for p in white])
    shares = classifier.predict_proba(embed(look, pictures).numpy())
    return {g: [white[i] for i in np.argsort(-shares[:, k])[:each]] for k, g in enumerate(GROUPS)}
