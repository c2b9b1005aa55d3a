"""Embedders of faces: the right layer in the right order on the right part of the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from portraitist.errors import BadModel
from portraitist.io.identity_files import load_identity
from portraitist.networks import Discriminator, DiscriminatorAnatomy
from portraitist.networks.identity import (
    PSP_CROP,
    Crop,
    DiscriminatorIdentity,
    FoamliuIdentity,
    Identity,
    IRSE50Identity,
    MobileFaceNetIdentity,
    template_crop,
)


def random_state(network: type[nn.Module]) -> dict[str, Tensor]:
    """Return weights that keep signals at a sensible size, under the names that the network asks for."""
    random, state = torch.Generator().manual_seed(0), {}
    for name, shape in wanted(network).items():
        if name.endswith("running_var"):
            state[name] = torch.rand(shape, generator=random) + 0.5
        elif len(shape) > 1:
            state[name] = torch.randn(shape, generator=random) * (2 / shape[1:].numel()) ** 0.5
        else:
            state[name] = torch.rand(shape, generator=random) * 0.5 + 0.1
    return state


def wanted(network: type[nn.Module]) -> dict[str, torch.Size]:
    """Return names and shapes as the network itself holds them once it has been given them."""
    shapes: dict[str, torch.Size] = {}

    class Recorder(dict[str, Tensor]):
        """Weights that are whatever is asked for."""

    def fit(module: nn.Module, _tensors: object, _name: str) -> str:
        shapes.update({k: v.shape for k, v in module.state_dict().items()})
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("portraitist.networks.identity.fit_network", fit)
        network(Recorder())
    return shapes


def faces(count: int, side: int = 64) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def mobile() -> dict[str, Tensor]:
    return random_state(MobileFaceNetIdentity)


def test_the_crop_of_the_template_puts_eyes_and_mouth_where_arcface_has_them() -> None:
    crop = template_crop()
    for (x, y), (u, v) in zip(
        ((0.376, 0.476), (0.625, 0.476), (0.5, 0.73)),
        ((38.2946, 51.6963), (73.5318, 51.5014), (56.1396, 92.2848)),
        strict=True,
    ):
        assert abs(x * crop.side - crop.left - u) < 2 and abs(y * crop.side - crop.top - v) < 3
    assert crop.size == 112 and min(crop.top, crop.left) >= 0
    assert max(crop.top, crop.left) + crop.size <= crop.side


def test_the_crop_of_psp_is_rows_35_to_223_and_columns_32_to_220() -> None:
    images = faces(1, 256)
    assert torch.equal(PSP_CROP.cut(images), images[:, :, 35:223, 32:220])


def test_a_crop_takes_pictures_of_any_size() -> None:
    crop = Crop(side=32, top=8, left=4, size=16)
    ramp = torch.linspace(-1, 1, 64)[None, None, None].expand(1, 3, 64, 64)
    expected = F.avg_pool2d(ramp, 2)[:, :, 8:24, 4:20]
    torch.testing.assert_close(crop.cut(ramp), expected, atol=0.02, rtol=0)


def test_mobilefacenet_has_the_names_of_its_file(mobile: dict[str, Tensor]) -> None:
    names = {k: tuple(v.shape) for k, v in mobile.items()}
    assert names["conv1.conv.weight"] == (64, 3, 3, 3) and names["conv1.prelu.weight"] == (64,)
    assert names["conv2_dw.conv.weight"] == (64, 1, 3, 3)
    assert names["conv_23.conv.conv.weight"] == (128, 64, 1, 1)
    assert names["conv_23.conv_dw.conv.weight"] == (128, 1, 3, 3)
    assert names["conv_3.model.3.project.conv.weight"] == (64, 128, 1, 1)
    assert names["conv_4.model.5.conv.prelu.weight"] == (256,) and "conv_4.model.6.conv.prelu.weight" not in names
    assert names["conv_5.model.1.project.bn.running_var"] == (128,)
    assert names["conv_6_sep.conv.weight"] == (512, 128, 1, 1)
    assert names["conv_6_dw.conv.weight"] == (512, 1, 7, 7) and "conv_6_dw.prelu.weight" not in names
    assert names["linear.weight"] == (512, 512) and "linear.bias" not in names and names["bn.bias"] == (512,)


def test_mobilefacenet_is_what_its_paper_says(mobile: dict[str, Tensor]) -> None:
    images = faces(2, 112)
    whole = Crop(side=112, top=0, left=0, size=112)
    torch.testing.assert_close(
        MobileFaceNetIdentity(mobile, whole).embed(images), by_hand(mobile, images), rtol=1e-4, atol=1e-5
    )


def by_hand(state: dict[str, Tensor], x: Tensor) -> Tensor:
    def layer(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = state[f"{name}.conv.weight"]
        size, groups = weight.shape[-1], x.shape[1] // weight.shape[1]
        x = F.conv2d(x, weight, None, stride, 0 if size == 7 else size // 2, 1, groups)
        x = norm(f"{name}.bn", x)
        return F.prelu(x, state[f"{name}.prelu.weight"]) if f"{name}.prelu.weight" in state else x

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{name}.{k}"].reshape(1, -1, *[1] * (x.ndim - 2))
            for k in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def bottleneck(name: str, x: Tensor, stride: int = 1) -> Tensor:
        return layer(f"{name}.project", layer(f"{name}.conv_dw", layer(f"{name}.conv", x), stride))

    x = layer("conv2_dw", layer("conv1", x, 2))
    for down, stage, count in (("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2)):
        x = bottleneck(down, x, 2)
        for k in range(count):
            x = x + bottleneck(f"{stage}.model.{k}", x)
    x = layer("conv_6_dw", layer("conv_6_sep", x)).flatten(1)
    x = norm("bn", x @ state["linear.weight"].T)
    return x / x.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("network", [MobileFaceNetIdentity, FoamliuIdentity])
def test_files_are_recognised_by_their_tensors(network: type[nn.Module], tmp_path: Path) -> None:
    state = random_state(network)
    counted = state | {"bn.num_batches_tracked": torch.tensor(3)}
    torch.save(counted, tmp_path / "face.pth")
    found = load_identity(tmp_path / "face.pth")
    assert type(found) is network and found.digest == network(state).digest
    torch.save({k: v for k, v in state.items() if k != "bn.bias"}, tmp_path / "cut.pth")
    with pytest.raises(BadModel, match=r"cut\.pth.*lack.*bn\.bias"):
        load_identity(tmp_path / "cut.pth")
    torch.save(state | {"head.weight": torch.zeros(2)}, tmp_path / "more.pth")
    with pytest.raises(BadModel, match=r"unknown.*head\.weight"):
        load_identity(tmp_path / "more.pth")


def test_other_networks_are_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    with pytest.raises(BadModel, match="no face embedder"):
        load_identity(tmp_path / "resnet.pth")


def test_ir_se50_embeds_psps_crop() -> None:
    shapes = wanted(IRSE50Identity)
    assert tuple(shapes["output_layer.3.weight"]) == (512, 25088) and "body.23.res_layer.5.fc2.weight" in shapes
    assert max(int(k.split(".")[1]) for k in shapes if k.startswith("body.")) == 23
    state = {k: torch.ones(s) if k.endswith(("running_var", "0.weight")) else torch.zeros(s) for k, s in shapes.items()}
    state["output_layer.3.weight"] = torch.zeros(512, 25088)
    state["output_layer.4.weight"] = torch.ones(512)
    state["output_layer.3.bias"] = torch.arange(512.0)
    found = IRSE50Identity(state)
    images = faces(1, 256).requires_grad_(True)
    vectors = found.embed(images)
    torch.testing.assert_close(vectors, F.normalize(torch.arange(512.0)[None]))


@pytest.fixture(scope="module")
def discriminator() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(DiscriminatorAnatomy(32, (8, 8, 8, 8)))


def identities(mobile: dict[str, Tensor], discriminator: Discriminator) -> list[Identity]:
    return [MobileFaceNetIdentity(mobile), DiscriminatorIdentity(discriminator)]


def test_vectors_have_length_one_gradients_and_no_company(
    mobile: dict[str, Tensor], discriminator: Discriminator
) -> None:
    for identity in identities(mobile, discriminator):
        images = faces(3).requires_grad_(True)
        vectors = identity.embed(images)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
        alone = torch.cat([identity.embed(images[k : k + 1]) for k in range(3)])
        torch.testing.assert_close(vectors, alone, rtol=1e-4, atol=1e-5)
        (gradient,) = torch.autograd.grad(vectors[:, 0].sum(), images)
        assert gradient.isfinite().all() and gradient.any()


def test_the_discriminators_identity_is_a_frozen_copy_of_what_it_saw(discriminator: Discriminator) -> None:
    identity = DiscriminatorIdentity(discriminator)
    before, digest = identity.embed(faces(2)), identity.digest
    with torch.no_grad():
        for p in discriminator.parameters():
            p.add_(0.1)
    assert torch.equal(identity.embed(faces(2)), before)
    assert DiscriminatorIdentity(discriminator).digest != digest
    assert not any(p.requires_grad for p in identity.parameters())


def test_what_all_faces_share_is_subtracted(discriminator: Discriminator) -> None:
    alike = 0.5 + 0.05 * faces(6)
    raw, centred = (DiscriminatorIdentity(discriminator, x) for x in (None, alike))
    cosines = [(x.embed(alike) @ x.embed(alike).T).mean() for x in (raw, centred)]
    assert cosines[0] > 0.9 and cosines[1] < 0.4
    assert raw.digest != centred.digest


def test_the_shared_mobilefacenet_knows_people(shared: Path) -> None:
    identity = load_identity(shared / "data/weights/mobilefacenet.pt")
    folder = shared / "data/people_london"
    neutral, smiling = (identity.embed(photos(folder / mood, 12)) for mood in ("neutral", "smiling"))
    cosines = neutral @ smiling.T
    same, other = cosines.diag(), cosines[~torch.eye(12, dtype=torch.bool)]
    assert same.mean() > 0.85 and other.mean() < 0.15 and same.min() > other.max()


def photos(folder: Path, count: int) -> Tensor:
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.jpg"))[:count]]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
