"""Reading weights that users supply: every container, the right network, and clear refusals."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from portraitist.errors import BadModel, UntrustedFile
from portraitist.io.feature_files import load_features, load_lpips, read_tensors
from portraitist.losses.perceptual import PerceptualDistance
from portraitist.networks.features import AlexNetFeatures, SqueezeNetFeatures, TrunkFeatures, VGG16Features

WIDTHS = (64, 128, 256, 384, 384, 512, 512)
CLASSIFIER = {"classifier.1.weight": torch.zeros(10, 512, 1, 1), "classifier.1.bias": torch.zeros(10)}


def random_weights(network: type[TrunkFeatures]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {f"features.{k}": v.shape for k, v in network.layers().state_dict().items()}
    return {k: torch.randn(s, generator=generator) * 0.05 for k, s in shapes.items()}


def heads(widths: tuple[int, ...] = WIDTHS) -> dict[str, Tensor]:
    return {f"lin{k}.model.1.weight": torch.full((1, w, 1, 1), 1.0 / w) for k, w in enumerate(widths)}


@pytest.fixture(scope="module")
def squeezenet() -> dict[str, Tensor]:
    return random_weights(SqueezeNetFeatures)


@pytest.mark.parametrize("network", [VGG16Features, AlexNetFeatures, SqueezeNetFeatures])
def test_the_network_is_recognised(network: type[TrunkFeatures], tmp_path: Path) -> None:
    weights = random_weights(network)
    torch.save(weights | CLASSIFIER, tmp_path / "weights.pth")
    found = load_features(tmp_path / "weights.pth")
    assert type(found) is network
    assert found.digest == network(weights).digest


def test_every_container_gives_the_same(squeezenet: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"state_dict": squeezenet}, tmp_path / "a.pt")
    save_file(squeezenet, tmp_path / "b.safetensors")
    np.savez(tmp_path / "c.npz", allow_pickle=False, **{k: v.numpy() for k, v in squeezenet.items()})
    found = [load_features(tmp_path / name) for name in ("a.pt", "b.safetensors", "c.npz")]
    assert len({f.digest for f in found}) == 1
    images = torch.rand(1, 3, 32, 32)
    first = found[0].taps(images)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(first, other.taps(images), strict=True))


def test_other_files_are_refused(squeezenet: dict[str, Tensor], tmp_path: Path) -> None:
    def refusal(name: str) -> str:
        with pytest.raises(BadModel) as caught:
            load_features(tmp_path / name)
        return str(caught.value)

    assert "no file" in refusal("absent.pth")
    (tmp_path / "weights.h5").write_bytes(b"x")
    assert ".npz" in refusal("weights.h5")
    for name in ("broken.pth", "broken.safetensors", "broken.npz"):
        (tmp_path / name).write_bytes(b"PK not really")
        assert name in refusal(name)
    torch.save({"epoch": 3}, tmp_path / "checkpoint.pth")
    assert "state_dict" in refusal("checkpoint.pth")
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet.safetensors")
    assert "none of VGG16, AlexNet, SqueezeNet" in refusal("resnet.safetensors")
    save_file({k: v for k, v in squeezenet.items() if k != "features.12.squeeze.bias"}, tmp_path / "cut.safetensors")
    assert "features.12.squeeze.bias" in refusal("cut.safetensors")
    save_file(squeezenet | {"features.0.bias": torch.full((64,), torch.nan)}, tmp_path / "nan.safetensors")
    assert "NaN" in refusal("nan.safetensors")


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("sprung",))


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"features.0.weight": Trap()}, "trap.pth")
    with pytest.raises(UntrustedFile):
        load_features("trap.pth")
    np.savez("trap.npz", weight=np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(BadModel, match=r"trap\.npz"):
        load_features("trap.npz")
    assert not Path("sprung").exists()
    torch.load("trap.pth", weights_only=False)  # the trap is a real one
    assert Path("sprung").exists()


def test_lpips_weighs_the_taps_of_its_trunk(squeezenet: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(squeezenet, tmp_path / "trunk.safetensors")
    torch.save(heads(), tmp_path / "heads.pth")
    lpips = PerceptualDistance(*load_lpips(tmp_path / "trunk.safetensors", tmp_path / "heads.pth"))
    plain = PerceptualDistance(load_features(tmp_path / "trunk.safetensors"))
    assert lpips.name == "LPIPS (SqueezeNet)"
    assert plain.name == "SqueezeNet distance"
    a, b = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    by_hand = torch.zeros(2)
    for width, x, y in zip(WIDTHS, plain.prepare(a), plain.prepare(b), strict=True):
        by_hand = by_hand + (x - y).square().sum(1).mean((1, 2)) / width
    torch.testing.assert_close(lpips(a, b), by_hand)


def test_heads_of_another_network_are_refused(squeezenet: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(squeezenet, tmp_path / "trunk.safetensors")
    torch.save(heads((64, 128, 256, 512, 512)), tmp_path / "vgg.pth")
    with pytest.raises(BadModel, match="does not hold LPIPS weights for SqueezeNet"):
        load_lpips(tmp_path / "trunk.safetensors", tmp_path / "vgg.pth")


@pytest.mark.parametrize(
    ("name", "network"), [("vgg", VGG16Features), ("alex", AlexNetFeatures), ("squeeze", SqueezeNetFeatures)]
)
def test_the_published_heads_fit(name: str, network: type[TrunkFeatures], shared: Path, tmp_path: Path) -> None:
    save_file(random_weights(network), tmp_path / "trunk.safetensors")
    found = load_lpips(tmp_path / "trunk.safetensors", shared / f"data/weights/lpips_v0.1_{name}_heads.pth")
    assert all(w.ndim == 1 and w.min() >= 0 and w.max() > 0 for w in found.weights)


def test_the_shared_squeezenet_is_read(shared: Path) -> None:
    found = load_features(shared / "data/weights/squeezenet1_1_imagenet_mxnet.npz")
    assert PerceptualDistance(found).name == "SqueezeNet distance"


def test_an_archive_that_unpacks_to_gigabytes_is_refused_from_its_directory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(20 << 20))
    with pytest.raises(BadModel, match="unpacks to"):
        read_tensors(tmp_path / "bomb.npz")


def test_an_array_larger_than_memory_is_a_bad_model(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "vast.npz", "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header)
    with pytest.raises(BadModel):
        read_tensors(tmp_path / "vast.npz")
