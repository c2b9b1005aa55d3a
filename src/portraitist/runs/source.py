"""Where a training begins: a base, which is fine-tuned, trained on or grown, or new networks."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from ..errors import UsageError
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
    smaller: Model | None = None
    """What the training is held to, with the same mapping network: the smaller base, or for a style a smaller style."""

    def __post_init__(self) -> None:
        if self.base is not None:
            self.base.require_discriminator("to train on with")
        if self.smaller is not None:
            _check_smaller(self.smaller, self)

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
            if self.grows:
                new = grow_generator(old[0], generator, seed), grow_discriminator(old[1], discriminator, seed)
            else:
                new = copy.deepcopy(old)
            if self.smaller is not None and self.fine_tuned is None:
                new[0].mapping.load_state_dict(self.smaller.generator.mapping.state_dict())
                new[0].w_mean.copy_(self.smaller.generator.w_mean)
            return new[0].train(), new[1].train()
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


def _check_smaller(smaller: Model, source: Source) -> None:
    name, mine, its = smaller.header.name, source.anatomies[0], smaller.generator.anatomy
    if source.base is None:
        raise UsageError("New networks cannot be held to a smaller model.", "Grow that one: name it with --from.")
    if its.resolution >= mine.resolution:
        raise UsageError(
            f"'{name}' draws {its.resolution} pixels, the base {mine.resolution}.", "Name a smaller one with --smaller."
        )
    if its.low_rows or (its.z_dim, its.w_dim, its.mapping_layers) != (mine.z_dim, mine.w_dim, mine.mapping_layers):
        raise UsageError(
            f"The mapping network of '{name}' has other sizes than that of the base.", "Name the base it grew from."
        )
    if source.fine_tuned is not None:
        networks = (model.generator.mapping.state_dict() for model in (smaller, source.fine_tuned))
        mapped, ours = networks
        if not all(torch.equal(mapped[key], ours[key]) for key in ours):
            raise UsageError(
                f"The mapping network of '{name}' is not that of the base, so codes mean something else in it.",
                "Name a style of the base that this one grew from with --codes, by a recipe that freezes the mapping "
                "network, such as freeze_fc.",
            )


def _sizes(base: Model) -> tuple[GeneratorAnatomy, DiscriminatorAnatomy]:
    return base.generator.anatomy, base.require_discriminator("to train on with").anatomy
