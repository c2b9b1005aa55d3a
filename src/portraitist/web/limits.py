"""What a service gives to those who ask, at most."""

from __future__ import annotations

from dataclasses import dataclass

from ..data.images import MAX_BYTES
from ..errors import UsageError


@dataclass(frozen=True)
class Limits:
    """Bounds of sizes, times and counts.

    Raises:
        UsageError: One is not positive, or an upload may be larger than any picture that is read.
    """

    upload_bytes: int = 64 << 20
    """Of one request's body."""
    upload_seconds: float = 30.0
    """In which a body must have come."""
    waiting: int = 16
    """Requests in the queue, those still sending their photo included; the next is refused."""
    draw_seconds: float = 120.0
    """After which a drawing is stopped, at its next step."""
    keep_seconds: float = 300.0
    """For which the pictures of a finished job wait to be fetched."""
    kept_bytes: int = 256 << 20
    """Of all pictures that wait to be fetched; the oldest give way, and no job may make more."""
    drawn_pixels: int = 256_000_000
    """Of all pictures of one job together, before they are encoded."""
    connections: int = 256
    """Open at a time."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise UsageError(f"The limit {name} cannot be {value}.", "Give a positive number.")
        if self.upload_bytes > MAX_BYTES:
            raise UsageError(f"No picture above {MAX_BYTES >> 20} MiB is read.", "Allow uploads up to that size.")
