"""A redrawer as the teacher of a painter: it draws one aligned photo in one style.

teacher = StyleTeacher(Stylizer.load(["toon3d"]), 256)
drawing = teacher.draw(photo)
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property

from ..data.images import Pixels
from ..io.licences import joint_terms
from ..io.painter_files import PainterHeader
from ..networks.digest import tensors_digest
from ..networks.painter_anatomy import PainterAnatomy
from .mixture import Mixture
from .pipeline import Stylizer
from .redraw import Redrawer


class StyleTeacher:
    """Draws aligned photos in the first style of a redrawer, each alone."""

    def __init__(self, redrawer: Redrawer, side: int) -> None:
        """Choose what draws.

        Args:
            redrawer: A ``Stylizer`` or another one; of several styles the first draws.
            side: Of the pictures, in pixels.
        """
        self.redrawer, self.side, self.style = redrawer, side, redrawer.styles[0]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the settings of the redrawer, the style and the side."""
        whole = {"settings": self.redrawer.settings, "style": self.style, "side": self.side}
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    def draw(self, photo: Pixels) -> Pixels:
        """Draw an aligned photo ``uint8 [R, R, 3]``.

        Raises:
            BadImage: It cannot be drawn.
        """
        return self.redrawer.stylize(photo, aligned=True, size=self.side).faces[0].picture(self.style)


def painter_header(
    style: Mixture, redrawer: Stylizer, anatomy: PainterAnatomy, *, name: str = "", licence: str = "", credit: str = ""
) -> PainterHeader:
    """Say of a painter which style it is taught.

    Args:
        style: The style or mixture.
        redrawer: Draws in it alone.
        anatomy: Sizes of the painter.
        name: Of the painter.
        licence: The style's where empty; that of all its parts for a mixture.
        credit: The style's where empty; that of all its parts for a mixture.
    """
    terms = joint_terms(part.header for part in style.parts)
    return PainterHeader(
        anatomy,
        name=name,
        licence=licence or terms[0],
        credit=credit or terms[1],
        lineage=style.parts[0].header.lineage if len(style.parts) == 1 else [],
        style_name=style.name,
        style_digest=tensors_digest(redrawer.generators[redrawer.styles[0]].state_dict()),
    )
