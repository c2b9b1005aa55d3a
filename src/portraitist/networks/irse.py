"""The IR-SE backbone: residual units with squeeze-and-excitation.

Deng et al. 2019, "ArcFace", arXiv:1801.07698, Sec. 3.1 (the improved residual unit) with Hu et al. 2018,
arXiv:1709.01507 (the excitation). The encoders of pSp, e4e and AgileGAN and the IR-SE50 face embedder share it;
parameters are named as in their files: ``input_layer.*`` and ``body.{i}.*``.

    body = units((64, 64, 128, 256, 512), (3, 4, 14, 3))        # IR-SE50
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SQUEEZE = 16
"""Channels per channel of the bottleneck of an excitation."""


class BatchNorm(nn.Module):
    """Batch normalisation of [N, C, ...] without torch's counter of batches, which half precision cannot hold."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, *, affine: bool = True, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(width)) if affine else None
        self.bias = nn.Parameter(torch.zeros(width)) if affine else None
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.mean_of_all: Callable[[Tensor], Tensor] | None = None
        """Averages a statistic, differentiably, over the processes that train together; None where there is one."""
        self.processes = 1

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the batch in training, which moves the running statistics; by these otherwise."""
        if self.training and self.mean_of_all is not None:
            return self._synchronised(x.float(), self.mean_of_all).to(x)
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum
        )

    def _synchronised(self, x: Tensor, mean_of_all: Callable[[Tensor], Tensor]) -> Tensor:
        """Normalise by the pictures of all processes, of which each has as many."""
        dims = [0, *range(2, x.ndim)]
        shape = (1, -1, *(1 for _ in dims[1:]))
        mean = mean_of_all(x.mean(dims))  # [C]
        centred = x - mean.view(shape)
        variance = mean_of_all(centred.square().mean(dims))
        count = x.numel() // x.shape[1] * self.processes
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / max(count - 1, 1), self.momentum)
        y = centred * torch.rsqrt(variance + 1e-5).view(shape)
        return y if self.weight is None or self.bias is None else y * self.weight.view(shape) + self.bias.view(shape)


class Excitation(nn.Module):
    """Weigh each channel by what all channels are on average."""

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = max(1, width // SQUEEZE)
        self.fc1 = nn.Conv2d(width, narrow, 1, bias=False)
        self.fc2 = nn.Conv2d(narrow, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh [N, C, h, w]."""
        y: Tensor = x * self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()
        return y


class Unit(nn.Module):
    """Normalise, convolve twice and excite, beside a shortcut; the first unit of a stage halves the side."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.shortcut_layer: nn.Sequential | None = None
        if inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(shortcut, BatchNorm(outputs))
        self.res_layer = nn.Sequential(
            BatchNorm(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
            BatchNorm(outputs),
            Excitation(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Turn [N, I, h, w] into [N, O, h / stride, w / stride]."""
        shortcut = x[:, :, :: self.stride, :: self.stride] if self.shortcut_layer is None else self.shortcut_layer(x)
        y: Tensor = self.res_layer(x) + shortcut
        return y


def stem(width: int) -> nn.Sequential:
    """Return the layer that sees the image; it keeps the side."""
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), BatchNorm(width), nn.PReLU(width))


def units(widths: tuple[int, ...], counts: tuple[int, ...]) -> nn.Sequential:
    """Return the units of all stages in a row.

    Args:
        widths: Channels of the stem and after each stage.
        counts: Units of each stage.
    """
    return nn.Sequential(
        *(
            Unit(outputs if k else inputs, outputs, 1 if k else 2)
            for (inputs, outputs), count in zip(pairwise(widths), counts, strict=True)
            for k in range(count)
        )
    )
