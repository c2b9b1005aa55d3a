"""The painter of a style pack, and when photos are drawn by it.

Photos are drawn by the painter of a style where it measured better than the style's codes (``is_default``), unless
something is asked for that only codes have: an inversion beyond one pass of an encoder, an appearance, a swap,
another source, less detail.

    painter = PackedPainter(network, PackPainter(network.anatomy, side=64))
    drawing = painter.paint(photo)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from ..data.images import Pixels, resize, to_array, to_tensor
from ..errors import UsageError
from ..io.headers import PackPainter
from ..networks.digest import tensors_digest
from ..networks.painter import Painted, Painter

Method = Literal["auto", "painter", "code"]
"""What draws photos: the painter where it is the style's default, always the painter, or always the code."""


@dataclass(frozen=True, eq=False)
class PackedPainter:
    """The painter of a style pack."""

    network: Painter
    about: PackPainter
    strength: float = 1.0
    """0 gives the photo, 1 what the painter paints."""

    def paint(self, photo: Pixels) -> Pixels:
        """Return the drawing of an aligned photo ``uint8 [S, S, 3]``, at the side that the painter was trained at."""
        device = next(self.network.parameters()).device
        given = to_tensor(resize(photo, self.about.side))[None].to(device)
        with torch.no_grad():
            painted: Painted = self.network(given)
            drawn = painted.image if self.strength == 1 else painted.at(given, self.strength)
        return to_array(drawn[0])

    @property
    def settings(self) -> list[object]:
        """What determines its drawings, beside the photo."""
        return [tensors_digest(self.network.state_dict()), self.about.side, self.strength]


def painter_for(painter: PackedPainter | None, method: Method, for_codes: str, name: str) -> PackedPainter | None:
    """Return the painter where photos are drawn by it, None where they are drawn by their codes.

    Args:
        painter: The one of the style; None where it has none.
        method: What is asked for.
        for_codes: An option that only codes have, as the error names it; empty where none is given.
        name: The style's.

    Raises:
        UsageError: The painter is asked for, and the style has none, or an option is for codes.
    """
    if method == "painter":
        if painter is None:
            raise UsageError(f"The style '{name}' has no painter.", "Distil one (`portraitist distill`), or use codes.")
        if for_codes:
            raise UsageError(f"{for_codes} is for codes, and a painter draws without them.", "Leave one of them out.")
        return painter
    is_default = painter is not None and painter.about.is_default
    return painter if method == "auto" and is_default and not for_codes else None
