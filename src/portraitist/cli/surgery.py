"""``portraitist swap`` and ``portraitist blend``."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import UsageError
from ..files import refuse_existing
from . import options

if TYPE_CHECKING:
    from ..io.model_file import Header, Model
    from ..surgery import Joined

log = logging.getLogger("portraitist")

Low = Annotated[str, typer.Option("--low", help="Model that gives the low resolutions: name, file or run folder.")]
High = Annotated[str, typer.Option("--high", help="Model that gives the high resolutions.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="File to write, as in mine.safetensors.")]
Mapping = Annotated[
    Literal["low", "high"],
    typer.Option(help="Side whose mapping networks a model made of weights has, for samples of its own."),
]


def swap(
    low: Low,
    high: High,
    upto: Annotated[
        str,
        typer.Option(
            help="Last resolution of the low side in pixels, 0 for none; or a paper's number, as in cartoon-stylegan:3 "
            "(swap_layer_num) or ui2i:5 (LS5)."
        ),
    ],
    out: Out,
    by: Annotated[
        Literal["features", "weights"],
        typer.Option(
            help="features: both models draw, colours stay the high side's, and the low side must be the base of the "
            "high one. weights: one new model."
        ),
    ] = "features",
    mapping: Mapping = "low",
    attribute: options.Attribute = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Take the low resolutions of one model and the high ones of another.

    Writes a style pack where one side is the base of the other, or both are styles of one base; else a whole model.
    Warns where the models lie so far apart that the pictures may fall apart.
    """
    refuse_existing(out, overwrite)
    from ..surgery import released_upto, swap_models

    sides = _Sides.load(low, high, attribute)
    place = released_upto(upto)
    joined = swap_models(
        sides.low, sides.high, place, by, find_base=sides.find_base, mapping=mapping, name=sides.name(out)
    )
    sides.write(joined, out, overwrite)


def blend(
    low: Low,
    high: High,
    out: Out,
    middle: Annotated[
        float | None, typer.Option(help="Pixels at which both sides have a half; between two resolutions is fine.")
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(help="Doublings of the resolution from a half to 0.73 of the high side; 1 if absent."),
    ] = None,
    alpha: Annotated[
        str | None, typer.Option(help="Share of the high side for each resolution instead, as in 4:0,8:0.2,16:1.")
    ] = None,
    mapping: Mapping = "low",
    attribute: options.Attribute = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Blend the weights of two models, resolution by resolution.

    Writes what `portraitist swap` writes.
    """
    if (middle is None) == (alpha is None) or (alpha is not None and width is not None):
        raise UsageError("A blend has either a --middle, with its --width, or an --alpha.", "Give one of them.")
    refuse_existing(out, overwrite)
    from ..surgery import blend_models, smooth

    sides = _Sides.load(low, high, attribute)
    if middle is None:
        shares = _shares(alpha or "")
    else:
        shares = smooth(sides.low.generator.anatomy, middle, 1.0 if width is None else width)
    joined = blend_models(
        sides.low, sides.high, shares, find_base=sides.find_base, mapping=mapping, name=sides.name(out)
    )
    sides.write(joined, out, overwrite)


class _Sides:
    """Both models and where they came from."""

    def __init__(self, low: tuple[Model, Path], high: tuple[Model, Path]) -> None:
        (self.low, self._low_path), (self.high, self._high_path) = low, high

    @classmethod
    def load(cls, low: str, high: str, attribute: str | None) -> _Sides:
        """Load both; one that has no name of its own gets that of its file."""
        from ..io import registry

        found = []
        for name in (low, high):
            path = registry.find(name)
            model = registry.load(path, attribute=attribute)
            header = replace(model.header, name=model.header.name or registry.name_of(path))
            found.append((replace(model, header=header), path))
        return cls(*found)

    def find_base(self, header: Header) -> Model:
        """Return the base of one of them."""
        from ..io import registry

        return registry.base_of(header, self._low_path if header is self.low.header else self._high_path)

    def name(self, out: Path) -> str:
        """Return the word that the result is called by: that of its file, if it can be one."""
        from ..io.model_file import NAME

        return out.stem if NAME.fullmatch(out.stem) else ""

    def write(self, joined: Joined, out: Path, overwrite: bool) -> None:
        """Write what became of them, with a warning where they are not near enough."""
        from ..surgery import compatibility

        if warning := compatibility(self.low, self.high).warning:
            log.warning(warning)
        if joined.base is None:
            log.info("%s is a whole model: its sides have no base in common that is known.", out)
        typer.echo(joined.save(out, overwrite=overwrite))


def _shares(text: str) -> dict[int, float]:
    """Read shares such as ``4:0,8:0.2``."""
    try:
        pairs = [part.split(":") for part in text.split(",")]
        found = {int(resolution): float(share) for resolution, share in pairs}
    except ValueError:
        found = {}
    if not found or len(found) != text.count(",") + 1:
        raise UsageError(f"'{text[:80]}' is no list of shares.", "Write RESOLUTION:SHARE,... as in 4:0,8:0.2,16:1.")
    return found
