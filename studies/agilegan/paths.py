"""AgileGAN's Fig. 14: a path for each attribute against a single one, split at low or at high resolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from portraitist.data import ImageSet
from portraitist.data.images import write_image
from portraitist.data.sheet import grid
from portraitist.recipes.agilegan import multipath
from portraitist.report.markdown import BLANK, bullets, mean_std, prose, table
from portraitist.train.spec import Training

from ..material import samples
from ..study import Run, Study
from ..verdict import verdict
from .embeddings import RECIPE

BY, VALUES = "gender", ("female", "male")
LEAST = 20
"""Exemplars of each value that a style must have."""
SINGLE = "single path"
SHOWN = 8
PICTURE = "reproduction-agilegan-paths.png"


def section(study: Study) -> list[str]:
    """Return the lines about paths of the first style that has exemplars of both values, and write its sheet."""
    style = next((style for style, images in study.sets.items() if _has_both(images)), None)
    if style is None:
        return []
    runs = {seed: _trained(study, style, seed) for seed in study.seeds}
    kinds = list(_kinds(study))
    found = {(seed, kind): study.curve(runs[seed][kind])[-1]["unseen"] for seed in study.seeds for kind in kinds}
    write_image(study.out / PICTURE, sheet(study, runs[study.seeds[0]]))
    body = [
        [value, *(mean_std([found[seed, kind][k] for seed in study.seeds]) for kind in kinds)]
        for k, value in enumerate(VALUES)
    ]
    several = [kind for kind in kinds if kind != SINGLE]
    verdicts = [
        verdict(kind, SINGLE, [p for s in study.seeds for p in zip(found[s, kind], found[s, SINGLE], strict=True)])
        for kind in several
    ]
    rows = ", ".join(["samples of the base", SINGLE, *(f"{value} {kind}" for kind in several for value in VALUES)])
    return [
        "### Fig. 14, a path for each attribute",
        BLANK,
        *prose(
            f"""`{RECIPE}` with a single path and with `multipath`, split by {BY} at low and at high resolutions, in
            {style}, for equal images seen: kernel distance to the unseen exemplars of each value, by the base's
            discriminator; ± deviation over {len(study.seeds)} seeds. The paper splits age at high resolutions; of these
            exemplars too few are of elderly people to be measured."""
        ),
        *table([BY, *kinds], body),
        *bullets(verdicts),
        f"![Rows: {rows}]({PICTURE})",
        BLANK,
    ]


def sheet(study: Study, runs: Mapping[str, Run]) -> Any:
    """Return samples of the base drawn by the single path and by each path: a row each."""
    codes = samples(study.base, SHOWN, 6)
    models = [study.base.generator, study.trained(runs[SINGLE])]
    models += [study.trained(run, path=value) for kind, run in runs.items() if kind != SINGLE for value in VALUES]
    with torch.no_grad():
        drawn: list[Tensor] = [model.synthesize(codes).cpu() for model in models]
    return grid(torch.cat(drawn), columns=SHOWN)


def _has_both(images: ImageSet) -> bool:
    column = images.attributes.get(BY, ())
    return all(column.count(value) >= LEAST for value in VALUES)


def _kinds(study: Study) -> dict[str, tuple[int, int] | None]:
    """Return what each kind of training splits, by the name of its column."""
    own = multipath(Training(), study.side)
    low, high = (own.split_from, own.split_upto), (own.split_upto * 2, study.side)
    return {SINGLE: None} | {f"split at {first} to {last}": (first, last) for first, last in (low, high)}


def _trained(study: Study, style: str, seed: int) -> dict[str, Run]:
    """Return the trainings, carried out where need be, by the name of their column."""
    found = {}
    for kind, split in _kinds(study).items():
        single = split is None
        recipe, named = (RECIPE, ()) if single else (f"{RECIPE}+multipath", VALUES)
        found[kind] = Run(style, recipe, seed, part="paths", by=BY, values=VALUES, paths=named, split=split)
        study.digest(found[kind])
    return found
