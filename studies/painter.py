"""What the painters of the bundled styles draw, beside the codes that taught them; and what they cost.

python -m studies painter --people Q.zip=36 --people london/neutral=18 --exemplars toon3d=style_toon3d ...
    --identity mobilefacenet.pt --features mobilenetv2.npz --shown folder
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.color import label2rgb
from skimage.segmentation import felzenszwalb

from portraitist.data.images import Pixels, resize, write_image
from portraitist.errors import UsageError
from portraitist.evaluate import PictureMeasures, PictureScorer, baselines
from portraitist.evaluate.picture_baselines import NOTHING, smoothed
from portraitist.evaluate.picture_signals import SIDE, Batch
from portraitist.export.drawable import of_painter
from portraitist.export.graph import session, to_onnx
from portraitist.files import write_bytes
from portraitist.io import registry
from portraitist.io.feature_files import load_features
from portraitist.io.headers import read_header
from portraitist.io.identity_files import load_identity
from portraitist.io.painter_files import packed_painter
from portraitist.report.labels import labelled
from portraitist.report.markdown import prose, table
from portraitist.stylize import Stylizer
from portraitist.stylize.packed import Method

from .material import shown_people
from .pictures import HEAD, cells, counted, draw, exemplars_of, named, people_of, people_parser

TEACHER, PAINTER = "code, with detail", "painter"
WAYS: Mapping[str, Method] = {TEACHER: "code", PAINTER: "painter"}
SIDES = (256, 512)
REPEATS = 20
SHOWN = 8
WHITE_BOX = ("photo", "surface", "structure")
"""The first columns of the sheet."""
CHOICES = Path(__file__).with_name("choices.csv")
COUNTED = Path(__file__).with_name("counted_painters.csv")


@dataclass(frozen=True)
class Cost:
    """What the exported painter of a style takes."""

    megabytes: float
    milliseconds: tuple[float, ...]
    """CPU time a face by :data:`SIDES`, on one core with onnxruntime."""


def main(arguments: Sequence[str]) -> None:
    parser = people_parser("painter", __doc__)
    parser.add_argument("--choices", type=Path, default=CHOICES, help="CSV file of what was chosen blindly")
    parser.add_argument("--counted", type=Path, default=COUNTED, help="CSV file of what was counted by eye")
    given = parser.parse_args(arguments)
    photos = people_of(given.people)
    folders = {style: Path(path) for style, path in (text.split("=", 1) for text in given.exemplars)}
    drawn = {way: draw(Stylizer.load(list(folders), method=method), photos) for way, method in WAYS.items()}
    scorer = PictureScorer(photos, load_identity(given.identity), load_features(given.features))
    nothing = baselines(photos, 64)[NOTHING]
    lines = ["# Painters: photo in, drawing out", "", *intro(given, photos)]
    for style, folder in folders.items():
        unseen, seen = exemplars_of(style, folder)
        reference = scorer.exemplars(unseen)
        measured = {NOTHING: scorer.measure(nothing, reference)}
        measured |= {way: scorer.measure(d.pictures[style], reference, d.mirrored[style]) for way, d in drawn.items()}
        floor = scorer.style(seen, reference)[0].value
        lines += [f"## {style}", "", *table(HEAD, [(name, *cells(m)) for name, m in measured.items()])]
        about = read_header(registry.find(style)).painter
        lines += prose(verdict(measured, floor, is_default=about is not None and about.is_default))
    lines += ["## Cost", "", *costs(list(folders), {way: d.seconds for way, d in drawn.items()})]
    lines += ["## Chosen blindly", "", *chosen(given.choices)]
    lines += ["## Counted by eye", "", *counted(given.counted, "drawings by the painters", SIDES[0])]
    lines += ["![Photos, what the code draws with detail, and what the painter draws](painter.png)", ""]
    lines += prose(
        "*Surface* and *structure* are what White-box cartoonization (Wang and Yu 2020, CVPR) holds drawings to: the "
        "photo smoothed, and its segments in their mean colours. They flatten, and change no shape and no stroke."
    )
    lines += prose("Photos: Eileen Collins (NASA, public domain), and people of nobody (Stable Diffusion 3, CC0).")
    write_image(given.out / "painter.png", sheet(list(folders), shown_people(given.shown, SHOWN)))
    write_bytes(given.out / "painter.md", ("\n".join(lines).rstrip() + "\n").encode(), overwrite=True)
    print(given.out / "painter.md")


def intro(given: argparse.Namespace, photos: Batch) -> list[str]:
    """Say what was measured, and how."""
    sets = named(given.people)
    return [
        *prose(
            "Written by `python -m studies painter`, with `--people SET=COUNT ... --exemplars STYLE=FOLDER ... "
            "--identity FILE --features FILE --shown FOLDER`."
        ),
        *prose(
            f"{len(photos)} people ({sets}), whom no model and no setting has seen. *{TEACHER}* is `portraitist "
            "stylize --method code`, *painter* is `--method painter`. The measures are those of "
            f"[pictures.md](pictures.md): identity by {given.identity.stem}, style by {given.features.stem}. The floor "
            "of the style distance is that of the exemplars which the style was trained on."
        ),
    ]


def verdict(measured: Mapping[str, PictureMeasures], floor: float, *, is_default: bool) -> str:
    """Say how much of the photo's distance to the style is left, and what draws photos."""
    distances = {name: found.style.value - floor for name, found in measured.items() if found.style is not None}
    left = {name: distances[name] / distances[NOTHING] for name in WAYS}
    shares = ", ".join(f"{share:.0%} by the {name}" for name, share in left.items())
    by = "painter" if is_default else "code"
    return f"Floor {floor:.2f}; of the photo's distance above it is left: {shares}. Photos are drawn by the {by}."


def costs(styles: Sequence[str], seconds: Mapping[str, float]) -> list[str]:
    """Return a table of what each painter takes, and the time of whole portraits beside it."""
    rows = [(style, cost_of(style)) for style in styles]
    head = ("painter", "MB as ONNX", *(f"CPU ms at {side} px" for side in SIDES))
    cells = [(style, f"{c.megabytes:.2f}", *(f"{ms:.0f}" for ms in c.milliseconds)) for style, c in rows]
    whole = ", ".join(f"{spent:.2f} by the {way}" for way, spent in seconds.items())
    return [
        *prose(f"A face by onnxruntime with one thread, the best of {REPEATS}."),
        *table(head, cells),
        *prose(f"CPU seconds of `stylize` a face, {len(styles)} styles together, all but the search for it: {whole}."),
    ]


def cost_of(style: str) -> Cost:
    """Export the painter of a style, and run it."""
    found, size = [], 0
    stored = packed_painter(registry.load(style))
    if stored is None:
        raise UsageError(f"The style '{style}' has no painter.", "Distil one: portraitist distill --pack.")
    for side in SIDES:
        network = of_painter(stored, side).network
        content = to_onnx(network, {"photos": torch.zeros(2, 3, side, side)}, ["drawings"])
        found.append(1e3 * min(_seconds(session(content), side)))
        size = len(content)
    return Cost(size / 1e6, tuple(found))


def _seconds(runtime: Any, side: int) -> Iterator[float]:
    photo = np.random.default_rng(0).uniform(-1, 1, (1, 3, side, side)).astype(np.float32)
    for _ in range(REPEATS):
        start = time.process_time()
        runtime.run(None, {"photos": photo})
        yield time.process_time() - start


def chosen(path: Path) -> list[str]:
    """Return what was chosen on pages of `evaluate study`."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    return [
        *prose(
            "Ten people of photos_eval_256.zip a style: the photo, and on its right the drawings by the painter and by "
            "the code with detail in an order that a seed shuffled and that was looked up afterwards. This is how "
            "often the painter's was the one to send."
        ),
        *table(tuple(head), [tuple(row) for row in rows]),
    ]


def sheet(styles: Sequence[str], photos: Sequence[Pixels]) -> Pixels:
    """Return the first faces of whole photos beside the drawings of both ways in each style."""
    columns: dict[str, Sequence[Pixels]] = {}
    for way, method in WAYS.items():
        by = Stylizer.load(styles, method=method)
        faces = [by.stylize(photo, which="largest", size=SIDE).faces[0] for photo in photos]
        if not columns:
            given = np.stack([resize(f.aligned.closeup.image, SIDE) for f in faces if f.aligned.closeup is not None])
            columns |= {
                "photo": list(given),
                "surface": list(smoothed(given)),
                "structure": [flat(photo) for photo in given],
            }
        columns |= {f"{style}, {way.split(',')[0]}": [f.pictures[style] for f in faces] for style in styles}
    order = [*WHITE_BOX, *(f"{style}, {way.split(',')[0]}" for style in styles for way in WAYS)]
    return labelled({name: columns[name] for name in order}, 160)


def flat(photo: Pixels) -> Pixels:
    """Return a photo's segments in their mean colours: White-box cartoonization's structure, without its network."""
    segments = felzenszwalb(photo, scale=60, sigma=0.8, min_size=40)
    averaged = label2rgb(segments, photo, kind="avg", bg_label=-1)  # type: ignore[no-untyped-call]
    return np.asarray(averaged, np.uint8)
