"""Translators that papers compare with: they learn from photos and from the exemplars that a study's styles have."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from portraitist.data import ImageSet
from portraitist.data.groups import Groups
from portraitist.data.images import to_tensor
from portraitist.errors import UsageError
from portraitist.io.catalogue import file_sha256
from portraitist.io.translator_files import FILE, load_translator
from portraitist.recipes.translator import PRESETS, Preset, TranslatorRecipe
from portraitist.runs.translator import TranslatorOptions, train_translator

from .kept import refuse_other
from .study import Run, Study

NAMES: Mapping[str, Preset] = {
    "CycleGAN": "cyclegan",
    "MUNIT": "munit",
    "DRIT++": "drit",
    "UNIT": "unit",
    "U-GAT-IT": "ugatit",
}
"""Presets by the names that papers give them."""
CHANNELS = 32
"""Width of every translator; half of what most of them are published with."""
BATCH = 16
GROUP = "everyone"


@dataclass(frozen=True, eq=False)
class Enlarged:
    """The pictures of a set at another size: a pool that translators are trained on."""

    images: ImageSet
    side: int

    def __len__(self) -> int:
        return len(self.images)

    @property
    def digest(self) -> str:
        """SHA-256 over the size and the pictures as the set has them."""
        return hashlib.sha256(f"{self.side}:{self.images.digest}".encode()).hexdigest()

    @property
    def names(self) -> Sequence[str]:
        """What each is called."""
        return self.images.names

    def batch(self, indices: Tensor, flips: Tensor) -> Tensor:
        """Return [N, 3, R, R] in [-1, 1] of the pictures at ``indices``, mirrored where ``flips``."""
        found = self._pictures[indices]
        return torch.where(flips[:, None, None, None], found.flip(-1), found)

    @cached_property
    def _pictures(self) -> Tensor:
        return torch.stack([to_tensor(picture) for picture in self.images.decoded_at(self.side)])


def first(study: Study) -> tuple[str, int]:
    """Return the style and the seed that translators are trained for: each costs as much as many styles."""
    return next(iter(study.sets)), study.seeds[0]


def of_run(study: Study, style: str, seed: int, names: Collection[str]) -> dict[str, Preset]:
    """Return the named translators that a style and seed is compared with; none without photos to learn from."""
    if study.learned is None or (style, seed) != first(study):
        return {}
    return {name: NAMES[name] for name in names}


def told(study: Study, names: Collection[str]) -> str:
    """Say in a sentence how translators were trained."""
    if study.learned is None:
        return ""
    style, seed = first(study)
    return f"""{", ".join(names)} learn from {len(study.learned)} photos and from the same exemplars, with {CHANNELS}
    channels and {study.images} photos shown, for {style} and seed {seed} alone. Those that know several
    appearances draw the mean one."""


def trained(study: Study, preset: Preset, style: str, seed: int) -> Path:
    """Train a translator on the study's photos to learn from and on the exemplars of a style, or go on with it.

    It sees as many photos as styles see images, and the exemplars that styles of this seed see.

    Returns:
        Its file.

    Raises:
        UsageError: The study has no photos to learn from, or the run folder holds another training.
    """
    out = study.out / study.runs / f"{style}-{preset}-{seed}"
    recipe = _recipe(study, preset, seed)
    data = _data(study, recipe, style, seed)
    if (out / FILE).exists():
        _check(out, data, recipe)
    else:
        train_translator(data, out, recipe, TranslatorOptions(device=study.device, quiet=study.quiet))
    return out / FILE


def digest(study: Study, preset: Preset, style: str, seed: int) -> str:
    """Return what tells a translator from others, training it where need be."""
    return file_sha256(trained(study, preset, style, seed))


@torch.no_grad()
def translated(study: Study, preset: Preset, style: str, seed: int, photos: Tensor) -> Tensor:
    """Return what a translator draws of photos: [N, 3, R, R] both."""
    network = load_translator(trained(study, preset, style, seed)).system.to_drawing.to(study.device).eval()
    return torch.cat([network(part, GROUP).image for part in torch.split(photos.to(study.device), BATCH)])


def _recipe(study: Study, preset: Preset, seed: int) -> TranslatorRecipe:
    recipe = PRESETS[preset](study.side, CHANNELS)
    return replace(recipe, training=replace(recipe.training, images=study.images, seed=seed))


def _data(study: Study, recipe: TranslatorRecipe, style: str, seed: int) -> Groups:
    if study.learned is None:
        raise UsageError("Translators learn from photos.", "Name some with --learn-from.")
    exemplars, _ = study.split(Run(style, "", seed))
    side = recipe.training.loaded(study.side)
    return Groups({GROUP: Enlarged(study.learned, side)}, {GROUP: Enlarged(exemplars, side)})


def _check(out: Path, data: Groups, recipe: TranslatorRecipe) -> None:
    """Refuse a run folder that holds another training under this name."""
    networks = {"translator": asdict(recipe.translator), "panel": asdict(recipe.panel)}
    refuse_other(out, {**asdict(recipe.training), **networks, "data": {"digest": data.digest}})
