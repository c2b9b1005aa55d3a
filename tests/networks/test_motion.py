"""The first-order motion model, held to a computation of its own from the tensors of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from portraitist.networks.motion import FirstOrderMotion, HourglassAnatomy, Keypoints, MotionAnatomy, blur_of, grid_of

SMALL = MotionAnatomy(
    keypoints=3,
    jacobians=3,
    detector=HourglassAnatomy(2, 4, 8),
    motion=HourglassAnatomy(2, 4, 12),
    width=4,
    most=8,
    downs=2,
    blocks=1,
)


def test_the_sizes_of_the_released_model() -> None:
    with torch.device("meta"):
        model = FirstOrderMotion(MotionAnatomy())
    count = sum(p.numel() for p in model.parameters())
    # The authors' modules at the sizes of vox-256 have 14,215,368 (detector) and 45,575,391 parameters.
    assert model.detector.hourglass.outputs == 35 and model.motion.hourglass.outputs == 108
    assert [u.conv.out_channels for u in model.detector.hourglass.downs] == [64, 128, 256, 512, 1024]  # type: ignore[union-attr]
    assert tuple(model.blocks[5].conv2.weight.shape) == (256, 256, 3, 3) and count == 59_790_759  # type: ignore[union-attr]


def test_without_motion_nothing_moves() -> None:
    torch.manual_seed(0)
    model = FirstOrderMotion(SMALL).eval()
    picture = torch.rand(1, 3, 64, 64)
    here = model.keypoints(picture)
    dense, _ = model.motion(picture, here, here)
    assert torch.allclose(dense[0], grid_of(dense[..., 0]), atol=1e-5)


def test_a_shift_of_all_keypoints_is_where_places_come_from() -> None:
    torch.manual_seed(0)
    model = FirstOrderMotion(replace(SMALL, jacobians=0)).eval()
    assert model.motion.masks.bias is not None
    with torch.no_grad():
        model.motion.masks.bias[0] = -1e4  # the background is never chosen
    picture, shift = torch.rand(1, 3, 64, 64), torch.tensor([0.25, -0.125])
    here = model.keypoints(picture)
    dense, _ = model.motion(picture, here, Keypoints(here.places + shift, None))
    assert torch.allclose(dense[0], grid_of(dense[..., 0]) - shift, atol=1e-5)


def test_the_blur_is_the_gaussian_before_every_fourth_pixel() -> None:
    plane = blur_of(4)
    assert plane.shape == (13, 13) and blur_of(2).shape == (5, 5) and blur_of(1).shape == (1, 1)
    assert torch.isclose(plane.sum(), torch.tensor(1.0)) and torch.isclose(
        plane[6, 7] / plane[6, 6], torch.tensor(1 / (2 * 1.5**2)).neg().exp()
    )


class Reference:
    """The model computed from a checkpoint of the authors' layout by plain operations, step by step."""

    def __init__(self, tree: Mapping[str, Mapping[str, Tensor]], keypoints: int) -> None:
        self.generator, self.detector, self.count = tree["generator"], tree["kp_detector"], keypoints

    def block(self, state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
        weight = state[f"{name}.conv.weight"]
        x = F.conv2d(x, weight, state[f"{name}.conv.bias"], padding=weight.shape[-1] // 2)
        return self.norm(state, f"{name}.norm", x).clamp(min=0)

    def norm(self, state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
        part = {k: state[f"{name}.{k}"].view(1, -1, 1, 1) for k in ("weight", "bias", "running_mean", "running_var")}
        return (x - part["running_mean"]) / (part["running_var"] + 1e-5).sqrt() * part["weight"] + part["bias"]

    def hourglass(self, state: Mapping[str, Tensor], name: str, x: Tensor, depth: int) -> Tensor:
        kept = [x]
        for k in range(depth):
            x = self.block(state, f"{name}.encoder.down_blocks.{k}", x)
            x = x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean(dim=(3, 5))
            kept.append(x)
        kept.pop()
        for k in range(depth):
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            x = torch.cat([self.block(state, f"{name}.decoder.up_blocks.{k}", x), kept.pop()], dim=1)
        return x

    def small(self, state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (6, 6, 6, 6)), state[f"{name}.weight"], groups=3)[:, :, ::4, ::4]

    def keypoints(self, x: Tensor) -> tuple[Tensor, Tensor]:
        state = self.detector
        x = self.hourglass(state, "predictor", self.small(state, "down", x), 2)
        maps = F.conv2d(x, state["kp.weight"], state["kp.bias"])
        jacobian = F.conv2d(x, state["jacobian.weight"], state["jacobian.bias"])
        n, k, h, w = maps.shape
        places, linear = torch.zeros(n, k, 2), torch.zeros(n, k, 2, 2)
        for point in range(k):
            weight = torch.exp(maps[:, point] / 0.1 - (maps[:, point] / 0.1).amax(dim=(1, 2), keepdim=True))
            weight = weight / weight.sum(dim=(1, 2), keepdim=True)
            across, down = 2 * torch.arange(w) / (w - 1) - 1, 2 * torch.arange(h) / (h - 1) - 1
            places[:, point, 0] = (weight * across).sum(dim=(1, 2))
            places[:, point, 1] = (weight * down[:, None]).sum(dim=(1, 2))
            for j in range(4):
                linear[:, point, j // 2, j % 2] = (weight * jacobian[:, 4 * point + j]).sum(dim=(1, 2))
        return places, linear

    def picture(self, source: Tensor, here: tuple[Tensor, Tensor], there: tuple[Tensor, Tensor]) -> Tensor:
        state = self.generator
        x = self.block(state, "first", source)
        for k in range(2):
            x = self.block(state, f"down_blocks.{k}", x)
            x = x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean(dim=(3, 5))
        small = self.small(state, "dense_motion_network.down", source)
        side = small.shape[-1]
        step = 2 * torch.arange(side) / (side - 1) - 1
        grid = torch.stack(torch.meshgrid(step, step, indexing="xy"), dim=-1)
        inputs, motions = [], []
        for k in range(-1, self.count):
            heat, motion = torch.zeros(1, 1, side, side), grid[None]
            if k >= 0:
                near = [torch.exp(-((grid - p[0][0, k]) ** 2).sum(dim=-1) / 0.02) for p in (there, here)]
                heat = (near[0] - near[1])[None, None]
                linear = here[1][0, k] @ torch.linalg.inv(there[1][0, k])
                motion = ((grid - there[0][0, k]) @ linear.T + here[0][0, k])[None]
            motions.append(motion)
            inputs += [heat, F.grid_sample(small, motion, align_corners=True)]
        found = self.hourglass(state, "dense_motion_network.hourglass", torch.cat(inputs, dim=1), 2)
        mask, seen = (
            F.conv2d(
                found, state[f"dense_motion_network.{k}.weight"], state[f"dense_motion_network.{k}.bias"], padding=3
            )
            for k in ("mask", "occlusion")
        )
        dense = sum(m * w[..., None] for m, w in zip(motions, mask.softmax(dim=1).unbind(dim=1), strict=True))
        assert isinstance(dense, Tensor)
        x = F.grid_sample(x, dense, align_corners=True) * torch.sigmoid(seen)
        y = F.conv2d(self.norm(state, "bottleneck.r0.norm1", x).relu(), *self.conv("bottleneck.r0.conv1"), padding=1)
        x = x + F.conv2d(
            self.norm(state, "bottleneck.r0.norm2", y).relu(), *self.conv("bottleneck.r0.conv2"), padding=1
        )
        for k in range(2):
            x = self.block(state, f"up_blocks.{k}", x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
        return torch.sigmoid(F.conv2d(x, *self.conv("final"), padding=3))

    def conv(self, name: str) -> tuple[Tensor, Tensor]:
        return self.generator[f"{name}.weight"], self.generator[f"{name}.bias"]


def released_layout(anatomy: MotionAnatomy, seed: int | None = 0) -> dict[str, dict[str, Tensor]]:
    """Make a checkpoint of random numbers with the names and shapes of the authors' program.

    The names are written out here as their modules have them, beside the table that the importer reads by.
    """
    random = None if seed is None else torch.Generator().manual_seed(seed)
    tree: dict[str, dict[str, Tensor]] = {"generator": {}, "kp_detector": {}}

    def conv(at: str, name: str, inputs: int, outputs: int, kernel: int) -> None:
        scale = 1.5 / (inputs * kernel**2) ** 0.5
        tree[at][f"{name}.weight"] = torch.randn(outputs, inputs, kernel, kernel, generator=random) * scale
        tree[at][f"{name}.bias"] = torch.randn(outputs, generator=random) * 0.1

    def norm(at: str, name: str, channels: int) -> None:
        for part, start in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0)):
            tree[at][f"{name}.{part}"] = start + 0.2 * torch.randn(channels, generator=random)
        tree[at][f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=random)
        tree[at][f"{name}.num_batches_tracked"] = torch.tensor(7)

    def unit(at: str, name: str, inputs: int, outputs: int, kernel: int = 3) -> None:
        conv(at, f"{name}.conv", inputs, outputs, kernel)
        norm(at, f"{name}.norm", outputs)

    def hourglass(at: str, name: str, size: HourglassAnatomy, inputs: int) -> None:
        widths = [min(size.most, size.width * 2**k) for k in range(size.depth + 1)]
        for k in range(size.depth):
            unit(at, f"{name}.encoder.down_blocks.{k}", widths[k] if k else inputs, widths[k + 1])
            deep = size.depth - 1 - k
            unit(at, f"{name}.decoder.up_blocks.{k}", widths[deep + 1] * (2 if k else 1), widths[deep])

    motions = anatomy.keypoints + 1
    hourglass("kp_detector", "predictor", anatomy.detector, 3)
    conv("kp_detector", "kp", anatomy.detector.width + 3, anatomy.keypoints, 7)
    conv("kp_detector", "jacobian", anatomy.detector.width + 3, 4 * anatomy.keypoints, 7)
    tree["kp_detector"]["jacobian.bias"] += torch.tensor([1.0, 0, 0, 1] * anatomy.keypoints)
    dense = "dense_motion_network"
    hourglass("generator", f"{dense}.hourglass", anatomy.motion, 4 * motions)
    for head, count in (("mask", motions), ("occlusion", 1)):
        conv("generator", f"{dense}.{head}", anatomy.motion.width + 4 * motions, count, 7)
    for at, name in (("kp_detector", "down"), ("generator", f"{dense}.down")):
        steps = torch.exp(-((torch.arange(13.0) - 6) ** 2) / (2 * 1.5**2))
        plane = torch.outer(steps, steps)
        tree[at][f"{name}.weight"] = (plane / plane.sum()).expand(3, 1, 13, 13).clone()
    widths = [min(anatomy.most, anatomy.width * 2**k) for k in range(anatomy.downs + 1)]
    unit("generator", "first", 3, anatomy.width, 7)
    for k in range(anatomy.downs):
        unit("generator", f"down_blocks.{k}", widths[k], widths[k + 1])
        unit("generator", f"up_blocks.{k}", widths[anatomy.downs - k], widths[anatomy.downs - k - 1])
    for k in range(anatomy.blocks):
        for j in (1, 2):
            conv("generator", f"bottleneck.r{k}.conv{j}", widths[-1], widths[-1], 3)
            norm("generator", f"bottleneck.r{k}.norm{j}", widths[-1])
    conv("generator", "final", anatomy.width, 3, 7)
    return tree
