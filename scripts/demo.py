"""Redraw a photo in the bundled styles of faces: the demonstration of the README.

Writes into the folder given: the photo (Eileen Collins, NASA, public domain, from scikit-image), its picture in each
style, the photo with the picture in the face's place, and a sheet.

    python scripts/demo.py out/demo
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from skimage.data import astronaut

from portraitist.data.images import write_image
from portraitist.data.sheet import beside
from portraitist.ops.memory import keep_heap
from portraitist.stylize import Stylizer

HEIGHT = 256


def main(out: Path) -> None:
    start = time.monotonic()
    keep_heap()
    stylizer = Stylizer.load()
    photo = write_image(out / "astronaut.png", np.asarray(astronaut()))
    portraits = stylizer.stylize(photo, which="largest")
    (face,) = portraits.faces
    for style, picture in face.pictures.items():
        print(write_image(out / f"astronaut.{style}.png", picture))
        write_image(out / f"astronaut.{style}.pasted.png", portraits.pasted(style))
    assert face.aligned.closeup is not None
    sheet = write_image(out / "sheet.png", beside([face.aligned.closeup.image, *face.pictures.values()], HEIGHT))
    print(f"{sheet}: from left to right the photo, {', '.join(face.pictures)}")
    print(f"{time.monotonic() - start:.0f} s, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo"))
