"""What translators and discriminators minimise, term by term."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..losses.perceptual import absolute_error
from ..losses.translation import domain_loss, drawn_well, group_loss, person_loss, told_apart
from ..networks.branches import BranchedTranslator, TranslatorSystem
from ..networks.identity import Identity
from ..networks.patch_discriminator import Judged, PatchPanel
from .translator_settings import TranslatorTraining

Sample = tuple[Tensor, Tensor]
"""Photos and drawings of one group, [batch, 3, R, R] each."""
Draws = tuple[Tensor, Tensor]
"""Random numbers that a translation of photos and one of drawings need, [N, ...] each."""
COPIES_WEIGHT = 10.0
"""Of pictures drawn again at the beginning: that of cycle and identity in the few-shot paper."""
Terms = dict[str, tuple[float, Tensor]]
"""Weight and value of each part of a loss."""


@dataclass(frozen=True)
class Way:
    """One of the two ways of a translation, and what a step shows of it."""

    pictures: Tensor
    """To be translated, [N, 3, R, R]."""
    others: Tensor
    """Of the target domain."""
    there: BranchedTranslator
    back: BranchedTranslator
    panel: PatchPanel
    """Of the target domain."""
    drawn: Tensor | None
    """Random numbers, [N, ...]."""


class TranslationLoss:
    """What translators and discriminators minimise. Terms of weight 0 are not computed."""

    def __init__(
        self, system: TranslatorSystem, training: TranslatorTraining, identity: Identity | None = None
    ) -> None:
        """Choose the networks and the face embedder.

        Args:
            system: Both translators and both panels of discriminators.
            training: Weights.
            identity: The face embedder; may be None where its weight is 0.

        Raises:
            UsageError: ``person_weight`` is set and there is no face embedder, or a network is missing.
        """
        if training.person_weight and identity is None:
            raise UsageError("person_weight > 0 needs a face embedder.", "Give one, or set person_weight=0.")
        self.to_drawing, self.to_photo, self.of_drawings, self.of_photos = system.players()
        training.refuse_foreign(system.anatomy)
        self.groups, self.training, self.identity = system.groups, training, identity

    def draws(self, count: int, *words: object) -> Draws | None:
        """Return random numbers for a batch that belong to these words; these translators need none."""
        return None

    def of_discriminators(self, sample: Sample, fakes: Sample, group: str, draws: Draws | None = None) -> Terms:
        """Return the terms of the discriminators for photos and drawings of a group and for what was made of them.

        Args:
            sample: Photos and drawings.
            fakes: Photos drawn of drawings, and drawings of photos; as many of each picture as the translators draw.
            group: Whose.
            draws: Those of the batch.
        """
        terms: Terms = {}
        for panel, real, fake in zip((self.of_photos, self.of_drawings), sample, fakes, strict=True):
            # Pictures do not see each other, so one pass over all is the same, and quicker.
            output, count = panel(torch.cat([real, fake])), len(real)
            scores = [s.float() for s in output.scores]  # maps [2N, 1, h, w]; losses are formulas of full precision
            apart = told_apart([s[:count] for s in scores], [s[count:] for s in scores])  # L_adv + L_cam of D
            add(terms, "game_d", self.training.discriminator_weight, apart)
            if output.groups is not None:  # L_cls^real, of logits [N, groups]
                add(terms, "group_d", 1.0, group_loss(output.groups[:count].float(), self.groups.index(group)))
        return terms

    def of_translators(
        self, sample: Sample, group: str, draws: Draws | None = None, *, detached: bool = False
    ) -> Terms:
        """Return the terms of the translators for photos and drawings of a group.

        Args:
            sample: Photos and drawings.
            group: Whose.
            draws: Those of the batch.
            detached: Keep the gradient from the shared parameters.
        """
        terms: Terms = {}
        for way in self._ways(sample, draws):
            self._one_way(terms, way, group, detached)
        return terms

    def of_copies(self, sample: Sample, group: str, *, detached: bool = False) -> Terms:
        """Return the terms of translators that are yet to learn to draw pictures of either domain as they are.

        As CartoonGAN is initialised (Chen et al. 2018, CVPR, Sec. 3.3), but by pixels in place of VGG features.

        Args:
            sample: Photos and drawings.
            group: Whose.
            detached: Keep the gradient from the shared parameters.
        """
        terms: Terms = {}
        for way in self._ways(sample, None):
            both = torch.cat([way.pictures, way.others])  # [2N, 3, R, R]
            drawn = way.there(both, group, detached=detached).image.float()
            add(terms, "copies", COPIES_WEIGHT, absolute_error(drawn, both).mean())
        return terms

    def fakes(self, sample: Sample, group: str, draws: Draws | None = None) -> Sample:
        """Return photos made of drawings and drawings made of photos, without a gradient."""
        photos, drawings = sample
        with torch.no_grad():
            return self.to_photo(drawings, group).image.float(), self.to_drawing(photos, group).image.float()

    def _ways(self, sample: Sample, draws: Draws | None) -> tuple[Way, Way]:
        photos, drawings = sample
        there, back = draws or (None, None)
        return (
            Way(photos, drawings, self.to_drawing, self.to_photo, self.of_drawings, there),
            Way(drawings, photos, self.to_photo, self.to_drawing, self.of_photos, back),
        )

    def _one_way(self, terms: Terms, way: Way, group: str, detached: bool) -> None:
        pictures, there = way.pictures, way.there
        weights, count = self.training, len(pictures)
        both = weights.identity_weight or (weights.attention_weight and there.anatomy.attentive)
        seen = there(torch.cat([pictures, way.others]) if both else pictures, group, detached=detached)
        images = seen.image.float()  # [N or 2N, 3, R, R]
        made = images[:count]
        output = way.panel(made)
        self._played(terms, output)
        if weights.cycle_weight:  # L_cycle = |T'(T(x)) - x|
            again = way.back(made, group, detached=detached).image.float()
            add(terms, "cycle", weights.cycle_weight, absolute_error(again, pictures).mean())
        if weights.identity_weight:  # L_identity = |T(y) - y|
            add(terms, "identity", weights.identity_weight, absolute_error(images[count:], way.others).mean())
        if weights.attention_weight and seen.logits is not None:  # L_cam of the translator, logits [2N, 2]
            attended = domain_loss(seen.logits[:count].float(), seen.logits[count:].float())
            add(terms, "attention", weights.attention_weight, attended)
        self._recognised(terms, pictures, made, output, group)

    def _played(self, terms: Terms, output: Judged) -> None:
        """Add what the discriminators make of what was drawn."""
        if self.training.adversarial_weight:  # L_adv
            add(terms, "game_g", self.training.adversarial_weight, drawn_well([s.float() for s in output.scores]))

    def _recognised(self, terms: Terms, pictures: Tensor, made: Tensor, output: Judged, group: str) -> None:
        """Add whether the person and the group are recognised in what was drawn."""
        weights = self.training
        if weights.person_weight and self.identity is not None:  # L_face
            add(terms, "person", weights.person_weight, person_loss(self.identity, pictures, made))
        if weights.group_weight and output.groups is not None:  # L_cls^fake
            add(terms, "group_g", weights.group_weight, group_loss(output.groups.float(), self.groups.index(group)))


def add(terms: Terms, name: str, weight: float, value: Tensor) -> None:
    """Add a value to a term; both ways of a translation have the same terms."""
    terms[name] = weight, value + terms[name][1] if name in terms else value
