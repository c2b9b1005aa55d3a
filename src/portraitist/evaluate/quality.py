"""What one style is worth in numbers, beside three baselines that no table goes without.

Outputs are scored on exemplars that the style has not seen. *Do nothing* (the identity map) hands on the inputs, *mean
colour* tints them as the exemplars are on average, and the *memoriser* (memorization) draws copies of the exemplars: it
shows which columns a copying model would win. Outputs are rounded to 256 levels first, as a file would hold them.

    scorer = Scorer(Reference(held_out, trained), features, distance, identity)
    rows = [scorer.row("mine", outputs, inputs), *scorer.baselines(inputs)]
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import BadData
from ..losses.perceptual import PerceptualDistance
from ..networks.features import Features
from ..networks.identity import Identity
from .copies import copy_test
from .distribution import DRAWS, frechet_interval, kernel_subsets, neighbourhoods
from .features import embed, metric_name
from .kernel import Interval, kernel_interval
from .models import layout_similarity
from .pairs import diversity, identity_similarity, interval, pair_distance

K, K_DENSITY = 3, 5
"""Neighbours for precision and recall, and for density and coverage, as their papers have them."""
PAIRS = 2000
"""Pairs of outputs for the diversity."""
DO_NOTHING, MEAN_COLOUR, MEMORISER = "do nothing", "mean colour", "memoriser"
MEASURES = {
    "frechet": "Fréchet ↓",
    "kernel": "kernel ↓",
    "kernel_subsets": "kernel, subsets ↓",
    "kernel_trained": "kernel to trained",
    "precision": "precision ↑",
    "recall": "recall ↑",
    "density": "density ↑",
    "coverage": "coverage ↑",
    "diversity": "diversity ↑",
    "change": "change ↓",
    "identity": "identity ↑",
    "strangers": "of strangers",
    "layout": "layout ↑",
    "path_length": "path length ↓",
}
"""All measures in the order of columns, and their heads."""
COPIES = "copies"


@dataclass(frozen=True, eq=False)
class Reference:
    """The exemplars of a style."""

    held_out: Tensor
    """Those that are scored on, [N, 3, R, R] in [-1, 1]."""
    trained: Tensor | None = None
    """Those that the style was trained on, where they are known."""
    warning: str = ""
    """What is wrong with the first, for instance that they were trained on."""

    def to(self, device: torch.device | str) -> Reference:
        """Return the exemplars on another device."""
        trained = None if self.trained is None else self.trained.to(device)
        return replace(self, held_out=self.held_out.to(device), trained=trained)


@dataclass(frozen=True)
class Row:
    """One set of outputs, measured."""

    name: str
    values: Mapping[str, Interval]
    """By the keys of ``MEASURES``."""
    copies: str = ""
    """What the copy alarm says; empty where nothing is known of the training."""
    alarm: bool = False


class Scorer:
    """Measures sets of outputs on the same exemplars."""

    def __init__(
        self,
        reference: Reference,
        features: Features,
        distance: PerceptualDistance,
        identity: Identity | None = None,
        *,
        wanted: Collection[str] = (),
        draws: int = DRAWS,
        seed: int = 0,
    ) -> None:
        """Look at the exemplars.

        Args:
            reference: The exemplars, on the device of the networks.
            features: What sets are compared with.
            distance: What two pictures are compared with.
            identity: Embeds faces; the columns of identity are missing when None.
            wanted: Which of ``MEASURES``; all when empty.
            draws: Bootstrap draws.
            seed: Of all draws.

        Raises:
            BadData: There are fewer than 6 exemplars to score on.
        """
        if len(reference.held_out) <= K_DENSITY:
            raise BadData(
                f"{len(reference.held_out)} exemplars cannot be scored on.", f"Bring at least {K_DENSITY + 1}."
            )
        self.reference, self.features, self.distance, self.identity = reference, features, distance, identity
        self.wanted, self.draws, self.seed = frozenset(wanted), draws, seed
        self.rows = embed(features, reference.held_out)
        trained = reference.trained
        self.trained = None if trained is None else embed(features, trained)
        self.mirrored = None if trained is None else embed(features, trained.flip(3))

    def row(self, name: str, outputs: Tensor, inputs: Tensor, extra: Mapping[str, Interval] | None = None) -> Row:
        """Measure outputs [N, 3, R, R] in about [-1, 1], each beside its input; ``extra`` joins the values."""
        outputs, inputs = as_files(outputs), as_files(inputs)
        rows = embed(self.features, outputs)
        found = {**self._of_sets(rows), **self._of_pairs(outputs, inputs), **(extra or {})}
        copies, alarm = self._copies(rows)
        return Row(name, {key: found[key] for key in MEASURES if key in found}, copies, alarm)

    def baselines(self, inputs: Tensor) -> list[Row]:
        """Measure what hands on the inputs, what tints them, and what copies exemplars."""
        return [
            self.row(name, outputs, inputs) for name, outputs in baselines(inputs, self.reference, self.seed).items()
        ]

    def _of_sets(self, rows: Tensor) -> dict[str, Interval]:
        found: dict[str, Interval] = {}
        if self._asks("frechet"):
            found["frechet"] = frechet_interval(rows, self.rows, draws=self.draws, seed=self.seed)
        if self._asks("kernel"):
            found["kernel"] = kernel_interval(rows, self.rows)
        if self._asks("kernel_subsets"):
            found["kernel_subsets"] = kernel_subsets(rows, self.rows, seed=self.seed)
        if self._asks("kernel_trained") and self.trained is not None:
            found["kernel_trained"] = kernel_interval(rows, self.trained)
        if self._asks("precision", "recall", "density", "coverage"):
            near = neighbourhoods(self.rows, rows, k=K, k_density=K_DENSITY, draws=self.draws, seed=self.seed)
            found |= {"precision": near.precision, "recall": near.recall}
            found |= {"density": near.density, "coverage": near.coverage}
        return found

    def _of_pairs(self, outputs: Tensor, inputs: Tensor) -> dict[str, Interval]:
        found: dict[str, Interval] = {}
        if self._asks("diversity"):
            found["diversity"] = diversity(self.distance, outputs, pairs=PAIRS, seed=self.seed)
        if self._asks("change"):
            found["change"] = pair_distance(self.distance, outputs, inputs)
        if self._asks("identity", "strangers") and self.identity is not None:
            found["identity"], found["strangers"] = identity_similarity(self.identity, outputs, inputs)
        if self._asks("layout"):
            found["layout"] = interval(layout_similarity(outputs, inputs))
        return found

    def _copies(self, rows: Tensor) -> tuple[str, bool]:
        if self.trained is None or self.mirrored is None:
            return "", False
        report = copy_test(rows, self.trained, self.rows, self.mirrored)
        return f"{report.count} of {len(rows)}" + (" (alarm)" if report.alarm else ""), report.alarm

    def _asks(self, *keys: str) -> bool:
        return not self.wanted or bool(self.wanted & set(keys))

    @property
    def settings(self) -> dict[str, Any]:
        """What determined the numbers."""
        trained = self.reference.trained
        return {
            "exemplars scored on": len(self.reference.held_out),
            "exemplars trained on": None if trained is None else len(trained),
            "warning": self.reference.warning,
            "Fréchet": metric_name("Fréchet distance", self.features),
            "kernel": metric_name("kernel distance", self.features),
            "distance": f"{self.distance.name} sha256:{self.distance.features.digest[:8]}",
            "persons": None if self.identity is None else f"{self.identity.name} sha256:{self.identity.digest[:8]}",
            "digests": {
                "features": self.features.digest,
                "distance": self.distance.features.digest,
                "persons": None if self.identity is None else self.identity.digest,
            },
            "draws": self.draws,
            "pairs": PAIRS,
            "k": [K, K_DENSITY],
            "seed": self.seed,
        }


def baselines(inputs: Tensor, reference: Reference, seed: int = 0) -> dict[str, Tensor]:
    """Return the outputs of the three baselines by name, [N, 3, R, R] each.

    The memoriser copies training exemplars where they are known, mirrored or not; else those that are scored on, which
    is what a training on them would lead to at worst.
    """
    copied = reference.held_out if reference.trained is None else reference.trained
    random = torch.Generator().manual_seed(seed)
    chosen = copied[torch.randint(len(copied), (len(inputs),), generator=random)]
    mirrored = torch.rand(len(inputs), generator=random) < 0.5
    chosen = torch.where(mirrored[:, None, None, None].to(chosen.device), chosen.flip(3), chosen)
    shift = reference.held_out.mean((0, 2, 3)) - inputs.mean((0, 2, 3))
    return {DO_NOTHING: inputs, MEAN_COLOUR: inputs + shift[:, None, None], MEMORISER: chosen}


def as_files(images: Tensor) -> Tensor:
    """Round images in about [-1, 1] to what an 8-bit file holds of them."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
