"""Inception-v3 and MobileNetV2: the published layouts, the pooling that the FID's weights expect, and real weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from portraitist.errors import BadModel
from portraitist.evaluate import embed, metric_name, pooled_features
from portraitist.io.feature_files import FID_FILE, load_features
from portraitist.networks.classifiers import Describes, Inception, InceptionFeatures, MobileNetFeatures, averaged
from portraitist.networks.features import DiscriminatorFeatures
from tests.conftest import make_model

# What other implementations' state dicts are known to hold, name by name (pytorch-fid and torchvision).
LAYOUT = {
    "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
    "Conv2d_4a_3x3.bn.running_var": (192,),
    "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
    "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
    "Mixed_5d.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
    "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
    "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
    "Mixed_6c.branch7x7dbl_4.conv.weight": (160, 160, 7, 1),
    "Mixed_6e.branch7x7dbl_5.conv.weight": (192, 192, 1, 7),
    "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
    "Mixed_7b.branch3x3_2b.conv.weight": (384, 384, 3, 1),
    "Mixed_7c.branch3x3dbl_1.conv.weight": (448, 2048, 1, 1),
    "Mixed_7c.branch_pool.bn.bias": (192,),
}


@pytest.fixture(scope="module")
def inception() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in Inception().state_dict().items()}
    found = {}
    for name, shape in shapes.items():
        if name.endswith(("running_var", "bn.weight")):
            found[name] = torch.ones(shape)
        elif len(shape) == 1:
            found[name] = torch.zeros(shape)
        else:
            found[name] = torch.randn(shape, generator=random) * (2 / shape[1:].numel()) ** 0.5
    return found


def test_the_layout_is_the_published_one(inception: dict[str, Tensor]) -> None:
    assert {name: tuple(inception[name].shape) for name in LAYOUT} == LAYOUT
    learned = sum(v.numel() for k, v in inception.items() if "running" not in k)
    # As printed for torchvision's network without its classifiers, and for Keras's with the scales that it leaves out.
    assert learned == 21_785_568
    assert len(inception) == 94 * 5


def test_a_state_dict_with_classifiers_and_counters_is_read(inception: dict[str, Tensor], tmp_path: Path) -> None:
    counters = {k.replace("running_mean", "num_batches_tracked"): torch.tensor(0) for k in inception if "mean" in k}
    heads = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    torch.save(inception | heads | counters, tmp_path / "inception.pth")
    found = load_features(tmp_path / "inception.pth")
    assert isinstance(found, InceptionFeatures) and isinstance(found, Describes)
    assert found.digest == InceptionFeatures(inception).digest
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    (last,) = found.taps(images)
    assert last.shape == (2, 2048, 8, 8) and last.min() >= 0
    rows = embed(found, images)
    assert rows.shape == (2, 2048) and torch.allclose(rows, last.mean((2, 3)))
    # Anybody's weights make a Fréchet distance; only the published file makes an FID.
    assert metric_name("Fréchet distance", found) == f"Fréchet distance (Inception-v3 sha256:{found.digest[:8]})"
    assert metric_name("Fréchet distance", InceptionFeatures(inception, standard=True)).startswith("FID (Inception-v3 ")
    assert metric_name("kernel distance", InceptionFeatures(inception, standard=True)).startswith("KID (Inception-v3 ")
    assert len(FID_FILE) == 8


def test_other_tensors_are_refused(inception: dict[str, Tensor], tmp_path: Path) -> None:
    for change, message in (
        ({"Mixed_5b.branch1x1.conv.weight": torch.zeros(64, 192, 3, 3)}, "not of Inception-v3"),
        ({"Mixed_8.conv.weight": torch.zeros(1)}, "does not know"),
    ):
        torch.save(inception | change, tmp_path / "wrong.pth")
        with pytest.raises(BadModel, match=message):
            load_features(tmp_path / "wrong.pth")
    torch.save({k: v for k, v in inception.items() if "Mixed_7c" not in k}, tmp_path / "short.pth")
    with pytest.raises(BadModel, match=r"short\.pth: These weights lack 45 tensors"):
        load_features(tmp_path / "short.pth")


def test_the_pool_leaves_the_rim_out_of_the_count() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    found = averaged(x)
    assert found[0, 0, 0, 0] == (0 + 1 + 3 + 4) / 4 and found[0, 0, 1, 1] == 4
    assert torch.equal(averaged(torch.ones(1, 1, 5, 5)), torch.ones(1, 1, 5, 5))


def test_pictures_are_resized_without_aliasing(inception: dict[str, Tensor]) -> None:
    seen: list[Tensor] = []
    network = InceptionFeatures(inception)
    network.network.Conv2d_1a_3x3.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    stripes = (torch.arange(1196) % 4 < 2).float()[None, None, None].expand(1, 3, 1196, -1) * 2 - 1
    network.taps(stripes)
    assert seen[0].shape[2:] == (299, 299)
    # Stripes finer than the target become grey; taking every fourth pixel would keep black or white.
    assert seen[0][..., 20:-20, 20:-20].abs().max() < 0.05


def test_mobilenet_reads_its_layout_and_matches_a_plain_form(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = [conv.weight.shape for conv in MobileNetFeatures._layers()]
    assert len(shapes) == 52
    tensors = {}
    for k, shape in enumerate(shapes):
        tensors[f"{k:02}.weight"] = torch.randn(shape, generator=random) * (2 / shape[1:].numel()) ** 0.5
        tensors[f"{k:02}.bias"] = torch.randn(shape[0], generator=random) * 0.1
    np.savez(tmp_path / "mobile.npz", allow_pickle=False, **{k: v.numpy() for k, v in tensors.items()})
    found = load_features(tmp_path / "mobile.npz")
    assert isinstance(found, MobileNetFeatures)
    images = torch.rand(1, 3, 128, 128, generator=random) * 2 - 1
    assert found.taps(images)[0].shape == (1, 1280, 4, 4)
    x = images * found.factor + found.shift
    w = [(tensors[f"{k:02}.weight"], tensors[f"{k:02}.bias"]) for k in range(52)]
    x = F.relu6(F.conv2d(x, *w[0], 2, 1))
    x = F.conv2d(F.relu6(F.conv2d(x, *w[1], 1, 1, groups=32)), *w[2])
    k = 3
    for count, _, stride in MobileNetFeatures.stages:
        for unit in range(count):
            y = F.relu6(F.conv2d(x, *w[k]))
            y = F.relu6(F.conv2d(y, *w[k + 1], 1 if unit else stride, 1, groups=len(w[k + 1][0])))
            y = F.conv2d(y, *w[k + 2])
            x, k = (x + y if unit else y), k + 3
    assert torch.allclose(found.describe(images), F.relu6(F.conv2d(x, *w[51])).mean((2, 3)), rtol=1e-4, atol=1e-4)


def test_real_weights_of_mobilenet_tell_noise_from_faces(shared: Path) -> None:
    found = load_features(shared / "data/weights/mobilenetv2_imagenet_mxnet_features_fp16.npz")
    assert metric_name("kernel distance", found).startswith("kernel distance (MobileNetV2 sha256:")
    noise = torch.randn(4, 3, 128, 128, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    flat = torch.zeros(4, 3, 128, 128)
    rows = embed(found, torch.cat([noise, flat]))
    assert rows.shape == (8, 1280)
    within, across = torch.cdist(rows[:4], rows[:4]).max(), torch.cdist(rows[:4], rows[4:]).min()
    assert across > 2 * within


def test_networks_without_a_customary_row_are_pooled() -> None:
    discriminator = make_model().discriminator
    assert discriminator is not None
    features = DiscriminatorFeatures(discriminator)
    images = torch.rand(3, 3, 16, 16)
    assert torch.equal(embed(features, images), pooled_features(features, images))
