"""One step of inversion: an image from w and the gradient of a squared distance to w, batch 1."""

from __future__ import annotations

from functools import partial

import torch

from portraitist.networks import Generator, GeneratorAnatomy

from .generation import WIDTHS
from .measure import Run, Subject


def subjects() -> list[Subject]:
    return [
        Subject(f"inversion step {size} px", partial(inversion_step, size), 0.85, quick=size == 64)
        for size in (64, 256)
    ]


def inversion_step(size: int) -> Run:
    generator = Generator(GeneratorAnatomy(size, WIDTHS[size])).requires_grad_(False)
    w = torch.randn(1, generator.anatomy.w_dim, requires_grad=True)
    target = torch.randn(1, 3, size, size)

    def step() -> None:
        ws = w[:, None].expand(-1, generator.anatomy.rows, -1)
        torch.autograd.grad((generator.synthesis(ws) - target).square().mean(), w)

    return step
