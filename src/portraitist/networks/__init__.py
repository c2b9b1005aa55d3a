"""Networks: tensors in, tensors out; no files, no arguments of a command line."""

from .anatomy import DiscriminatorAnatomy, GeneratorAnatomy, channels_for
from .discriminator import Discriminator
from .generator import Generator
from .mapping import Mapping
from .synthesis import Seen, Synthesis

__all__ = [
    "Discriminator",
    "DiscriminatorAnatomy",
    "Generator",
    "GeneratorAnatomy",
    "Mapping",
    "Seen",
    "Synthesis",
    "channels_for",
]
