r"""The weight of the group classification, swept: the few-shot paper's own preset, and pictures as its Figs 9 to 12.

    python -m studies group_weights --data ../shared/data --runs runs/groups --style toon3d --preset paper \
        --images 5500 --few 300 --rate 5e-4 --decay-from .5 --identity mobilefacenet.pt --features squeezenet.npz

One basic model, and from it, for each weight, a branch for every group (as `python -m studies groups` does for one
weight and its baselines). Trainings go on where they were when the command is called again; --page writes the page from
what is there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from portraitist.data.images import Pixels, resize, to_array, to_tensor, write_image
from portraitist.data.sheet import tile
from portraitist.errors import UsageError
from portraitist.files import write_bytes
from portraitist.losses.identity import identity_distance
from portraitist.networks.features import Features
from portraitist.networks.identity import Identity
from portraitist.report.markdown import BLANK, mean_std, prose, table

from .groups.study import BASIC, DRAWINGS_ROW, OURS, PHOTOS_ROW, GroupStudy, add_options, amounts, people_of

NAME = "group_weights"
SEED = 0
SHOWN = 3
"""People of each group in the gallery."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog=f"python -m studies {NAME}", description=__doc__)
    add_options(parser)
    parser.add_argument("--weights", default="1,10,100", help="of the group classification, joined by commas")
    parser.add_argument("--name", default=NAME, help="of the page; another for other settings")
    parser.add_argument("--both", action="store_true", help="beside --initial, the same without it")
    options = parser.parse_args(arguments)
    if options.identity is None:
        raise UsageError("The page tells whether the person stays.", "Give the weights of a face embedder: --identity.")
    first, *more = map(float, options.weights.split(","))
    study = GroupStudy(options, first)
    if options.both and not study.first_stage.training.initial_share:
        raise UsageError("--both is of trainings with --initial, and without.", "Give --initial too.")
    studies = [study, *(study.weighing(weight) for weight in more)]
    rows = _rows([s.beginning(0) for s in studies] if options.both else studies)
    if options.both:
        rows |= {f"after copies, {name}": row for name, row in _rows(studies).items()}
    if options.page and any(not study.kept(method, SEED).exists() for study, method in rows.values()):
        raise UsageError("Not all weights are measured yet.", "Call the command without --page.")
    found = {name: study.measured(method, SEED) for name, (study, method) in rows.items()}
    persons = {name: _persons(study, method) for name, (study, method) in rows.items()}
    shown = f"{SHOWN} samples of the base for each of {', '.join(studies[0].groups)}; then {', '.join(rows)}"
    lines = [
        "# The weight of the groups, measured",
        BLANK,
        *prose(_head(studies)),
        f"![{shown}]({options.name}.png)",
        BLANK,
        *(line for look in studies[0].networks for line in _table(studies[0], look, found, persons)),
    ]
    _draw_gallery(studies[0], rows, options.out / f"{options.name}.png")
    (options.out / f"{options.name}.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _rows(studies: Sequence[GroupStudy]) -> dict[str, tuple[GroupStudy, str]]:
    """Return what is compared: the basic model, and the second stage by each weight."""
    return {BASIC: (studies[0], BASIC)} | {f"weight {s.group_weight:g}": (s, OURS) for s in studies}


def _persons(study: GroupStudy, method: str) -> dict[str, float]:
    """Return, for each group, how like the people of held-out photos those of their drawings are: a mean of cosines."""
    identity, size = _embedder(study), study.options.size
    kept = study.kept(method, SEED).with_suffix(f".{identity.digest[:12]}.json")
    if kept.exists():
        found: dict[str, float] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    drawers, found = study.drawers(method, SEED), {}
    for group in study.groups:
        photos = study.part("photos", group, SEED, held_out=True, resolution=size).all()
        drawn = drawers[group](photos, study.options.device).cpu()
        with torch.no_grad():
            found[group] = float(1 - identity_distance(identity.embed(photos), identity.embed(drawn)).mean())
    write_bytes(kept, json.dumps(found).encode(), overwrite=True)
    return found


def _embedder(study: GroupStudy) -> Identity:
    assert study.identity is not None  # the command was refused
    return study.identity


def _head(studies: Sequence[GroupStudy]) -> str:
    study, options = studies[0], studies[0].options
    training = study.first_stage.training
    weights = ", ".join(f"{s.group_weight:g}" for s in studies)
    sizes, held, fall = amounts(study)
    copies = f"of which the first {training.initial_images} were only drawn as they are, as the drawings beside them"
    seen = f"Rows that begin with *after copies* have seen as many, {copies}." if options.both else ""
    begun = f", {copies}" if training.initial_share and not options.both else ""
    slower = "" if options.few_rate is None else f", at a learning rate of {options.few_rate:g}"
    named = "" if options.name == NAME else f" --name {options.name}"
    return f"""Written by `python -m studies {NAME}{named}`: recipe {study.recipe_name}
    at {options.size} pixels, {options.channels} channels, batch {options.batch}, learning rate
    {training.learning_rate:g} {fall}, face-ID loss of weight {training.person_weight:g}, seed {SEED}.
    Photos/{options.style} drawings trained on, at most: {sizes}; held out: {held}. *Basic* has seen {options.images}
    photos of {study.common}{begun}; from it, each weight ({weights}; the paper's is 100) was trained for
    {options.few} photos of each group{slower}. {seen}
    Distance and accuracy as in [groups.md](groups.md). *Person* is the mean cosine of embeddings of held-out photos
    and of their drawings by {_embedder(study).name}, the network of the face-ID loss. In the pictures are samples of
    the base, people who do not exist, as in the paper's Figs 9 to 12."""


def _table(
    study: GroupStudy, look: Features, found: Mapping[str, Any], persons: Mapping[str, Mapping[str, float]]
) -> list[str]:
    ends = study.ends(look, SEED)
    rows = {name: ends[name] for name in (PHOTOS_ROW, DRAWINGS_ROW)}
    rows |= {name: figures[look.name] for name, figures in found.items()}
    body = []
    for name, figures in rows.items():
        cells = [mean_std([figures[g][what]]) for what in ("distance", "accuracy") for g in study.groups]
        body.append([name, *cells, *(f"{persons[name][g]:.2f}" if name in persons else "" for g in study.groups)])
    columns = [f"{g}: {what}" for what in ("distance ↓", "accuracy ↑", "person ↑") for g in study.groups]
    return [f"## By {look.name} ({look.digest[:12]})", BLANK, *table(["", *columns], body)]


def _draw_gallery(study: GroupStudy, rows: Mapping[str, tuple[GroupStudy, str]], target: Path, side: int = 128) -> None:
    """Write a row for each person: the sample, the basic model's drawing, and one for each weight."""
    drawers = [study.drawers(method, SEED) for study, method in rows.values()]
    pictures: list[Pixels] = []
    for group, people in people_of(study, SHOWN).items():
        for person in people:
            small: Tensor = to_tensor(resize(person, study.options.size))[None]
            drawn = [to_array(each[group](small, study.options.device)[0]) for each in drawers]
            pictures += [resize(picture, side) for picture in (person, *drawn)]
    write_image(target, np.ascontiguousarray(tile(pictures, 1 + len(rows))))
