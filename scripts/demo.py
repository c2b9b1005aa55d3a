"""Redraw a photo and a made-up face in every bundled style: the demonstration of the README.

Codes come from the bundled encoder and 20 steps of refinement. Writes into the folder given: the photo (Eileen Collins,
NASA, public domain, from scikit-image), a face drawn by the bundled base, their pictures in each style, and a sheet of
all.

    python scripts/demo.py out/demo
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from skimage.data import astronaut

from portraitist.data.images import to_array, write_image
from portraitist.networks import Generator
from portraitist.ops.memory import keep_heap
from portraitist.spaces import Z, truncate
from portraitist.stylize import ByEncoder, Stylizer

MADE_UP = 8
STEPS = 20
HEIGHT = 256


def main(out: Path) -> None:
    start = time.monotonic()
    keep_heap()
    stylizer = Stylizer.load(inversion=ByEncoder(refine=STEPS))
    photo = write_image(out / "astronaut.png", np.asarray(astronaut()))
    rows = [portrait(stylizer, photo, aligned=False)]
    made_up = write_image(out / "made-up.png", draw_face(stylizer.base.generator, MADE_UP))
    rows.append(portrait(stylizer, made_up, aligned=True))
    sheet = write_image(out / "sheet.png", np.concatenate(rows, axis=0))
    for style in stylizer.generators:
        print(f"{out}/astronaut.{style}.png")
    print(f"{sheet}: from left to right the photo, what the base makes of it, {', '.join(stylizer.generators)}")
    print(f"{time.monotonic() - start:.0f} s, {torch.get_num_threads()} threads")


def portrait(stylizer: Stylizer, photo: Path, *, aligned: bool) -> np.ndarray:
    """Redraw one picture in every style, write the pictures, and return a row of the sheet."""
    portraits = stylizer.stylize(photo, which="largest", aligned=aligned)
    for style, picture in portraits.faces[0].pictures.items():
        write_image(photo.with_suffix(f".{style}.png"), picture)
        if not aligned:
            write_image(photo.with_suffix(f".{style}.pasted.png"), portraits.pasted(style))
    return portraits.sheet(HEIGHT)


def draw_face(generator: Generator, seed: int) -> np.ndarray:
    """Draw a face of nobody."""
    z = Z.sample(1, generator.anatomy.z_dim, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return to_array(generator.synthesize(truncate(generator.map(z), generator.mean, 0.7))[0])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo"))
