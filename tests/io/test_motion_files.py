"""Checkpoints of the first-order motion model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from portraitist.errors import BadModel, UntrustedFile
from portraitist.io.motion_files import load_motion, motion_anatomy
from portraitist.networks.motion import FirstOrderMotion, Keypoints, MotionAnatomy

from ..networks.test_motion import SMALL, Reference, released_layout


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_of_the_authors_gives_what_it_gives_there(tmp_path: Path, zipped: bool) -> None:
    tree: dict[str, Any] = dict(released_layout(SMALL))
    path = tmp_path / "vox-cpk.pth.tar"
    torch.save(
        {**tree, "discriminator": {}, "optimizer_generator": {"state": {}}, "epoch": 99},
        path,
        _use_new_zipfile_serialization=zipped,
    )
    model, there = load_motion(path), Reference(tree, 3)
    assert model.anatomy == SMALL
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    found = [model.keypoints(p[None]) for p in pictures]
    due = [there.keypoints(p[None]) for p in pictures]
    for ours, (places, linear) in zip(found, due, strict=True):
        assert ours.jacobians is not None
        torch.testing.assert_close(ours.places, places, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ours.jacobians, linear, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        drawn = model(pictures[:1], found[0], Keypoints(*due[1]))
        torch.testing.assert_close(drawn, there.picture(pictures[:1], due[0], due[1]), atol=1e-5, rtol=1e-4)
    assert drawn.std() > 0.01


def test_the_sizes_of_the_released_checkpoint_are_read_off_it() -> None:
    with torch.device("meta"):
        tree = released_layout(MotionAnatomy(), None)
        theirs = {f"{at}.{name}": value for at, state in tree.items() for name, value in state.items()}
        found = motion_anatomy(theirs, "vox")
        sizes = [
            {k: tuple(v.shape) for k, v in FirstOrderMotion(a).state_dict().items()} for a in (found, MotionAnatomy())
        ]
    assert tuple(theirs["kp_detector.predictor.decoder.up_blocks.4.conv.weight"].shape) == (32, 128, 3, 3)
    assert tuple(theirs["generator.dense_motion_network.mask.weight"].shape) == (11, 108, 7, 7)
    assert sizes[0] == sizes[1] and (found.keypoints, found.shrink, found.blocks) == (10, 4, 6)


def test_other_files_are_refused(tmp_path: Path) -> None:
    def refused(tree: object, *, kind: type[Exception] = BadModel, match: str) -> None:
        torch.save(tree, tmp_path / "x.pth.tar")
        with pytest.raises(kind, match=match):
            load_motion(tmp_path / "x.pth.tar")

    refused({"generator": {}}, match="no generator and kp_detector")
    refused({"generator": 3, "kp_detector": {}}, match="dictionary of tensors")
    refused({"generator": Path("x"), "kp_detector": {}}, kind=UntrustedFile, match="Path")
    for at, name in (("kp_detector", "kp.weight"), ("generator", "bottleneck.r0.norm2.running_var")):
        tree = released_layout(SMALL)
        del tree[at][name]
        refused(tree, match="lacks")
    tree = released_layout(SMALL)
    tree["generator"]["dense_motion_network.down.weight"] *= 2
    refused(tree, match="blurs otherwise")
    tree = released_layout(SMALL)
    tree["generator"]["final.bias"][0] = torch.nan
    refused(tree, match="NaN")
    tree = released_layout(SMALL)
    tree["generator"]["style.weight"] = torch.zeros(3)
    refused(tree, match="unknown tensors")
