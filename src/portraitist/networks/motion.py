"""The first-order motion model: a picture moved as the keypoints of a video move.

Source: Siarohin et al. 2019, "First Order Motion Model for Image Animation" (NeurIPS, arXiv:2003.00196). A detector
finds keypoints p_k and, around each, the Jacobian of the motion; to first order a place z of the driving frame then
comes from p_S,k + J_k (z - p_D,k) of the source, J_k = J_S,k J_D,k^-1 (Eq. 4). A dense motion network weighs the K
motions and the background's by masks, and says what is occluded; the generator warps the source's features by that.

    model = FirstOrderMotion(anatomy).eval()     # MotionAnatomy() is the released one
    here, there = model.keypoints(source), model.keypoints(driving)
    picture = model(source, here, there)         # in [0, 1], as the source

For use alone: normalisations hold the statistics that training left.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TEMPERATURE = 0.1
"""Of the softmax over places that makes a keypoint of a map."""
VARIANCE = 0.01
"""Of the Gaussian around a keypoint that the dense motion network sees, in squares of half the side."""


@dataclass(frozen=True)
class HourglassAnatomy:
    """Sizes of an hourglass: how many times it halves, channels before the first, and at most."""

    depth: int = 5
    width: int = 64
    most: int = 1024

    def channels(self, level: int) -> int:
        """Return the channels after so many halvings."""
        return min(self.most, self.width << level)


@dataclass(frozen=True)
class MotionAnatomy:
    """Sizes of the model; as released for VoxCeleb at 256 pixels by default."""

    keypoints: int = 10
    jacobians: int = 10
    """Maps of Jacobians: as many as keypoints, 1 for one in common, or 0 for none."""
    detector: HourglassAnatomy = HourglassAnatomy(width=32)
    motion: HourglassAnatomy = HourglassAnatomy(width=64)
    shrink: int = 4
    """Keypoints and motion are found in pictures so many times smaller."""
    width: int = 64
    most: int = 512
    downs: int = 2
    blocks: int = 6
    occlusion: bool = True

    def channels(self, level: int) -> int:
        """Return the generator's channels after so many halvings."""
        return min(self.most, self.width << level)


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Keypoints of pictures; places run from -1 to 1, between the centres of the outermost pixels."""

    places: Tensor
    """(x, y), [N, K, 2]."""
    jacobians: Tensor | None
    """[N, K, 2, 2]; None in a model without."""


class Statistics(nn.Module):
    """Batch normalisation by the statistics that a training left."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [N, C, H, W]."""
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, training=False)


class Unit(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = Statistics(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to as many pixels."""
        return F.relu(self.norm(self.conv(x)))


class Residual(nn.Module):
    """Twice normalisation, ReLU and convolution, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = Statistics(channels), Statistics(channels)
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        inner = self.conv1(F.relu(self.norm1(x)))
        outer: Tensor = self.conv2(F.relu(self.norm2(inner)))
        return x + outer


class Hourglass(nn.Module):
    """Halve and double again; each doubling sees what was there before the halving."""

    def __init__(self, anatomy: HourglassAnatomy, inputs: int) -> None:
        super().__init__()
        depth, at = anatomy.depth, anatomy.channels
        self.downs = nn.ModuleList(Unit(inputs if k == 0 else at(k), at(k + 1)) for k in range(depth))
        self.ups = nn.ModuleList(Unit(at(k + 1) * (1 if k == depth - 1 else 2), at(k)) for k in reversed(range(depth)))
        self.outputs = anatomy.width + inputs

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, outputs, H, W]."""
        before = [x]
        for down in self.downs:
            before.append(_halved(down(before[-1])))
        x = before.pop()
        for up in self.ups:
            x = torch.cat([up(_doubled(x)), before.pop()], dim=1)
        return x


class KeypointDetector(nn.Module):
    """Finds keypoints, each the mean place under a map, and Jacobians, each the mean of maps under it."""

    def __init__(self, anatomy: MotionAnatomy) -> None:
        super().__init__()
        self.anatomy = anatomy
        self.hourglass = Hourglass(anatomy.detector, 3)
        self.places = nn.Conv2d(self.hourglass.outputs, anatomy.keypoints, 7)
        self.jacobians = nn.Conv2d(self.hourglass.outputs, 4 * anatomy.jacobians, 7) if anatomy.jacobians else None

    def forward(self, picture: Tensor) -> Keypoints:
        """Find the keypoints of pictures [N, 3, S, S] in [0, 1]."""
        features = self.hourglass(shrunk(picture, self.anatomy.shrink))
        maps = self.places(features)
        weights = (maps.flatten(2) / TEMPERATURE).softmax(dim=2).view_as(maps)
        places = torch.einsum("nkhw,hwc->nkc", weights, grid_of(maps))
        if self.jacobians is None:
            return Keypoints(places, None)
        linear = self.jacobians(features).unflatten(1, (self.anatomy.jacobians, 4))
        mean = (weights[:, :, None] * linear).sum(dim=(3, 4))
        return Keypoints(places, mean.unflatten(2, (2, 2)))


class DenseMotion(nn.Module):
    """Weighs the motions of the keypoints and of the background, and says what is occluded."""

    def __init__(self, anatomy: MotionAnatomy) -> None:
        super().__init__()
        self.anatomy = anatomy
        motions = anatomy.keypoints + 1
        self.hourglass = Hourglass(anatomy.motion, 4 * motions)
        self.masks = nn.Conv2d(self.hourglass.outputs, motions, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.outputs, 1, 7, padding=3) if anatomy.occlusion else None

    def forward(self, source: Tensor, here: Keypoints, there: Keypoints) -> tuple[Tensor, Tensor | None]:
        """Return where each place of the driving frame comes from, [N, h, w, 2], and what is seen, [N, 1, h, w]."""
        source = shrunk(source, self.anatomy.shrink)
        motions = self._motions(source, here, there)
        count = motions.shape[1]
        moved = _looked_up(source.repeat_interleave(count, dim=0), motions.flatten(0, 1)).unflatten(0, (-1, count))
        heat = _heat(source, there) - _heat(source, here)
        heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], dim=1)
        features = self.hourglass(torch.cat([heat[:, :, None], moved], dim=2).flatten(1, 2))
        weights = self.masks(features).softmax(dim=1)
        dense = (weights[..., None] * motions).sum(dim=1)
        return dense, None if self.occlusion is None else self.occlusion(features).sigmoid()

    def _motions(self, source: Tensor, here: Keypoints, there: Keypoints) -> Tensor:
        """Return where places come from by each motion, the background's first, [N, K + 1, h, w, 2]."""
        grid = grid_of(source)
        away = grid - there.places[:, :, None, None]
        if here.jacobians is not None and there.jacobians is not None:
            linear = here.jacobians @ torch.linalg.inv(there.jacobians)
            away = torch.einsum("nkij,nkhwj->nkhwi", linear, away)
        still = grid.expand(len(away), 1, -1, -1, -1)
        return torch.cat([still, away + here.places[:, :, None, None]], dim=1)


class FirstOrderMotion(nn.Module):
    """The model: keypoint detector, dense motion, and generator."""

    def __init__(self, anatomy: MotionAnatomy) -> None:
        super().__init__()
        self.anatomy = anatomy
        at = anatomy.channels
        self.detector, self.motion = KeypointDetector(anatomy), DenseMotion(anatomy)
        self.first = Unit(3, anatomy.width, 7)
        self.downs = nn.ModuleList(Unit(at(k), at(k + 1)) for k in range(anatomy.downs))
        self.blocks = nn.ModuleList(Residual(at(anatomy.downs)) for _ in range(anatomy.blocks))
        self.ups = nn.ModuleList(Unit(at(k + 1), at(k)) for k in reversed(range(anatomy.downs)))
        self.last = nn.Conv2d(anatomy.width, 3, 7, padding=3)

    def keypoints(self, picture: Tensor) -> Keypoints:
        """Find the keypoints of pictures [N, 3, S, S] in [0, 1]."""
        found: Keypoints = self.detector(picture)
        return found

    def forward(self, source: Tensor, here: Keypoints, there: Keypoints) -> Tensor:
        """Move pictures.

        Args:
            source: [N, 3, S, S] in [0, 1]; S is a multiple of 128 for the released sizes.
            here: Their keypoints.
            there: Where these go.

        Returns:
            [N, 3, S, S] in [0, 1].
        """
        x = self.first(source)
        for down in self.downs:
            x = _halved(down(x))
        dense, seen = self.motion(source, here, there)
        x = _looked_up(x, _resized(dense.permute(0, 3, 1, 2), x).permute(0, 2, 3, 1))
        if seen is not None:
            x = x * _resized(seen, x)
        for block in self.blocks:
            x = block(x)
        for up in self.ups:
            x = up(_doubled(x))
        drawn: Tensor = self.last(x).sigmoid()
        return drawn


def blur_of(shrink: int) -> Tensor:
    """Return the Gaussian that goes before taking every ``shrink``-th pixel, [k, k] with sum 1."""
    sigma = (shrink - 1) / 2
    reach = round(4 * sigma)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    row = torch.exp(-(steps**2) / (2 * sigma**2)) if sigma else torch.ones(1)
    plane = torch.outer(row, row)
    return plane / plane.sum()


def shrunk(picture: Tensor, shrink: int) -> Tensor:
    """Make pictures [N, C, H, W] smaller by a whole factor, after a blur; black lies around them."""
    if shrink == 1:
        return picture
    kernel, channels = blur_of(shrink).to(picture), picture.shape[1]
    kernel = kernel.expand(channels, 1, -1, -1)
    return F.conv2d(picture, kernel, padding=kernel.shape[-1] // 2, groups=channels)[..., ::shrink, ::shrink]


def grid_of(maps: Tensor) -> Tensor:
    """Return the places (x, y) of the pixels of maps [..., h, w]: [h, w, 2], from -1 to 1."""
    height, width = maps.shape[-2:]
    y, x = (torch.linspace(-1, 1, n, dtype=maps.dtype, device=maps.device) for n in (height, width))
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([columns, rows], dim=-1)


def _heat(source: Tensor, points: Keypoints) -> Tensor:
    """Return a Gaussian around each keypoint, [N, K, h, w]."""
    away = grid_of(source) - points.places[:, :, None, None]
    return torch.exp(-(away**2).sum(dim=-1) / (2 * VARIANCE))


def _looked_up(x: Tensor, places: Tensor) -> Tensor:
    # The released models were trained with a PyTorch (1.0) whose -1 and 1 are the centres of the outermost pixels.
    return F.grid_sample(x, places, align_corners=True)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    size = like.shape[-2:]
    return x if x.shape[-2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
