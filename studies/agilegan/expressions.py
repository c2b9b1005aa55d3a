"""AgileGAN's Fig. 13: one person, neutral and smiling, is drawn as one character that smiles where the person does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from portraitist.data.images import resize, to_array, write_image
from portraitist.data.sheet import grid
from portraitist.edit import EXPRESSIONS, expression
from portraitist.evaluate.quality import as_files
from portraitist.evaluate.recognition import recognition
from portraitist.faces import finder_named
from portraitist.io.model_file import generator_digest
from portraitist.networks.identity import Identity
from portraitist.report.markdown import BLANK, mean_std, prose, table
from portraitist.spaces.direction import moved
from portraitist.video.animation import known_expressions

from ..inverted import codes_of, digest_of, drawn_codes, encoding
from ..material import samples
from ..study import Run, Study
from .embeddings import HVAE, NO_HVAE, RECIPE

LOOKED_AT = 256
"""Side at which the mesh of a face is looked for."""
BATCH = 50
PHOTOS = "*the photos*"
SHOWN, STRENGTH = 4, 2.0
"""Persons of the sheet, and how far each is moved, in deviations among samples."""
MOVED = (("", 0.0), ("smile", STRENGTH), ("yaw", -STRENGTH), ("yaw", STRENGTH))
PICTURE = "reproduction-agilegan-expressions.png"

Measures = dict[str, float | None]


def section(study: Study) -> list[str]:
    """Return the lines about pairs of photos of one person, and write the sheet of drawn people."""
    stored = study.encoders.get(HVAE)
    title = ["### Fig. 13, one person with other expressions and poses", BLANK]
    if stored is None:
        return [*title, *prose(NO_HVAE)]
    seen: list[str] = []
    if (drawn := sheet(study)) is not None:
        write_image(study.out / PICTURE, drawn)
        rows = "a sample of the base, smiling, turned to either side; below each, what it is drawn as"
        seen = [f"![{len(MOVED)} columns: {rows}]({PICTURE})", BLANK, *prose(f"In {next(iter(study.sets))}.")]
    if study.pairs is None or study.identity is None:
        return [*title, *prose("Not measured, for want of --pairs or of --identity."), *seen]
    found = {(style, seed): _measured(study, Run(style, RECIPE, seed)) for style in study.sets for seed in study.seeds}
    count = len(study.pairs[0])
    keys = ("rank1", "own", "strangers", "smiles")
    each = {PHOTOS: [_of_photos(study)]} | {s: [found[s, seed] for seed in study.seeds] for s in study.sets}
    body = [[name, *(_cell([one[key] for one in those]) for key in keys)] for name, those in each.items()]
    return [
        *title,
        *prose(
            f"""{count} persons twice, drawn by `{RECIPE}` styles from the hVAE's codes. *Recognised*: smiling drawings
            whose nearest neutral drawing, by {study.identity.name}, is of the same person; chance is {1 / count:.3f}.
            *Same*, *other*: cosines of a person's two drawings and of two persons' drawings. *Smiles*: persons whose
            mouth is wider in the second drawing than in the first, by the face mesh, of those whose faces are found in
            both. ± deviation over {len(study.seeds)} seeds."""
        ),
        *table(["", "recognised ↑", "same ↑", "other", "smiles ↑"], body),
        *seen,
    ]


def _cell(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return mean_std(known) if len(known) == len(values) else "no face found"


@torch.no_grad()
def sheet(study: Study) -> Any:
    """Return samples of the base that the base's directions move, and what the first style draws of each picture.

    None where no directions of expressions are known of the base.
    """
    directions = {d.name: d for d in known_expressions(generator_digest(study.base))}
    if not directions:
        return None
    base, codes = study.base.generator, samples(study.base, SHOWN, 9)
    model = study.trained(Run(next(iter(study.sets)), RECIPE, study.seeds[0]))
    rows = [base.synthesize(moved(codes, directions[name], by) if name else codes).cpu() for name, by in MOVED]
    found = []
    for person in as_files(torch.stack(rows, dim=1)):
        found += [person, drawn_codes(model, _codes(study, person)).cpu()]
    return grid(torch.cat(found), columns=len(MOVED))


def _codes(study: Study, pictures: Tensor) -> Tensor:
    stored = study.encoders[HVAE]
    those = replace(study, photos=pictures)
    return codes_of(those, HVAE, encoding(study, stored), {"encoder": stored.digest})


def _measured(study: Study, run: Run) -> Measures:
    assert study.pairs is not None and study.identity is not None
    about = {"model": study.digest(run), "encoder": study.encoders[HVAE].digest, **_about(study)}

    def measure() -> Measures:
        assert study.pairs is not None
        model = study.trained(run)
        neutral, smiling = (drawn_codes(model, _codes(study, photos)) for photos in study.pairs)
        return _measures(study, neutral, smiling)

    found: Measures = study.cached(f"agilegan-pairs-{run.name}", about, measure)
    return found


def _of_photos(study: Study) -> Measures:
    assert study.pairs is not None
    pairs = study.pairs
    found: Measures = study.cached("agilegan-pairs", _about(study), lambda: _measures(study, *pairs))
    return found


def _about(study: Study) -> dict[str, Any]:
    assert study.pairs is not None and study.identity is not None
    marks = [digest_of(photos) for photos in study.pairs]
    return {"pairs": marks, "persons": study.identity.digest}


def _measures(study: Study, neutral: Tensor, smiling: Tensor) -> Measures:
    assert study.identity is not None
    first, second = (_embedded(study.identity, pictures) for pictures in (neutral, smiling))
    found = recognition(second, first)
    before, after = (_smiles(pictures) for pictures in (neutral, smiling))
    both = [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]
    return {
        "rank1": found.rank1.value,
        "own": found.own.value,
        "strangers": found.strangers.value,
        "smiles": sum(b > a for a, b in both) / len(both) if both else None,
    }


@torch.no_grad()
def _embedded(identity: Identity, pictures: Tensor) -> Tensor:
    return torch.cat([identity.embed(part) for part in torch.split(pictures, BATCH)])


def _smiles(pictures: Tensor) -> list[float | None]:
    """Return how wide each mouth is; None where no face is found."""
    finder, found = finder_named(), []
    for picture in pictures.cpu():
        large = resize(to_array(picture), LOOKED_AT)
        faces = finder.find(large)
        wide = expression(large, faces[0].landmarks)[EXPRESSIONS.index("smile")] if faces else None
        found.append(None if wide is None else float(wide))
    return found
