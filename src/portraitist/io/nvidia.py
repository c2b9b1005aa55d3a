"""Networks of NVlabs/stylegan2-ada-pytorch: its pickles, and state dicts under its names.

Its pickles carry Python source that the usual loader executes; here it stays text. A pickle that this program's own
code can open needs that source inside, so writing one takes a template: a pickle of the same sizes, in which only the
numbers are replaced, byte for byte in place. Without a template the networks go into a state dict under NVIDIA's
names (``G_ema.synthesis.b4.const``, ...).

    networks = read_nvidia(Path("network-snapshot.pkl"))
    write_nvidia(Path("mine.pkl"), networks, template=Path("network-snapshot.pkl"))
    write_nvidia_state(Path("mine-nvidia.safetensors"), networks)
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import BadModel
from ..files import parse_json, refuse_existing, write_bytes
from ..networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy
from .foreign import (
    OTHER_KIND,
    Name,
    Networks,
    build,
    filter_plane,
    group_channels,
    leave_out,
    named,
    size_of,
    tensors_of,
    under_their_names,
    without_filters,
)
from .headers import refuse_many
from .opening import DAMAGED, read_head, typed
from .pickles import Opened, Record, check_tensors, open_pickle, open_torch

SETTINGS = "portraitist.settings"
"""Key under which a state dict holds what tensors cannot tell: clamp and group of each network."""
OF_GENERATOR = ("synthesis.", "mapping.")
"""How names of a generator begin where no network is named."""
DEEPEST, MOST = 16, 4096
"""Bounds on nesting and number of modules; the largest StyleGAN2 has 5 and about 200."""
WHOLE_BATCH = 1 << 30


@typed
def read_nvidia(path: Path, which: Literal["G_ema", "G"] = "G_ema") -> Networks:
    """Read generator and discriminator from a pickle; nothing in it is executed.

    Everything is computed in float32, whatever the file marks as half precision; its clamp stays in force.

    Args:
        path: The pickle.
        which: The averaged generator, or the one that was being trained. A file with only one of them gives that.

    Raises:
        BadModel: The file is damaged, or holds networks of another kind.
        UntrustedFile: The file asks for code to be run.
    """
    tree = open_pickle(path).tree
    return _networks({k: _flatten(r, f"{path.name}: {k}") for k, r in _records(tree, path).items()}, path.name, which)


@typed
def read_nvidia_state(path: Path, which: Literal["G_ema", "G"] = "G_ema") -> Networks:
    """Read a state dict under NVIDIA's names from safetensors or ``torch.save``; see :func:`read_nvidia`.

    The names begin with the network, or networks hold names; names without a network are those of ``G_ema``.
    """
    tensors, settings = _safetensors(path) if read_head(path, 9)[8:] == b"{" else _torch_file(path)
    found: dict[str, Flat] = {}
    for key, value in tensors.items():
        network, _, name = (f"G_ema.{key}" if key.startswith(OF_GENERATOR) else key).partition(".")
        found.setdefault(network, Flat({}, settings.get(network, {}))).tensors[name] = value
    return _networks(found, path.name, which)


def write_nvidia(path: Path, networks: Networks, *, template: Path, overwrite: bool = False) -> None:
    """Write into a copy of a pickle of the same sizes; all but the numbers stays as it is, byte for byte.

    The generator goes into ``G`` and ``G_ema``. A network that is not given keeps the template's numbers. The clamp is
    the template's own: a generator without one draws the same as long as no feature reaches it.

    Raises:
        BadModel: The template is of other sizes, or lacks a network that is to be written.
    """
    refuse_existing(path, overwrite)
    opened = open_pickle(template)
    records = _records(opened.tree, template)
    content = bytearray(opened.content)
    for key in ("G", "G_ema", "D"):
        module = networks.discriminator if key == "D" else networks.generator
        if module is None or (key == "G" and key not in records):
            continue
        if key not in records and not (key == "G_ema" and "G" in records):
            raise BadModel(f"The template {template.name} holds no {key}.", "Give a template that holds it.")
        if key in records:
            _replace(
                content, opened, _flatten(records[key], f"{template.name}: {key}"), module, f"{template.name}: {key}"
            )
    write_bytes(path, bytes(content), overwrite=overwrite)


def write_nvidia_state(path: Path, networks: Networks, *, overwrite: bool = False) -> None:
    """Write ``G_ema`` and ``D`` as a state dict that NVIDIA's modules load strictly, network by network.

    ``.safetensors`` or, with any other ending, a file of ``torch.save``.
    """
    refuse_existing(path, overwrite)
    tensors: dict[str, Tensor] = {}
    settings: dict[str, dict[str, Any]] = {}
    for key, module in (("G_ema", networks.generator), ("D", networks.discriminator)):
        if module is not None:
            tensors |= {f"{key}.{name}": value for name, value in _state(module).items()}
            settings[key] = _settings(module)
    if path.suffix.lower() == ".safetensors":
        content = safetensors.torch.save(tensors, {"format": "pt", SETTINGS: json.dumps(settings)})
    else:
        buffer = io.BytesIO()
        torch.save({**tensors, SETTINGS: settings}, buffer)
        content = buffer.getvalue()
    write_bytes(path, content, overwrite=overwrite)


def generator_names(anatomy: GeneratorAnatomy) -> list[Name]:
    """Return the table of a generator."""
    names = [
        Name(f"mapping.layers.{i}.{kind}", f"mapping.fc{i}.{kind}")
        for i in range(anatomy.mapping_layers)
        for kind in ("weight", "bias")
    ]
    names += [Name("w_mean", "mapping.w_avg"), Name("synthesis.const", "synthesis.b4.const")]
    for block in anatomy.blocks:
        theirs = f"synthesis.b{block.resolution}"
        if block.conv0 is not None:
            names += _convolution(block.conv0.name, f"{theirs}.conv0")
        names += _convolution(block.conv1.name, f"{theirs}.conv1")
        names += _modulation(block.to_rgb.name, f"{theirs}.torgb")
    return names


def discriminator_names(anatomy: DiscriminatorAnatomy) -> list[Name]:
    """Return the table of a discriminator."""
    top = anatomy.resolution
    names = [Name(f"from_rgb.{kind}", f"b{top}.fromrgb.{kind}") for kind in ("weight", "bias")]
    for r in reversed(anatomy.resolutions[1:]):
        layers = ("conv0.weight", "conv0.bias", "conv1.weight", "conv1.bias", "skip.weight")
        names += [Name(f"blocks.{r}.{layer}", f"b{r}.{layer}") for layer in layers]
    return names + [
        Name(f"final.{layer}.{kind}", f"b4.{layer}.{kind}")
        for layer in ("conv", "fc", "out")
        for kind in ("weight", "bias")
    ]


def generator_filters(anatomy: GeneratorAnatomy) -> list[str]:
    """Return the names of the filters that NVIDIA's generator stores: one per block and convolution."""
    blocks = [f"synthesis.b{r}" for r in anatomy.resolutions]
    convs = [f"{b}.{conv}" for b in blocks for conv in ("conv0", "conv1") if (b, conv) != (blocks[0], "conv0")]
    return [f"{prefix}.resample_filter" for prefix in (*blocks, *convs)]


def discriminator_filters(anatomy: DiscriminatorAnatomy) -> list[str]:
    """Return the names of the filters that NVIDIA's discriminator stores."""
    blocks = [f"b{r}" for r in anatomy.resolutions[1:]]
    convs = [f"{b}.{conv}" for b in blocks for conv in ("conv0", "conv1", "skip")]
    return [f"{prefix}.resample_filter" for prefix in (*blocks, *convs, f"b{anatomy.resolution}.fromrgb", "b4.conv")]


Network: TypeAlias = Generator | Discriminator


@dataclass(frozen=True)
class Flat:
    """One network of a file: tensors and plain settings under dotted names."""

    tensors: dict[str, Tensor]
    settings: dict[str, Any] = field(default_factory=dict)

    def values(self, pattern: str) -> set[Any]:
        """Return the different values of the settings whose name matches."""
        return {v for name, v in self.settings.items() if re.fullmatch(pattern, name)}


def _convolution(ours: str, theirs: str) -> list[Name]:
    return [
        *_modulation(ours, theirs),
        Name(f"{ours}.noise_strength", f"{theirs}.noise_strength"),
        Name(f"{ours}.noise", f"{theirs}.noise_const"),
    ]


def _modulation(ours: str, theirs: str) -> list[Name]:
    return [Name(f"{ours}.{part}", f"{theirs}.{part}") for part in ("weight", "bias", "affine.weight", "affine.bias")]


def _records(tree: Any, path: Path) -> dict[str, Record]:
    found = named(tree, ("G", "D", "G_ema"), Record)
    if not found:
        raise BadModel(f"{path.name} holds no generator (G_ema or G).", OTHER_KIND)
    return found


def _flatten(record: Record, what: str) -> Flat:
    """Gather tensors and plain settings of a module and those inside it, frozen weights (buffers) included."""
    flat = Flat({})
    waiting = [(record, "", 0)]
    seen = 0
    while waiting:
        module, prefix, depth = waiting.pop()
        seen += 1
        if seen > MOST or depth > DEEPEST or not isinstance(module, Record):
            raise BadModel(f"{what} is not a network of StyleGAN2.", OTHER_KIND)
        for part in ("_parameters", "_buffers"):
            held = _inside(module, part)
            flat.tensors.update({prefix + name: value for name, value in held.items() if isinstance(value, Tensor)})
        for name, value in module.state.items():
            if isinstance(value, bool | int | float | str):
                flat.settings[f"{prefix}{name}"] = value
        children = _inside(module, "_modules").items()
        waiting += [(child, f"{prefix}{name}.", depth + 1) for name, child in children if child is not None]
    return flat


def _inside(module: Record, part: str) -> dict[str, Any]:
    held = module.state.get(part) or {}
    return {str(name): value for name, value in held.items()} if isinstance(held, dict) else {}


def _networks(found: Mapping[str, Flat], source: str, which: Literal["G_ema", "G"]) -> Networks:
    notes = {"format": "nvidia"}
    if which not in found:
        other = "G" if which == "G_ema" else "G_ema"
        if other not in found:
            raise BadModel(f"{source} holds no generator (G_ema or G).", OTHER_KIND)
        notes["generator"] = f"{source} holds no {which}; {other} was taken."
        which = other  # type: ignore[assignment]
    leave_out(notes, found, (which, "D"))
    generator = _generator(found[which], f"{source}: {which}")
    discriminator = _discriminator(found["D"], f"{source}: D") if "D" in found else None
    return Networks(generator, discriminator, notes)


def _generator(flat: Flat, what: str) -> Generator:
    anatomy = _generator_anatomy(flat, what)
    state = without_filters(flat.tensors, {}, what, ["resample_filter"])
    return build(Generator, anatomy, state, generator_names(anatomy), what)


def _discriminator(flat: Flat, what: str) -> Discriminator:
    anatomy = _discriminator_anatomy(flat, what)
    state = without_filters(flat.tensors, {}, what, ["resample_filter"])
    return build(Discriminator, anatomy, state, discriminator_names(anatomy), what)


def _generator_anatomy(flat: Flat, what: str) -> GeneratorAnatomy:
    _refuse_variants(flat, what, "skip")
    state = flat.tensors
    sides = _sides(state, r"synthesis\.b(\d+)\.conv0\.weight", what)
    layers = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in state)
    return GeneratorAnatomy(
        resolution=sides[-1],
        channels=tuple(size_of(state, f"synthesis.b{r}.conv1.weight", 0, what) for r in sides),
        z_dim=size_of(state, "mapping.fc0.weight", 1, what),
        w_dim=size_of(state, "synthesis.b4.conv1.affine.weight", 1, what),
        mapping_layers=layers,
        image_channels=size_of(state, "synthesis.b4.torgb.weight", 0, what),
        clamp=_clamp(flat, r"(synthesis\.b\d+\.(conv\d|torgb)\.)?conv_clamp", what),
    )


def _discriminator_anatomy(flat: Flat, what: str) -> DiscriminatorAnatomy:
    _refuse_variants(flat, what, "resnet")
    state = flat.tensors
    sides = _sides(state, r"b(\d+)\.conv0\.weight", what)
    widths = [size_of(state, f"b{r}.conv1.weight", 0, what) for r in sides[1:]]
    top = f"b{sides[-1]}.fromrgb.weight"
    last = [size_of(state, "b4.conv.weight", axis, what) for axis in (1, 0)]
    extra = group_channels(last[0], last[1], what)
    group = flat.settings.get("b4.mbstd.group_size", flat.settings.get("group", WHOLE_BATCH if flat.settings else 4))
    return DiscriminatorAnatomy(
        resolution=sides[-1],
        channels=(*widths, size_of(state, top, 0, what)),
        image_channels=size_of(state, top, 1, what),
        group=max(int(group), 1) if extra else 0,
        group_channels=extra or 1,
        clamp=_clamp(flat, r"(b\d+\.(fromrgb|conv\d?)\.)?conv_clamp", what),
    )


def _sides(state: Mapping[str, Tensor], pattern: str, what: str) -> list[int]:
    sides = [4, *sorted(int(m[1]) for name in state if (m := re.fullmatch(pattern, name)))]
    if sides != [4 << k for k in range(len(sides))]:
        raise BadModel(f"{what} is not a network of StyleGAN2.", OTHER_KIND)
    return sides


def _clamp(flat: Flat, pattern: str, what: str) -> float | None:
    found = flat.values(pattern)
    if len(found) > 1:
        raise BadModel(f"{what} clamps its layers differently ({sorted(found)}).", OTHER_KIND)
    return float(found.pop()) if found else None


def _refuse_variants(flat: Flat, what: str, architecture: str) -> None:
    """Refuse what differs from the networks here although its tensors may fit."""
    if flat.settings.get("c_dim", 0):
        raise BadModel(f"{what} is conditional (c_dim {flat.settings['c_dim']}).", OTHER_KIND)
    if any(name.startswith("synthesis.input.") for name in flat.tensors):
        raise BadModel(f"{what} is a network of StyleGAN3.", OTHER_KIND)
    if others := flat.values(r"(synthesis\.)?b\d+\.architecture") - {architecture}:
        raise BadModel(f"{what} has the architecture {sorted(others)} instead of {architecture!r}.", OTHER_KIND)
    if others := flat.values(r"(synthesis\.b\d+\.conv\d|mapping\.fc\d+|b\d+\.(fromrgb|conv\d?|fc))\.activation") - {
        "lrelu"
    }:
        raise BadModel(f"{what} has the activation {sorted(others)} instead of 'lrelu'.", OTHER_KIND)
    if others := flat.values(r"mapping\.fc\d+\.bias_gain") - {0.01}:
        raise BadModel(f"{what} has the mapping learning rate {sorted(others)} instead of 0.01.", OTHER_KIND)


def _replace(content: bytearray, opened: Opened, flat: Flat, module: Network, what: str) -> None:
    """Put the numbers of a module in place of those of one network of a pickle."""
    values, ours = under_their_names(module, _names(module)), module.anatomy
    theirs: GeneratorAnatomy | DiscriminatorAnatomy
    theirs = (_generator_anatomy if isinstance(module, Generator) else _discriminator_anatomy)(flat, what)
    if theirs != replace(ours, clamp=theirs.clamp) or (ours.clamp is not None and ours.clamp != theirs.clamp):
        raise BadModel(
            f"{what} has other sizes ({theirs}) than the network to write ({ours}).", "Use another template."
        )
    without_filters(flat.tensors, {}, what, ["resample_filter"])
    for name, value in values.items():
        held = flat.tensors.get(name)
        if held is None or held.shape != value.shape:
            raise BadModel(f"{what} has another {name} than the network to write.", "Use another template.")
        storage = held.untyped_storage()
        start, end = opened.spans.get(storage.data_ptr(), (0, 0))
        first = end - storage.nbytes()
        if first < start or bytes(content[first:end]) != _raw(held):
            raise BadModel(f"{what} stores its numbers in an unknown way ({name}).", "Use another template.")
        held.copy_(value)
        content[first:end] = _raw(held)


def _raw(tensor: Tensor) -> bytes:
    flat = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
    return flat.numpy().tobytes()


def _names(module: Network) -> list[Name]:
    if isinstance(module, Generator):
        return generator_names(module.anatomy)
    return discriminator_names(module.anatomy)


def _state(module: Network) -> dict[str, Tensor]:
    if isinstance(module, Generator):
        filters = generator_filters(module.anatomy)
    else:
        filters = discriminator_filters(module.anatomy)
    return under_their_names(module, _names(module)) | {name: filter_plane() for name in filters}


def _settings(module: Network) -> dict[str, Any]:
    found: dict[str, Any] = {} if module.anatomy.clamp is None else {"conv_clamp": module.anatomy.clamp}
    return found if isinstance(module, Generator) else {**found, "group": module.anatomy.group}


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    refuse_many(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            metadata = file.metadata() or {}
        check_tensors(tensors, path.name)
        return tensors, _checked(parse_json(metadata.get(SETTINGS, "{}")), path)
    except (SafetensorError, json.JSONDecodeError, NotImplementedError, OSError) as error:
        raise BadModel(f"{path} cannot be read as a safetensors file ({error}).", DAMAGED) from error


def _torch_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tree = open_torch(path)
    if not isinstance(tree, dict):
        raise BadModel(f"{path.name} holds no state dict.", OTHER_KIND)
    settings = _checked(tree.pop(SETTINGS, {}), path)
    nested = {key: value for key, value in tree.items() if isinstance(value, dict)}
    if nested:
        tree = {f"{network}.{name}": value for network, names in nested.items() for name, value in names.items()}
    return tensors_of(tree, path.name), settings


def _checked(settings: Any, path: Path) -> dict[str, dict[str, Any]]:
    """Check settings from a file: networks to numbers."""
    if isinstance(settings, dict) and all(isinstance(network, dict) for network in settings.values()):
        values = [value for network in settings.values() for value in network.values()]
        if all(type(value) in (int, float) for value in values):
            return settings
    raise BadModel(f"The settings in {path.name} are malformed.", DAMAGED)
