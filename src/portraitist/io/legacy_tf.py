"""TensorFlow checkpoints of StyleGAN2 (``stylegan2-ffhq-config-f.pkl`` and its kin), read without TensorFlow.

A pickled triple (G, D, Gs) of networks, each a list of named arrays. TensorFlow keeps convolutions as [H, W, I, O],
dense layers transposed and the modulation's bias without its 1; the enlarging convolutions of the generator are
mirrored in both axes.

    networks = read_legacy(Path("stylegan2-ffhq-config-f.pkl"))
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import BadModel
from ..networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from .foreign import OTHER_KIND, Name, Networks, build, group_channels, leave_out, named, size_of
from .opening import typed
from .pickles import Array, Network, open_pickle, shown

PLAIN: dict[str, object] = {
    "label_size": 0,
    "mapping_lrmul": 0.01,
    "mapping_nonlinearity": "lrelu",
    "nonlinearity": "lrelu",
    "normalize_latents": True,
    "use_noise": True,
}
"""Settings that would change the networks though their tensors fit, and the values of the networks here."""
FILTERS = ("resample_kernel", "resample_filter")


@typed
def read_legacy(path: Path, which: Literal["Gs", "G"] = "Gs") -> Networks:
    """Read generator and discriminator of a TensorFlow checkpoint.

    Args:
        path: The pickle.
        which: The averaged generator, or the one that was being trained.

    Raises:
        BadModel: The file is damaged, of StyleGAN1, or of another architecture than skip and residual.
        UntrustedFile: The file asks for code to be run.
    """
    found = named(open_pickle(path).tree, ("G", "D", "Gs"), Network)
    other: Literal["Gs", "G"] = "G" if which == "Gs" else "Gs"
    notes = {"format": "legacy-tf"}
    if which not in found:
        if other not in found:
            raise BadModel(f"{path.name} holds no generator of TensorFlow (G, D, Gs).", OTHER_KIND)
        notes["generator"] = f"{path.name} holds no {which}; {other} was taken."
        which = other
    leave_out(notes, found, (which, "D"))
    generator = _generator(found[which], f"{path.name}: {which}")
    discriminator = _discriminator(found["D"], f"{path.name}: D") if "D" in found else None
    return Networks(generator, discriminator, notes)


def _generator(network: Network, what: str) -> Generator:
    settings, arrays = _settings(network, what, "skip"), _arrays(network, what)
    _refuse_variants(arrays, what)
    sides = _sides(arrays, r"synthesis/(\d+)x\d+/Conv1/weight", what)
    depth = sum(re.fullmatch(r"mapping/Dense\d+/weight", name) is not None for name in arrays)
    anatomy = GeneratorAnatomy(
        resolution=sides[-1],
        channels=tuple(size_of(arrays, f"synthesis/{_conv(r, 1)}/weight", 3, what) for r in sides),
        z_dim=size_of(arrays, "mapping/Dense0/weight", 0, what),
        w_dim=size_of(arrays, "synthesis/4x4/Conv/mod_weight", 0, what),
        mapping_layers=depth,
        image_channels=size_of(arrays, "synthesis/4x4/ToRGB/weight", 3, what),
        clamp=_clamp(settings),
    )
    table: dict[str, tuple[str, Move]] = {
        "w_mean": ("dlatent_avg", _same),
        "synthesis.const": ("synthesis/4x4/Const/const", _first),
    }
    for i in range(depth):
        table |= _dense(f"mapping.layers.{i}", f"mapping/Dense{i}")
    for block in anatomy.blocks:
        r = block.resolution
        for layer in block.convs:
            enlarges = layer is block.conv0
            theirs = f"synthesis/{_conv(r, 0 if enlarges else 1)}"
            table |= _modulated(layer.name, theirs, _mirrored if enlarges else _kernel)
            table[f"{layer.name}.noise_strength"] = (f"{theirs}/noise_strength", _same)
            table[f"{layer.name}.noise"] = (f"synthesis/noise{layer.row}", _plane)
        table |= _modulated(block.to_rgb.name, f"synthesis/{r}x{r}/ToRGB", _kernel)
    return build(Generator, anatomy, _moved(table, arrays, what), [Name(name, name) for name in table], what)


def _discriminator(network: Network, what: str) -> Discriminator:
    settings, arrays = _settings(network, what, "resnet"), _arrays(network, what)
    _refuse_variants(arrays, what)
    sides = _sides(arrays, r"(\d+)x\d+/Conv0/weight", what)
    top = sides[-1]
    last = [size_of(arrays, "4x4/Conv/weight", axis, what) for axis in (2, 3)]
    extra = group_channels(last[0], last[1], what)
    widths = [size_of(arrays, f"{r}x{r}/Conv1_down/weight", 3, what) for r in sides[1:]]
    anatomy = DiscriminatorAnatomy(
        resolution=top,
        channels=(*widths, size_of(arrays, f"{top}x{top}/FromRGB/weight", 3, what)),
        image_channels=size_of(arrays, f"{top}x{top}/FromRGB/weight", 2, what),
        group=max(int(settings.get("mbstd_group_size", 4)), 1) if extra else 0,
        group_channels=extra or 1,
        clamp=_clamp(settings),
    )
    table: dict[str, tuple[str, Move]] = _plain("from_rgb", f"{top}x{top}/FromRGB")
    for r in sides[1:]:
        table |= _plain(f"blocks.{r}.conv0", f"{r}x{r}/Conv0") | _plain(f"blocks.{r}.conv1", f"{r}x{r}/Conv1_down")
        table[f"blocks.{r}.skip.weight"] = (f"{r}x{r}/Skip/weight", _kernel)
    table |= _plain("final.conv", "4x4/Conv") | _dense("final.fc", "4x4/Dense0") | _dense("final.out", "Output")
    return build(Discriminator, anatomy, _moved(table, arrays, what), [Name(name, name) for name in table], what)


Move = Callable[[Tensor], Tensor]


def _same(value: Tensor) -> Tensor:
    return value


def _first(value: Tensor) -> Tensor:
    return value[0]


def _plane(value: Tensor) -> Tensor:
    return value[0, 0]


def _kernel(value: Tensor) -> Tensor:
    return value.permute(3, 2, 0, 1)


def _mirrored(value: Tensor) -> Tensor:
    return _kernel(value.flip(0, 1))


def _transposed(value: Tensor) -> Tensor:
    return value.t()


def _plus_one(value: Tensor) -> Tensor:
    return value + 1


def _conv(r: int, i: int) -> str:
    return "4x4/Conv" if r == 4 else f"{r}x{r}/{('Conv0_up', 'Conv1')[i]}"


def _dense(ours: str, theirs: str) -> dict[str, tuple[str, Move]]:
    return {f"{ours}.weight": (f"{theirs}/weight", _transposed), f"{ours}.bias": (f"{theirs}/bias", _same)}


def _plain(ours: str, theirs: str) -> dict[str, tuple[str, Move]]:
    return {f"{ours}.weight": (f"{theirs}/weight", _kernel), f"{ours}.bias": (f"{theirs}/bias", _same)}


def _modulated(ours: str, theirs: str, move: Move) -> dict[str, tuple[str, Move]]:
    return {
        f"{ours}.weight": (f"{theirs}/weight", move),
        f"{ours}.bias": (f"{theirs}/bias", _same),
        f"{ours}.affine.weight": (f"{theirs}/mod_weight", _transposed),
        f"{ours}.affine.bias": (f"{theirs}/mod_bias", _plus_one),
    }


def _moved(table: Mapping[str, tuple[str, Move]], arrays: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Return tensors under our names; what the table does not name stays under theirs, to be refused."""
    known = {theirs for theirs, _ in table.values()}
    rest = {name: value for name, value in arrays.items() if name not in known}
    found = {}
    for ours, (theirs, move) in table.items():
        if theirs not in arrays:
            raise BadModel(f"{what} lacks {theirs}.", OTHER_KIND)
        try:
            found[ours] = move(arrays[theirs]).contiguous()
        except (RuntimeError, IndexError) as error:
            shape = tuple(arrays[theirs].shape)
            raise BadModel(f"{what} has an unusable {theirs} of shape {shape}.", OTHER_KIND) from error
    return found | rest


def _settings(network: Network, what: str, architecture: str) -> dict[str, Any]:
    """Gather the settings of a network and its parts, and refuse those that mean another architecture."""
    found: dict[str, Any] = {}
    for part in (network, *_components(network, what).values()):
        version = part.state.get("version")
        if not isinstance(version, int) or version < 4:
            raise BadModel(
                f"{what} has version {shown(version)} of the TensorFlow format, which is older than StyleGAN2.",
                OTHER_KIND,
            )
        found |= dict(part.state.get("static_kwargs") or {})
    for name, plain in {**PLAIN, "architecture": architecture}.items():
        if found.get(name) is not None and found[name] != plain:
            raise BadModel(f"{what} has {name} {shown(found[name])}; only {plain!r} can be read.", OTHER_KIND)
    for name in FILTERS:
        if found.get(name) is not None and list(found[name]) != [1, 3, 3, 1]:
            raise BadModel(f"{what} resamples with another filter than 1,3,3,1 ({name}).", OTHER_KIND)
    return found


def _components(network: Network, what: str) -> dict[str, Network]:
    parts = network.state.get("components") or {}
    if not isinstance(parts, dict) or not all(isinstance(part, Network) for part in parts.values()):
        raise BadModel(f"{what} is not a network of TensorFlow StyleGAN2.", OTHER_KIND)
    return parts


def _arrays(network: Network, what: str) -> dict[str, Tensor]:
    """Gather all arrays as float32 tensors under ``component/name``; the fade-in counter is left out."""
    found: dict[str, Tensor] = {}
    for prefix, part in {"": network, **_components(network, what)}.items():
        for name, array in _pairs(part, what):
            value = array.values if isinstance(array, Array) else array
            if not isinstance(value, np.ndarray | float | int):
                raise BadModel(f"{what} holds no numbers under {name}.", OTHER_KIND)
            if name != "lod":
                found[f"{prefix}/{name}" if prefix else str(name)] = torch.tensor(np.asarray(value, np.float32))
    return found


def _pairs(part: Network, what: str) -> list[tuple[str, Any]]:
    pairs = part.state.get("variables") or []
    if not isinstance(pairs, list) or not all(isinstance(p, tuple) and len(p) == 2 for p in pairs):
        raise BadModel(f"{what} is not a network of TensorFlow StyleGAN2.", OTHER_KIND)
    return pairs


def _refuse_variants(arrays: Mapping[str, Tensor], what: str) -> None:
    if any(re.search(r"/LayerEpilogue/|/AdaIN|/StyleMod/|/Upscale2D", name) for name in arrays):
        raise BadModel(f"{what} is a network of StyleGAN1.", OTHER_KIND)
    if any(re.search(r"(ToRGB|FromRGB)_lod\d", name) for name in arrays):
        raise BadModel(f"{what} has the architecture 'orig' with one output per resolution.", OTHER_KIND)


def _sides(arrays: Mapping[str, Tensor], pattern: str, what: str) -> list[int]:
    sides = [4, *sorted(int(m[1]) for name in arrays if (m := re.fullmatch(pattern, name)))]
    if sides != [4 << k for k in range(len(sides))]:
        raise BadModel(f"{what} is not a network of TensorFlow StyleGAN2.", OTHER_KIND)
    return sides


def _clamp(settings: Mapping[str, Any]) -> float | None:
    value = settings.get("conv_clamp")
    return float(value) if isinstance(value, int | float) else None
