"""Checkpoints in rosinality's layout: parity with that program's own outputs, and strictness."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from portraitist.errors import BadModel, UntrustedFile, UsageError
from portraitist.io.foreign import Networks
from portraitist.io.pickles import open_torch
from portraitist.io.rosinality import read_rosinality, write_rosinality
from portraitist.spaces import WPlus, Z, truncate
from tests.io.foreign_files import assert_same, make_networks


def difference(value: Tensor, expected: Any) -> float:
    """Return the largest error as a fraction of the range of the expected values."""
    wanted = torch.from_numpy(np.asarray(expected))
    span = float(wanted.max() - wanted.min())
    return float((value.detach().reshape(wanted.shape) - wanted).abs().max()) / span


@pytest.fixture
def golden(shared: Path) -> tuple[Networks, Any]:
    return read_rosinality(shared / "golden" / "rosinality.pt"), np.load(shared / "golden" / "golden.npz")


@torch.no_grad()
def test_images_and_codes_agree_with_rosinality(golden: tuple[Networks, Any]) -> None:
    generator, expected = golden[0].generator, golden[1]
    assert generator is not None
    w = generator.map(Z(torch.from_numpy(expected["ros_z"])))
    assert difference(w.data[:, 0], expected["ros_w"]) < 1e-4
    assert difference(generator.synthesize(w), expected["ros_img"]) < 1e-4
    assert difference(generator.synthesize(truncate(w, generator.mean, 0.6)), expected["ros_trunc06"]) < 1e-4
    wplus = WPlus(torch.from_numpy(expected["ros_wplus"]))
    assert difference(generator.synthesize(wplus), expected["ros_img_wplus"]) < 1e-4


def test_scores_and_their_gradient_agree_with_rosinality(golden: tuple[Networks, Any]) -> None:
    discriminator, expected = golden[0].discriminator, golden[1]
    assert discriminator is not None
    images = torch.from_numpy(expected["ros_img"]).requires_grad_()
    scores = discriminator(images)
    assert difference(scores, expected["ros_score_of_img"]) < 1e-4
    (gradient,) = torch.autograd.grad(scores.sum(), images)
    assert difference(gradient.square().sum((1, 2, 3)), expected["ros_r1_grad_sq"]) < 1e-4


def test_written_file_holds_exactly_the_tensors_of_rosinality(shared: Path, tmp_path: Path) -> None:
    original = open_torch(shared / "golden" / "rosinality.pt")
    write_rosinality(tmp_path / "out.pt", read_rosinality(shared / "golden" / "rosinality.pt"))
    written = open_torch(tmp_path / "out.pt")
    for key in ("g_ema", "d"):
        assert written[key].keys() == original[key].keys()
        for name, value in original[key].items():
            assert torch.equal(written[key][name], value), name
    assert torch.equal(written["latent_avg"], original["latent_avg"])
    assert written["args"].n_mlp == 8


@pytest.mark.parametrize(
    ("resolution", "channels", "depth"), [(8, (3, 7), 1), (16, (6, 5, 4), 8), (32, (4, 8, 2, 6), 3), (4, (5,), 2)]
)
def test_sizes_are_read_from_the_file(tmp_path: Path, resolution: int, channels: tuple[int, ...], depth: int) -> None:
    networks = make_networks(resolution, channels, depth=depth)
    write_rosinality(tmp_path / "out.pt", networks)
    again = read_rosinality(tmp_path / "out.pt")
    assert_same(networks.generator, again.generator)
    assert_same(networks.discriminator, again.discriminator)


def test_z_and_w_of_different_sizes_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="z and w of one size, not 4 and 8"):
        write_rosinality(tmp_path / "out.pt", make_networks(z_dim=4))
    with pytest.raises(BadModel, match="minibatch deviation over 4"):
        write_rosinality(tmp_path / "out.pt", make_networks(group=8))


def changed(folder: Path, change: Any) -> Path:
    """Write a checkpoint, change the dictionary it holds and write it again."""
    write_rosinality(folder / "whole.pt", make_networks())
    tree = open_torch(folder / "whole.pt")
    change(tree)
    torch.save(tree, folder / "changed.pt")
    return folder / "changed.pt"


def test_keys_wrapped_by_data_parallel_training_are_read(tmp_path: Path) -> None:
    def wrap(tree: dict[str, Any]) -> None:
        for key in ("g_ema", "d"):
            tree[key] = {f"module.{name}": value for name, value in tree[key].items()}

    again = read_rosinality(changed(tmp_path, wrap))
    assert_same(make_networks().generator, again.generator)
    assert_same(make_networks().discriminator, again.discriminator)


def test_averaged_and_trained_generator_can_be_told_apart(tmp_path: Path) -> None:
    def differ(tree: dict[str, Any]) -> None:
        tree["g"] = {name: value + ("noise" in name) for name, value in tree["g"].items()}

    path = changed(tmp_path, differ)
    averaged, trained = read_rosinality(path).generator, read_rosinality(path, "g").generator
    assert averaged is not None and trained is not None
    noise = "synthesis.blocks.4.conv1.noise"
    assert torch.equal(averaged.state_dict()[noise] + 1, trained.state_dict()[noise])


def test_only_the_trained_generator_is_taken_and_noted(tmp_path: Path) -> None:
    networks = read_rosinality(changed(tmp_path, lambda tree: tree.pop("g_ema")))
    assert_same(make_networks().generator, networks.generator)
    assert "g_ema" in networks.notes["generator"]


def test_missing_mean_of_w_is_measured(tmp_path: Path) -> None:
    generator = read_rosinality(changed(tmp_path, lambda tree: tree.pop("latent_avg"))).generator
    assert generator is not None
    with torch.no_grad():
        w = generator.mapping(torch.randn(20_000, 8, generator=torch.Generator().manual_seed(5)))
    assert torch.allclose(generator.w_mean, w.mean(0), atol=4 * float(w.std(0).max()) / 10_000**0.5)


def test_file_without_noise_gets_the_same_planes_each_time(tmp_path: Path) -> None:
    def drop(tree: dict[str, Any]) -> None:
        tree["g_ema"] = {name: value for name, value in tree["g_ema"].items() if not name.startswith("noises.")}

    path = changed(tmp_path, drop)
    first = read_rosinality(path)
    assert "noise" in first.notes
    assert_same(first.generator, read_rosinality(path).generator)


def test_reading_leaves_the_random_numbers_alone(tmp_path: Path) -> None:
    write_rosinality(tmp_path / "out.pt", make_networks())
    before = torch.get_rng_state()
    read_rosinality(tmp_path / "out.pt")
    assert torch.equal(before, torch.get_rng_state())


def _rename(tree: dict[str, Any]) -> None:
    tree["g_ema"]["to_rgb1.colour"] = tree["g_ema"].pop("to_rgb1.bias")


def _other_filter(tree: dict[str, Any]) -> None:
    tree["g_ema"]["convs.0.conv.blur.kernel"] = torch.ones(4, 4) / 4


def _other_shape(tree: dict[str, Any]) -> None:
    tree["d"]["final_linear.1.weight"] = torch.zeros(10, 6)


def _not_finite(tree: dict[str, Any]) -> None:
    tree["g_ema"]["style.1.bias"][0] = float("nan")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_rename, "lacks to_rgb1.bias"),
        (lambda tree: tree["g_ema"].update(extra=torch.zeros(1)), "unknown tensors: extra"),
        (_other_filter, "another filter than 1,3,3,1 .convs.0.conv.blur.kernel"),
        (_other_shape, r"final_linear.1.weight \(10, 6\) instead of \(1, 6\)"),
        (_not_finite, "NaN or infinity in style.1.bias"),
        (lambda tree: (tree.pop("g"), tree.pop("g_ema")), "holds no generator"),
        (lambda tree: tree.update(g_ema={"input.input": torch.zeros(1, 6, 4, 4)}), "lacks style.1.weight"),
        (lambda tree: tree.update(g_ema={"a": 1}), "not a dictionary of tensors"),
    ],
)
def test_other_contents_are_named(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(BadModel, match=message):
        read_rosinality(changed(tmp_path, change))


def test_namespace_is_allowed_and_nothing_else(tmp_path: Path) -> None:
    tree = {"args": argparse.Namespace(path=Path("x"))}
    torch.save(tree, tmp_path / "out.pt")
    with pytest.raises(UntrustedFile, match="pathlib"):
        read_rosinality(tmp_path / "out.pt")


def test_existing_file_stays_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "out.pt"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_rosinality(path, make_networks())
    assert path.read_text() == "mine"
    write_rosinality(path, make_networks(), overwrite=True)
    assert_same(make_networks().generator, read_rosinality(path).generator)
