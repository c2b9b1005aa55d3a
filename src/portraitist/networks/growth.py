"""Larger networks that do what smaller ones did: new resolutions on top, more channels in what is there.

Progressive growing (Karras et al. 2018, arXiv:1710.10196) fades new layers in; networks with input/output skips
(Karras et al. 2020, arXiv:1912.04958, Sec. 4.1) need no fading. What is copied is kept in function (Net2Net, Chen,
Goodfellow and Shlens 2016, arXiv:1511.05641), not merely in weights:

- **New resolutions of the generator** start with a ToRGB of zeros, so the picture is the old one, enlarged by the
  filter of the skip path, and the first gradients go to the new ToRGB.
- **New channels** of a layer start at random, but every weight from a new channel to an old one is zero: old channels
  see the same sum, and demodulation (Eq. 3) divides by the same norm. Equalised learning rate scales a weight by
  1 / sqrt(fan-in) when it is used, so copied weights are multiplied by sqrt(new fan-in / old fan-in).
- **New resolutions of the discriminator** stand before all that it knows and cannot start neutral. Its old
  ``from_rgb`` says what they should come to: see :func:`entrance` and ``train.growth``.

- **New rows** of codes, and of an encoder's, repeat the last one.

    larger = replace(anatomy, resolution=128, channels=(*anatomy.channels, 24))
    generator = grow_generator(base.generator, larger, seed=0)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..errors import BadModel, UsageError
from .anatomy import SMALLEST, DiscriminatorAnatomy, GeneratorAnatomy
from .discriminator import Discriminator
from .encoder import Encoder
from .generator import Generator

NARROWEST = 8
"""Channels that :func:`channels_above` never goes below."""


def channels_above(channels: tuple[int, ...], doublings: int) -> tuple[int, ...]:
    """Return widths for ``doublings`` further resolutions: the last width halved each time, at least 8."""
    for _ in range(doublings):
        channels = (*channels, max(channels[-1] // 2, min(channels[-1], NARROWEST)))
    return channels


def grown_generator(old: GeneratorAnatomy, resolution: int, channels: tuple[int, ...] = ()) -> GeneratorAnatomy:
    """Return the sizes of a generator grown to ``resolution``.

    Args:
        old: Sizes of the generator to grow.
        resolution: The old side times a power of two; the old side itself only widens.
        channels: Widths at 4, 8, ..., resolution, none below the old ones. If empty, the old ones, and each new one
            half of the one below.

    Raises:
        BadModel: The sizes are impossible.
        UsageError: The old network is larger in some place, or its first rows come from another mapping network.
    """
    if old.low_rows:
        raise UsageError("A FreezeSG style cannot be grown.", "Grow the base that its header names, and train on that.")
    doublings = _doublings("generator", old.resolution, resolution)
    grown = replace(old, resolution=resolution, channels=channels or channels_above(old.channels, doublings))
    _check_widths("generator", old.channels, grown.channels)
    return grown


def grown_discriminator(
    old: DiscriminatorAnatomy, resolution: int, channels: tuple[int, ...] = ()
) -> DiscriminatorAnatomy:
    """Return the sizes of a discriminator grown to ``resolution``; arguments and errors as :func:`grown_generator`."""
    doublings = _doublings("discriminator", old.resolution, resolution)
    grown = replace(old, resolution=resolution, channels=channels or channels_above(old.channels, doublings))
    _check_widths("discriminator", old.channels, grown.channels)
    if old.group and old.group_channels > 1 and grown.channels[0] > old.channels[0]:
        raise UsageError(
            f"The 4-pixel level of this discriminator has {old.group_channels} group statistics and cannot be widened.",
            f"Keep {old.channels[0]} channels at 4 pixels.",
        )
    return grown


def grow_generator(old: Generator, anatomy: GeneratorAnatomy, seed: int) -> Generator:
    """Return a generator of larger sizes that draws the old one's pictures, enlarged.

    Args:
        old: Generator of R pixels.
        anatomy: Sizes as :func:`grown_generator` gives them.
        seed: Seed of the new weights and noise planes.

    Returns:
        A generator on the device of the old one. Its pictures [N, 3, R', R'] of any code equal those of the old one
        after repeated ``upsample`` with the binomial filter, and the old channels of its features are unchanged.

    Raises:
        UsageError: The sizes cannot hold the old network.
    """
    _check_same(anatomy, grown_generator(old.anatomy, anatomy.resolution, anatomy.channels))
    with _seeded(seed):
        new = Generator(anatomy)
    tensors = _carried(old, new)
    for block in anatomy.blocks:
        if block.resolution > old.anatomy.resolution:
            for name in (f"{block.to_rgb.name}.weight", f"{block.to_rgb.name}.bias"):
                tensors[name] = torch.zeros_like(tensors[name])
    new.load_state_dict(tensors)
    return new.to(old.w_mean.device)


def grown_codes(codes: Tensor, rows: int) -> Tensor:
    """Return codes [N, r, w_dim] of a generator for the one that it has grown to: [N, rows, w_dim].

    The rows of new layers repeat the last one.
    """
    return torch.cat([codes, codes[:, -1:].expand(-1, rows - codes.shape[1], -1)], 1)


def grow_encoder(old: Encoder, base: GeneratorAnatomy) -> Encoder:
    """Return an encoder for a generator that has grown: its codes are the old ones, as :func:`grown_codes` has them.

    Raises:
        BadModel: The rows of the generator are fewer, or have another length; or the encoder averages all rows.
    """
    if old.anatomy.kind == "vae":
        raise BadModel("An encoder of the kind vae, which averages all rows, cannot grow.", "Train one for the base.")
    sizes, more = old.anatomy, base.rows - old.anatomy.rows
    levels = list(sizes.levels)
    levels[max(level for level, rows in enumerate(levels) if rows)] += max(more, 0)
    coarse, middle, fine = levels
    anatomy = replace(sizes, levels=(coarse, middle, fine))
    anatomy.check_base(base)
    with _seeded(0):  # every number is replaced
        new = Encoder(anatomy)
    tensors = old.state_dict()
    head = f"styles.{sizes.rows - 1}."
    for name, value in list(tensors.items()):
        if name.startswith(head):
            tensors |= {f"styles.{sizes.rows + k}.{name.removeprefix(head)}": value for k in range(more)}
        elif name == "latent_avg":
            tensors[name] = grown_codes(value[None], base.rows)[0]
        elif name.startswith("standard."):  # a number for each entry of each row
            tensors[name] = grown_codes(value.view(1, sizes.rows, sizes.dim), base.rows).flatten()
    new.load_state_dict(tensors)
    return new.to(next(old.parameters()).device).train(old.training)


def grow_discriminator(old: Discriminator, anatomy: DiscriminatorAnatomy, seed: int) -> Discriminator:
    """Return a discriminator of larger sizes whose part that was there before scores as it did.

    Args:
        old: Discriminator of R pixels.
        anatomy: Sizes as :func:`grown_discriminator` gives them.
        seed: Seed of the new weights.

    Returns:
        A discriminator on the device of the old one. Given the same features at R pixels in its old channels, it gives
        the same scores; of the same resolution, it gives the same scores of the same images. What stands before
        (:func:`entrance`) is new and has yet to learn.

    Raises:
        UsageError: The sizes cannot hold the old network.
    """
    _check_same(anatomy, grown_discriminator(old.anatomy, anatomy.resolution, anatomy.channels))
    with _seeded(seed):
        new = Discriminator(anatomy)
    tensors = _carried(old, new, leave=("from_rgb.",) if anatomy.resolution > old.anatomy.resolution else ())
    if anatomy.group and anatomy.channels[0] > old.anatomy.channels[0]:
        _keep_group_statistic(tensors, old.state_dict(), old.anatomy.channels[0], anatomy.channels[0])
    new.load_state_dict(tensors)
    return new.to(next(old.parameters()).device)


def entrance(discriminator: Discriminator, resolution: int) -> nn.Sequential:
    """Return the layers of a discriminator that come before its block of ``resolution`` pixels.

    They send images [N, 3, R, R] to features [N, C, resolution, resolution]; in a grown discriminator all of them are
    new.
    """
    above = [r for r in reversed(discriminator.anatomy.resolutions) if r > resolution]
    return nn.Sequential(discriminator.from_rgb, *(discriminator.blocks[str(r)] for r in above))


def _check_same(given: object, grown: object) -> None:
    if given != grown:
        raise UsageError("Growing changes resolutions and channels alone.", f"Take {grown} for {given}.")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _doublings(what: str, old: int, new: int) -> int:
    steps = math.log2(new / old) if new > 0 else -1.0
    if steps < 0 or steps != int(steps):
        raise UsageError(
            f"A {what} of {old} pixels cannot grow to {new}.", f"Choose {old} times a power of two, such as {2 * old}."
        )
    return int(steps)


def _check_widths(what: str, old: tuple[int, ...], new: tuple[int, ...]) -> None:
    if too_narrow := [4 * 2**k for k, (a, b) in enumerate(zip(old, new, strict=False)) if b < a]:
        raise UsageError(
            f"The {what} would lose channels at {', '.join(map(str, too_narrow))} pixels.",
            f"Give each level as many channels as it has now ({', '.join(map(str, old))}), or more.",
        )


def _carried(old: nn.Module, new: nn.Module, leave: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Return the tensors of ``new``, with what ``old`` holds in their leading slices."""
    tensors = {k: v.detach().clone() for k, v in new.state_dict().items()}
    for name, value in old.state_dict().items():
        if not name.startswith(leave):
            _place(name, value.detach().cpu().float(), tensors[name])
    return tensors


def _place(name: str, value: Tensor, room: Tensor) -> None:
    """Put a parameter into the leading slice of a larger one, so that old outputs hear nothing of new inputs."""
    if name == "final.fc.weight":  # [O, C * 16]: a flattened map of 4x4 pixels
        value, room = (t.view(len(t), -1, SMALLEST * SMALLEST) for t in (value, room))
    if name.endswith("weight"):
        inputs, more = value.shape[1], room.shape[1]
        room[: len(value)] = 0.0
        room[: len(value), :inputs] = value * math.sqrt(more / inputs)  # the run-time gain is 1 / sqrt(fan-in)
    else:  # biases [O], noise planes [r, r], the constant input [C, 4, 4], the mean of w
        room[tuple(slice(0, n) for n in value.shape)] = value


def _keep_group_statistic(tensors: dict[str, Tensor], old: dict[str, Tensor], before: int, after: int) -> None:
    """Let the minibatch deviation, a mean over all channels at 4 pixels, mean what it did.

    It is the last input of the last convolution. New channels start at zero, so the mean over ``after`` channels is
    ``before / after`` of the old one (but for the epsilon under its root, 1e-4 a new channel); the weights make up for
    it.
    """
    name = "final.conv.weight"
    old_weight = old[name].detach().cpu().float()
    gain = math.sqrt((after + 1) / (before + 1))
    weight = tensors[name]
    weight[: len(old_weight), before:] = 0.0
    weight[: len(old_weight), -1] = old_weight[:, -1] * (gain * after / before)
    lowest = f"blocks.{2 * SMALLEST}."
    for layer in ("conv1.weight", "conv1.bias", "skip.weight"):
        tensors[lowest + layer][before:] = 0.0
