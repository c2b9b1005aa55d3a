"""Networks: tensors in, tensors out; no files, no arguments of a command line."""

from .anatomy import DiscriminatorAnatomy, GeneratorAnatomy, channels_for
from .discriminator import Discriminator
from .generator import Generator, with_low_rows
from .mapping import Mapping
from .modulation import modulation_weights
from .multipath import DiscriminatorPanel, MultiPathGenerator
from .synthesis import Seen, Synthesis

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
