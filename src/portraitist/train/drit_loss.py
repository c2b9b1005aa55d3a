"""The losses of DRIT++, whose content should not tell of its domain and whose appearances are exchanged.

Lee et al. 2020, "DRIT++: Diverse Image-to-Image Translation via Disentangled Representations" (arXiv:1905.01270). With
E^c, E^a and G of a domain, 1 that of the picture x and 2 that of the picture y beside it:

    code = E1^c(x) + noise, own = E2^a(y)                   the program disturbs contents in training
    made = G2(code, own), G2(code, z), G2(code, z')         z and z' from N(0, 1)

    here                  paper
    game                  L_adv^domain, of all that is made
    content_adversarial   L_adv^content
    reconstruction        L_1^recon, |G1(code, E1^a(x)) - x|
    cycle                 L_1^cc: both pictures exchange their appearances, and exchange them again
    kl                    L_KL, the mean square of appearances, and in the program of contents too
    appearance            L_1^latent, |E2^a(G2(code, z)) - z|; as in the program the encoder rests meanwhile
    mode_seeking          L_ms, of G2(code, z) and G2(code, z')

The program squares contents with their noise, which adds a constant; where an appearance is not drawn from a posterior,
as here, it squares that itself.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..losses.translation import domain_loss, drawn_well, mode_seeking_loss, undecided_loss
from ..networks.branches import Resting, TranslatorSystem
from ..networks.identity import Identity
from .state import random_of
from .translation_loss import Draws, Sample, Terms, TranslationLoss, Way, add
from .translator_settings import TranslatorTraining

LOOKS = 3
"""Appearances that each content is drawn in: that of the picture beside it, and two that are random."""


class Numbers(NamedTuple):
    """The random numbers of one way."""

    noise: Tensor
    """On the code of the picture, and on that of what was made of it: [N, 2, 4c, R/4, R/4]."""
    appearances: Tensor
    """[N, 2, 8]."""


class Seen(NamedTuple):
    """What one way has made of its pictures."""

    code: Tensor
    """[N, 4c, R/4, R/4], before the noise."""
    noisy: Tensor
    own: Tensor
    """Appearance of the pictures beside them, [N, 8]."""
    made: Tensor
    """Pictures in all appearances, [3N, 3, R, R]."""


class DritLoss(TranslationLoss):
    """What DRIT++'s translators and discriminators minimise."""

    def __init__(
        self, system: TranslatorSystem, training: TranslatorTraining, identity: Identity | None = None
    ) -> None:
        """Choose the networks and the face embedder; arguments and errors as of :class:`TranslationLoss`."""
        super().__init__(system, training, identity)
        assert system.of_contents is not None  # players() has looked
        self.of_contents = system.of_contents

    def draws(self, count: int, *words: object) -> Draws | None:
        """Return the random numbers of either way, [N, ...] in one row."""
        anatomy = self.to_drawing.anatomy
        numbers = 2 * (prod(anatomy.code) + anatomy.appearance)
        return (
            torch.randn(count, numbers, generator=random_of(*words, "to_drawing")),
            torch.randn(count, numbers, generator=random_of(*words, "to_photo")),
        )

    def of_discriminators(self, sample: Sample, fakes: Sample, group: str, draws: Draws | None = None) -> Terms:
        """Return the terms of all discriminators; arguments as of :class:`TranslationLoss`."""
        terms = super().of_discriminators(sample, fakes, group, draws)
        if self.training.content_adversarial_weight:
            with torch.no_grad():
                photos, drawings = (self._noisy(way, group) for way in self._ways(sample, draws))
            apart = domain_loss(self.of_contents(photos).float(), self.of_contents(drawings).float())
            add(terms, "content_d", 1.0, apart)  # L_adv^content of the discriminator
        return terms

    def of_translators(
        self, sample: Sample, group: str, draws: Draws | None = None, *, detached: bool = False
    ) -> Terms:
        """Return the terms of the translators; arguments as of :class:`TranslationLoss`."""
        terms: Terms = {}
        ways = self._ways(sample, draws)
        there, back = (self._seen(way, group, detached) for way in ways)
        for way, mine, other in zip(ways, (there, back), (back, there), strict=True):
            self._add_terms(terms, way, mine, other, group, detached)
        return terms

    def fakes(self, sample: Sample, group: str, draws: Draws | None = None) -> Sample:
        """Return photos made of drawings and drawings made of photos in all appearances, without a gradient."""
        with torch.no_grad():
            drawn, lifelike = (self._seen(way, group, False).made for way in self._ways(sample, draws))
        return lifelike, drawn

    def _numbers(self, way: Way) -> Numbers:
        assert way.drawn is not None
        anatomy, count = self.to_drawing.anatomy, len(way.drawn)
        noise, appearances = way.drawn.split([2 * prod(anatomy.code), 2 * anatomy.appearance], 1)
        return Numbers(noise.view(count, 2, *anatomy.code), appearances.view(count, 2, -1))

    def _noisy(self, way: Way, group: str) -> Tensor:
        return way.there.path(group).encoded(way.pictures) + self._numbers(way).noise[:, 0]

    def _seen(self, way: Way, group: str, detached: bool) -> Seen:
        there = way.there.path(group, detached=detached)
        numbers = self._numbers(way)
        code = there.encoded(way.pictures)
        noisy = code + numbers.noise[:, 0]
        own = there.appearance_of(way.others)
        looks = torch.cat([own, *numbers.appearances.unbind(1)])  # [3N, 8]
        return Seen(code, noisy, own, there.decoded(noisy.repeat(LOOKS, 1, 1, 1), looks).float())

    def _add_terms(self, terms: Terms, way: Way, mine: Seen, other: Seen, group: str, detached: bool) -> None:
        weights, x, count = self.training, way.pictures, len(way.pictures)
        there, back = (t.path(group, detached=detached) for t in (way.there, way.back))
        numbers = self._numbers(way)
        changed, first, second = mine.made.split(count)
        output = way.panel(mine.made)
        if weights.adversarial_weight:  # L_adv^domain; a game for each appearance
            add(terms, "game_g", LOOKS * weights.adversarial_weight, drawn_well([s.float() for s in output.scores]))
        if weights.content_adversarial_weight:  # L_adv^content of the encoders
            hidden = undecided_loss(self.of_contents(mine.noisy).float())
            add(terms, "content_g", weights.content_adversarial_weight, hidden)
        if weights.reconstruction_weight:  # L_1^recon
            same = back.decoded(mine.noisy, other.own).float()
            add(terms, "reconstruction", weights.reconstruction_weight, F.l1_loss(same, x))
        if weights.cycle_weight:  # L_1^cc: the content of what was made of x, the appearance of what was made of y
            found = back.encoded(changed) + numbers.noise[:, 1]
            again = back.decoded(found, back.appearance_of(other.made[:count])).float()
            add(terms, "cycle", weights.cycle_weight, F.l1_loss(again, x))
        if weights.kl_weight:  # L_KL
            distance = mine.code.float().square().mean() + mine.own.float().square().mean()
            add(terms, "kl", weights.kl_weight, distance)
        if weights.appearance_weight:  # L_1^latent
            worn = Resting(there.parts["appearance"])(first).float()
            add(terms, "appearance", weights.appearance_weight, F.l1_loss(worn, numbers.appearances[:, 0]))
        if weights.mode_seeking_weight:  # L_ms
            apart = mode_seeking_loss((first, second), numbers.appearances.unbind(1))
            add(terms, "mode_seeking", weights.mode_seeking_weight, apart)
        self._recognised(terms, x, changed, output, group)
