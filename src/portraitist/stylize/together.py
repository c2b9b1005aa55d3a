"""Many photos whose faces go through the networks together.

for portraits in redrawn_together(stylizer, ["a.jpg", "b.jpg"], 8, which="all", aligned=False, size=None):
    portraits.save("out")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import torch

from ..data.images import Pixels
from ..errors import PortraitistError, UsageError
from ..faces import AlignedFace
from ..ops import at_once
from ..ops.memory import memory_told
from ..spaces import WPlus
from .choices import Which
from .crops import Photo
from .portraits import Portrait, Portraits

if TYPE_CHECKING:
    from .pipeline import Stylizer

Found = tuple[Pixels, list[AlignedFace]]


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
            with memory_told():
                waiting.append(stylizer._faces(photo, which, aligned, size))
        except PortraitistError as error:
            if on_error is None:
                raise
            on_error(photo, error)
        if sum(len(crops) for _, crops in waiting) >= together:
            yield from _drawn(stylizer, waiting, together, size)
            waiting = []
    yield from _drawn(stylizer, waiting, together, size)


def _drawn(stylizer: Stylizer, found: list[Found], together: int, size: int | None) -> Iterator[Portraits]:
    crops = [crop for _, faces in found for crop in faces]
    portraits: list[Portrait] = []
    with memory_told():
        for start in range(0, len(crops), together):
            portraits += _redrawn(stylizer, crops[start : start + together], size)
    rest = iter(portraits)
    for pixels, faces in found:
        yield Portraits(pixels, tuple(next(rest) for _ in faces))


def _redrawn(stylizer: Stylizer, crops: list[AlignedFace], size: int | None) -> list[Portrait]:
    """Invert and draw faces together."""
    codes = stylizer._codes.codes_together(torch.cat([stylizer._target(crop) for crop in crops]), stylizer._step)
    firsts = [first for first, *_ in codes]
    further = [stylizer._further(first, others) for first, *others in codes]
    wanted: dict[tuple[str, str], list[WPlus]] = {(name, ""): firsts for name in stylizer.generators}
    wanted |= {
        (name, rendering): [each[rendering][name] for each in further]
        for rendering in stylizer.further
        for name in stylizer.generators
    }
    if any(crop.closeup is not None for crop in crops):  # the detail stage looks at the base's drawing too
        wanted["", ""] = firsts
    generators = {**stylizer.generators, "": stylizer.base.generator}
    with torch.no_grad():
        drawn = {
            key: generators[key[0]].synthesize(WPlus(torch.cat([code.data.to(stylizer.device) for code in ones])))
            for key, ones in wanted.items()
        }
    return [
        stylizer._portrait(crop, size, firsts[k], further[k], {key: images[k] for key, images in drawn.items()})
        for k, crop in enumerate(crops)
    ]
