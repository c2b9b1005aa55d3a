"""The page of the comparison: tables, what was seen of the paper's claims, pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from portraitist.data.images import Pixels, resize, to_array, to_tensor, write_image
from portraitist.data.sheet import tile
from portraitist.errors import UsageError
from portraitist.networks.features import Features
from portraitist.report.markdown import BLANK, fill, mean_std, prose, table
from portraitist.stylize.translate import PictureTranslator

from .study import (
    APART,
    BASIC,
    DRAWINGS_ROW,
    METHODS,
    MIXED,
    MORE,
    NAIVE,
    OPEN,
    OURS,
    PHOTOS_ROW,
    GroupStudy,
    amounts,
    people_of,
)


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
        f"![Two samples of the base for each of {', '.join(study.groups)}; then {', '.join(METHODS)}](groups.png)",
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
    options, training = study.options, replace(study.first_stage.training, group_weight=study.group_weight)
    sizes, held, fall = amounts(study)
    face = f"of weight {training.person_weight:g}" if training.person_weight else "off"
    begun = f", the first {training.initial_images} only to draw them as they are" if training.initial_share else ""
    slower = "" if options.few_rate is None else f" at a learning rate of {options.few_rate:g}"
    few, total = options.few, options.images + options.few * len(study.groups)
    common, style, others = study.common, study.drawings.style, " and ".join(study.few)
    return f"""Written by `python -m studies groups`: recipe {study.recipe_name} at {options.size} pixels,
    {options.channels} channels, batch {options.batch}, learning rate {training.learning_rate:g} {fall},
    face-ID loss {face}, group loss of weight {training.group_weight:g}; synthetic photos and {style} drawings on
    white, split into groups by their labels. Photos/drawings trained on, at most: {sizes}; held out: {held}. Seeds
    {", ".join(map(str, seeds))}; a seed splits, initialises and trains. *Basic* sees {options.images} photos of
    {common}{begun}; *mixed* (baseline 1) {total} of all groups, as often as there are photos of each, without
    telling them apart: as many as *ours* sees in both stages. From the basic model, with {few} photos of each group
    that they see{slower}: *naive fine-tuning* (baseline 2) on {others} together, one photo of either in a step and so
    {len(study.few) * few} steps; *per-group fine-tuning* (baseline 3) on each alone, {few} steps; *ours* with a branch
    for each and a photo of each group in every of {few} steps; ours without selective back-propagation; and, to
    tell what a second stage does by itself, the *basic* model *trained on* with {common} alone, {few} steps. Kernel
    distance (Binkowski et al. 2018, unbiased, so that it may be negative; with so few held-out drawings it is
    coarse) of drawings of held-out photos to held-out drawings of the group; accuracy is the share of them that a
    classifier, taught on the labelled drawings, takes for their group. Mean ± standard deviation over seeds."""


ATTENTION_TEXT = """Samples of the base, never of a person: the sample, where the translator to drawings looks, its
drawing, where the translator back looks, and the sample again; a row for each group, by *ours*."""


def tables(study: GroupStudy, look: Features, found: Mapping[str, Sequence[Any]], seeds: Sequence[int]) -> list[str]:
    """Return the table of one network: per group the distance and the accuracy, and what became of the common group."""
    common = study.common
    _, sure = study.classifier(look)
    known = ", ".join(f"{share:.0%} of {group}" for share, group in zip(sure, study.groups, strict=True))
    ends = [study.ends(look, seed) for seed in seeds]
    rows = {row: [end[row] for end in ends] for row in (PHOTOS_ROW, DRAWINGS_ROW)}
    rows |= {method: [f[look.name] for f in found[method]] for method in METHODS}
    columns = [f"{g}: {what}" for what in ("distance ↓", "accuracy ↑") for g in study.groups]
    body = []
    for name, values in rows.items():
        cells = [mean_std([v[g][what] for v in values]) for what in ("distance", "accuracy") for g in study.groups]
        since, moved = "", ""
        if name in METHODS:
            since = mean_std(paired(found, look.name, name, BASIC, common, "distance"), sign=True)
            moved = mean_std([f["moved"] for f in found[name]])
        body.append([name, *cells, since, moved])
    return [
        f"## By {look.name} ({look.digest[:12]})",
        BLANK,
        *prose(
            f"""Of drawings that it was not taught on (5 folds) the classifier takes {known} for what they are; by
            chance it would be {1 / len(study.groups):.0%}. It was taught on those of *{DRAWINGS_ROW}*. *Moved* is
            the mean change of the drawings of {common} since the basic model, of pixels in [-1, 1]; per-group
            fine-tuning leaves {common} to the basic model."""
        ),
        *table(["", *columns, f"{common}: distance since basic", "moved"], body),
    ]


def verdicts(study: GroupStudy, found: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """Yield, for each claim of the paper, in how many seeds it holds, by each network."""
    few, common = study.few, [study.common]
    drawn_alike = f"The basic model draws the other groups as {study.common} (lower accuracy than ours)"
    claims: list[tuple[str, str, str, Sequence[str], str, int]] = [
        (drawn_alike, OURS, BASIC, few, "accuracy", 1),
        ("Mixed training does so too (lower accuracy than ours)", OURS, MIXED, few, "accuracy", 1),
        ("Naive fine-tuning forgets the common group (larger distance)", NAIVE, BASIC, common, "distance", 1),
        ("... (lower accuracy)", NAIVE, BASIC, common, "accuracy", -1),
        ("Ours forgets less than naive fine-tuning (smaller distance)", OURS, NAIVE, common, "distance", -1),
        ("... (higher accuracy)", OURS, NAIVE, common, "accuracy", 1),
        ("... and less than basic, trained on (smaller distance)", OURS, MORE, common, "distance", -1),
        ("Ours is nearer to the drawings of few-shot groups than basic", OURS, BASIC, few, "distance", -1),
        ("... than mixed training", OURS, MIXED, few, "distance", -1),
        ("... than per-group fine-tuning", OURS, APART, few, "distance", -1),
        ("... than without selective back-propagation", OURS, OPEN, few, "distance", -1),
        ("Without selective back-propagation the common group suffers more", OPEN, OURS, common, "distance", 1),
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
    people = people_of(study, each)
    size = study.options.size
    drawers = {method: study.drawers(method, seed) for method in METHODS}
    rows: list[Pixels] = []
    for group, pictures in people.items():
        for picture in pictures:
            small = to_tensor(resize(picture, size))[None]
            drawn = [to_array(drawers[method][group](small, study.options.device)[0]) for method in METHODS]
            rows += [resize(p, side) for p in (picture, *drawn)]
    write_image(out / "groups.png", np.ascontiguousarray(tile(rows, 1 + len(METHODS))))
    stored = drawers[OURS][study.common].stored
    stories = []
    for group, pictures in people.items():
        artist = PictureTranslator(stored, group=group, keep_background=True, device=study.options.device)
        stories.append(artist.stylize(pictures[0], aligned=True).sheet(128))
    write_image(out / "groups_attention.png", np.concatenate(stories))
