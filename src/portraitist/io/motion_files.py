"""Checkpoints of the first-order motion model that a user owns: ``vox-cpk.pth.tar`` and ``vox-adv-cpk.pth.tar``.

They are files of ``torch.save`` with the state dicts ``generator`` and ``kp_detector``; a discriminator, optimisers and
the epoch may be beside them. Sizes come from the tensors. Nothing in a file is ever executed.

    model = load_motion("vox-cpk.pth.tar")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import BadModel
from ..networks.motion import FirstOrderMotion, HourglassAnatomy, MotionAnatomy, blur_of
from .foreign import Name, build, size_of, tensors_of
from .opening import typed
from .pickles import open_torch

OTHER = "Give vox-cpk.pth.tar or vox-adv-cpk.pth.tar of the first-order motion model."
NETWORKS = ("generator", "kp_detector")
_BLURS = ("generator.dense_motion_network.down.weight", "kp_detector.down.weight")
_COUNTER = ".num_batches_tracked"


@typed
def load_motion(path: Path | str) -> FirstOrderMotion:
    """Read a checkpoint of the authors' program.

    Raises:
        BadModel: The file is damaged, or holds networks of another kind.
        UntrustedFile: The file asks for code to be run.
    """
    path = Path(path)
    tree = open_torch(path)
    if not isinstance(tree, Mapping) or not all(name in tree for name in NETWORKS):
        raise BadModel(f"{path.name} holds no generator and kp_detector.", OTHER)
    theirs: dict[str, Tensor] = {}
    for network in NETWORKS:
        state = tensors_of(tree[network], f"{path.name}: {network}")
        theirs |= {f"{network}.{k}": v for k, v in state.items() if not k.endswith(_COUNTER)}
    anatomy = motion_anatomy(theirs, path.name)
    rest = _without_blurs(theirs, anatomy, path.name)
    return build(FirstOrderMotion, anatomy, rest, motion_names(anatomy), path.name, OTHER)


def motion_anatomy(theirs: Mapping[str, Tensor], what: str) -> MotionAnatomy:
    """Read the sizes of a model off its tensors, which are named as in the file, behind the name of their network.

    Raises:
        BadModel: They are of another kind of network.
    """

    def size(name: str, axis: int = 0) -> int:
        return size_of(theirs, f"{name}.weight", axis, what, OTHER)

    def widest(start: str) -> int:
        return max((len(v) for k, v in theirs.items() if k.startswith(start) and k.endswith("conv.weight")), default=0)

    def hourglass(start: str, head: str, inputs: int) -> HourglassAnatomy:
        depth = _count(theirs, f"{start}.encoder.down_blocks.")
        return HourglassAnatomy(depth, size(head, 1) - inputs, widest(f"{start}.encoder."))

    dense, found = "generator.dense_motion_network", "kp_detector"
    keypoints = size(f"{found}.kp")
    maps = size(f"{found}.jacobian") if f"{found}.jacobian.weight" in theirs else 0
    if maps not in (0, 4, 4 * keypoints):
        raise BadModel(f"{what} has {maps} numbers of Jacobians for {keypoints} keypoints.", OTHER)
    return MotionAnatomy(
        keypoints=keypoints,
        jacobians=maps // 4,
        detector=hourglass(f"{found}.predictor", f"{found}.kp", 3),
        motion=hourglass(f"{dense}.hourglass", f"{dense}.mask", 4 * (keypoints + 1)),
        shrink=_shrink(theirs, what),
        width=size("generator.first.conv"),
        most=widest("generator.down_blocks."),
        downs=_count(theirs, "generator.down_blocks."),
        blocks=_count(theirs, "generator.bottleneck.r"),
        occlusion=f"{dense}.occlusion.weight" in theirs,
    )


def motion_names(anatomy: MotionAnatomy) -> list[Name]:
    """Return the table of a model: every tensor of it under our name and theirs."""
    dense, found = "generator.dense_motion_network", "kp_detector"
    names = [
        *_both("detector.places", f"{found}.kp"),
        *_hourglass("detector.hourglass", f"{found}.predictor", anatomy.detector),
        *_hourglass("motion.hourglass", f"{dense}.hourglass", anatomy.motion),
        *_both("motion.masks", f"{dense}.mask"),
        *_unit("first", "generator.first"),
        *_both("last", "generator.final"),
    ]
    if anatomy.jacobians:
        names += _both("detector.jacobians", f"{found}.jacobian")
    if anatomy.occlusion:
        names += _both("motion.occlusion", f"{dense}.occlusion")
    for k in range(anatomy.downs):
        names += [*_unit(f"downs.{k}", f"generator.down_blocks.{k}"), *_unit(f"ups.{k}", f"generator.up_blocks.{k}")]
    for k in range(anatomy.blocks):
        for j in (1, 2):
            names += _both(f"blocks.{k}.conv{j}", f"generator.bottleneck.r{k}.conv{j}")
            names += _norm(f"blocks.{k}.norm{j}", f"generator.bottleneck.r{k}.norm{j}")
    return names


def _hourglass(ours: str, theirs: str, anatomy: HourglassAnatomy) -> Iterator[Name]:
    for k in range(anatomy.depth):
        yield from _unit(f"{ours}.downs.{k}", f"{theirs}.encoder.down_blocks.{k}")
        yield from _unit(f"{ours}.ups.{k}", f"{theirs}.decoder.up_blocks.{k}")


def _unit(ours: str, theirs: str) -> Iterator[Name]:
    yield from _both(f"{ours}.conv", f"{theirs}.conv")
    yield from _norm(f"{ours}.norm", f"{theirs}.norm")


def _norm(ours: str, theirs: str) -> Iterator[Name]:
    yield from _both(ours, theirs)
    yield Name(f"{ours}.mean", f"{theirs}.running_mean")
    yield Name(f"{ours}.variance", f"{theirs}.running_var")


def _both(ours: str, theirs: str) -> Iterator[Name]:
    for part in ("weight", "bias"):
        yield Name(f"{ours}.{part}", f"{theirs}.{part}")


def _count(theirs: Mapping[str, Tensor], start: str) -> int:
    """Return how many blocks are numbered behind a start."""
    return len({name.removeprefix(start).partition(".")[0] for name in theirs if name.startswith(start)})


def _shrink(theirs: Mapping[str, Tensor], what: str) -> int:
    """Return how many times smaller the pictures are in which motion is found: their blur tells."""
    sides = {theirs[name].shape[-1] if name in theirs else 1 for name in _BLURS}
    known = {blur_of(shrink).shape[-1]: shrink for shrink in (1, 2, 4, 8)}
    if len(sides) != 1 or (side := sides.pop()) not in known:
        raise BadModel(f"{what} makes pictures smaller in a way that is not known.", OTHER)
    return known[side]


def _without_blurs(theirs: Mapping[str, Tensor], anatomy: MotionAnatomy, what: str) -> dict[str, Tensor]:
    """Drop the stored blurs after checking that they are those of this package."""
    for name in _BLURS:
        if name in theirs and not torch.allclose(
            theirs[name].float(), blur_of(anatomy.shrink).expand(3, 1, -1, -1), atol=1e-5
        ):
            raise BadModel(f"{what} blurs otherwise before it makes pictures smaller ({name}).", OTHER)
    return {name: value for name, value in theirs.items() if name not in _BLURS}
