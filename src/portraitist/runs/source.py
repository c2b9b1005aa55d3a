"""Where a training begins: a base, which is fine-tuned, trained on or grown, or new networks."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from ..io.model_file import Model
from ..networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from ..networks.growth import grow_discriminator, grow_generator, grown_discriminator, grown_generator


@dataclass(frozen=True)
class Source:
    """Where a training begins.

    A base alone is fine-tuned. With sizes it grows to them, or is trained on where they are its own, and stays a base.
    Sizes alone are those of new networks.
    """

    base: Model | None = None
    generator: GeneratorAnatomy | None = None
    discriminator: DiscriminatorAnatomy | None = None

    def __post_init__(self) -> None:
        if self.base is not None:
            self.base.require_discriminator("to train on with")

    @property
    def grows(self) -> bool:
        """Whether a base is enlarged first."""
        return self.base is not None and self.generator is not None and self.anatomies != _sizes(self.base)

    @property
    def fine_tuned(self) -> Model | None:
        """The base of a fine-tuning, which a style is compared with; None where a base is trained."""
        return self.base if self.generator is None else None

    @property
    def resolution(self) -> int:
        """Side of the images that the networks draw and score."""
        return self.anatomies[0].resolution

    @property
    def anatomies(self) -> tuple[GeneratorAnatomy, DiscriminatorAnatomy]:
        """The sizes of both networks."""
        if (base := self.fine_tuned) is not None:
            return _sizes(base)
        assert self.generator is not None and self.discriminator is not None
        return self.generator, self.discriminator

    def networks(self, seed: int) -> tuple[Generator, Discriminator]:
        """Copy the base, grow it, or make new networks from a seed."""
        generator, discriminator = self.anatomies
        if self.base is not None:
            old = self.base.generator, self.base.require_discriminator("to train on with")
            if not self.grows:
                return copy.deepcopy(old[0]).train(), copy.deepcopy(old[1]).train()
            grown = grow_generator(old[0], generator, seed), grow_discriminator(old[1], discriminator, seed)
            return grown[0].train(), grown[1].train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Generator(generator), Discriminator(discriminator)


def grown(
    base: Model, resolution: int | None = None, channels: tuple[int, ...] = (), narrower: tuple[int, ...] = ()
) -> Source:
    """Return a source that enlarges a base first, or the base as it is where nothing larger is asked for.

    Args:
        base: Generator and discriminator.
        resolution: Side in pixels, the base's times a power of two; its own if None.
        channels: Of the generator at 4, 8, ... pixels; those of the base, and halves of the last above, if empty.
        narrower: Of the discriminator; ``channels`` if empty and those are given.

    Raises:
        UsageError: The sizes cannot hold the base.
    """
    before = _sizes(base)
    side = resolution or before[0].resolution
    if side == before[0].resolution and not channels and not narrower:
        return Source(base)
    sizes = grown_generator(before[0], side, channels), grown_discriminator(before[1], side, narrower or channels)
    return Source(base) if sizes == before else Source(base, *sizes)


def trained_on(base: Model) -> Source:
    """Return a source that trains a base on, at its own size, as a base."""
    return Source(base, *_sizes(base))


def _sizes(base: Model) -> tuple[GeneratorAnatomy, DiscriminatorAnatomy]:
    return base.generator.anatomy, base.require_discriminator("to train on with").anatomy
