"""Settings of an inversion by optimisation, and the papers' as presets.

settings = replace(ui2i(rank=32), steps=300)
found = Projector(model.generator, perceptual, settings).invert(photos)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import UsageError


@dataclass(frozen=True)
class Projection:
    """Settings of a projection; the defaults are those of the StyleGAN2 projector into W, less its noise planes."""

    space: Literal["w", "w+"] = "w"
    """One code for all rows, or one per row."""
    basis: Literal["none", "sefa"] = "none"
    """Move w itself, or its coordinates v along the directions of SeFa: w = origin + v V."""
    rank: int | None = None
    """How many directions of the basis; with all of them it is a rotation of W and forbids nothing."""
    start: Literal["mean", "zero", "encoder"] = "mean"
    """Where codes begin. ``mean`` is the mean w, ``zero`` is w = 0, ``encoder`` what the encoder says. The coordinates
    of a basis count from w = 0 with ``zero`` and from the mean w with the others."""
    steps: int = 1000
    learning_rate: float = 0.1
    ramp_up: float = 0.05
    """Part of the steps over which the learning rate rises from 0."""
    ramp_down: float = 0.25
    """Part of the steps over which it falls to 0."""
    code_noise: float = 0.05
    """Deviation of the noise on the code at the start, relative to the deviation of w."""
    code_noise_until: float = 0.75
    """Part of the steps after which that noise is gone."""
    perceptual_weight: float = 1.0
    features: Literal["unit", "raw", "norm"] = "unit"
    """Compare unit feature vectors of all taps, as LPIPS does, or one map as it is: its mean squared difference, or the
    root of that."""
    pixel_weight: float = 0.0
    pixels: Literal["pyramid", "squared", "absolute"] = "pyramid"
    """Of pixels, the mean squared difference over a pyramid of sizes or at full size, or the mean absolute one."""
    prior_weight: float = 0.0
    """Of the penalty on codes that the mapping network would hardly make; about 1 for those it makes."""
    tie_weight: float = 0.0
    """Of the penalty on rows of W+ that differ from each other; 2 for independent codes of the prior."""
    domain_weight: float = 0.0
    """Of the mean squared difference between the code and the encoder's code of the drawing."""
    optimise_noise: bool = False
    """Fit the noise planes too. They hide what the code should say, and other generators then need them as well."""
    noise_weight: float = 1e5
    """Of the penalty on correlated noise planes."""
    seed: int = 0
    """Of the noise on the codes. It is the same for every picture, so that what a picture gets depends on the seed
    alone, in whatever batch and place."""

    def __post_init__(self) -> None:
        if self.space not in ("w", "w+"):
            raise UsageError(f"Codes cannot be projected into '{self.space}'.", "Use 'w' or 'w+'.")
        if self.steps < 1 or not 0 < self.learning_rate < math.inf:
            raise UsageError("A projection needs at least one step and a positive learning rate.")
        if self.rank is not None and (self.basis == "none" or self.rank < 1):
            raise UsageError(
                "A rank counts the directions of a basis, and there must be one at least.",
                "Choose a way that has a basis, such as ui2i.",
            )
        if self.start == "encoder" and self.space == "w":
            raise UsageError("An encoder gives a code for each row.", "Choose the space 'w+'.")

    @property
    def needs_encoder(self) -> bool:
        """Whether an encoder takes part."""
        return self.start == "encoder" or self.domain_weight > 0


def portrait() -> Projection:
    """Return the settings for restyling: as like the photo as codes near the prior can be.

    Without the two penalties the base draws the photo little better, but a style model draws such codes muddily and
    with patches. A base that is barely trained needs weaker ones: hair and head shape are then out of its reach.
    """
    return Projection(space="w+", steps=200, learning_rate=0.05, pixel_weight=5.0, prior_weight=0.3, tie_weight=0.3)


def refine(steps: int = 20) -> Projection:
    """Return the settings that better a code which is good already: :func:`portrait` without its search.

    Give the code to ``invert(start=)``. It is the first that is looked at, so the total loss never rises.
    """
    # So few steps must be large ones, but a handful has none to correct itself with. The penalties pull the code to the
    # prior while it gets more like the photo.
    rate = min(0.03 * steps, 0.3)
    return replace(portrait(), steps=steps, learning_rate=rate, ramp_up=0.0, ramp_down=0.3, code_noise=0.0)


def stylegan2() -> Projection:
    """Return the settings of Karras et al. 2020, arXiv:1912.04958, App. D: W, 1000 steps, noise planes too."""
    return Projection(optimise_noise=True)


def image2stylegan() -> Projection:
    """Return the settings of Abdal et al. 2019, arXiv:1904.03189: W+, 5000 small steps, pixels beside features."""
    return Projection(
        space="w+",
        steps=5000,
        learning_rate=0.01,
        ramp_up=0,
        ramp_down=0,
        code_noise=0,
        pixel_weight=1,
        pixels="squared",
    )


def ui2i(rank: int | None = None) -> Projection:
    """Return the settings of UI2I but for what compares features, which is the perceptual distance.

    A norm of raw features is on no scale that absolute pixels could be added to: :func:`ui2i_paper` hardly listens to
    the pixels.
    """
    return replace(ui2i_paper(rank), features="unit")


def ui2i_paper(rank: int | None = None) -> Projection:
    """Return the settings of Huang et al. 2020, arXiv:2010.05713, Eq. 9: coordinates v in the SeFa space, from mean w.

    Args:
        rank: The paper has all directions, which is W under another name; fewer confine the code to what changes the
            drawing most.
    """
    return Projection(basis="sefa", rank=rank, code_noise=0, features="norm", pixel_weight=1, pixels="absolute")


def ui2i_released(rank: int | None = None) -> Projection:
    """Return the settings of its released code: w = v V from v = 0, features alone, noise planes optimised too."""
    return Projection(basis="sefa", rank=rank, start="zero", code_noise=0, optimise_noise=True)


def in_domain() -> Projection:
    """Return the settings of Zhu et al. 2020, arXiv:2004.00049, Sec. 3.2, as released: 100 steps from the encoder.

    The released weight of features, 5e-5, is meant for VGG16 that takes pixels of 0..255 as they are; here a trunk
    takes them divided by their deviation (58), which divides squared features by about 58^2.
    """
    return Projection(
        space="w+",
        start="encoder",
        steps=100,
        learning_rate=0.01,
        ramp_up=0,
        ramp_down=0,
        code_noise=0,
        perceptual_weight=5e-5 * 58**2,
        features="raw",
        pixel_weight=1,
        pixels="squared",
        domain_weight=2,
    )


METHODS: dict[str, Callable[[], Projection]] = {
    "portrait": portrait,
    "stylegan2": stylegan2,
    "image2stylegan": image2stylegan,
    "ui2i": ui2i,
    "ui2i-paper": ui2i_paper,
    "ui2i-released": ui2i_released,
    "in-domain": in_domain,
}
"""The presets by the names under which the command line knows them."""
