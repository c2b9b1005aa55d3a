"""Makers of checkpoints as other programs write them."""

from __future__ import annotations

import copy
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from portraitist.io.foreign import Networks, under_their_names
from portraitist.io.nvidia import discriminator_filters, discriminator_names, generator_filters, generator_names
from portraitist.networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy

FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
CANARY = """import os, pathlib
pathlib.Path(os.environ.get("PICKLE_CANARY", "pickle-canary.txt")).write_text("embedded source was executed")
"""


def make_networks(
    resolution: int = 16,
    channels: tuple[int, ...] = (6, 5, 4),
    z_dim: int = 8,
    w_dim: int = 8,
    depth: int = 2,
    clamp: float | None = None,
    group: int = 4,
    seed: int = 0,
) -> Networks:
    """Return networks in which every tensor is random, so that none can be swapped or dropped unseen."""
    generator = Generator(
        GeneratorAnatomy(resolution, channels, z_dim=z_dim, w_dim=w_dim, mapping_layers=depth, clamp=clamp)
    )
    discriminator = Discriminator(DiscriminatorAnatomy(resolution, channels, group=group, clamp=clamp))
    numbers = torch.Generator().manual_seed(seed)
    for module in (generator, discriminator):
        for value in module.state_dict().values():
            value.copy_(torch.randn(value.shape, generator=numbers) * 0.5)
    return Networks(generator.eval(), discriminator.eval())


def assert_same(left: nn.Module | None, right: nn.Module | None) -> None:
    """Two networks are bit-equal: sizes, names and values."""
    assert left is not None and right is not None
    assert left.anatomy == right.anatomy
    ours, theirs = left.state_dict(), right.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def persistent_networks(networks: Networks, clamp: int | None = None) -> dict[str, Any]:
    """Return G, D and G_ema as NVIDIA's modules; G is another generator of the same sizes."""
    generator, discriminator = networks.generator, networks.discriminator
    assert generator is not None and discriminator is not None
    settings: dict[str, Any] = {"c_dim": 0}
    for r in generator.anatomy.resolutions:
        settings[f"synthesis.b{r}.architecture"] = "skip"
        settings[f"synthesis.b{r}.use_fp16"] = r >= 8
        settings[f"synthesis.b{r}.conv1.conv_clamp"] = clamp
        settings[f"synthesis.b{r}.conv1.activation"] = "lrelu"
    settings |= {f"mapping.fc{i}.bias_gain": 0.01 for i in range(generator.anatomy.mapping_layers)}
    other = copy.deepcopy(generator)
    other.w_mean += 1
    judge = {"c_dim": 0, "b4.architecture": "resnet", "b4.conv.conv_clamp": clamp}
    judge |= {"b4.mbstd.group_size": discriminator.anatomy.group, "b4.mbstd.num_channels": 1}
    return {
        "G": module_tree(generator_tensors(other), settings),
        "D": module_tree(discriminator_tensors(discriminator), judge),
        "G_ema": module_tree(generator_tensors(generator), settings),
    }


def generator_tensors(generator: Generator) -> dict[str, torch.Tensor]:
    filters = {name: FILTER for name in generator_filters(generator.anatomy)}
    return under_their_names(generator, generator_names(generator.anatomy)) | filters


def discriminator_tensors(discriminator: Discriminator) -> dict[str, torch.Tensor]:
    filters = {name: FILTER for name in discriminator_filters(discriminator.anatomy)}
    return under_their_names(discriminator, discriminator_names(discriminator.anatomy)) | filters


def write_persistent_pickle(
    path: Path,
    networks: dict[str, Any],
    edit: Callable[[dict[str, Any]], None] | None = None,
    laid: Callable[[dict[str, Any]], Any] = lambda tree: tree,
) -> None:
    """Write the layout of stylegan2-ada-pytorch: modules as persistent objects with source inside.

    Args:
        path: File to write.
        networks: As :func:`persistent_networks` gives them.
        edit: Called with the whole dictionary before it is written.
        laid: Turns it into what is pickled.
    """
    tree: dict[str, Any] = {"training_set_kwargs": None, **networks, "augment_pipe": None}
    if edit is not None:
        edit(tree)
    with stub_module("torch_utils.persistence", _reconstruct_persistent_obj=_reconstruct):
        path.write_bytes(pickle.dumps(laid(tree), protocol=4))


def module_tree(tensors: dict[str, Tensor], settings: dict[str, Any]) -> Persistent:
    """Nest dotted names into persistent modules; noise, filters and the mean of w are buffers, the rest parameters."""
    root = Persistent()
    for name, value in tensors.items():
        *parents, leaf = name.split(".")
        module = root.inside(parents)
        is_buffer = leaf in ("noise_const", "resample_filter", "w_avg")
        held = value.clone() if is_buffer else nn.Parameter(value.clone())
        module.state["_buffers" if is_buffer else "_parameters"][leaf] = held
    for name, value in settings.items():
        *parents, leaf = name.split(".")
        root.inside(parents).state[leaf] = value
    return root


class Persistent:
    """Pickles as a call of NVIDIA's reconstructor with the module's source, as its decorator does."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {"training": False, "_parameters": {}, "_buffers": {}, "_modules": {}}
        self.state |= {"_init_args": (), "_init_kwargs": {}}

    def inside(self, names: list[str]) -> Persistent:
        module = self
        for name in names:
            module = module.state["_modules"].setdefault(name, Persistent())
        return module

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {"type": "class", "version": 6, "module_src": CANARY, "class_name": "Module", "state": self.state}
        return _reconstruct, (meta,)


def _reconstruct(meta: dict[str, Any]) -> None:
    raise AssertionError("the real reconstructor would execute the source here")


_reconstruct.__module__, _reconstruct.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"


class TensorFlowNetwork:
    """Pickles as NVIDIA's class for networks of TensorFlow."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = {"version": 5, "build_module_src": CANARY, "components": {}, "static_kwargs": {}, **state}

    def __getstate__(self) -> dict[str, Any]:
        return self.state


TensorFlowNetwork.__module__, TensorFlowNetwork.__qualname__ = "dnnlib.tflib.network", "Network"


class Fields(dict[str, Any]):
    """NVIDIA's dictionary class."""


Fields.__module__, Fields.__qualname__ = "dnnlib.util", "EasyDict"


def write_legacy_pickle(
    path: Path,
    networks: Networks,
    edit: Callable[[Any, Any], None] | None = None,
    protocol: int = 4,
    laid: Callable[[Any, Any, Any], Any] = lambda *triple: triple,
) -> None:
    """Write the layout of TensorFlow StyleGAN2; ``edit`` sees the generator and the discriminator before.

    ``laid`` turns (G, D, Gs) into what is pickled.
    """
    averaged, discriminator = legacy_generator(networks.generator), legacy_discriminator(networks.discriminator)
    if edit is not None:
        edit(averaged, discriminator)
    with stub_module("dnnlib.tflib.network", Network=TensorFlowNetwork), stub_module("dnnlib.util", EasyDict=Fields):
        triple = laid(legacy_generator(make_networks(seed=99).generator), discriminator, averaged)
        path.write_bytes(pickle.dumps(triple, protocol=protocol))


def legacy_generator(generator: Generator | None) -> TensorFlowNetwork:
    assert generator is not None
    anatomy, ours = generator.anatomy, {k: v.detach().numpy() for k, v in generator.state_dict().items()}
    synthesis: list[tuple[str, Any]] = [("lod", np.float32(0)), ("4x4/Const/const", ours["synthesis.const"][None])]
    for k, r in enumerate(anatomy.resolutions):
        name = f"synthesis.blocks.{r}"
        if k:
            synthesis += _modulated(ours, f"{name}.conv0", f"{r}x{r}/Conv0_up", mirrored=True)
            synthesis.append((f"noise{2 * k - 1}", ours[f"{name}.conv0.noise"][None, None]))
        synthesis += _modulated(ours, f"{name}.conv1", f"{r}x{r}/Conv1" if k else "4x4/Conv")
        synthesis.append((f"noise{2 * k}", ours[f"{name}.conv1.noise"][None, None]))
        synthesis += _modulated(ours, f"{name}.to_rgb", f"{r}x{r}/ToRGB")
    mapping = []
    for i in range(anatomy.mapping_layers):
        mapping.append((f"Dense{i}/weight", np.ascontiguousarray(ours[f"mapping.layers.{i}.weight"].T)))
        mapping.append((f"Dense{i}/bias", ours[f"mapping.layers.{i}.bias"]))
    settings = Fields(num_channels=3, resolution=anatomy.resolution, label_size=0, resample_kernel=[1, 3, 3, 1])
    return TensorFlowNetwork(
        {
            "static_kwargs": settings,
            "components": {
                "synthesis": TensorFlowNetwork({"variables": synthesis, "static_kwargs": Fields(architecture="skip")}),
                "mapping": TensorFlowNetwork({"variables": mapping, "static_kwargs": Fields(mapping_lrmul=0.01)}),
            },
            "variables": [("lod", np.float32(0)), ("dlatent_avg", ours["w_mean"])],
        }
    )


def legacy_discriminator(discriminator: Discriminator | None) -> TensorFlowNetwork:
    assert discriminator is not None
    anatomy, ours = discriminator.anatomy, {k: v.detach().numpy() for k, v in discriminator.state_dict().items()}
    top = anatomy.resolution
    variables: list[tuple[str, Any]] = [("lod", np.float32(0)), *_plain(ours, "from_rgb", f"{top}x{top}/FromRGB")]
    for r in anatomy.resolutions[1:]:
        variables += _plain(ours, f"blocks.{r}.conv0", f"{r}x{r}/Conv0")
        variables += _plain(ours, f"blocks.{r}.conv1", f"{r}x{r}/Conv1_down")
        variables.append((f"{r}x{r}/Skip/weight", ours[f"blocks.{r}.skip.weight"].transpose(2, 3, 1, 0)))
    variables += _plain(ours, "final.conv", "4x4/Conv")
    for part, name in (("fc", "4x4/Dense0"), ("out", "Output")):
        variables += [(f"{name}/weight", ours[f"final.{part}.weight"].T), (f"{name}/bias", ours[f"final.{part}.bias"])]
    settings = Fields(resolution=top, architecture="resnet", mbstd_group_size=anatomy.group)
    return TensorFlowNetwork({"static_kwargs": settings, "variables": variables})


def _plain(ours: dict[str, Any], name: str, theirs: str) -> list[tuple[str, Any]]:
    return [
        (f"{theirs}/weight", ours[f"{name}.weight"].transpose(2, 3, 1, 0)),
        (f"{theirs}/bias", ours[f"{name}.bias"]),
    ]


def _modulated(ours: dict[str, Any], name: str, theirs: str, *, mirrored: bool = False) -> list[tuple[str, Any]]:
    kernel = ours[f"{name}.weight"].transpose(2, 3, 1, 0)
    found = [
        (f"{theirs}/weight", kernel[::-1, ::-1] if mirrored else kernel),
        (f"{theirs}/mod_weight", ours[f"{name}.affine.weight"].T),
        (f"{theirs}/mod_bias", ours[f"{name}.affine.bias"] - 1),
        (f"{theirs}/bias", ours[f"{name}.bias"]),
    ]
    if f"{name}.noise_strength" in ours:
        found.append((f"{theirs}/noise_strength", ours[f"{name}.noise_strength"]))
    return found


@contextmanager
def stub_module(name: str, **members: Any) -> Iterator[None]:
    """Let pickle find foreign names while a file is written, and only then."""
    parts = name.split(".")
    added = {
        path: types.ModuleType(path) for k in range(len(parts)) if (path := ".".join(parts[: k + 1])) not in sys.modules
    }
    for key, value in members.items():
        setattr(added[name], key, value)
    sys.modules.update(added)
    try:
        yield
    finally:
        for path in added:
            del sys.modules[path]
