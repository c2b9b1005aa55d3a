"""Layers with equalised learning rate: weights are stored as unit normals and scaled when used.

Karras et al. 2018, arXiv:1710.10196, Sec. 4.1. Storing them so is what makes files of the field interchangeable.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops import bias_act, conv, modulated_conv, taps, upfirdn


def unit_normal(*shape: int, over: float = 1.0) -> Tensor:
    """Return numbers from N(0, 1) divided by ``over``; a tensor of the meta device, which has sizes alone, stays so.

    To draw numbers there loads PyTorch's compiler, which takes longer than to draw a portrait.
    """
    empty = torch.empty(*shape)
    return empty if empty.is_meta else empty.normal_().div_(over)


class Linear(nn.Module):
    """A fully connected layer [N, inputs] -> [N, outputs], followed by a leaky rectifier where asked."""

    def __init__(
        self, inputs: int, outputs: int, *, rectify: bool = False, bias: float = 0.0, learning_rate: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(unit_normal(outputs, inputs, over=learning_rate))
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.rectify = rectify
        self.scale = learning_rate / math.sqrt(inputs)
        self.learning_rate = learning_rate

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        # Few inputs meet many weights: scaling the inputs is cheaper.
        if not self.rectify:
            return F.linear(x * self.scale, self.weight, self.bias * self.learning_rate)
        return bias_act(F.linear(x * self.scale, self.weight), self.bias * self.learning_rate)


class Conv(nn.Module):
    """A convolution of the discriminator, with low-pass filtering before it halves the side."""

    kernel: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        down: bool = False,
        rectify: bool = True,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(unit_normal(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if rectify else None
        self.scale = 1 / math.sqrt(inputs * size * size)
        self.down, self.gain = down, gain
        self.clamp = None if clamp is None else clamp * gain
        self.register_buffer("kernel", taps(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [N, I, H, W] to [N, O, H, W], or to half the side."""
        # The gain goes into the kernel and the bias: a pass over the features saved.
        gain = self.gain * (math.sqrt(2.0) if self.bias is not None else 1.0)
        weight = self.weight * (self.scale * gain)
        size = weight.shape[-1]
        x = channels_last(x)
        if self.down:
            p = len(self.kernel) - 2 + size - 1
            pad = ((p + 1) // 2, p // 2)
            if size == 1:
                y = F.conv2d(upfirdn(x, self.kernel, down=2, pad=pad), weight)
            else:
                y = F.conv2d(upfirdn(x, self.kernel, pad=pad), weight, stride=2)
        else:
            y = conv(x, weight)
        if self.bias is None:
            return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)
        return bias_act(y, self.bias * gain, gain=1.0, clamp=self.clamp)


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias and rectifier: one layer of the synthesis network."""

    kernel: Tensor
    noise: Tensor

    def __init__(
        self, inputs: int, outputs: int, resolution: int, w_dim: int, *, up: int = 1, clamp: float | None = None
    ) -> None:
        super().__init__()
        self.affine = Linear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(unit_normal(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise", unit_normal(resolution, resolution))
        self.register_buffer("kernel", taps(), persistent=False)
        self.scale = 1 / math.sqrt(inputs * 9)
        self.up, self.clamp = up, clamp

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """Draw features [N, O, R, R] from [N, I, R / up, R / up].

        Args:
            x: Features.
            w: Row of W+ that drives the layer [N, w_dim].
            noise: [N or 1, 1, R, R] in place of the stored plane.
        """
        gain = math.sqrt(2.0)
        plane = self.noise[None, None] if noise is None else noise
        y = modulated_conv(
            channels_last(x),
            self.weight,
            self.affine(w) * self.scale,
            up=self.up,
            kernel=self.kernel,
            gain=gain,
            noise=plane * (self.noise_strength * gain),
        )
        return bias_act(y, self.bias * gain, gain=1.0, clamp=self.clamp)


class ToRGB(nn.Module):
    """What one block adds to the image: a modulated 1x1 convolution without demodulation."""

    def __init__(self, inputs: int, image_channels: int, w_dim: int, *, clamp: float | None = None) -> None:
        super().__init__()
        self.affine = Linear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(unit_normal(image_channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.scale = 1 / math.sqrt(inputs)
        self.clamp = clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Draw [N, image_channels, R, R] from features [N, I, R, R] and a row of W+ [N, w_dim]."""
        y = modulated_conv(x, self.weight, self.affine(w) * self.scale, demodulate=False)
        return bias_act(y, self.bias, slope=1.0, gain=1.0, clamp=self.clamp)


def channels_last(x: Tensor) -> Tensor:
    """Lay the channels of features [N, C, H, W] side by side, as convolutions and filters run fastest."""
    return x.contiguous(memory_format=torch.channels_last)
