"""TensorFlow checkpoints built in the documented layout from networks of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from portraitist.errors import BadModel
from portraitist.io.legacy_tf import read_legacy
from tests.io.foreign_files import make_networks, write_legacy_pickle


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("resolution", "channels", "depth"), [(8, (3, 7), 1), (16, (6, 5, 4), 8), (32, (4, 8, 2, 6), 3)]
)
@torch.no_grad()
def test_networks_draw_and_score_the_same(
    tmp_path: Path, resolution: int, channels: tuple[int, ...], depth: int, protocol: int
) -> None:
    networks = make_networks(resolution, channels, z_dim=4, depth=depth, group=2)
    write_legacy_pickle(tmp_path / "in.pkl", networks, protocol=protocol)
    again = read_legacy(tmp_path / "in.pkl")
    assert networks.generator is not None and networks.discriminator is not None
    assert again.generator is not None and again.discriminator is not None
    z = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    images = networks.generator(z)
    span = float(images.max() - images.min())
    assert float((again.generator(z) - images).abs().max()) / span < 1e-4
    assert torch.allclose(again.discriminator(images), networks.discriminator(images), rtol=1e-4)
    assert torch.equal(again.generator.w_mean, networks.generator.w_mean)


def test_averaged_and_trained_generator_can_be_told_apart(tmp_path: Path) -> None:
    write_legacy_pickle(tmp_path / "in.pkl", make_networks())
    trained, other = read_legacy(tmp_path / "in.pkl", "G").generator, make_networks(seed=99).generator
    assert trained is not None and other is not None
    assert torch.equal(trained.w_mean, other.w_mean)


@pytest.mark.parametrize(
    "laid",
    [
        lambda g, d, averaged: averaged,
        lambda g, d, averaged: (None, None, averaged),
        lambda g, d, averaged: [None, d, averaged],
        lambda g, d, averaged: {"Gs": averaged, "step": 3},
        lambda g, d, averaged: (averaged, d, None),
    ],
    ids=["alone", "in a tuple", "in a list", "by name", "as trained"],
)
def test_a_generator_without_its_company_is_read(tmp_path: Path, laid: Any) -> None:
    write_legacy_pickle(tmp_path / "whole.pkl", make_networks())
    write_legacy_pickle(tmp_path / "part.pkl", make_networks(), laid=laid)
    whole, part = read_legacy(tmp_path / "whole.pkl").generator, read_legacy(tmp_path / "part.pkl").generator
    assert whole is not None and part is not None
    assert all(torch.equal(part.state_dict()[name], value) for name, value in whole.state_dict().items())


def test_a_row_without_any_generator_is_refused(tmp_path: Path) -> None:
    write_legacy_pickle(tmp_path / "in.pkl", make_networks(), laid=lambda g, d, averaged: (None, d, None))
    with pytest.raises(BadModel, match="holds no generator of TensorFlow"):
        read_legacy(tmp_path / "in.pkl")


def test_embedded_source_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICKLE_CANARY", str(tmp_path / "canary"))
    write_legacy_pickle(tmp_path / "in.pkl", make_networks())
    read_legacy(tmp_path / "in.pkl")
    assert b"embedded source was executed" in (tmp_path / "in.pkl").read_bytes()
    assert not (tmp_path / "canary").exists()


def _synthesis(generator: Any) -> Any:
    return generator.state["components"]["synthesis"].state


def _orig(generator: Any, _: Any) -> None:
    state = _synthesis(generator)
    state["variables"] = [(n.replace("16x16/ToRGB", "ToRGB_lod0"), v) for n, v in state["variables"]]


def _drop(generator: Any, _: Any) -> None:
    state = _synthesis(generator)
    state["variables"] = [(n, v) for n, v in state["variables"] if n != "noise2"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda g, d: _synthesis(g)["static_kwargs"].update(architecture="resnet"), "architecture 'resnet'"),
        (lambda g, d: d.state["static_kwargs"].update(architecture="orig"), "architecture 'orig'"),
        (lambda g, d: g.state["static_kwargs"].update(label_size=3), "label_size 3"),
        (lambda g, d: g.state["static_kwargs"].update(resample_kernel=[1, 2, 1]), "another filter"),
        (lambda g, d: g.state.update(version=3), "version 3"),
        (_orig, "one output per resolution"),
        (_drop, "lacks synthesis/noise2"),
        (lambda g, d: _synthesis(g)["variables"].append(("4x4/New", np.zeros(2, np.float32))), "4x4/New"),
        (lambda g, d: _synthesis(g).update(variables=[("a",)]), "not a network"),
        (lambda g, d: g.state.update(components={"synthesis": 1}), "not a network"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, edit: Any, message: str) -> None:
    write_legacy_pickle(tmp_path / "in.pkl", make_networks(), edit)
    with pytest.raises(BadModel, match=message):
        read_legacy(tmp_path / "in.pkl")


JUNK = [None, 3, 2.5, "text", b"bytes", [1], (1, 2), {"a": 1}, np.zeros(3), np.array(1.0)]


@pytest.mark.parametrize("value", JUNK, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("part", ["version", "components", "variables"])
def test_a_value_of_another_type_is_a_bad_model(tmp_path: Path, part: str, value: Any) -> None:
    write_legacy_pickle(
        tmp_path / "in.pkl", make_networks(), lambda generator, _: generator.state.update({part: value})
    )
    with pytest.raises(BadModel):
        read_legacy(tmp_path / "in.pkl")
