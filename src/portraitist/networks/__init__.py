"""Networks: tensors in, tensors out; no files, no arguments of a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from .anatomy import DiscriminatorAnatomy as DiscriminatorAnatomy
    from .anatomy import GeneratorAnatomy as GeneratorAnatomy
    from .anatomy import channels_for as channels_for
    from .discriminator import Discriminator as Discriminator
    from .generator import Generator as Generator
    from .generator import with_low_rows as with_low_rows
    from .mapping import Mapping as Mapping
    from .modulation import modulation_weights as modulation_weights
    from .multipath import DiscriminatorPanel as DiscriminatorPanel
    from .multipath import MultiPathGenerator as MultiPathGenerator
    from .synthesis import Seen as Seen
    from .synthesis import Synthesis as Synthesis

__getattr__ = lazily(
    __name__,
    {
        "Discriminator": "discriminator",
        "DiscriminatorAnatomy": "anatomy",
        "DiscriminatorPanel": "multipath",
        "Generator": "generator",
        "GeneratorAnatomy": "anatomy",
        "Mapping": "mapping",
        "MultiPathGenerator": "multipath",
        "Seen": "synthesis",
        "Synthesis": "synthesis",
        "channels_for": "anatomy",
        "modulation_weights": "modulation",
        "with_low_rows": "generator",
    },
)
__all__ = [
    "Discriminator",
    "DiscriminatorAnatomy",
    "DiscriminatorPanel",
    "Generator",
    "GeneratorAnatomy",
    "Mapping",
    "MultiPathGenerator",
    "Seen",
    "Synthesis",
    "channels_for",
    "modulation_weights",
    "with_low_rows",
]
