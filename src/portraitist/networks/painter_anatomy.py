"""The one description of a painter: everything that a file must tell to build it again."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BadModel


@dataclass(frozen=True)
class PainterAnatomy:
    """Sizes of a painter; the defaults have 1.0 GMAC at 256 pixels and 0.6 million parameters."""

    widths: tuple[int, int, int] = (24, 48, 96)
    """Channels at a half, a quarter and an eighth of the side."""
    blocks: int = 3
    """Residual blocks at an eighth of the side."""
    reach: float = 24.0
    """The largest displacement along each axis, in pixels."""
    grey: bool = False
    """Whether it draws without colour: the luminance of what one with colour would draw."""

    def __post_init__(self) -> None:
        if min(self.widths) < 1 or self.blocks < 0 or not 0 < self.reach < 1000:
            raise BadModel(
                f"A painter cannot have {self.widths} channels, {self.blocks} blocks and a reach of {self.reach}.",
                "Channels and the reach must be positive.",
            )

    def macs(self, side: int) -> int:
        """Return the multiplications of all convolutions for one picture of ``side`` pixels."""
        a, b, c = self.widths
        half, quarter, eighth = ((side // k) ** 2 for k in (2, 4, 8))
        down = 16 * 3 * a * half + 9 * a * b * quarter + 9 * b * c * eighth
        middle = self.blocks * 18 * c * c * eighth
        up = c * b * eighth + 9 * b * b * quarter + 18 * b * quarter + b * a * quarter + 9 * a * a * half
        return down + middle + up + 9 * (12 * a + a * a + 16 * a) * half
