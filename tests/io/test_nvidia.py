"""Networks of stylegan2-ada-pytorch: parity with its own outputs, templates, state dicts, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from portraitist.errors import BadModel, UsageError
from portraitist.io.foreign import Networks
from portraitist.io.nvidia import read_nvidia, read_nvidia_state, write_nvidia, write_nvidia_state
from portraitist.io.pickles import open_pickle
from portraitist.spaces import Z, truncate
from tests.io.foreign_files import FILTER, assert_same, make_networks, persistent_networks, write_persistent_pickle


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the embedded source would write."""
    monkeypatch.setenv("PICKLE_CANARY", str(tmp_path / "canary"))
    return tmp_path / "canary"


@torch.no_grad()
def test_images_codes_and_scores_agree_with_nvidia_and_nothing_is_executed(shared: Path, canary: Path) -> None:
    networks, expected = read_nvidia(shared / "golden" / "nvidia.pkl"), np.load(shared / "golden" / "golden.npz")
    generator, discriminator = networks.generator, networks.discriminator
    assert generator is not None and discriminator is not None
    w = generator.map(Z(torch.from_numpy(expected["nv_z"])))
    scores = discriminator(torch.from_numpy(expected["nv_img"]))[:, None]
    for value, name in (
        (w.data, "nv_w"),
        (generator.synthesize(w), "nv_img"),
        (generator.synthesize(truncate(w, generator.mean, 0.6)), "nv_trunc06"),
        (scores, "nv_score_of_img"),
    ):
        wanted = torch.from_numpy(expected[name])
        assert float((value - wanted).abs().max() / (wanted.max() - wanted.min())) < 1e-4, name
    assert (generator.anatomy.mapping_layers, generator.anatomy.clamp) == (2, 256)
    assert not canary.exists()


def test_a_written_state_dict_has_exactly_the_names_of_nvidia(shared: Path, tmp_path: Path) -> None:
    tree = open_pickle(shared / "golden" / "nvidia.pkl").tree
    write_nvidia_state(tmp_path / "out.safetensors", read_nvidia(shared / "golden" / "nvidia.pkl"))
    written = load_file(tmp_path / "out.safetensors")
    original: dict[str, torch.Tensor] = {}
    for key in ("G_ema", "D"):
        waiting = [(key, tree[key])]
        while waiting:
            prefix, record = waiting.pop()
            held = {**record.state["_parameters"], **record.state["_buffers"]}
            original |= {f"{prefix}.{name}": value for name, value in held.items() if value is not None}
            waiting += [(f"{prefix}.{name}", child) for name, child in record.state["_modules"].items()]
    assert written.keys() == original.keys()
    for name, value in original.items():
        assert torch.equal(written[name], value), name


def test_golden_file_as_template_takes_other_numbers(shared: Path, tmp_path: Path, canary: Path) -> None:
    template = shared / "golden" / "nvidia.pkl"
    networks = make_networks(32, (16, 16, 16, 8), z_dim=32, w_dim=32, clamp=256.0)
    write_nvidia(tmp_path / "out.pkl", networks, template=template)
    again = read_nvidia(tmp_path / "out.pkl")
    assert_same(networks.generator, again.generator)
    assert_same(networks.discriminator, again.discriminator)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("resolution", "channels", "z_dim", "depth"), [(8, (3, 7), 8, 1), (16, (6, 5, 4), 4, 8), (32, (4, 8, 2, 6), 8, 3)]
)
def test_template_keeps_every_byte_but_the_numbers(
    tmp_path: Path, canary: Path, resolution: int, channels: tuple[int, ...], z_dim: int, depth: int
) -> None:
    sizes: dict[str, Any] = {"z_dim": z_dim, "depth": depth}
    old, new = (make_networks(resolution, channels, seed=seed, **sizes) for seed in (0, 1))
    template, path = tmp_path / "template.pkl", tmp_path / "out.pkl"
    write_persistent_pickle(template, persistent_networks(old))
    write_nvidia(path, new, template=template)
    for which in ("G_ema", "G"):
        again = read_nvidia(path, which)
        assert_same(new.generator, again.generator)
        assert_same(new.discriminator, again.discriminator)
    before, opened = template.read_bytes(), open_pickle(path)
    assert before.count(b"embedded source was executed") == opened.content.count(b"embedded source was executed") > 0
    assert without_numbers(before, opened.spans) == without_numbers(opened.content, opened.spans)
    write_nvidia(path, old, template=template, overwrite=True)
    assert_same(old.generator, read_nvidia(path).generator)
    assert not canary.exists()


def without_numbers(content: bytes, spans: dict[int, tuple[int, int]]) -> bytes:
    """Blank the embedded storages, their headers (the first 64 bytes, at least) left in place."""
    blank = bytearray(content)
    for start, end in spans.values():
        blank[min(start + 64, end) : end] = bytes(max(end - start - 64, 0))
    return bytes(blank)


def test_averaged_and_trained_generator_can_be_told_apart(tmp_path: Path) -> None:
    write_persistent_pickle(tmp_path / "in.pkl", persistent_networks(make_networks()))
    averaged, trained = (read_nvidia(tmp_path / "in.pkl", which).generator for which in ("G_ema", "G"))
    assert averaged is not None and trained is not None
    assert torch.equal(averaged.w_mean + 1, trained.w_mean)


def test_a_file_with_the_averaged_generator_only_is_read_and_serves_as_template(tmp_path: Path) -> None:
    old, new = make_networks(), make_networks(seed=1)
    write_persistent_pickle(tmp_path / "in.pkl", {"G_ema": persistent_networks(old)["G_ema"]})
    networks = read_nvidia(tmp_path / "in.pkl", "G")
    assert_same(old.generator, networks.generator)
    assert networks.discriminator is None and "G_ema was taken" in networks.notes["generator"]
    with pytest.raises(BadModel, match="holds no D"):
        write_nvidia(tmp_path / "out.pkl", new, template=tmp_path / "in.pkl")
    write_nvidia(tmp_path / "out.pkl", Networks(new.generator), template=tmp_path / "in.pkl")
    assert_same(new.generator, read_nvidia(tmp_path / "out.pkl").generator)


@pytest.mark.parametrize(
    "laid",
    [
        lambda tree: {"G": None, "D": None, "G_ema": tree["G_ema"]},
        lambda tree: tree["G_ema"],
        lambda tree: (None, tree["D"], tree["G_ema"]),
    ],
    ids=["None is absent", "alone", "in a row"],
)
def test_a_generator_without_its_company_is_read(tmp_path: Path, laid: Any) -> None:
    networks = make_networks()
    write_persistent_pickle(tmp_path / "in.pkl", persistent_networks(networks), laid=laid)
    assert_same(networks.generator, read_nvidia(tmp_path / "in.pkl").generator)


def test_frozen_layers_kept_as_buffers_are_weights(tmp_path: Path) -> None:
    def freeze(tree: dict[str, Any]) -> None:
        module = tree["D"].inside(["b16", "conv0"])
        module.state["_buffers"] |= module.state["_parameters"]
        module.state["_parameters"] = {}

    write_persistent_pickle(tmp_path / "in.pkl", persistent_networks(make_networks()), freeze)
    assert_same(make_networks().discriminator, read_nvidia(tmp_path / "in.pkl").discriminator)


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_state_dict_keeps_everything(tmp_path: Path, ending: str) -> None:
    networks = make_networks(z_dim=4, clamp=256.0, group=2)
    write_nvidia_state(tmp_path / f"out.{ending}", networks)
    again = read_nvidia_state(tmp_path / f"out.{ending}")
    assert_same(networks.generator, again.generator)
    assert_same(networks.discriminator, again.discriminator)


@pytest.mark.parametrize(("clamp", "group"), [(256, 4), (None, 2), (256, None)])
def test_clamp_and_group_come_from_the_file(tmp_path: Path, clamp: int | None, group: int | None) -> None:
    networks = persistent_networks(make_networks(), clamp)
    networks["D"].inside(["b4", "mbstd"]).state["group_size"] = group
    write_persistent_pickle(tmp_path / "in.pkl", networks)
    again = read_nvidia(tmp_path / "in.pkl")
    assert again.generator is not None and again.discriminator is not None
    assert again.generator.anatomy.clamp == again.discriminator.anatomy.clamp == clamp
    scores = [again.discriminator(torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1)))]
    whole = make_networks(clamp=clamp, group=6 if group is None else group).discriminator
    assert whole is not None
    scores.append(whole(torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))))
    assert torch.equal(*scores)


def _setting(network: str, where: list[str], name: str, value: Any) -> Any:
    return lambda tree: tree[network].inside(where).state.__setitem__(name, value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_setting("G_ema", [], "c_dim", 10), "conditional .c_dim 10"),
        (_setting("D", [], "c_dim", 10), "conditional"),
        (_setting("G_ema", ["synthesis", "b8"], "architecture", "resnet"), "architecture .'resnet'. instead of 'skip'"),
        (_setting("D", ["b8"], "architecture", "skip"), "architecture .'skip'. instead of 'resnet'"),
        (_setting("G_ema", ["mapping", "fc0"], "bias_gain", 1), "learning rate .1. instead of 0.01"),
        (_setting("G_ema", ["synthesis", "b8", "conv1"], "activation", "relu"), "activation .'relu'"),
        (_setting("G_ema", ["synthesis", "b8", "conv1"], "conv_clamp", 9), "clamps its layers differently"),
        (_setting("G_ema", ["synthesis", "input"], "_buffers", {"freqs": torch.zeros(2)}), "StyleGAN3"),
        (_setting("G_ema", ["mapping", "embed"], "_parameters", {"weight": torch.zeros(2)}), "mapping.embed.weight"),
        (_setting("G_ema", ["synthesis", "b4"], "_buffers", {"resample_filter": FILTER * 4}), "another filter"),
        (_setting("G_ema", ["synthesis", "b8", "conv1"], "_buffers", {}), "lacks synthesis.b8.conv1.noise_const"),
        (lambda tree: (tree.pop("G"), tree.pop("G_ema")), "holds no generator"),
        (lambda tree: tree.update(G_ema={"a": 1}), "holds no generator"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, edit: Any, message: str) -> None:
    write_persistent_pickle(tmp_path / "in.pkl", persistent_networks(make_networks(), clamp=256), edit)
    with pytest.raises(BadModel, match=message):
        read_nvidia(tmp_path / "in.pkl")


def test_template_must_have_the_sizes_of_the_networks(tmp_path: Path) -> None:
    write_persistent_pickle(tmp_path / "in.pkl", persistent_networks(make_networks(), clamp=256))
    for networks in (make_networks(8, (6, 5)), make_networks(channels=(6, 5, 3)), make_networks(depth=3)):
        with pytest.raises(BadModel, match="other sizes"):
            write_nvidia(tmp_path / "out.pkl", networks, template=tmp_path / "in.pkl")
    with pytest.raises(BadModel, match="other sizes"):
        write_nvidia(tmp_path / "out.pkl", make_networks(clamp=64.0), template=tmp_path / "in.pkl")
    assert not (tmp_path / "out.pkl").exists()
    (tmp_path / "out.pkl").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_nvidia(tmp_path / "out.pkl", make_networks(), template=tmp_path / "in.pkl")
