"""``portraitist swap`` and ``portraitist blend``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import UsageError
from ..files import refuse_existing
from . import options
from .options import opt

if TYPE_CHECKING:
    from ..surgery import Joined
    from ..surgery.sides import Sides

log = logging.getLogger("portraitist")

Low = Annotated[str, opt("Model for the low resolutions: name, file or run folder.", "--low")]
High = Annotated[str, opt("Model for the high resolutions.", "--high")]
Out = Annotated[Path, opt("File to write, such as mine.safetensors.", "--out", "-o")]
Mapping = Annotated[Literal["low", "high"], opt("Side whose mapping network a weight swap keeps, for sampling.")]


def swap(
    *,
    low: Low,
    high: High,
    upto: Annotated[
        str,
        opt(
            "Last resolution of the low side in pixels, 0 for none; or a paper's number, as in cartoon-stylegan:3 "
            "(swap_layer_num) or ui2i:5 (LS5)."
        ),
    ],
    out: Out,
    by: Annotated[
        Literal["features", "weights"],
        opt("features: both models draw, colours stay high's, low must be the base. weights: one new model."),
    ] = "features",
    mapping: Mapping = "low",
    attribute: options.Attribute = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Join low resolutions of one model to high ones of another.

    Writes a style pack where one side is the base of the other, or both are styles of one base; else a full model.
    Warns where the models lie so far apart that the pictures may fall apart.
    """
    refuse_existing(out, overwrite)
    from ..surgery import released_upto, swap_models
    from ..surgery.sides import Sides, name_for

    sides = Sides(low, high, attribute)
    resolution = released_upto(upto)
    joined = swap_models(
        sides.low, sides.high, resolution, by, find_base=sides.find_base, mapping=mapping, name=name_for(out)
    )
    _write(sides, joined, out, overwrite)


def blend(
    *,
    low: Low,
    high: High,
    out: Out,
    middle: Annotated[float | None, opt("Pixels at which both sides weigh a half.")] = None,
    width: Annotated[float | None, opt("Doublings from a half to 0.73 of the high side (default: 1).")] = None,
    alpha: Annotated[str | None, opt("Share of the high side per resolution instead, such as 4:0,8:0.2,16:1.")] = None,
    mapping: Mapping = "low",
    attribute: options.Attribute = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Blend the weights of two models, resolution by resolution.

    Writes what `portraitist swap` writes.
    """
    if (middle is None) == (alpha is None) or (alpha is not None and width is not None):
        raise UsageError("A blend needs --middle (with --width) or --alpha, not both.")
    refuse_existing(out, overwrite)
    from ..surgery import blend_models, smooth
    from ..surgery.sides import Sides, name_for

    sides = Sides(low, high, attribute)
    if middle is None:
        shares = _shares(alpha or "")
    else:
        shares = smooth(sides.low.generator.anatomy, middle, 1.0 if width is None else width)
    joined = blend_models(sides.low, sides.high, shares, find_base=sides.find_base, mapping=mapping, name=name_for(out))
    _write(sides, joined, out, overwrite)


def _write(sides: Sides, joined: Joined, out: Path, overwrite: bool) -> None:
    """Write what became of both models, with a warning where they lie too far apart."""
    from ..surgery import compatibility

    if warning := compatibility(sides.low, sides.high).warning:
        log.warning(warning)
    if joined.base is None:
        log.info("%s is a full model: no common base of its two sides is known.", out)
    typer.echo(joined.save(out, overwrite=overwrite))


def _shares(text: str) -> dict[int, float]:
    """Read shares such as ``4:0,8:0.2``."""
    try:
        pairs = [part.split(":") for part in text.split(",")]
        found = {int(resolution): float(share) for resolution, share in pairs}
    except ValueError:
        found = {}
    if not found or len(found) != text.count(",") + 1:
        raise UsageError(f"'{text[:80]}' does not list shares.", "Write RESOLUTION:SHARE,... such as 4:0,8:0.2,16:1.")
    return found
