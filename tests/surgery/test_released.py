"""Feature swaps against the released code's semantics, computed from tensors in that code's own layout.

Nothing of the package draws here but the model under test: the network is written out below as rosinality's layout has
it, and swapped as Cartoon-StyleGAN and UI2I describe and release it: the source keeps ``out`` of one block, the target
puts it in place of its own, and every ToRGB stays the target's.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from portraitist.errors import UsageError
from portraitist.io.pickles import open_torch
from portraitist.io.rosinality import networks_from
from portraitist.networks import Generator
from portraitist.spaces import WPlus
from portraitist.surgery import released_upto, swap

State = dict[str, Tensor]


def modulated(state: State, name: str, x: Tensor, w: Tensor, *, demodulate: bool = True, up: bool = False) -> Tensor:
    """One modulated convolution, picture by picture, with the weights written out."""
    weight = state[f"{name}.conv.weight"][0]
    scale = 1 / math.sqrt(weight[0].numel())
    affine, bias = state[f"{name}.conv.modulation.weight"], state[f"{name}.conv.modulation.bias"]
    drawn = []
    for picture, row in zip(x, w, strict=True):
        style = affine @ row / math.sqrt(len(row)) + bias
        kernel = scale * weight * style[None, :, None, None]
        if demodulate:
            kernel = kernel / torch.sqrt(kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        if up:
            large = F.conv_transpose2d(picture[None], kernel.transpose(0, 1), stride=2)
            drawn.append(blurred(F.pad(large, (1, 1, 1, 1))))
        else:
            drawn.append(F.conv2d(picture[None], kernel, padding=kernel.shape[-1] // 2))
    return torch.cat(drawn)


def blurred(x: Tensor) -> Tensor:
    """The filter [1, 3, 3, 1] with the gain of 4 that a doubling of the side needs; shortens by 3."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = (4 * torch.outer(line, line)).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, groups=x.shape[1])


def doubled(x: Tensor) -> Tensor:
    zeros = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    zeros[..., ::2, ::2] = x
    return blurred(F.pad(zeros, (2, 1, 2, 1)))


def layer(state: State, name: str, noise: int, x: Tensor, w: Tensor, *, up: bool = False) -> Tensor:
    y = modulated(state, name, x, w, up=up) + state[f"{name}.noise.weight"] * state[f"noises.noise_{noise}"]
    return F.leaky_relu(y + state[f"{name}.activate.bias"][:, None, None], 0.2) * math.sqrt(2)


def released(state: State, ws: Tensor, number: int = 0, given: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Draw pictures, and return ``out`` of block ``number`` (1 is that of 8 pixels); ``given`` takes its place."""

    def colours(name: str, x: Tensor, w: Tensor) -> Tensor:
        return modulated(state, name, x, w, demodulate=False) + state[f"{name}.bias"]

    out, kept = state["input.input"].repeat(len(ws), 1, 1, 1), None
    out = layer(state, "conv1", 0, out, ws[:, 0])
    skip = colours("to_rgb1", out, ws[:, 1])
    for block in range(1, 4):
        row = 2 * block - 1
        out = layer(state, f"convs.{row - 1}", row, out, ws[:, row], up=True)
        out = layer(state, f"convs.{row}", row + 1, out, ws[:, row + 1])
        if block == number:
            kept, out = out, out if given is None else given
        skip = doubled(skip) + colours(f"to_rgbs.{block - 1}", out, ws[:, row + 2])
    return skip, kept


@pytest.fixture
def source(shared: Path) -> State:
    tree: Any = open_torch(shared / "golden" / "rosinality.pt")
    return {name: tensor.float() for name, tensor in tree["g_ema"].items()}


@pytest.fixture
def target(source: State) -> State:
    """What a fine-tuning leaves: every tensor but the filters has moved."""
    random = torch.Generator().manual_seed(1)
    return {
        name: tensor if "kernel" in name else tensor + 0.3 * torch.randn(tensor.shape, generator=random)
        for name, tensor in source.items()
    }


@pytest.fixture
def codes(shared: Path) -> Tensor:
    return torch.from_numpy(np.load(shared / "golden" / "golden.npz")["ros_wplus"])


def loaded(state: State) -> Generator:
    generator = networks_from({"g_ema": state}, "made.pt").generator
    assert generator is not None
    return generator


def difference(drawn: Tensor, wanted: Tensor) -> float:
    return float((drawn - wanted).abs().max() / (wanted.max() - wanted.min()))


def test_the_network_written_out_here_is_rosinalitys(source: State, codes: Tensor, shared: Path) -> None:
    wanted = torch.from_numpy(np.load(shared / "golden" / "golden.npz")["ros_img_wplus"])
    assert difference(released(source, codes)[0], wanted) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_feature_swap_agrees_with_the_released_code(source: State, target: State, codes: Tensor, number: int) -> None:
    _, kept = released(source, codes, number)
    wanted, _ = released(target, codes, number, kept)
    upto = released_upto(f"cartoon-stylegan:{number}")
    drawn = swap(loaded(source), loaded(target), upto, "features").synthesize(WPlus(codes))
    assert difference(drawn, wanted) < 1e-4
    # The papers' swap is not Pinkney and Adler's, nor either model alone.
    for other in (swap(loaded(source), loaded(target), upto, "weights"), loaded(source), loaded(target)):
        assert difference(other.synthesize(WPlus(codes)), wanted) > 0.01


@pytest.mark.parametrize(
    ("text", "upto"),
    [
        ("0", 0),
        ("32", 32),
        *((f"cartoon-stylegan:{k}", 2 ** (k + 2)) for k in range(1, 7)),
        ("ui2i:1", 8),
        ("ui2i:3", 16),
        ("ui2i:5", 32),
    ],
)
def test_the_papers_numbers_name_resolutions(text: str, upto: int) -> None:
    assert released_upto(text) == upto


@pytest.mark.parametrize("text", ["", "-4", "3.2", "²", "cartoon-stylegan:0", "ui2i:2", "ui2i:", "toonify:1", "9" * 99])
def test_what_names_no_resolution_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no resolution") as error:
        released_upto(text)
    assert "32" in error.value.cure
