"""What the new layers of a grown discriminator learn before the game goes on.

They stand before all that the discriminator knows, and at random they would feed it noise. The old discriminator says
what they should give: its first layer's features of the reduced image. So they are trained alone, by regression on
augmented real images, until their output can take that layer's place; the rest is copied and scores as before.

    state = EntranceState(base.discriminator, grown, training)
    fit(state, EntranceRegression(base.discriminator.from_rgb, photos, training), on_step)
    state.error             # share of the variance that is left
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from ..networks import Discriminator
from ..networks.growth import entrance
from ..ops.augment import augment
from .distributed import ProcessGroup
from .loop import Batches, Losses, Phase, Share
from .spec import Training
from .state import Optimised, State, random_of

AUGMENTED = 0.3
"""Probability of each transform of the images: more than in training, so that the layers fit whatever ADA brings."""
MEMORY = 0.95
"""Share of the running error that each step keeps."""


class EntranceState(State):
    """The new layers of a grown discriminator, their optimiser and how far they have come."""

    def __init__(self, old: Discriminator, grown: Discriminator, training: Training) -> None:
        """Begin a regression that trains the new layers of ``grown`` in place; ``old`` is what it was grown from."""
        self.reduced = old.anatomy.resolution
        """Side of the features that they give."""
        self.entrance = entrance(grown, self.reduced)
        self.error = 1.0
        """Mean squared error of the features, as a share of their variance: a running mean."""
        optimiser = Adam(self.entrance.parameters(), training.entrance_rate, betas=(0.9, 0.99))
        super().__init__({"entrance": self.entrance}, {"D": Optimised("adam", self.entrance, optimiser)})

    def counters(self) -> dict[str, Any]:
        """Return what is not a tensor."""
        return {**super().counters(), "error": self.error}

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Become the state that a snapshot holds; errors as of :class:`State`."""
        super().restore(tensors, counters)
        self.error = counters["error"]


class EntranceRegression:
    """The regression as an objective of the loop: one phase, whose learning rate falls to 0."""

    units = 1

    def __init__(self, teacher: nn.Module, photos: Batches, training: Training) -> None:
        """Choose what is minimised.

        Args:
            teacher: The first layer of the discriminator that was grown.
            photos: Real images by position, at the resolution of the grown discriminator.
            training: Settings.
        """
        self.teacher, self.photos = teacher, photos
        self.training = replace(training, images=training.entrance_images)
        self.step_images = training.batch
        self.phases = (Phase("the new layers of the discriminator", "D", 1, ("loss",), self._loss),)

    def prepare(self, state: EntranceState, parts: int, group: ProcessGroup) -> None:
        """Do nothing: images are looked at one by one."""

    def begin(self, state: EntranceState) -> Sequence[Tensor]:
        """Return the images of the step, and lower the learning rate."""
        for group in state.optimisers["D"].optimiser.param_groups:
            group["lr"] = self.training.entrance_rate * (1 - state.images / self.training.images)
        return (self.photos.at(state.images).to(state.device),)

    def finish(self, state: EntranceState, report: dict[str, Tensor]) -> None:
        """Follow the error."""
        left = float(report["left"])
        state.error = left if state.step == 0 else MEMORY * state.error + (1 - MEMORY) * left

    def _loss(self, state: EntranceState, photos: Tensor, unit: int, share: Share) -> Losses:
        random = random_of(self.training.seed, state.images, "entrance")
        images = augment(share.take(photos), AUGMENTED, random, share=(share.index, share.of))
        with torch.no_grad():
            wanted = self.teacher(F.interpolate(images, (state.reduced, state.reduced), mode="area"))  # [N, C, r, r]
        drawn = state.entrance(images)[:, : wanted.shape[1]]  # new channels count zero to what follows
        loss = (drawn - wanted).square().mean()
        return loss, {"loss": loss.detach(), "left": loss.detach() / wanted.var()}
