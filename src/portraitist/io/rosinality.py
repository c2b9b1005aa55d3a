"""Checkpoints in the layout of rosinality/stylegan2-pytorch, which a dozen other programs share.

A file of ``torch.save`` with the state dicts ``g``, ``g_ema`` and ``d`` and the mean of w, ``latent_avg``.

    networks = read_rosinality(Path("550000.pt"))
    write_rosinality(Path("faces.pt"), networks)
"""

from __future__ import annotations

import argparse
import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import BadModel
from ..files import refuse_existing, write_bytes
from ..networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from ..spaces import statistics
from .foreign import (
    OTHER_KIND,
    Name,
    Networks,
    build,
    filter_plane,
    leave_out,
    size_of,
    tensors_of,
    under_their_names,
    without_filters,
)
from .opening import typed
from .pickles import open_torch

GROUP, GROUP_CHANNELS = 4, 1
"""Of the minibatch standard deviation; the layout has them in its code, not in the file."""


@typed
def read_rosinality(path: Path, which: Literal["g_ema", "g"] = "g_ema") -> Networks:
    """Read generator and discriminator; sizes come from the tensors.

    Args:
        path: File of ``torch.save``.
        which: The averaged generator, or the one that was being trained. A file with only one of them gives that.

    Raises:
        BadModel: The file is damaged, or holds networks of another kind.
        UntrustedFile: The file asks for code to be run.
    """
    return networks_from(open_torch(path), path.name, which)


def networks_from(tree: Any, source: str, which: Literal["g_ema", "g"] = "g_ema") -> Networks:
    """Take the networks out of a checkpoint that is in memory already."""
    if isinstance(tree, Mapping) and "input.input" in tree:
        tree = {"g_ema": tree}
    notes = {"format": "rosinality"}
    if isinstance(tree, Mapping) and (decoder := _decoder(tree)):
        tree = {"g_ema": decoder, "latent_avg": tree.get("latent_avg")}
        notes["generator"] = f"{source} is a checkpoint of pSp's kind; its decoder was taken, its encoder left out."
    if isinstance(tree, Mapping) and isinstance(tree.get("GAN"), Mapping):
        raise BadModel(
            f"{source} is a checkpoint of lucidrains' stylegan2-pytorch, whose networks are others.",
            "Only StyleGAN2 of NVIDIA's or rosinality's code can be read.",
        )
    other: Literal["g_ema", "g"] = "g" if which == "g_ema" else "g_ema"
    if not isinstance(tree, Mapping) or not (_holds(tree, which) or _holds(tree, other)):
        raise BadModel(f"{source} holds no generator (g_ema or g).", "Is this a StyleGAN2 checkpoint?")
    if not _holds(tree, which):
        notes["generator"] = f"{source} holds no {which}; {other} was taken."
        which = other
    leave_out(notes, (key for key, value in tree.items() if value is not None), (which, "d", "latent_avg", "args"))
    generator = _read_generator(tensors_of(tree[which], f"{source}: {which}"), tree.get("latent_avg"), source, notes)
    discriminator = None
    if _holds(tree, "d"):
        discriminator = _read_discriminator(tensors_of(tree["d"], f"{source}: d"), source)
    return Networks(generator, discriminator, notes)


def write_rosinality(path: Path, networks: Networks, *, overwrite: bool = False) -> None:
    """Write ``g``, ``g_ema``, ``d``, ``latent_avg`` and ``args`` as that program's own code loads them, strictly.

    The layout has no place for a clamp: it is left out, and the images of a network that needs it differ.

    Raises:
        BadModel: The networks have sizes that the layout cannot hold.
    """
    refuse_existing(path, overwrite)
    generator = networks.generator
    if generator is None:
        raise BadModel("A checkpoint of this layout needs a generator.", "Convert from a file that holds one.")
    _refuse_unstorable(generator.anatomy, networks.discriminator)
    state = under_their_names(generator, [*generator_names(generator.anatomy), _MEAN])
    mean = state.pop(_MEAN.theirs)
    state |= {name: filter_plane(total) for name, total in generator_filters(generator.anatomy).items()}
    tree: dict[str, Any] = {"g": state, "g_ema": state, "latent_avg": mean, "args": _arguments(generator.anatomy)}
    if networks.discriminator is not None:
        anatomy = networks.discriminator.anatomy
        tree["d"] = under_their_names(networks.discriminator, discriminator_names(anatomy))
        tree["d"] |= {name: filter_plane(total) for name, total in discriminator_filters(anatomy).items()}
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    write_bytes(path, buffer.getvalue(), overwrite=overwrite)


def generator_names(anatomy: GeneratorAnatomy) -> list[Name]:
    """Return the table of a generator, the mean of w left out: it lies beside the state dict."""
    names = [
        Name(f"mapping.layers.{i}.{kind}", f"style.{i + 1}.{kind}")
        for i in range(anatomy.mapping_layers)
        for kind in ("weight", "bias")
    ]
    names.append(Name("synthesis.const", "input.input", before=1))
    for layer in anatomy.convs:
        theirs = "conv1" if layer.row == 0 else f"convs.{layer.row - 1}"
        names += _modulation(layer.name, theirs)
        names += [
            Name(f"{layer.name}.bias", f"{theirs}.activate.bias"),
            Name(f"{layer.name}.noise_strength", f"{theirs}.noise.weight", after=1),
            Name(f"{layer.name}.noise", f"noises.noise_{layer.row}", before=2),
        ]
    for k, block in enumerate(anatomy.blocks):
        theirs = "to_rgb1" if k == 0 else f"to_rgbs.{k - 1}"
        names += _modulation(block.to_rgb.name, theirs)
        names.append(Name(f"{block.to_rgb.name}.bias", f"{theirs}.bias", before=1, after=2))
    return names


def discriminator_names(anatomy: DiscriminatorAnatomy) -> list[Name]:
    """Return the table of a discriminator."""
    names = [Name("from_rgb.weight", "convs.0.0.weight"), Name("from_rgb.bias", "convs.0.1.bias")]
    for k, r in enumerate(_falling(anatomy), start=1):
        names += [
            Name(f"blocks.{r}.conv0.weight", f"convs.{k}.conv1.0.weight"),
            Name(f"blocks.{r}.conv0.bias", f"convs.{k}.conv1.1.bias"),
            Name(f"blocks.{r}.conv1.weight", f"convs.{k}.conv2.1.weight"),
            Name(f"blocks.{r}.conv1.bias", f"convs.{k}.conv2.2.bias"),
            Name(f"blocks.{r}.skip.weight", f"convs.{k}.skip.1.weight"),
        ]
    names += [Name("final.conv.weight", "final_conv.0.weight"), Name("final.conv.bias", "final_conv.1.bias")]
    for i, ours in enumerate(("fc", "out")):
        names += [Name(f"final.{ours}.{kind}", f"final_linear.{i}.{kind}") for kind in ("weight", "bias")]
    return names


def generator_filters(anatomy: GeneratorAnatomy) -> dict[str, float]:
    """Return the stored filters of a generator and their sums."""
    enlarging = [2 * k for k in range(len(anatomy.channels) - 1)]
    convs = {f"convs.{i}.conv.blur.kernel": 4.0 for i in enlarging}
    return convs | {f"to_rgbs.{i // 2}.upsample.kernel": 4.0 for i in enlarging}


def discriminator_filters(anatomy: DiscriminatorAnatomy) -> dict[str, float]:
    """Return the stored filters of a discriminator and their sums."""
    blocks = range(1, len(anatomy.channels))
    return {f"convs.{k}.{part}.0.kernel": 1.0 for k in blocks for part in ("conv2", "skip")}


_MEAN = Name("w_mean", "latent_avg")


def _decoder(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the generator within a checkpoint of pSp, e4e or AgileGAN; empty where it is none."""
    state = tree.get("state_dict")
    if not isinstance(state, Mapping):
        return {}
    prefix = "decoder."
    return {str(k).removeprefix(prefix): v for k, v in state.items() if str(k).startswith(prefix)}


def _holds(tree: Mapping[str, Any], key: str) -> bool:
    return isinstance(tree.get(key), Mapping) and len(tree[key]) > 0


def _modulation(ours: str, theirs: str) -> list[Name]:
    return [
        Name(f"{ours}.weight", f"{theirs}.conv.weight", before=1),
        Name(f"{ours}.affine.weight", f"{theirs}.conv.modulation.weight"),
        Name(f"{ours}.affine.bias", f"{theirs}.conv.modulation.bias"),
    ]


def _falling(anatomy: DiscriminatorAnatomy) -> list[int]:
    return [r for r in reversed(anatomy.resolutions) if r > 4]


def _read_generator(state: dict[str, Tensor], mean: object, source: str, notes: dict[str, str]) -> Generator:
    what = f"{source}: the generator"
    anatomy = _generator_anatomy(state, what)
    names = [*generator_names(anatomy), _MEAN]
    state = without_filters(state, generator_filters(anatomy), what, ["kernel"])
    if isinstance(mean, Tensor) and mean.ndim > 1 and mean.shape[-1] == anatomy.w_dim:
        rows = mean.reshape(-1, anatomy.w_dim)  # one for each row of W+, where an encoder wants them so
        if not torch.allclose(rows, rows[:1]):
            raise BadModel(f"{what} has a mean of w for each of {len(rows)} rows, and they differ.", OTHER_KIND)
        mean = rows[0]
    state[_MEAN.theirs] = mean.reshape(-1) if isinstance(mean, Tensor) else torch.zeros(anatomy.w_dim)
    if not any(name.startswith("noises.") for name in state):
        notes["noise"] = "The file is older than stored noise; planes were drawn with seed 0."
        state |= _noise_planes(anatomy)
    generator = build(Generator, anatomy, state, names, what)
    if not isinstance(mean, Tensor):
        notes["w_mean"] = "The file holds no mean of w; it was measured over 10,000 latents."
        generator.w_mean.copy_(statistics(generator.mapping, anatomy.z_dim).mean.data[0])
    return generator


def _generator_anatomy(state: Mapping[str, Tensor], what: str) -> GeneratorAnatomy:
    blocks = _count(state, r"to_rgbs\.(\d+)\.bias")
    widths = [size_of(state, f"convs.{2 * k}.conv.weight", 1, what) for k in range(blocks)]
    return GeneratorAnatomy(
        resolution=4 << blocks,
        channels=(size_of(state, "input.input", 1, what), *widths),
        z_dim=size_of(state, "style.1.weight", 1, what),
        w_dim=size_of(state, "conv1.conv.modulation.weight", 1, what),
        mapping_layers=_count(state, r"style\.(\d+)\.weight"),
        image_channels=size_of(state, "to_rgb1.conv.weight", 1, what),
    )


def _read_discriminator(state: dict[str, Tensor], source: str) -> Discriminator:
    what = f"{source}: the discriminator"
    blocks = _count(state, r"convs\.(\d+)\.conv1\.0\.weight")
    widths = [size_of(state, f"convs.{k}.conv2.1.weight", 0, what) for k in range(blocks, 0, -1)]
    anatomy = DiscriminatorAnatomy(
        resolution=4 << blocks,
        channels=(*widths, size_of(state, "convs.0.0.weight", 0, what)),
        image_channels=size_of(state, "convs.0.0.weight", 1, what),
        group=GROUP,
        group_channels=GROUP_CHANNELS,
    )
    state = without_filters(state, discriminator_filters(anatomy), what, ["kernel"])
    return build(Discriminator, anatomy, state, discriminator_names(anatomy), what)


def _noise_planes(anatomy: GeneratorAnatomy) -> dict[str, Tensor]:
    seeded = torch.Generator().manual_seed(0)
    return {
        f"noises.noise_{layer.row}": torch.randn(1, 1, layer.resolution, layer.resolution, generator=seeded)
        for layer in anatomy.convs
    }


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in state)


def _arguments(anatomy: GeneratorAnatomy) -> argparse.Namespace:
    # That program's width at 64 pixels and above is 16384 * multiplier / side; below, the multiplier means nothing.
    multiplier = 2 if anatomy.resolution < 64 else max(1, anatomy.channels[-1] * anatomy.resolution // 16384)
    return argparse.Namespace(
        size=anatomy.resolution, latent=anatomy.w_dim, n_mlp=anatomy.mapping_layers, channel_multiplier=multiplier
    )


def _refuse_unstorable(anatomy: GeneratorAnatomy, discriminator: Discriminator | None) -> None:
    cure = "Write a state dict under NVIDIA's names instead."
    if anatomy.z_dim != anatomy.w_dim:
        raise BadModel(f"This layout needs z and w of one size, not {anatomy.z_dim} and {anatomy.w_dim}.", cure)
    if anatomy.image_channels != 3:
        raise BadModel(f"This layout holds colour images only, not {anatomy.image_channels} channels.", cure)
    if discriminator is None:
        return
    storable = replace(discriminator.anatomy, group=GROUP, group_channels=GROUP_CHANNELS)
    if storable != discriminator.anatomy or storable.image_channels != 3:
        raise BadModel(f"This layout needs a minibatch deviation over {GROUP} colour images in one channel.", cure)
