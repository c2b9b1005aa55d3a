"""The losses of UNIT and MUNIT, whose translators have a code between encoder and decoder.

Liu et al. 2017, "Unsupervised Image-to-Image Translation Networks" (arXiv:1703.00848), and Huang et al. 2018,
"Multimodal Unsupervised Image-to-Image Translation" (arXiv:1804.04732). With E and G of a domain, 1 that of the picture
x and 2 the other, a way of the translation is: E1 of the translator ``there``, G2 of it too, E2 and G1 of ``back``.

    here             UNIT                                          MUNIT
    reconstruction   Eq. 3, |G1(z) - x|, z = E1(x) + noise         Eq. 1, |G1(c, s) - x|
    kl               Eq. 3 and 7, KL(q(z|x) || N(0, 1))            -
    content          -                                             Eq. 2, |E2c(G2(c, s')) - c|
    appearance       -                                             Eq. 3, |E2s(G2(c, s')) - s'|, s' from N(0, 1)
    game             Eq. 5                                         Eq. 4
    cycle            Eq. 7, |G1(E2(G2(z)) + noise) - x|            style-augmented, |G1(E2c(G2(c, s')), s) - x|

The game is played with least squares, as the authors' program does. There q(z|x) has unit variance, so that the KL is
half the mean of the squared code but for a factor, which is left out: with means in place of sums the weights 0.1 and
100 of UNIT (Sec. 4, beside 10 of the game) are 0.01 and 10 beside 1, which is what their program has.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .state import random_of
from .translation_loss import Draws, Sample, Terms, TranslationLoss, Way, add


class CodedLoss(TranslationLoss):
    """What UNIT's or MUNIT's translators minimise; the discriminators minimise what all do."""

    def draws(self, count: int, *words: object) -> Draws | None:
        """Return UNIT's noise on codes, [N, 2, 4c, R/4, R/4], or MUNIT's appearances, [N, 8], of either way."""
        anatomy = self.to_drawing.anatomy
        # UNIT perturbs the code of the picture, and that of what was made of it.
        shape = (count, anatomy.appearance) if anatomy.appearance else (count, 2, *anatomy.code)
        return (
            torch.randn(shape, generator=random_of(*words, "to_drawing")),
            torch.randn(shape, generator=random_of(*words, "to_photo")),
        )

    def fakes(self, sample: Sample, group: str, draws: Draws | None = None) -> Sample:
        """Return photos made of drawings and drawings made of photos, without a gradient."""
        assert draws is not None
        photos, drawings = sample
        with torch.no_grad():
            there, back = self.to_drawing.path(group), self.to_photo.path(group)
            drawn = there.decoded(*self._drawn(there.encoded(photos), draws[0])).float()
            return back.decoded(*self._drawn(back.encoded(drawings), draws[1])).float(), drawn

    def _drawn(self, code: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what is decoded in the other domain: a sample of q(z|x), or the content and a random appearance."""
        return (code, drawn) if self.to_drawing.anatomy.appearance else (code + drawn[:, 0], None)

    def _one_way(self, terms: Terms, way: Way, group: str, detached: bool) -> None:
        assert way.drawn is not None
        weights, x = self.training, way.pictures
        there, back = (t.path(group, detached=detached) for t in (way.there, way.back))
        code = there.encoded(x)  # E1(x), [N, 4c, R/4, R/4]
        sample, other = self._drawn(code, way.drawn)
        needed = other is not None and weights.reconstruction_weight + weights.cycle_weight
        own = back.appearance_of(x) if needed else None  # MUNIT's E1s
        made = there.decoded(sample, other).float()  # G2, [N, 3, R, R]
        output = way.panel(made)
        self._played(terms, output)
        if weights.reconstruction_weight:  # UNIT Eq. 3, MUNIT Eq. 1
            same = back.decoded(sample, own).float()
            add(terms, "reconstruction", weights.reconstruction_weight, F.l1_loss(same, x))
        if weights.cycle_weight + weights.kl_weight + weights.content_weight:
            found = back.encoded(made)  # E2
            if weights.kl_weight:  # UNIT Eq. 3 and 7: both codes keep to the prior
                distance = code.float().square().mean() + found.float().square().mean()
                add(terms, "kl", weights.kl_weight, distance)
            if weights.content_weight:  # MUNIT Eq. 2
                add(terms, "content", weights.content_weight, F.l1_loss(found.float(), code.float()))
            if weights.cycle_weight:  # UNIT Eq. 7; MUNIT's style-augmented cycle
                perturbed = found + way.drawn[:, 1] if other is None else found
                again = back.decoded(perturbed, own).float()
                add(terms, "cycle", weights.cycle_weight, F.l1_loss(again, x))
        if weights.appearance_weight and other is not None:  # MUNIT Eq. 3
            worn = there.appearance_of(made).float()
            add(terms, "appearance", weights.appearance_weight, F.l1_loss(worn, other))
        self._recognised(terms, x, made, output, group)
