"""What the new layers of a grown discriminator learn before the game goes on.

They stand before all that the discriminator knows, and at random they would feed it noise. The old discriminator says
what they should give: its first layer's features of the reduced image. So they are trained alone, by regression on
augmented real images, until their output can take that layer's place; the rest is copied and scores as before.

    regression = EntranceRegression(base.discriminator, grown, training)
    fit_entrance(regression, batches, training, on_step)
    regression.error        # share of the variance that is left
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam

from ..networks import Discriminator
from ..networks.growth import entrance
from ..ops.augment import augment
from .loop import Batches
from .spec import Training
from .state import random_of

AUGMENTED = 0.3
"""Probability of each transform of the images: more than in training, so that the layers fit whatever ADA brings."""
MEMORY = 0.95
"""Share of the running error that each step keeps."""


class EntranceRegression:
    """The new layers, their optimiser and how far they have come; a state that snapshots can hold."""

    def __init__(self, old: Discriminator, grown: Discriminator, training: Training) -> None:
        """Begin.

        Args:
            old: The discriminator that was grown; it stays as it is.
            grown: What it was grown to; its new layers are trained in place.
            training: Settings.
        """
        self.reduced = old.anatomy.resolution
        self.teacher = old.from_rgb
        self.entrance = entrance(grown, self.reduced)
        self.optimiser = Adam(self.entrance.parameters(), training.entrance_rate, betas=(0.9, 0.99))
        self.images = 0
        self.error = 1.0
        """Mean squared error of the features, as a share of their variance: a running mean."""

    def step(self, real: Tensor, training: Training) -> float:
        """Take one step on real images [N, 3, R, R] in [-1, 1]; return the share of variance left in this batch."""
        random = random_of(training.seed, self.images, "entrance")
        images = augment(real, AUGMENTED, random)
        with torch.no_grad():
            wanted = self.teacher(F.interpolate(images, (self.reduced, self.reduced), mode="area"))  # [N, C, r, r]
        drawn = self.entrance(images)[:, : wanted.shape[1]]  # new channels count zero to what follows
        loss = (drawn - wanted).square().mean()
        parameters = list(self.entrance.parameters())
        for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.grad = gradient
        for group in self.optimiser.param_groups:
            group["lr"] = training.entrance_rate * (1 - self.images / training.entrance_images)
        self.optimiser.step()
        self.optimiser.zero_grad()
        left = float(loss.detach() / wanted.var())
        self.error = left if self.images == 0 else MEMORY * self.error + (1 - MEMORY) * left
        self.images += len(real)
        return left

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state under one flat name each."""
        found = {f"entrance.{k}": v for k, v in self.entrance.state_dict().items()}
        for name, p in self.entrance.named_parameters():
            found |= {f"adam.{key}.{name}": torch.as_tensor(v) for key, v in self.optimiser.state.get(p, {}).items()}
        return found

    def counters(self) -> dict[str, Any]:
        """Return what is no tensor."""
        return {"images": self.images, "error": self.error}

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Become the state that a snapshot holds."""
        rest = dict(tensors)
        self.entrance.load_state_dict({k: rest.pop(f"entrance.{k}") for k in self.entrance.state_dict()})
        for name, p in self.entrance.named_parameters():
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"adam.{key}.{name}" in rest]
            if keys:
                loaded = {key: rest.pop(f"adam.{key}.{name}") for key in keys}
                self.optimiser.state[p] = {k: v if k == "step" else v.to(p.device) for k, v in loaded.items()}
        if rest:
            raise KeyError(f"unknown tensors in the snapshot: {sorted(rest)[:5]}")
        self.images, self.error = counters["images"], counters["error"]


def fit_entrance(
    regression: EntranceRegression,
    batches: Batches,
    training: Training,
    on_step: Callable[[EntranceRegression, float], bool],
) -> None:
    """Train the new layers until they have seen ``training.entrance_images``, or ``on_step`` returns True.

    Every process of a group does the same work on the same images, so nothing is exchanged.
    """
    device = next(regression.entrance.parameters()).device
    while regression.images < training.entrance_images:
        left = regression.step(batches.at(regression.images).to(device), training)
        if on_step(regression, left):
            return
