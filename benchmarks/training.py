"""Steps of training at 64 pixels, 256 channels, batch 8: both players, R1, path length (half the batch)."""

from __future__ import annotations

import torch

from portraitist.losses import discriminator_loss, generator_loss, path_lengths, r1
from portraitist.networks import Discriminator, DiscriminatorAnatomy, Generator, GeneratorAnatomy

from .measure import Run, Subject

SIZE, WIDTHS, BATCH = 64, (256,) * 5, 8


def subjects() -> list[Subject]:
    return [
        Subject(f"training step {SIZE} px, D and G, batch {BATCH}", training_step, 1.0, quick=True),
        Subject(f"R1 step {SIZE} px, batch {BATCH}", r1_step, 0.7),
        Subject(f"path-length step {SIZE} px, batch {BATCH // 2}", path_length_step, 0.7),
    ]


def training_step() -> Run:
    generator, discriminator = _players()
    z, real = torch.randn(BATCH, 512), torch.randn(BATCH, 3, SIZE, SIZE)

    def step() -> None:
        generator.requires_grad_(True)
        discriminator.requires_grad_(False)
        generator_loss(discriminator(generator(z))).backward()
        generator.requires_grad_(False)
        discriminator.requires_grad_(True)
        discriminator_loss(discriminator(real), discriminator(generator(z))).backward()

    return step


def r1_step() -> Run:
    _, discriminator = _players()
    real = torch.randn(BATCH, 3, SIZE, SIZE).requires_grad_()

    def step() -> None:
        r1(discriminator(real), real).mean().backward(inputs=list(discriminator.parameters()))

    return step


def path_length_step() -> Run:
    generator, _ = _players()
    z = torch.randn(BATCH // 2, 512)

    def step() -> None:
        ws = generator.mapping(z)[:, None].expand(-1, generator.anatomy.rows, -1)
        images = generator.synthesis(ws)
        path_lengths(images, ws, torch.randn_like(images)).square().mean().backward()

    return step


def _players() -> tuple[Generator, Discriminator]:
    return Generator(GeneratorAnatomy(SIZE, WIDTHS)), Discriminator(DiscriminatorAnatomy(SIZE, WIDTHS))
