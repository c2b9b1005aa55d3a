"""Checkpoints of photo2cartoon and UGATIT-pytorch: what their own code computes, and both ways through ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.errors import BadModel, UntrustedFile, UsageError
from portraitist.io.photo2cartoon import read_photo2cartoon, write_photo2cartoon
from portraitist.networks.branches import TranslatorSystem
from portraitist.networks.translator_anatomy import PanelAnatomy, cyclegan, photo2cartoon, ugatit

PANEL = PanelAnatomy((4, 3), 4)
LIGHT = replace(ugatit(16, 4, light=True), blocks=2)
FULL = replace(ugatit(16, 4), blocks=1)


@pytest.fixture
def golden(shared: Path) -> Path:
    return shared / "golden" / "photo2cartoon.pt"


def test_it_draws_what_photo2cartoon_draws(golden: Path) -> None:
    system = read_photo2cartoon(golden, resolution=64)
    assert (system.anatomy.kind, system.anatomy.channels, system.anatomy.light) == ("photo2cartoon", 4, True)
    with np.load(golden.parent / "golden_p2c.npz") as file:
        wanted = {name: torch.from_numpy(file[name]) for name in file.files}
    with torch.no_grad():
        found = system.to_drawing(wanted["x"], "all")
        (local, local_cam), _ = system.of_photos.members[1](wanted["x"])
    pairs = {
        "y": found.image,
        "cam_logit": found.logits,
        "heatmap": found.attention,
        "local_d": local,
        "local_d_cam": local_cam,
    }
    for name, value in pairs.items():
        extent = float(wanted[name].max() - wanted[name].min())
        torch.testing.assert_close(value, wanted[name], atol=1e-4 * extent, rtol=0, msg=name)


def test_photo2cartoon_makes_the_round_trip(golden: Path, tmp_path: Path) -> None:
    system = read_photo2cartoon(golden, resolution=64)
    path = write_photo2cartoon(tmp_path / "again.pt", system)
    theirs, mine = (torch.load(p, weights_only=True) for p in (golden, path))
    assert mine.keys() == theirs.keys()
    for network in theirs:
        assert mine[network].keys() == theirs[network].keys()
        for name, value in theirs[network].items():
            assert mine[network][name].shape == value.shape
            if "ConvBlock4" not in name:  # stored, but never used
                assert torch.equal(mine[network][name], value), name


@pytest.mark.parametrize("anatomy", [LIGHT, FULL, replace(photo2cartoon(32, 4, light=False), blocks=1)])
def test_ours_makes_the_round_trip(anatomy, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    system = TranslatorSystem.new(anatomy, PANEL, ("women", "men")).eval()
    for k, p in enumerate(system.parameters()):
        torch.nn.init.normal_(p, std=0.05, generator=torch.Generator().manual_seed(k))
    path = write_photo2cartoon(tmp_path / "men.pt", system, group="men")
    again = read_photo2cartoon(path, resolution=anatomy.resolution, group="men")
    assert again.anatomy == anatomy and again.groups == ("men",)
    assert again.of_photos is not None and again.of_photos.anatomy == PANEL
    ours, theirs = system.to_photo.path("men").state_dict(), again.to_photo.path("men").state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(v, theirs[k]) for k, v in ours.items())
    ours, theirs = system.of_drawings.members.state_dict(), again.of_drawings.members.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(v, theirs[k]) for k, v in ours.items())


def test_names_and_shapes_of_ugatit(tmp_path: Path) -> None:
    system = TranslatorSystem.new(LIGHT, PANEL, ("all",))
    tree = torch.load(write_photo2cartoon(tmp_path / "u.pt", system), weights_only=True)
    shapes = {k: tuple(v.shape) for k, v in tree["genA2B"].items()}
    assert set(tree) == {"genA2B", "genB2A", "disGA", "disGB", "disLA", "disLB"}
    some = {
        "DownBlock.1.weight": (4, 3, 7, 7),
        "DownBlock.9.weight": (16, 8, 3, 3),
        "DownBlock.13.conv_block.5.weight": (16, 16, 3, 3),
        "gap_fc.weight": (1, 16),
        "gamma.weight": (16, 16),
        "UpBlock1_2.norm2.rho": (1, 16, 1, 1),
        "UpBlock2.8.gamma": (1, 4, 1, 1),
        "UpBlock2.11.weight": (3, 4, 7, 7),
    }
    assert some.items() <= shapes.items() and "gap_fc.bias" not in shapes
    assert len(shapes) == 3 + 2 * 2 + 2 * 4 + 4 + 4 + 8 + 1
    assert tree["disGA"]["gap_fc.weight_orig"].shape == (1, 16) and tree["disGA"]["model.1.bias"].shape == (4,)


def test_a_file_of_the_drawing_side_alone_will_do(golden: Path, tmp_path: Path) -> None:
    tree = torch.load(golden, weights_only=True)
    path = tmp_path / "half.pt"
    torch.save({"genA2B": tree["genA2B"]}, path)
    system = read_photo2cartoon(path, resolution=64)
    assert system.to_photo is None and system.of_photos is None
    assert list(torch.load(write_photo2cartoon(tmp_path / "o.pt", system), weights_only=True)) == ["genA2B"]
    # Discriminators of one domain train nothing, and our files have no place for them.
    torch.save({k: v for k, v in tree.items() if k not in ("disGA", "disLA")} | {"epoch": 3, "opts": {"a": 1}}, path)
    system = read_photo2cartoon(path, resolution=64)
    assert system.to_photo is not None and system.of_drawings is None and system.of_photos is None


def test_what_is_wrong_is_named(golden: Path, tmp_path: Path) -> None:
    tree = torch.load(golden, weights_only=True)
    path = tmp_path / "x.pt"

    def saved(change: dict[str, object]) -> Path:
        torch.save({**tree, "genA2B": {**tree["genA2B"], **change}}, path)
        return path

    with pytest.raises(BadModel, match=r"genA2B holds unknown tensors: more"):
        read_photo2cartoon(saved({"more": torch.zeros(1)}))
    with pytest.raises(BadModel, match=r"FC.2.weight \(1, 1\) instead of \(16, 16\)"):
        read_photo2cartoon(saved({"FC.2.weight": torch.zeros(1, 1)}))
    with pytest.raises(BadModel, match=r"NaN or infinity in conv1x1\.bias"):
        read_photo2cartoon(saved({"conv1x1.bias": torch.full((16,), float("nan"))}))
    torch.save({"genA2B": {"a": torch.zeros(1)}}, path)
    with pytest.raises(BadModel, match="DownBlock"):
        read_photo2cartoon(path)
    torch.save({"genA2B": torch.zeros(1)}, path)
    with pytest.raises(BadModel, match="genA2B is not a dictionary of tensors"):
        read_photo2cartoon(path)
    torch.save({**tree, "disGA": {**tree["disGA"], "model.1.weight_orig": torch.zeros(8, 3, 4, 4)}}, path)
    with pytest.raises(BadModel, match="disGA has tensors of other shapes"):
        read_photo2cartoon(path)
    torch.save({"g_ema": {}}, path)
    with pytest.raises(BadModel, match="no genA2B"):
        read_photo2cartoon(path)


class Trap:
    """Writes a file when it is unpickled the usual way."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.canary), "w")


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    torch.save({"genA2B": Trap(tmp_path / "canary")}, tmp_path / "trap.pt")
    with pytest.raises(UntrustedFile, match="open"):
        read_photo2cartoon(tmp_path / "trap.pt")
    assert not (tmp_path / "canary").exists()


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    system = TranslatorSystem.new(replace(cyclegan(16, 4), blocks=1), PANEL, ("all",))
    with pytest.raises(BadModel, match="kind cyclegan fit"):
        write_photo2cartoon(tmp_path / "c.pt", system)
    system = TranslatorSystem.new(LIGHT, PanelAnatomy((3,), 4), ("all",))
    with pytest.raises(BadModel, match="two discriminators"):
        write_photo2cartoon(tmp_path / "u.pt", system)
    system = TranslatorSystem.new(LIGHT, PANEL, ("all",))
    write_photo2cartoon(tmp_path / "u.pt", system)
    with pytest.raises(UsageError, match="exists"):
        write_photo2cartoon(tmp_path / "u.pt", system)
    with pytest.raises(UsageError, match="no group 'men'"):
        write_photo2cartoon(tmp_path / "v.pt", system, group="men")
