"""Checkpoints of minivision's photo2cartoon and of UGATIT-pytorch, both ways.

Both are files of ``torch.save`` with the state dicts ``genA2B`` (photo to drawing), ``genB2A``, ``disGA``, ``disGB``
(global), ``disLA`` and ``disLB`` (local); A is the domain of photos. Sizes come from the tensors. Nothing in a file is
ever executed.

    system = read_photo2cartoon(Path("photo2cartoon_weights.pt"))
    write_photo2cartoon(Path("mine.pt"), system)
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadModel
from ..files import refuse_existing, write_bytes
from ..networks.branches import BranchedTranslator, TranslatorSystem
from ..networks.patch_discriminator import AttentiveDiscriminator, PatchPanel
from ..networks.translator import Translator
from ..networks.translator_anatomy import PanelAnatomy, TranslatorAnatomy
from ..networks.translator_layers import LEVELS
from .foreign import Name, build, size_of, tensors_of, under_their_names
from .pickles import open_torch

OTHER = "Only checkpoints of photo2cartoon and UGATIT-pytorch can be read (genA2B, genB2A, disGA, disGB, disLA, disLB)."
COMMON = "all"
"""Name of the only group of a checkpoint that knows none."""
NETWORKS = ("genA2B", "genB2A", "disGA", "disGB", "disLA", "disLB")
# Theirs has them in its code: 256 pixels, unless a fully connected layer over the whole map tells.
USUAL_SIDE = 256
_RHO = {"before": 1, "after": 2}


def read_photo2cartoon(path: Path, *, resolution: int = 0, group: str = COMMON) -> TranslatorSystem:
    """Read a checkpoint of either program.

    Args:
        path: File of ``torch.save``.
        resolution: Side of the pictures; the file of a light network does not tell. 256 when 0.
        group: Name for the only group.

    Raises:
        BadModel: The file is damaged, or holds networks of another kind.
        UntrustedFile: The file asks for code to be run.
    """
    tree, what = open_torch(path), path.name
    if not isinstance(tree, Mapping) or "genA2B" not in tree:
        raise BadModel(f"{what} holds no genA2B.", OTHER)
    states = {name: tensors_of(tree[name], f"{what}: {name}") for name in NETWORKS if name in tree}
    anatomy = _anatomy(states["genA2B"], resolution, f"{what}: genA2B")
    translators = [
        _translator(anatomy, states[name], group, f"{what}: {name}") if name in states else None
        for name in ("genA2B", "genB2A")
    ]
    of_drawings = of_photos = None
    if states.keys() >= set(NETWORKS[2:]):  # those of one domain alone are of no use
        of_drawings, of_photos = (_panel(states, f"disG{domain}", f"disL{domain}", what) for domain in "BA")
        if of_drawings.anatomy != of_photos.anatomy:
            raise BadModel(f"{what} has discriminators of other sizes for drawings than for photos.", OTHER)
    assert translators[0] is not None
    return TranslatorSystem(translators[0], translators[1], of_drawings, of_photos).eval()


def write_photo2cartoon(path: Path, system: TranslatorSystem, *, group: str = "", overwrite: bool = False) -> Path:
    """Write the translators of one group, and the discriminators without their heads, as the programs' code loads them.

    Args:
        path: File to write.
        system: What to write; the kind of its anatomy decides the layout.
        group: Whose branch; the common one when empty.
        overwrite: Replace a file of that name.

    Raises:
        BadModel: The layout has no place for such networks.
        UsageError: There is no such group.
    """
    refuse_existing(path, overwrite)
    if not system.anatomy.attentive:
        raise BadModel(
            f"Networks of the kind {system.anatomy.kind} fit into no checkpoint of photo2cartoon.",
            "Keep our own format.",
        )
    group = group or system.groups[0]
    tree: dict[str, Any] = {}
    for name, translator in (("genA2B", system.to_drawing), ("genB2A", system.to_photo)):
        if translator is not None:
            tree[name] = _given(translator.path(group))
    for domain, panel in (("A", system.of_photos), ("B", system.of_drawings)):
        if panel is not None:
            if not panel.anatomy.attentive or len(panel.members) != 2:
                raise BadModel("Only two discriminators with attention fit into such a checkpoint.", "Write .onnx.")
            for kind, member in zip("GL", panel.members, strict=True):
                assert isinstance(member, AttentiveDiscriminator)
                tree[f"dis{kind}{domain}"] = under_their_names(member, discriminator_names(len(member.convs)))
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    write_bytes(path, buffer.getvalue(), overwrite=overwrite)
    return path


def translator_names(anatomy: TranslatorAnatomy) -> list[Name]:
    """Return the table of a translator: every tensor of it under our name and theirs."""
    table = _photo2cartoon if anatomy.kind == "photo2cartoon" else _ugatit
    return table(anatomy)


def discriminator_names(convs: int) -> list[Name]:
    """Return the table of a discriminator with so many convolutions before its attention."""
    names = [name for k in range(convs) for name in _spectral(f"convs.{k}", f"model.{1 + 3 * k}", bias=True)]
    names += [*_spectral("average", "gap_fc"), *_spectral("peak", "gmp_fc"), *_spectral("last", "conv")]
    return [*names, *_both("mix", "conv1x1")]


def _photo2cartoon(anatomy: TranslatorAnatomy) -> list[Name]:
    names = [
        Name("parts.stem.conv.weight", "ConvBlock1.1.weight"),
        Name("parts.out.conv.weight", "ConvBlock2.1.weight"),
    ]
    for k in range(1, 5):
        names += _hourglass(f"parts.hourglass{k}", f"HourGlass{k}", residual=k < 4)
    names += [Name(f"parts.down{k}.conv.weight", f"DownBlock{k}.1.weight") for k in (1, 2)]
    for k in range(anatomy.blocks):
        names += _encoding(k, f"EncodeBlock{k + 1}.conv_block")
        ours, theirs = f"parts.decode.blocks.{k}", f"DecodeBlock{k + 1}"
        for j in (1, 2):
            names.append(Name(f"{ours}.conv{j}.weight", f"{theirs}.conv{j}.weight"))
            names += _soft_norm(f"{ours}.norm{j}", f"{theirs}.norm{j}")
    for ours, theirs in (("cam.average", "gap_fc"), ("cam.peak", "gmp_fc"), ("cam.mix", "conv1x1")):
        names += _both(f"parts.{ours}", theirs)
    names += [*_both("parts.style.first", "FC.0"), *_both("parts.style.second", "FC.2")]
    for k in (1, 2):
        names.append(Name(f"parts.up{k}.conv.weight", f"UpBlock{k}.2.weight"))
        names += _norm(f"parts.up{k}.norm", f"UpBlock{k}.3")
    return names


def _ugatit(anatomy: TranslatorAnatomy) -> list[Name]:
    starts = {"parts.stem": "DownBlock.1", "parts.down1": "DownBlock.5", "parts.down2": "DownBlock.9"}
    names = [Name(f"{ours}.conv.weight", f"{theirs}.weight") for ours, theirs in starts.items()]
    for k in range(anatomy.blocks):
        names += _encoding(k, f"DownBlock.{12 + k}.conv_block")
        ours, theirs = f"parts.decode.blocks.{k}", f"UpBlock1_{k + 1}"
        for j in (1, 2):
            names.append(Name(f"{ours}.conv{j}.weight", f"{theirs}.conv{j}.weight"))
            names.append(Name(f"{ours}.norm{j}.rho", f"{theirs}.norm{j}.rho", **_RHO))
    plain = {
        "cam.average": "gap_fc",
        "cam.peak": "gmp_fc",
        "style.first": "FC.0",
        "style.second": "FC.2",
        "decode.gamma": "gamma",
        "decode.beta": "beta",
        "out.conv": "UpBlock2.11",
    }
    names += [Name(f"parts.{ours}.weight", f"{theirs}.weight") for ours, theirs in plain.items()]
    names += _both("parts.cam.mix", "conv1x1")
    for k, at in ((1, 2), (2, 7)):
        names.append(Name(f"parts.up{k}.conv.weight", f"UpBlock2.{at}.weight"))
        names += _norm(f"parts.up{k}.norm", f"UpBlock2.{at + 1}")
    return names


def _encoding(k: int, theirs: str) -> list[Name]:
    """Return the names of a residual block of the encoder, which all programs have alike."""
    ours = f"parts.encode.blocks.{k}"
    return [Name(f"{ours}.conv1.weight", f"{theirs}.1.weight"), Name(f"{ours}.conv2.weight", f"{theirs}.5.weight")]


def _hourglass(ours: str, theirs: str, *, residual: bool) -> list[Name]:
    names = [
        Name(f"{mine}.convs.{j}.weight", f"{its}.ConvBlock{j + 1}.3.weight")
        for mine, its in _multiscales(ours, theirs)
        for j in range(3)
    ]
    names.append(Name(f"{ours}.mix.weight", f"{theirs}.HG.2.weight"))
    names += _both(f"{ours}.to_image", f"{theirs}.Conv1")
    if residual:
        names += [*_both(f"{ours}.from_features", f"{theirs}.Conv2"), *_both(f"{ours}.from_image", f"{theirs}.Conv3")]
    return names


def _multiscales(ours: str, theirs: str) -> list[tuple[str, str]]:
    """Pair the blocks of an hourglass; theirs are numbered down, in the middle and up again."""
    inner = f"{theirs}.HG.0"
    pairs = [(f"{ours}.bottom", f"{inner}.ConvBlock{LEVELS + 1}"), (f"{ours}.after", f"{theirs}.HG.1")]
    for k in range(LEVELS):
        pairs += [
            (f"{ours}.skips.{k}", f"{inner}.ConvBlock{k + 1}_1"),
            (f"{ours}.downs.{k}", f"{inner}.ConvBlock{k + 1}_2"),
            (f"{ours}.ups.{k}", f"{inner}.ConvBlock{LEVELS + 2 + k}"),
        ]
    return pairs


def _unused(anatomy: TranslatorAnatomy) -> dict[str, tuple[int, ...]]:
    """Return names and sizes of convolutions that photo2cartoon's files hold and its code never applies.

    They would fit a block to another width; all its hourglasses keep theirs.
    """
    if anatomy.kind != "photo2cartoon":
        return {}
    size = (anatomy.channels, anatomy.channels, 1, 1)
    blocks = [theirs for k in range(1, 5) for _, theirs in _multiscales("", f"HourGlass{k}")]
    return {f"{theirs}.ConvBlock4.2.weight": size for theirs in blocks}


def _soft_norm(ours: str, theirs: str) -> list[Name]:
    names = [Name(f"{ours}.norm.rho", f"{theirs}.norm.rho", **_RHO)]
    for kind in ("gamma", "beta"):
        names.append(Name(f"{ours}.{kind}_share", f"{theirs}.w_{kind}", before=1))
        names += _both(f"{ours}.style_{kind}", f"{theirs}.s_{kind}")
        names += [n for j in (0, 2) for n in _both(f"{ours}.content_{kind}.{j}", f"{theirs}.c_{kind}.{j}")]
    return names


def _norm(ours: str, theirs: str) -> list[Name]:
    return [Name(f"{ours}.{kind}", f"{theirs}.{kind}", **_RHO) for kind in ("rho", "gamma", "beta")]


def _both(ours: str, theirs: str) -> list[Name]:
    return [Name(f"{ours}.{kind}", f"{theirs}.{kind}") for kind in ("weight", "bias")]


def _spectral(ours: str, theirs: str, *, bias: bool = False) -> list[Name]:
    names = [Name(f"{ours}.weight", f"{theirs}.weight_orig")]
    names += [Name(f"{ours}.{kind}", f"{theirs}.{kind}") for kind in ("weight_u", "weight_v")]
    return [*names, Name(f"{ours}.bias", f"{theirs}.bias")] if bias else names


def _anatomy(state: Mapping[str, Tensor], resolution: int, what: str) -> TranslatorAnatomy:
    """Read the sizes from the shapes."""
    hourglasses = "ConvBlock1.1.weight" in state
    channels = size_of(state, "ConvBlock1.1.weight" if hourglasses else "DownBlock.1.weight", 0, what, OTHER)
    decoder = "DecodeBlock" if hourglasses else "UpBlock1_"
    blocks = 0
    while f"{decoder}{blocks + 1}.conv1.weight" in state:
        blocks += 1
    inputs = size_of(state, "FC.0.weight", 1, what, OTHER)
    light = inputs == 4 * channels
    side = resolution or USUAL_SIDE
    if not light:
        pixels = inputs // max(4 * channels, 1)
        side = 4 * math.isqrt(pixels)
        if resolution not in (0, side):
            raise BadModel(f"{what} is a network for pictures of {side} pixels, not of {resolution}.")
    owned = 4 if hourglasses else 2
    return TranslatorAnatomy(
        "photo2cartoon" if hourglasses else "ugatit", side, channels, max(blocks, 1), light, owned, owned
    )


def _translator(anatomy: TranslatorAnatomy, state: Mapping[str, Tensor], group: str, what: str) -> BranchedTranslator:
    unused = _unused(anatomy)
    lacking = [name for name, size in unused.items() if name in state and tuple(state[name].shape) != size]
    if lacking:
        raise BadModel(f"{what} has tensors of other shapes: {lacking[:3]}.", OTHER)
    rest = {name: value for name, value in state.items() if name not in unused}
    plain = build(Translator, anatomy, rest, translator_names(anatomy), what, OTHER)
    with torch.random.fork_rng(devices=[]):  # reading must not advance the random numbers of a seeded program
        branched = BranchedTranslator(anatomy, (group,))
    branched.path(group).load_state_dict(plain.state_dict())
    return branched


def _panel(states: Mapping[str, Mapping[str, Tensor]], first: str, second: str, what: str) -> PatchPanel:
    layers = tuple(_depth(states[name]) for name in (first, second))
    channels = size_of(states[first], "model.1.weight_orig", 0, f"{what}: {first}", OTHER)
    anatomy = PanelAnatomy(layers, channels)

    def make(sizes: tuple[int, int]) -> nn.Module:
        return AttentiveDiscriminator(*sizes)

    # These are compared with the file before they are made, so that no file can ask for more memory than it has itself.
    found = [
        build(make, (depth, channels), states[name], discriminator_names(depth - 1), f"{what}: {name}", OTHER)
        for name, depth in zip((first, second), layers, strict=True)
    ]
    with torch.random.fork_rng(devices=[]):
        panel = PatchPanel(anatomy)
    for member, read in zip(panel.members, found, strict=True):
        member.load_state_dict(read.state_dict())
    return panel


def _depth(state: Mapping[str, Tensor]) -> int:
    """Return how many layers a discriminator has, as its program counts them."""
    count = 0
    while f"model.{1 + 3 * count}.weight_orig" in state:
        count += 1
    return count + 1


def _given(translator: Translator) -> dict[str, Tensor]:
    named = under_their_names(translator, translator_names(translator.anatomy))
    return named | {name: torch.zeros(size) for name, size in _unused(translator.anatomy).items()}
