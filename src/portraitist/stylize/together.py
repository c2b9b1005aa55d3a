"""Many photos whose faces go through the networks together.

for portraits in redrawn_together(stylizer, ["a.jpg", "b.jpg"], 8, which="all", aligned=False, size=None):
    portraits.save("out")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..data.images import Opacity, Pixels
from ..errors import PortraitistError, UsageError
from ..faces import AlignedFace
from ..ops import at_once
from ..ops.memory import memory_told
from ..spaces import WPlus
from .choices import Which
from .crops import Photo, one_thread, opened
from .paths import for_face
from .portraits import Portrait, Portraits

if TYPE_CHECKING:
    from .drawings import Synthesizer
    from .pipeline import Stylizer

Face = tuple[AlignedFace, "Stylizer"]
"""A face, and what draws it."""


class Found(NamedTuple):
    """A photo whose faces are to be drawn."""

    pixels: Pixels
    faces: list[Face]
    opacity: Opacity | None


def redrawn_together(
    stylizer: Stylizer,
    photos: Iterable[Photo],
    batch_size: int,
    *,
    which: Which | int,
    aligned: bool,
    size: int | None,
    on_error: Callable[[Photo, PortraitistError], None] | None = None,
) -> Iterator[Portraits]:
    """Redraw photos, ``batch_size`` faces at a time; see ``Stylizer.batch``."""
    if batch_size < 1:
        raise UsageError(f"A batch of {batch_size} faces is not possible.", "Give 1 or more.")
    together = at_once(batch_size, stylizer.base.generator.anatomy.resolution)
    return _over(stylizer, photos, together, which, aligned, size, on_error)


def _over(
    stylizer: Stylizer,
    photos: Iterable[Photo],
    together: int,
    which: Which | int,
    aligned: bool,
    size: int | None,
    on_error: Callable[[Photo, PortraitistError], None] | None,
) -> Iterator[Portraits]:
    waiting: list[Found] = []
    for photo in photos:
        try:
            with memory_told(), one_thread():
                read, opacity = opened(photo)
                pixels, crops = stylizer._faces(read, which, aligned, size)
                waiting.append(Found(pixels, [(crop, for_face(stylizer, crop)) for crop in crops], opacity))
        except PortraitistError as error:
            if on_error is None:
                raise
            on_error(photo, error)
        if sum(len(found.faces) for found in waiting) >= together:
            yield from _drawn(stylizer, waiting, together, size)
            waiting = []
    yield from _drawn(stylizer, waiting, together, size)


def _drawn(stylizer: Stylizer, found: list[Found], together: int, size: int | None) -> Iterator[Portraits]:
    every = [face for photo in found for face in photo.faces]
    portraits: list[Portrait] = []
    with memory_told():
        for start in range(0, len(every), together):
            portraits += _redrawn(stylizer, every[start : start + together], size)
    rest = iter(portraits)
    for photo in found:
        yield Portraits(photo.pixels, tuple(next(rest) for _ in photo.faces), photo.opacity)


def _redrawn(stylizer: Stylizer, faces: list[Face], size: int | None) -> list[Portrait]:
    """Draw faces: one by one where painters draw all styles, else together, after all were inverted."""
    painted: list[Portrait | None] = []
    for crop, by in faces:
        with one_thread():
            painted.append(by._painted(crop, size))
    coded = [face for face, portrait in zip(faces, painted, strict=True) if portrait is None]
    rest = iter(_of_codes_together(stylizer, coded, size) if coded else ())
    return [portrait or next(rest) for portrait in painted]


def _of_codes_together(stylizer: Stylizer, faces: list[Face], size: int | None) -> list[Portrait]:
    crops, by = [crop for crop, _ in faces], [each for _, each in faces]
    codes = stylizer._codes.codes_together(torch.cat([stylizer._target(crop) for crop in crops]), stylizer._step)
    firsts = [first for first, *_ in codes]
    further = [each._further(first, others) for each, (first, *others) in zip(by, codes, strict=True)]
    wanted: dict[tuple[str, str], list[WPlus]] = {(name, ""): firsts for name in stylizer.generators}
    wanted |= {
        (name, rendering): [each[rendering][name] for each in further]
        for rendering in stylizer.further
        for name in stylizer.generators
    }
    if any(crop.closeup is not None for crop in crops):  # the detail stage looks at the base's drawing too
        wanted["", ""] = firsts
    drawn = {
        key: _of_codes(stylizer, [each.generators.get(key[0]) for each in by], codes) for key, codes in wanted.items()
    }
    return [
        by[k]._portrait(crop, size, firsts[k], further[k], {key: images[k] for key, images in drawn.items()})
        for k, crop in enumerate(crops)
    ]


@torch.no_grad()
def _of_codes(stylizer: Stylizer, by: list[Synthesizer | None], codes: list[WPlus]) -> dict[int, Tensor]:
    """Draw each code by a generator, the base's where there is none: number -> image [3, R, R]."""
    found: dict[int, Tensor] = {}
    for generator in dict.fromkeys(by):  # paths of a style are drawn apart
        ones = [k for k, each in enumerate(by) if each is generator]
        data = torch.cat([codes[k].data.to(stylizer.device) for k in ones])
        found |= dict(zip(ones, (generator or stylizer.base.generator).synthesize(WPlus(data)), strict=True))
    return found
