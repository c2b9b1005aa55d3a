"""What becomes of people in the bundled styles: by the code alone, refined, and with the detail stage.

python -m studies pictures --people Q.zip=36 --people london/neutral=18 --exemplars toon3d=style_toon3d ...
    --identity mobilefacenet.pt --features mobilenetv2.npz --shown folder --unaligned folder
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from portraitist.data import ImageSet
from portraitist.data.images import Pixels, read_image, write_image
from portraitist.errors import NoFaceFound, UsageError
from portraitist.evaluate import PictureMeasures, PictureScorer, baselines
from portraitist.evaluate.held_out import parts_of
from portraitist.evaluate.picture_baselines import NOTHING, SMOOTHED
from portraitist.evaluate.picture_signals import SIDE, Batch
from portraitist.faces.background import person_mask
from portraitist.files import write_bytes
from portraitist.io import registry
from portraitist.io.feature_files import load_features
from portraitist.io.headers import read_header
from portraitist.io.identity_files import load_identity
from portraitist.report.labels import labelled
from portraitist.report.markdown import prose, shown, table
from portraitist.stylize import ByEncoder, Stylizer

from .material import shown_people

CODE, REFINED, DETAIL = "code", "code, 20 steps", "code, with detail"
WAYS = (CODE, REFINED, DETAIL)
SHOWN = 8
COUNTED = Path(__file__).with_name("counted.csv")


@dataclass(frozen=True)
class Drawn:
    """What one way made of all people."""

    pictures: Mapping[str, Batch]
    """Style -> ``uint8 [N, 256, 256, 3]``."""
    mirrored: Mapping[str, Batch]
    """The same of the mirrored photos."""
    seconds: float
    """CPU time a face, all styles together."""


def main(arguments: Sequence[str]) -> None:
    parser = people_parser("pictures", __doc__)
    parser.add_argument("--unaligned", type=Path, required=True, help="folder of whole photos to paste faces back into")
    parser.add_argument("--counted", type=Path, default=COUNTED, help="CSV file of what was counted by eye")
    given = parser.parse_args(arguments)
    photos = people_of(given.people)
    folders = dict(text.split("=", 1) for text in given.exemplars)
    styles = list(folders)
    drawn = {way: draw(stylizer(styles, way), photos) for way in WAYS}
    scorer = PictureScorer(photos, load_identity(given.identity), load_features(given.features))
    references = {style: scorer.exemplars(exemplars_of(style, Path(folders[style]))[0]) for style in styles}
    plain = baselines(photos, 64)
    lines = ["# Pictures: who stays, and what the style changes", "", *intro(given, photos)]
    for style in styles:
        reference = references[style]
        rows = [(name, scorer.measure(plain[name], reference)) for name in (NOTHING, SMOOTHED)]
        rows += [(way, scorer.measure(d.pictures[style], reference, d.mirrored[style])) for way, d in drawn.items()]
        lines += [f"## {style}", "", *table(HEAD, [(name, *cells(measures)) for name, measures in rows])]
    lines += ["## Time", ""]
    lines += table(["way", "CPU s a face, all styles"], [(way, f"{d.seconds:.2f}") for way, d in drawn.items()])
    lines += ["## Pasted back", "", *pasted(stylizer(styles[:1], DETAIL), given.unaligned)]
    lines += ["## Counted by eye", "", *counted(given.counted)]
    lines += ["![Photos, and their pictures in each style](pictures.png)", ""]
    lines += prose("Photos: Eileen Collins (NASA, public domain), and people of nobody (Stable Diffusion 3, CC0).")
    write_image(given.out / "pictures.png", sheet(styles, shown_people(given.shown, SHOWN)))
    write_bytes(given.out / "pictures.md", ("\n".join(lines).rstrip() + "\n").encode(), overwrite=True)
    print(given.out / "pictures.md")


HEAD = ("", "identity ↑", "strangers", "rank-1 ↑", "style ↓", "sharpness / exemplars'", "layout", "mirror bias")


def people_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return the arguments that the studies of people share."""
    parser = argparse.ArgumentParser(prog=f"python -m studies {name}", description=description)
    parser.add_argument("--people", action="append", required=True, help="SET=COUNT of aligned photos to measure on")
    parser.add_argument("--exemplars", action="append", required=True, help="STYLE=FOLDER")
    parser.add_argument("--identity", type=Path, required=True, help="face embedder")
    parser.add_argument("--features", type=Path, required=True, help="feature network of the style distance")
    parser.add_argument("--shown", type=Path, required=True, help="folder with sd3_*.jpg, whole photos for the sheet")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheet")
    return parser


def people_of(sets: Sequence[str]) -> Batch:
    """Return the people of sets, each named as SET=COUNT: ``uint8 [N, 256, 256, 3]``."""
    parts = [text.rsplit("=", 1) for text in sets]
    return np.stack([p for k, (path, count) in enumerate(parts) for p in people(path, int(count), k / len(parts))])


def named(sets: Sequence[str]) -> str:
    """Say how many people of which sets are measured."""
    return ", ".join(f"{count} of {Path(path).name}" for path, count in (text.rsplit("=", 1) for text in sets))


def people(path: str, count: int, shift: float) -> Iterator[Pixels]:
    """Yield so many photos of a set, evenly spread from a part of a step on: other sets may show the same people."""
    images = ImageSet.open(Path(path), SIDE)
    for k in range(count):
        yield images[int((k + shift) * len(images) / count)].permute(1, 2, 0).numpy()


def stylizer(styles: Sequence[str], way: str) -> Stylizer:
    """Return what draws in a way."""
    inversion = ByEncoder(refine=20) if way == REFINED else None
    return Stylizer.load(styles, inversion=inversion, detail=1.0 if way == DETAIL else 0.0, method="code")


def draw(by: Stylizer, photos: Batch) -> Drawn:
    """Draw all people, and their mirror images."""
    start = time.process_time()
    pictures = _drawn(by, photos)
    seconds = (time.process_time() - start) / len(photos)
    return Drawn(pictures, _drawn(by, np.ascontiguousarray(photos[:, :, ::-1])), seconds)


def _drawn(by: Stylizer, photos: Batch) -> dict[str, Batch]:
    each = [by.stylize(photo, aligned=True, size=SIDE).faces[0].pictures for photo in photos]
    return {style: np.stack([pictures[style] for pictures in each]) for style in by.styles}


def exemplars_of(style: str, folder: Path) -> tuple[Batch, Batch]:
    """Return the exemplars that a style has not seen, and those that it was trained on."""
    header = read_header(registry.find(style))
    parts = parts_of(header, ImageSet.open(folder, header.generator.resolution))
    if parts.trained is None:
        raise UsageError(f"All of {folder} is new to the style '{style}'.", "Give what it was trained on.")
    unseen, seen = (np.stack(list(part.decoded_at(SIDE))) for part in (parts.held_out, parts.trained))
    return unseen, seen


def cells(found: PictureMeasures) -> tuple[str, ...]:
    """Return a row of the table."""
    assert found.exemplar_sharpness is not None
    ratio = found.sharpness.value / found.exemplar_sharpness.value
    return (
        *map(shown, (found.identity, found.strangers, found.rank1, found.style)),
        f"{ratio:.2f}",
        *map(shown, (found.layout, found.mirror_bias)),
    )


def pasted(by: Stylizer, folder: Path) -> list[str]:
    """Paste faces back into whole photos; say what changes outside the person."""
    outside, faces, none = [], 0, 0
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".png")):
        photo = read_image(path)
        try:
            portraits = by.stylize(photo)
        except NoFaceFound:
            none += 1
            continue
        faces += len(portraits.faces)
        change = np.abs(portraits.pasted(by.styles[0]).astype(np.int16) - photo).mean(axis=2)
        away = person_mask(photo) < 0.05
        if away.any():
            outside.append(float(change[away].mean()))
    return prose(
        f"{by.styles[0]}, {len(outside)} whole photos with {faces} faces ({none} photos without a face that is found). "
        f"Outside the person, as the segmentation sees it in the whole photo, pixels change by {np.mean(outside):.3f} "
        f"grey levels in the mean, by {max(outside):.3f} in the photo where they change most."
    )


def counted(path: Path, drawings: str = "pictures with detail", side: int = 192) -> list[str]:
    """Return what was counted by eye on sheets of photos beside their drawings, of a side in pixels."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    return [
        *prose(
            "Of aligned photos of photos_eval_256.zip, chosen by what they show before any was drawn: 20 men, 10 "
            f"people with glasses, 10 broad smiles. Each photo stood on a sheet beside its {drawings}, {side} "
            "pixels each. Counted is who is still drawn as a man, whose glasses are there and whole, and whose smile "
            "is still broad; what left a doubt does not count."
        ),
        *table(tuple(head), [tuple(row) for row in rows]),
    ]


def intro(given: argparse.Namespace, photos: Batch) -> list[str]:
    """Say what was measured, and how."""
    sets = named(given.people)
    return [
        *prose(
            "Written by `python -m studies pictures`, with `--people SET=COUNT ... --exemplars STYLE=FOLDER ... "
            "--identity FILE --features FILE --shown FOLDER --unaligned FOLDER`."
        ),
        *prose(
            f"{len(photos)} people ({sets}), whom no model and no setting has seen. *Code* draws the code of the "
            "encoder, *code, 20 steps* the code refined, *code, with detail* what `portraitist stylize --method code` "
            "does: the detail stage on the code of the encoder. [painter.md](painter.md) sets painters beside it. "
            "*Nothing* is the photo, *smoothed* the photo without its texture. Identity is "
            f"the cosine of {given.identity.stem}, rank-1 the share of pictures whose nearest photo is the right "
            f"person's, style the kernel distance on {given.features.stem} to held-out exemplars, sharpness the rms "
            "above 32 cycles a picture, mirror bias the difference of both eyes that does not turn with the photo. "
            "± is half the 95 % interval."
        ),
    ]


@torch.no_grad()
def sheet(styles: Sequence[str], photos: Sequence[Pixels]) -> Pixels:
    """Return the first faces of whole photos beside their pictures."""
    by = stylizer(styles, DETAIL)
    faces = [by.stylize(photo, which="largest", size=SIDE).faces[0] for photo in photos]
    closeups = [face.aligned.closeup.image for face in faces if face.aligned.closeup is not None]
    return labelled({"photo": closeups, **{s: [face.pictures[s] for face in faces] for s in styles}}, 200)
