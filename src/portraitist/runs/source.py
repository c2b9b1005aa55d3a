"""Where a training begins: a base, which is fine-tuned, trained on or grown, or new networks."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..io.model_file import Model
from ..networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from ..networks.growth import grow_discriminator, grow_generator, grown_discriminator, grown_generator

log = logging.getLogger("portraitist")


@dataclass(frozen=True)
class Smaller:
    """A smaller model that a training is held to."""

    model: Model
    codes: Mapping[str, Tensor] | None = None
    """Its codes of the pictures of the training, [rows, w_dim] by name, where they are known."""


@dataclass(frozen=True)
class Source:
    """Where a training begins.

    A base alone is fine-tuned. With sizes it grows to them, or is trained on where they are its own, and stays a base.
    Sizes alone are those of new networks.
    """

    base: Model | None = None
    generator: GeneratorAnatomy | None = None
    discriminator: DiscriminatorAnatomy | None = None
    smaller: Smaller | None = None
    """What the training is held to: the smaller base, or for a style a smaller style. Both share a mapping network."""

    def __post_init__(self) -> None:
        if self.base is not None:
            self.base.require_discriminator("to train on with")
        if self.smaller is not None:
            _check_smaller(self.smaller.model, self)

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
        """Copy the base, grow it, or make new networks from a seed.

        A base that is held to a smaller one gets its mapping network.
        """
        generator, discriminator = self.anatomies
        if self.base is not None:
            old = self.base.generator, self.base.require_discriminator("to train on with")
            if self.grows:
                new = grow_generator(old[0], generator, seed), grow_discriminator(old[1], discriminator, seed)
            else:
                new = copy.deepcopy(old)
            if self.smaller is not None and self.fine_tuned is None:
                _map_like(new[0], self.smaller.model)
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


def _map_like(generator: Generator, smaller: Model) -> None:
    if not generator.maps_like(smaller.generator):
        log.warning(
            "The base gets the mapping network of '%s'; if it did not grow from that, its pictures will be ruined.",
            smaller.header.name,
        )
        generator.mapping.load_state_dict(smaller.generator.mapping.state_dict())
        generator.w_mean.copy_(smaller.generator.w_mean)


def _check_smaller(smaller: Model, source: Source) -> None:
    name, mine, its = smaller.header.name, source.anatomies[0], smaller.generator.anatomy
    if source.base is None:
        raise UsageError("New networks cannot be held to a smaller model.", "Grow that one.")
    if its.resolution >= mine.resolution:
        raise UsageError(
            f"'{name}' draws {its.resolution} pixels, and what is held to it {mine.resolution}.",
            "Name a smaller one with --smaller.",
        )
    shared = [(a.z_dim, a.w_dim, a.mapping_layers, a.image_channels) for a in (mine, its)]
    if its.low_rows or shared[0] != shared[1]:
        raise UsageError(
            f"The mapping network or the pictures of '{name}' have other sizes than those of the base.",
            "Name the base it grew from, or a style of that by a recipe that freezes the mapping network.",
        )
    if source.fine_tuned is not None and not source.fine_tuned.generator.maps_like(smaller.generator):
        raise UsageError(
            f"The mapping network of '{name}' is not that of the base, so codes mean something else in it.",
            "Name a style of the base that this one grew from with --codes, by a recipe that freezes the mapping "
            "network, such as freeze_fc.",
        )


def _sizes(base: Model) -> tuple[GeneratorAnatomy, DiscriminatorAnatomy]:
    return base.generator.anatomy, base.require_discriminator("to train on with").anatomy
