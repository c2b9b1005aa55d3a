"""What translators draw of people whom they have not seen, at the side that they learned at and at twice that.

python -m studies translators --photos Q.zip --labels Q.csv --translator toon3d-groups=pictures/toon3d/drawings ...
    --identity mobilefacenet.pt --features mobilenetv2.npz --shown folder
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from portraitist.data import ImageSet, read_image
from portraitist.data.images import Pixels, resize, write_image
from portraitist.errors import NoFaceFound, UsageError
from portraitist.evaluate import PictureMeasures, PictureScorer
from portraitist.evaluate.picture_signals import SIDE, Batch
from portraitist.faces import finder_named
from portraitist.faces.background import cut_out
from portraitist.files import write_bytes
from portraitist.io.catalogue import find_translator
from portraitist.io.feature_files import load_features
from portraitist.io.identity_files import load_identity
from portraitist.io.translator_files import load_translator
from portraitist.report.labels import labelled
from portraitist.report.markdown import prose, table
from portraitist.stylize.crops import as_aligned_face
from portraitist.stylize.translate import PictureTranslator, onto_white

from .material import column_of, shown_people
from .pictures import HEAD, cells

SHOWN = 8


@dataclass(frozen=True)
class Person:
    """A photo on white, and who draws it."""

    photo: Pixels
    group: str


class Artist:
    """The branches of a translator."""

    def __init__(self, what: str) -> None:
        stored = load_translator(find_translator(what))
        groups = stored.system.groups
        self.branches = {group: PictureTranslator(stored, group=group, keep_background=True) for group in groups}
        first = self.branches[groups[0]]
        self.name, self.groups, self.several = first.name, groups, len(groups) > 1
        self.persons = (stored.header.training.get("persons") or {}).get("digest")
        self.sides = sorted({stored.system.anatomy.resolution, first.side})

    def draws(self, person: Person) -> bool:
        """Tell whether there is a branch for a person."""
        return not self.several or person.group in self.branches

    def draw(self, people: Sequence[Person], side: int) -> Batch:
        """Return the drawings of people on white at a side, ``uint8 [N, 256, 256, 3]``."""
        found = []
        for person in people:
            branch = self.branches[person.group if self.several else self.groups[0]]
            branch.side = side
            found.append(branch.draw(as_aligned_face(person.photo, SIDE), SIDE).drawing)
        return np.stack(found)


def main(arguments: Sequence[str]) -> None:
    """Measure translators, and write the page with its sheet."""
    parser = argparse.ArgumentParser(prog="python -m studies translators", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="aligned photos that nothing was trained on")
    parser.add_argument("--labels", type=Path, required=True, help="CSV file of these: file, group")
    parser.add_argument("--count", type=int, default=72, help="photos to measure on, evenly spread over the set")
    parser.add_argument(
        "--translator",
        action="append",
        required=True,
        help="WHAT=FOLDER: a name, file or run folder, and drawings on white that it should come near to",
    )
    parser.add_argument("--identity", type=Path, required=True, help="face embedder")
    parser.add_argument("--features", type=Path, required=True, help="feature network of the style distance")
    parser.add_argument("--shown", type=Path, required=True, help="folder with sd3_*.jpg, whole photos for the sheet")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder for the page and its sheet")
    given = parser.parse_args(arguments)
    people = list(people_of(given.photos, given.labels, given.count))
    identity, features = load_identity(given.identity), load_features(given.features)
    cut = onto_white(SIDE, finder_named())
    shown = [Person(cut(photo, "")[0].image, "") for photo in shown_people(given.shown, SHOWN)]
    columns: dict[str, Sequence[Pixels]] = {"photo": [person.photo for person in shown]}
    head = (*HEAD[:-1], "CPU s a face")
    lines = ["# Translators: photo in, drawing out", "", *intro(given)]
    for what, folder in (text.rsplit("=", 1) for text in given.translator):
        artist = Artist(what)
        mine = [person for person in people if artist.draws(person)]
        photos = np.stack([person.photo for person in mine])
        scorer = PictureScorer(photos, identity, features)
        reference = scorer.exemplars(drawings_of(Path(folder)))
        rows = [("nothing", *measured(scorer.measure(photos, reference)), "")]
        for side in artist.sides:
            begin = time.process_time()
            drawn = artist.draw(mine, side)
            spent = (time.process_time() - begin) / len(mine)
            rows.append((f"at {side} pixels", *measured(scorer.measure(drawn, reference)), f"{spent:.2f}"))
            if not artist.several:
                columns[f"{artist.name}, {side} px"] = list(artist.draw(shown, side))
        same = " The face-ID loss of its training is by the same network." if artist.persons == identity.digest else ""
        by = f", each by the branch of their group: {', '.join(artist.groups)}" if artist.several else ""
        lines += [f"## {artist.name}", "", *prose(f"{len(mine)} people{by}.{same}"), *table(head, rows)]
    lines += ["![Photos, and what each translator with one branch draws of them](translators.png)", ""]
    lines += prose("Photos: Eileen Collins (NASA, public domain), and people of nobody (Stable Diffusion 3, CC0).")
    write_image(given.out / "translators.png", labelled(columns, SIDE))
    write_bytes(given.out / "translators.md", ("\n".join(lines).rstrip() + "\n").encode(), overwrite=True)
    print(given.out / "translators.md")


def measured(found: PictureMeasures) -> tuple[str, ...]:
    """Return a row of the table, without what takes mirrored photos."""
    return cells(found)[:-1]


def intro(given: argparse.Namespace) -> list[str]:
    """Say what was measured, and how."""
    return prose(
        "Written by `python -m studies translators`, with `--photos SET --labels FILE --translator WHAT=DRAWINGS ... "
        f"--identity FILE --features FILE --shown FOLDER`: {given.count} photos of {given.photos.name}, which nothing "
        "was trained on, without those whose person does not stand out; on white, as translators see them. CycleGAN's "
        "networks draw any side: each translator drew at the side that it learned at and at that at which `translate "
        "run` draws. The measures are those "
        f"of [pictures.md](pictures.md), at {SIDE} pixels: identity by {given.identity.stem}, style by "
        f"{given.features.stem}, the distance to drawings on white, most of which they learned from."
    )


def people_of(photos: Path, labels: Path, count: int) -> Iterator[Person]:
    """Yield the people of some photos, evenly spread over the set, who stand out from the background."""
    groups = column_of(labels, "group")
    images = ImageSet.open(photos, SIDE)
    for k in range(count):
        index = k * len(images) // count
        try:
            photo = cut_out(images[index].permute(1, 2, 0).numpy())
        except NoFaceFound:
            continue
        yield Person(photo, groups.get(Path(images.names[index]).name, ""))


def drawings_of(folder: Path) -> Batch:
    """Return all pictures of a folder and of those in it, ``uint8 [N, 256, 256, 3]``."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg"))
    if not found:
        raise UsageError(f"There are no drawings in {folder}.", "Name a folder that `translate prepare` wrote.")
    return np.stack([resize(read_image(path), SIDE) for path in found])
