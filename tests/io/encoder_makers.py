"""Makers of encoder checkpoints as pSp, e4e and AgileGAN write them, built from their layouts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

WIDTHS, UNITS, HEAD = (4, 4, 8, 12, 16), (1, 2, 1, 2), 16


def encoder_state(
    levels: tuple[int, int, int] = (3, 4, 1), halvings: int = 1, heads: bool = False
) -> dict[str, Tensor]:
    """Return the tensors of a small encoder under the names of pSp.

    Args:
        levels: Rows of each level.
        halvings: Convolutions of the heads of the coarsest level.
        heads: Add AgileGAN's fc_mu and fc_var.
    """
    random = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def weight(name: str, *shape: int) -> None:
        state[name] = torch.randn(shape, generator=random) * 0.2

    def norm(name: str, width: int) -> None:
        for kind in ("weight", "running_var"):
            state[f"{name}.{kind}"] = torch.rand(width, generator=random) + 0.5
        for kind in ("bias", "running_mean"):
            state[f"{name}.{kind}"] = torch.randn(width, generator=random) * 0.1
        state[f"{name}.num_batches_tracked"] = torch.tensor(70_000)

    weight("input_layer.0.weight", WIDTHS[0], 3, 3, 3)
    norm("input_layer.1", WIDTHS[0])
    weight("input_layer.2.weight", WIDTHS[0])
    k, inputs = 0, WIDTHS[0]
    for outputs, count in zip(WIDTHS[1:], UNITS, strict=True):
        for _ in range(count):
            body = f"body.{k}"
            if inputs != outputs:
                weight(f"{body}.shortcut_layer.0.weight", outputs, inputs, 1, 1)
                norm(f"{body}.shortcut_layer.1", outputs)
            norm(f"{body}.res_layer.0", inputs)
            weight(f"{body}.res_layer.1.weight", outputs, inputs, 3, 3)
            weight(f"{body}.res_layer.2.weight", outputs)
            weight(f"{body}.res_layer.3.weight", outputs, outputs, 3, 3)
            norm(f"{body}.res_layer.4", outputs)
            weight(f"{body}.res_layer.5.fc1.weight", max(1, outputs // 16), outputs, 1, 1)
            weight(f"{body}.res_layer.5.fc2.weight", outputs, max(1, outputs // 16), 1, 1)
            k, inputs = k + 1, outputs
    row = 0
    for extra, count in enumerate(levels):
        for _ in range(count):
            for conv in range(halvings + extra):
                weight(f"styles.{row}.convs.{2 * conv}.weight", HEAD, HEAD, 3, 3)
                weight(f"styles.{row}.convs.{2 * conv}.bias", HEAD)
            weight(f"styles.{row}.linear.weight", HEAD, HEAD)
            weight(f"styles.{row}.linear.bias", HEAD)
            row += 1
    for name, width in (("latlayer1", WIDTHS[3]), ("latlayer2", WIDTHS[2])):
        weight(f"{name}.weight", WIDTHS[4], width, 1, 1)
        weight(f"{name}.bias", WIDTHS[4])
    for name in ("fc_mu", "fc_var") if heads else ():
        weight(f"{name}.weight", HEAD, HEAD)
        weight(f"{name}.bias", HEAD)
    return state


def write_encoder(
    path: Path, program: str, state: dict[str, Tensor] | None = None, **changes: Any
) -> dict[str, Tensor]:
    """Write ``encoder.pt`` of ``psp``, ``e4e`` or ``agilegan``; ``changes`` replace entries of its top level."""
    state = encoder_state(heads=program == "agilegan") if state is None else state
    mean = torch.linspace(-1, 1, HEAD).repeat(8, 1)
    options: Any = {
        "psp": argparse.Namespace(encoder_type="GradualStyleEncoder", start_from_latent_avg=True),
        "e4e": {"encoder_type": "Encoder4Editing", "start_from_latent_avg": True},
        "agilegan": {"output_size": 1024},
    }[program]
    decoder = {"decoder.input.input": torch.zeros(1, 4, 4, 4), "decoder.style.1.weight": torch.zeros(4, 4)}
    tree = {
        "state_dict": {f"encoder.{k}": v for k, v in state.items()} | decoder,
        "opts": options,
        "latent_avg": mean,
        **changes,
    }
    torch.save({k: v for k, v in tree.items() if v is not None}, path)
    return state
