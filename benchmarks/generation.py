"""Drawing images without gradients: 64 pixels at one width, the published widths at 256 and 1024."""

from __future__ import annotations

from functools import partial

import torch

from portraitist.networks import Generator, GeneratorAnatomy, channels_for

from .measure import Run, Subject

WIDTHS = {64: (256,) * 5, 256: channels_for(256), 1024: channels_for(1024, base=32768)}
GOALS = {64: 1.0, 256: 1.0, 1024: 0.85}


def subjects() -> list[Subject]:
    return [
        Subject(f"generate {size} px, batch {batch}", partial(drawing, size, batch), goal, quick=size < 1024)
        for size, goal in GOALS.items()
        for batch in (1, 4)
    ]


def drawing(size: int, batch: int) -> Run:
    generator = Generator(GeneratorAnatomy(size, WIDTHS[size]))
    z = torch.randn(batch, generator.anatomy.z_dim)
    return torch.no_grad()(lambda: generator(z))
