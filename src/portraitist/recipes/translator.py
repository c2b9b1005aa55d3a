"""Translators by recipe: the networks and settings of a basic model.

``default`` is what draws best after an hour on one core (docs/groups.md): CycleGAN's networks, which keep the person,
the losses of the few-shot paper, and a first share of quick steps in which pictures are drawn as they are. Where code
and paper part, the other presets follow one each: ``paper`` is "Few-shot Fine-grained Cartoon Face Generation" (Sec.
3.4, 4.2), ``photo2cartoon`` the released program it builds on, ``ugatit`` Kim et al. 2020 (arXiv:1907.10830) as
UGATIT-pytorch runs it, ``cyclegan`` Zhu et al. 2017 (arXiv:1703.10593), the baseline everyone compares to. ``unit`` is
Liu et al. 2017 (arXiv:1703.00848) and ``munit`` Huang et al. 2018 (arXiv:1804.04732) as their authors' program trains
them, but that UNIT's weights are shared as its paper asks (Sec. 2; the program has let go of it). ``drit`` is DRIT++
(Lee et al. 2020, arXiv:1905.01270) as its authors' program trains it for portraits, weights shared as its paper says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ..networks.translator_anatomy import (
    PanelAnatomy,
    TranslatorAnatomy,
    attentive_panel,
    cyclegan,
    drit,
    munit,
    patch_panel,
    photo2cartoon,
    scaled_panel,
    ugatit,
    unit,
)
from ..train.translator_settings import TranslatorTraining


@dataclass(frozen=True)
class TranslatorRecipe:
    """Networks and settings of a basic model."""

    translator: TranslatorAnatomy
    panel: PanelAnatomy
    training: TranslatorTraining
    further: Mapping[str, float] = field(default_factory=dict)
    """Settings that are others for translators that draw already."""

    def going_on(self) -> TranslatorTraining:
        """Return the settings for translators that draw already."""
        return replace(self.training, **self.further).going_on()  # type: ignore[arg-type]


def default(resolution: int = 128, channels: int = 16) -> TranslatorRecipe:
    """Return what draws best from few pictures in a short training; further groups are learned slowly."""
    basic = released_cyclegan(resolution, channels)
    training = replace(
        basic.training, images=8000, learning_rate=5e-4, initial_share=0.25, person_weight=1.0, group_weight=1.0
    )
    translator = replace(basic.translator, resized=True)
    return replace(basic, translator=translator, training=training, further={"images": 900, "learning_rate": 1e-4})


def paper(resolution: int = 256, channels: int = 32) -> TranslatorRecipe:
    """Return the few-shot paper's: photo2cartoon's networks, a fixed learning rate, weights N(0, 0.02), cycle 10."""
    return TranslatorRecipe(
        photo2cartoon(resolution, channels), attentive_panel(resolution, channels), TranslatorTraining()
    )


def released_photo2cartoon(resolution: int = 256, channels: int = 32) -> TranslatorRecipe:
    """Return photo2cartoon's own: cycle 50, torch's weights, a learning rate that falls in the second half."""
    training = replace(
        TranslatorTraining(), images=1_000_000, cycle_weight=50.0, decay_from=0.5, init="torch", group_weight=0.0
    )
    return TranslatorRecipe(photo2cartoon(resolution, channels), attentive_panel(resolution, channels), training)


def released_ugatit(resolution: int = 256, channels: int = 64) -> TranslatorRecipe:
    """Return U-GAT-IT's: its full networks, cycle 10, no embedder of faces."""
    training = replace(
        TranslatorTraining(), images=1_000_000, decay_from=0.5, init="torch", person_weight=0.0, group_weight=0.0
    )
    return TranslatorRecipe(ugatit(resolution, channels), attentive_panel(resolution, channels), training)


def released_cyclegan(resolution: int = 256, channels: int = 64) -> TranslatorRecipe:
    """Return CycleGAN's: residual networks, patches of 70 pixels, a pool of 50 pictures, identity 5."""
    training = replace(
        TranslatorTraining(),
        learning_rate=2e-4,
        weight_decay=0.0,
        decay_from=0.5,
        identity_weight=5.0,
        discriminator_weight=0.5,
        person_weight=0.0,
        group_weight=0.0,
        pool=50,
    )
    return TranslatorRecipe(cyclegan(resolution, channels), patch_panel(resolution, channels), training)


def released_unit(resolution: int = 256, channels: int = 64) -> TranslatorRecipe:
    """Return UNIT's: reconstruction and cycle 10, KL .01; the learning rate is halved every 100,000 photos."""
    training = replace(_coded(), cycle_weight=10.0, kl_weight=0.01)
    return TranslatorRecipe(unit(resolution, channels), scaled_panel(resolution, channels), training)


def released_munit(resolution: int = 256, channels: int = 64) -> TranslatorRecipe:
    """Return MUNIT's: reconstruction 10, content and appearance 1 (Sec. 5.1), no cycle; the rate as UNIT's."""
    training = replace(_coded(), cycle_weight=0.0, content_weight=1.0, appearance_weight=1.0)
    return TranslatorRecipe(munit(resolution, channels), scaled_panel(resolution, channels), training)


def released_drit(resolution: int = 256, channels: int = 64) -> TranslatorRecipe:
    """Return DRIT++'s: reconstruction, cycle and appearance 10, KL .01; games of the content and mode seeking 1."""
    training = replace(
        _coded(),
        images=500_000,
        halve_every=0,
        decay_from=0.5,
        cycle_weight=10.0,
        kl_weight=0.01,
        appearance_weight=10.0,
        content_adversarial_weight=1.0,
        mode_seeking_weight=1.0,
        init="normal_convolutions",
        enlarge=256 / 216,
    )
    return TranslatorRecipe(drit(resolution, channels), scaled_panel(resolution, channels), training)


def _coded() -> TranslatorTraining:
    """Return what the program of UNIT and MUNIT trains with, and DRIT++'s begins with; it does not enlarge pictures."""
    return replace(
        TranslatorTraining(),
        images=1_000_000,
        halve_every=100_000,
        identity_weight=0.0,
        attention_weight=0.0,
        person_weight=0.0,
        group_weight=0.0,
        reconstruction_weight=10.0,
        init="kaiming",
        enlarge=1.0,
    )


Preset = Literal["default", "paper", "photo2cartoon", "ugatit", "cyclegan", "unit", "munit", "drit"]
PRESETS: Mapping[Preset, Callable[..., TranslatorRecipe]] = {
    "default": default,
    "paper": paper,
    "photo2cartoon": released_photo2cartoon,
    "ugatit": released_ugatit,
    "cyclegan": released_cyclegan,
    "unit": released_unit,
    "munit": released_munit,
    "drit": released_drit,
}
