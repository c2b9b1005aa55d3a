"""Codes drawn in every style of a stylizer: pictures, sheets and frames of a video.

code = code_of(stylizer, Path("me.jpg"))
files = write_pictures(stylizer, moved(code, smile, 2.0), Path("out"), "me.smile+2")
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..data.images import Pixels, read_image, write_image
from ..data.sheet import tile
from ..files import CODE_SUFFIX
from ..io.codes import load_as_wplus, save_codes
from ..io.model_file import generator_digest
from ..spaces import WPlus
from .crops import one_thread
from .pipeline import Stylizer


def code_of(stylizer: Stylizer, source: Path, *, aligned: bool = False) -> WPlus:
    """Read a file of codes, or invert the largest face of a photo: [1, rows, w_dim].

    Raises:
        BadModel: The file holds no code of this base.
        NoFaceFound: The photo shows no face.
    """
    if source.suffix.lower() == ".safetensors":
        return load_as_wplus(source, stylizer.base)
    return stylizer.stylize(read_image(source), which="largest", aligned=aligned).faces[0].code


def stem_of(source: Path) -> str:
    """Return what files made of a photo or of a file of codes are called."""
    return source.name.removesuffix(CODE_SUFFIX) if source.name.endswith(CODE_SUFFIX) else source.stem


def files_of(stylizer: Stylizer, out: Path, name: str) -> list[Path]:
    """Return what :func:`write_pictures` writes: ``name.STYLE.png`` for each style, and ``name.code.safetensors``."""
    return [*(out / f"{name}.{style}.png" for style in stylizer.styles), out / f"{name}{CODE_SUFFIX}"]


def write_pictures(stylizer: Stylizer, code: WPlus, out: Path, name: str) -> list[Path]:
    """Draw a code [1, rows, w_dim] in every style, and write the code beside the pictures."""
    *pictures, saved = files_of(stylizer, out, name)
    with one_thread():
        for file, generator in zip(pictures, stylizer.generators.values(), strict=True):
            write_image(file, stylizer.draw(generator, code))
    save_codes(saved, code, generator_digest(stylizer.base), overwrite=True)
    return [*pictures, saved]


def sheet(stylizer: Stylizer, codes: WPlus) -> Pixels:
    """Draw codes [N, rows, w_dim] as a sheet: the base in the first row, a style in each other; a column per code."""
    rows = (stylizer.base.generator, *stylizer.generators.values())
    with one_thread():
        drawn = [stylizer.draw(generator, codes[k]) for generator in rows for k in range(len(codes))]
    return tile(drawn, columns=len(codes))


def frames(stylizer: Stylizer, codes: WPlus, size: int | None = None) -> Iterator[Pixels]:
    """Draw codes [N, rows, w_dim] one by one, all styles side by side."""
    for k in range(len(codes)):
        with one_thread():
            yield np.concatenate([stylizer.draw(g, codes[k], size) for g in stylizer.generators.values()], axis=1)
