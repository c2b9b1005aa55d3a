"""What a style is drawn with."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Medium:
    """What a style is drawn with; every value is 0 where nothing is changed.

    Raises:
        ValueError: A value is negative or no number.
    """

    smoothing: float = 0.0
    """Passes of the bilateral filter, rounded."""
    edges: float = 0.0
    """Weight of the difference of Gaussians (XDoG)."""
    strokes: float = 0.0
    """Grey levels of the marks of brush or charcoal, rms."""
    length: float = 0.0
    """Of such marks, in pixels at a side of 256, to each side."""
    colourless: float = 0.0
    """1 for a grey style."""
    own: float = 0.0
    """How much of the style's own drawing of the face enters."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, int | float) and 0 <= value <= 1000):
                raise ValueError(f"{field.name} of a look is {value!r}, not a number from 0 to 1000")
