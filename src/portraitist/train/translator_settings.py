"""The settings of a translator's training.

What they weigh: :mod:`.translation_loss`, :mod:`.coded_loss`, :mod:`.drit_loss`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

from ..errors import UsageError
from ..networks.translator import Init
from ..networks.translator_anatomy import TranslatorAnatomy
from .spec import refuse_below_one, refuse_not_finite

_SOME = {"identity_weight", "attention_weight", "reconstruction_weight"}
_SOME |= {"kl_weight", "content_weight", "appearance_weight", "content_adversarial_weight", "mode_seeking_weight"}
"""Weights of losses that not every kind of translator has."""


@dataclass(frozen=True)
class TranslatorTraining:
    """Every setting of a translator's training; the defaults are the few-shot paper's."""

    images: int = 200_000
    """Photos to show in all, of all groups together; as many drawings are shown beside them."""
    batch: int = 1
    """Photos, and drawings, of each group in a step."""
    seed: int = 0
    learning_rate: float = 1e-4
    beta1: float = 0.5
    """Of Adam."""
    beta2: float = 0.999
    weight_decay: float = 1e-4
    """Added to the gradient (L2), as the programs do it."""
    initial_share: float = 0.0
    """Share of the training in which translators only learn to draw pictures as they are (Chen et al. 2018)."""
    decay_from: float = 1.0
    """Share of the training after which the learning rate falls, in a straight line to 0; it is fixed at 1."""
    halve_every: int = 0
    """Photos after which the learning rate is halved, again and again; 0: never."""
    adversarial_weight: float = 1.0
    discriminator_weight: float = 1.0
    """Of the adversarial part of the discriminators' loss; CycleGAN has one half."""
    cycle_weight: float = 10.0
    identity_weight: float = 10.0
    attention_weight: float = 1000.0
    """Of the translators' auxiliary classifiers; of no meaning without attention."""
    reconstruction_weight: float = 0.0
    """Of pictures that are encoded and drawn again in their own domain; here and below only where there is a code."""
    kl_weight: float = 0.0
    """Of how far the codes of UNIT and DRIT++ are from their prior."""
    content_weight: float = 0.0
    """Of the content that MUNIT finds again in what was drawn of it."""
    appearance_weight: float = 0.0
    """Of the appearance that MUNIT and DRIT++ find again."""
    content_adversarial_weight: float = 0.0
    """Of DRIT++'s contents that should not tell of their domain; the discriminator of contents is not trained at 0."""
    mode_seeking_weight: float = 0.0
    """Of drawings in two appearances that DRIT++ drives apart."""
    person_weight: float = 1.0
    """Of 1 minus the cosine of the embeddings of two faces; nothing is embedded at 0."""
    group_weight: float = 100.0
    """Of the classification of what is drawn; that of real pictures has weight 1. Only where groups are told apart."""
    selective: bool = True
    """Let samples of the groups that are not the common one move the branch of their group only."""
    pool: int = 0
    """The discriminators see one of so many earlier pictures half of the time (Shrivastava et al. 2017); 0: never."""
    enlarge: float = 286 / 256
    """Pictures are made larger by this factor, and a square of the network's size is cut out at random."""
    mirror: bool = True
    """Show each picture mirrored half of the time."""
    init: Init = "normal"
    """How new weights are drawn."""
    accumulate: int = 1
    """Parts in which a batch is worked through, to save memory; gradients are those of the whole."""
    tick: int = 500
    """Images between lines of statistics."""
    snapshot: int = 10_000
    """Images between snapshots and sheets of drawings."""

    def __post_init__(self) -> None:
        refuse_not_finite(self)
        refuse_below_one(self, "images", "batch", "accumulate", "tick", "snapshot")
        for name in (f.name for f in fields(self) if f.name.endswith("_weight")):
            if not getattr(self, name) >= 0:
                raise UsageError(f"The setting {name} cannot be negative.")
        pictures = ("adversarial_weight", "cycle_weight", "identity_weight", "reconstruction_weight")
        if not self.discriminator_weight or not any(getattr(self, name) for name in pictures):
            raise UsageError(
                f"Nothing would be learned: discriminator_weight is 0, or {', '.join(pictures)} all are.",
                "Give one of these a weight.",
            )
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"The setting {name} must be at least 0 and below 1, not {getattr(self, name)}.")
        if not self.learning_rate > 0 or not self.weight_decay >= 0 or min(self.pool, self.halve_every) < 0:
            raise UsageError(
                "The settings learning_rate, weight_decay, pool and halve_every cannot be negative, the first not 0."
            )
        if not 0 <= self.initial_share < 1:
            raise UsageError("The setting initial_share is a share from 0 to below 1: translators then translate.")
        if not 0 <= self.decay_from <= 1 or not 1 <= self.enlarge <= 2:
            raise UsageError("The setting decay_from is a share from 0 to 1; enlarge is a factor from 1 to 2.")

    @property
    def initial_images(self) -> int:
        """Photos shown before the translators translate."""
        return round(self.initial_share * self.images)

    def going_on(self) -> Self:
        """Return the settings for translators that draw already."""
        return replace(self, initial_share=0.0)

    def rate(self, images: int) -> float:
        """Return the learning rate after so many images."""
        rate = self.learning_rate * 0.5 ** (images // self.halve_every if self.halve_every else 0)
        left = 1 - images / self.images  # from 1 to 0
        return rate * min(left / (1 - self.decay_from), 1.0) if self.decay_from < 1 else rate

    def idle(self, *, groups: int, attention: bool, new: bool) -> dict[str, str]:
        """Return settings that have no effect, and why.

        Args:
            groups: That are told apart.
            attention: Whether the translators have any.
            new: Whether their weights are drawn anew.
        """
        found = {} if attention else {"attention_weight": "the translators have no attention"}
        if groups < 2:
            found |= dict.fromkeys(("group_weight", "selective"), "there is one group")
        if not new:
            found["init"] = "the weights are those of the translator to go on from"
            found["initial_share"] = "the translator to go on from draws already"
        return found

    def refuse_idle(self, identity: bool) -> None:
        """Refuse a face embedder that no loss would look through.

        Raises:
            UsageError: One is given, and its loss has no weight.
        """
        if identity and not self.person_weight:
            raise UsageError(
                "A face embedder is given, and person_weight is 0.", "Leave it out, or give person_weight a value."
            )

    def refuse_foreign(self, anatomy: TranslatorAnatomy) -> None:
        """Refuse weights of losses that translators of a kind do not have.

        Raises:
            UsageError: One is set.
        """
        known = {"reconstruction_weight"} if anatomy.coded else {"identity_weight", "attention_weight"}
        own = {
            "unit": {"kl_weight"},
            "munit": {"content_weight", "appearance_weight"},
            "drit": {"kl_weight", "appearance_weight", "content_adversarial_weight", "mode_seeking_weight"},
        }
        known |= own.get(anatomy.kind, set())
        if foreign := [name for name in sorted(_SOME - known) if getattr(self, name)]:
            raise UsageError(
                f"Translators of the kind {anatomy.kind} have no loss for {' and '.join(foreign)}.",
                "Set it to 0, or take the preset that belongs to the translator.",
            )
        if anatomy.coded and self.initial_share:
            raise UsageError(
                f"Translators of the kind {anatomy.kind} learn to draw pictures as they are throughout, so "
                "initial_share has no meaning.",
                "Leave it at 0.",
            )

    def loaded(self, resolution: int) -> int:
        """Return the side at which pictures for a network of ``resolution`` pixels are opened."""
        return round(resolution * self.enlarge)
