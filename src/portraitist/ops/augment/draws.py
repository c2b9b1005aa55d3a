"""What each image of a batch drew: the random part of augmentation, as a value.

A transform that an image did not draw holds its neutral value, so applying it would change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, fields

import torch
from torch import Tensor

GROUPS = frozenset({"blit", "geom", "color", "filter", "noise", "cutout"})
"""Groups of transforms, in the order of the paper."""

PRESETS = {
    "b": frozenset({"blit"}),
    "bg": frozenset({"blit", "geom"}),
    "bgc": frozenset({"blit", "geom", "color"}),
    "bgcf": frozenset({"blit", "geom", "color", "filter"}),
    "bgcfn": frozenset({"blit", "geom", "color", "filter", "noise"}),
    "bgcfnc": GROUPS,
}
"""Sets of groups by their usual short names; the paper settles on ``bgc``."""

BANDS = 4
"""Frequency bands of the image-space filter, from low to high, an octave each."""

BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
"""Share of each band in the power of a natural image, kept at sum 1 when one band is amplified."""


@dataclass(frozen=True)
class AugmentSettings:
    """Strengths of the transforms; the defaults are the paper's (appendix B)."""

    shift: float = 0.125
    """Largest whole-pixel translation, as a part of the image's side."""
    scale: float = 0.2
    """Deviation of log2 of the scale."""
    rotation: float = 1.0
    """Largest angle, as a part of half a turn."""
    stretch: float = 0.2
    """Deviation of log2 of the anisotropic scale."""
    slide: float = 0.125
    """Deviation of the fractional translation, as a part of the image's side."""
    brightness: float = 0.2
    """Deviation of the offset, for images in [-1, 1]."""
    contrast: float = 0.5
    """Deviation of log2 of the factor."""
    hue: float = 1.0
    """Largest rotation about the grey axis, as a part of half a turn."""
    saturation: float = 1.0
    """Deviation of log2 of the factor."""
    band_gain: float = 1.0
    """Deviation of log2 of a frequency band's factor."""
    noise: float = 0.1
    """Deviation of the half-normal from which the noise's deviation is drawn."""
    cutout: float = 0.5
    """Side of the erased box, as a part of the image's side."""


@dataclass(frozen=True)
class Draws:
    """The parameters of every transform for every image: the first axis of each tensor is the batch.

    The transforms act on an image in the order of the fields.
    """

    mirror: Tensor
    """[N] bool: left and right are exchanged."""
    turns: Tensor
    """[N] whole: counterclockwise quarter turns, 0 to 3."""
    shift: Tensor
    """[N, 2]: translation (x, y) in parts of width and height, rounded to whole pixels."""
    scale: Tensor
    """[N]: enlargement about the centre."""
    turn_before: Tensor
    """[N]: counterclockwise radians, before stretching."""
    stretch: Tensor
    """[N]: x is multiplied and y divided by it."""
    turn_after: Tensor
    """[N]: counterclockwise radians, after stretching."""
    slide: Tensor
    """[N, 2]: translation (x, y) in parts of width and height."""
    brightness: Tensor
    """[N]: added to every channel."""
    contrast: Tensor
    """[N]: factor on every channel."""
    luma_flip: Tensor
    """[N] bool: light and dark are exchanged, hue and saturation kept."""
    hue: Tensor
    """[N]: radians about the grey axis."""
    saturation: Tensor
    """[N]: factor on the distance from the grey axis."""
    band_gains: Tensor
    """[N, 4]: factors on frequency bands, low to high."""
    noise: Tensor
    """[N]: deviation of white noise."""
    noise_seed: Tensor
    """[N] whole: seed of each image's noise field."""
    cutout_side: Tensor
    """[N]: side of the erased box in parts of width and height; 0 for none."""
    cutout_centre: Tensor
    """[N, 2]: centre (x, y) of the erased box in parts of width and height."""

    def __getitem__(self, rows: Tensor) -> Draws:
        """Return the draws of some images, in the order of ``rows``."""
        return Draws(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def draw(
    n: int,
    p: float,
    generator: torch.Generator,
    groups: str | Collection[str] = "bgc",
    settings: AugmentSettings | None = None,
) -> Draws:
    """Draw every transform with probability ``p`` for each of ``n`` images, independently.

    The tensors lie on the generator's device; a generator on the CPU gives the same draws on every machine.

    Args:
        n: Number of images.
        p: Probability of each transform; above 1 counts as 1. The two rotations share it: one or both with
            probability ``p``.
        generator: The only source of chance.
        groups: A name of :data:`PRESETS`, or names of :data:`GROUPS`.
        settings: Strengths; the paper's by default.
    """
    if not p >= 0:
        raise ValueError(f"the probability of augmentation must be at least 0, not {p}")
    chosen, s, dice = chosen_groups(groups), settings or AugmentSettings(), _Dice(n, generator)
    blit, geom, color, filter_, noise, cutout = (
        p if group in chosen else 0.0 for group in ("blit", "geom", "color", "filter", "noise", "cutout")
    )
    p_turn = 1 - math.sqrt(1 - min(geom, 1.0))
    return Draws(
        mirror=dice.whole(2, blit).bool(),
        turns=dice.whole(4, blit),
        shift=dice.uniform(s.shift, blit, 2),
        scale=dice.normal(s.scale, geom).exp2(),
        turn_before=dice.uniform(s.rotation * math.pi, p_turn),
        stretch=dice.normal(s.stretch, geom).exp2(),
        turn_after=dice.uniform(s.rotation * math.pi, p_turn),
        slide=dice.normal(s.slide, geom, 2),
        brightness=dice.normal(s.brightness, color),
        contrast=dice.normal(s.contrast, color).exp2(),
        luma_flip=dice.whole(2, color).bool(),
        hue=dice.uniform(s.hue * math.pi, color),
        saturation=dice.normal(s.saturation, color).exp2(),
        band_gains=_band_gains(dice, s.band_gain, filter_),
        noise=dice.normal(s.noise, noise).abs(),
        noise_seed=dice.whole(2**31, noise > 0),
        cutout_side=dice.happens(cutout) * s.cutout,
        cutout_centre=dice.uniform(0.5, cutout > 0, 2) + 0.5,
    )


def chosen_groups(groups: str | Collection[str]) -> frozenset[str]:
    """Return the groups behind a preset's name or a collection of group names.

    Raises:
        ValueError: A name is unknown.
    """
    if isinstance(groups, str):
        chosen = PRESETS.get(groups) or frozenset({groups})
    else:
        chosen = frozenset(groups)
    if unknown := chosen - GROUPS:
        raise ValueError(f"unknown augmentation {sorted(unknown)}; presets {list(PRESETS)}, groups {sorted(GROUPS)}")
    return chosen


class _Dice:
    """Throws for ``n`` images at once; what an image does not throw is 0, and p = 0 takes no chance."""

    def __init__(self, n: int, generator: torch.Generator) -> None:
        self.n, self.generator, self.device = n, generator, generator.device

    def happens(self, p: float) -> Tensor:
        if p == 0:
            return torch.zeros(self.n, dtype=torch.bool, device=self.device)
        return self._rand(self.n) < p

    def uniform(self, bound: float, p: float, width: int = 0) -> Tensor:
        shape = (self.n, width) if width else (self.n,)
        if p == 0:
            return torch.zeros(shape, dtype=torch.float64, device=self.device)
        return self._kept((2 * self._rand(*shape) - 1) * bound, p)

    def normal(self, deviation: float, p: float, width: int = 0) -> Tensor:
        shape = (self.n, width) if width else (self.n,)
        if p == 0:
            return torch.zeros(shape, dtype=torch.float64, device=self.device)
        drawn = torch.randn(shape, generator=self.generator, dtype=torch.float64, device=self.device)
        return self._kept(drawn * deviation, p)

    def whole(self, count: int, p: float) -> Tensor:
        if p == 0:
            return torch.zeros(self.n, dtype=torch.int64, device=self.device)
        drawn = torch.randint(count, (self.n,), generator=self.generator, device=self.device)
        return self._kept(drawn, p)

    def _kept(self, values: Tensor, p: float) -> Tensor:
        kept = self.happens(p).reshape(-1, *[1] * (values.ndim - 1))
        return torch.where(kept, values, torch.zeros_like(values))

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, dtype=torch.float64, device=self.device)


def _band_gains(dice: _Dice, deviation: float, p: float) -> Tensor:
    gains = torch.ones(dice.n, BANDS, dtype=torch.float64, device=dice.device)
    if p == 0:
        return gains
    power = torch.tensor(BAND_POWER, dtype=torch.float64, device=dice.device)
    for band in range(BANDS):
        factor = torch.ones_like(gains)
        factor[:, band] = dice.normal(deviation, p).exp2()
        # Only where the band was drawn, as the norm of factors of 1 may round to a neighbour of 1.
        norm = (power * factor.square()).sum(1, keepdim=True).sqrt()
        gains = gains * torch.where(factor[:, band : band + 1] == 1, factor, factor / norm)
    return gains
