"""Training of a painter: its settings, its objective and its state.

The teacher's drawings say what is drawn where, the exemplars how strokes look: a painter that is only compared with its
teacher draws the mean of what it is unsure of, which is blur, as pix2pix found (Isola et al. 2017, arXiv:1611.07004,
Sec. 4.1). Each step moves the painter, then the discriminators, which see the same drawings.

    state = PainterState(new_painter(PainterAnatomy()), PatchPanel(training.panel), training)
    fit(state, Distillation(training, PairBatches(pairs, [exemplars], training), perceptual, identity), on_step)
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ..data.sampler import BatchOrder, ImageBatches, Images
from ..data.teacher import Pairs
from ..errors import UsageError
from ..losses.perceptual import PerceptualDistance
from ..networks.feature_discriminator import FeatureDiscriminator, with_mean_pooling
from ..networks.identity import Identity
from ..networks.painter import MULTIPLE, Painter
from ..networks.patch_discriminator import PatchPanel
from ..networks.translator_anatomy import PanelAnatomy
from .distributed import ProcessGroup
from .loop import Losses, Phase, Share
from .painter_terms import (
    AdversarialTerm,
    ColourTerm,
    ConsistencyTerm,
    FeatureTerm,
    IdentityTerm,
    PainterSample,
    PainterStep,
    PainterTerm,
    PerceptualTerm,
    PixelTerm,
    SmoothnessTerm,
)
from .spec import refuse_balance, refuse_below_one, refuse_not_finite
from .state import Optimised, State, decay, follow

SMALLEST_SIDE = 32


@dataclass(frozen=True)
class PainterTraining:
    """Every setting of a painter's training."""

    images: int = 30_000
    """Photos to show in all."""
    batch: int = 8
    seed: int = 0
    side: int = 256
    """Of photos, drawings and exemplars, in pixels; a multiple of 8."""
    photos: int = 2_000
    """The teacher draws so many photos at most, chosen by the seed; they and its pictures stay in memory."""
    learning_rate: float = 5e-4
    """Of Adam, for the painter. Nothing normalises its maps: 2e-3 was well for 250 steps, and 3e-3 saturated them."""
    panel_rate: float = 4e-4
    """Of Adam, for the discriminators (two time scales, Heusel et al. 2017, arXiv:1706.08500)."""
    decay_from: float = 0.5
    """Share of the training after which both rates fall, in a straight line to 0; they are fixed at 1."""
    panel: PanelAnatomy = field(default_factory=lambda: PanelAnatomy((4,), 32))
    """Sizes of the discriminators."""
    pixels: PixelTerm = field(default_factory=PixelTerm)
    perceptual: PerceptualTerm = field(default_factory=PerceptualTerm)
    adversarial: AdversarialTerm = field(default_factory=AdversarialTerm)
    feature_discriminator: FeatureTerm = field(default_factory=FeatureTerm)
    identity: IdentityTerm = field(default_factory=IdentityTerm)
    """Without effect where there is no face embedder."""
    colour: ColourTerm = field(default_factory=ColourTerm)
    smoothness: SmoothnessTerm = field(default_factory=SmoothnessTerm)
    consistency: ConsistencyTerm = field(default_factory=ConsistencyTerm)
    ema_images: float = 2_000.0
    """Half-life of the averaged painter, the one that is kept."""
    ema_ramp: float = 0.05
    """The half-life is at most this share of the images seen, so that early averages are young."""
    mirror: bool = True
    """Show each photo with its drawing, and each exemplar, mirrored half of the time."""
    balance: tuple[str, ...] = ()
    """Values of an attribute whose exemplars are shown equally often; those with other values are left out."""
    held_out: float = 0.05
    """Share of the photos (8 at least) and of the exemplars (5 at least) that is only measured; 0 for none. Where it is
    known which exemplars the style has not seen, these are measured with."""
    patience: int = 0
    """Ticks without a lower distance of the drawings to the held-out exemplars after which training stops and keeps the
    best; 0: never."""
    accumulate: int = 1
    """Parts in which a batch is worked through, to save memory; gradients are those of the whole."""
    tick: int = 1_000
    """Images between lines of statistics."""
    snapshot: int = 2_500
    """Images between snapshots and sheets of drawings."""

    def __post_init__(self) -> None:
        refuse_not_finite(self)
        refuse_below_one(self, "images", "batch", "photos", "accumulate", "tick", "snapshot")
        for name in ("learning_rate", "panel_rate", "ema_images"):
            if not getattr(self, name) > 0:
                raise UsageError(f"The setting {name} must be positive, not {getattr(self, name)}.")
        if self.side < SMALLEST_SIDE or self.side % MULTIPLE:
            raise UsageError(
                f"A painter cannot be trained on pictures of {self.side} pixels.",
                f"Use a multiple of {MULTIPLE}, {SMALLEST_SIDE} at least.",
            )
        if not 0 <= self.decay_from <= 1 or not 0 <= self.held_out < 1 or self.ema_ramp < 0 or self.patience < 0:
            raise UsageError(
                "The settings decay_from and held_out are shares from 0 to 1, ema_ramp and patience at least 0."
            )
        if self.patience and not self.held_out:
            raise UsageError("Early stopping (patience) needs held-out pictures.", "Set held_out, or patience=0.")
        refuse_balance(self.balance)
        if self.batch % max(len(self.balance), 1):
            raise UsageError(
                f"A batch of {self.batch} cannot be shared by {len(self.balance)} values.",
                f"Make the batch a multiple of {len(self.balance)}.",
            )
        if not (self.pixels.weight or self.perceptual.weight):
            raise UsageError(
                "A painter needs a teacher to compare with.", "Give pixels.weight or perceptual.weight a value above 0."
            )

    @property
    def idle(self) -> dict[str, str]:
        """Settings that have no effect beside the others, and why."""
        found: dict[str, str] = {}
        for term in (getattr(self, f.name) for f in fields(self)):
            if isinstance(term, PainterTerm) and not term.weight:
                names = [f"{term.name}.{f.name}" for f in fields(term) if f.name != "weight"]
                names += ["panel", "panel_rate"] if term is self.adversarial else []
                found |= dict.fromkeys(names, f"{term.name}.weight is 0")
        return found

    def refuse_idle(self, *, identity: bool, features: bool = False) -> None:
        """Refuse networks that no loss would look through.

        Raises:
            UsageError: A face embedder or a feature network is given, and its loss has no weight.
        """
        features_seen = (self.perceptual, self.feature_discriminator)
        for given, what, terms in (
            (identity, "A face embedder", (self.identity,)),
            (features, "A feature network", features_seen),
        ):
            if given and not any(term.weight for term in terms):
                names = [f"{term.name}.weight" for term in terms]
                told = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} 0"
                raise UsageError(f"{what} is given, and {told}.", f"Leave it out, or give {names[0]} a value.")

    def terms(self, identity: Identity | None) -> tuple[PainterTerm, ...]:
        """Return the losses of the painter that have a weight, in the order of their fields."""
        every = [value for f in fields(self) if isinstance(value := getattr(self, f.name), PainterTerm)]
        return tuple(t for t in every if t.weight and not (isinstance(t, IdentityTerm) and identity is None))

    def falling(self, images: int) -> float:
        """Return by what the learning rates are multiplied after so many images."""
        left = 1 - images / self.images  # from 1 to 0
        return min(left / (1 - self.decay_from), 1.0) if self.decay_from < 1 else 1.0


class Samples(Protocol):
    """Where pictures come from."""

    def at(self, step: int) -> PainterSample:
        """Return the pictures of a step; a pure function of its number."""


@dataclass(frozen=True)
class PairBatches:
    """Photos with the teacher's drawings, and exemplars, in the endless orders of a seed."""

    pairs: Pairs
    exemplars: Sequence[Images]
    """Sets of which a batch holds as many of each."""
    training: PainterTraining

    def at(self, step: int) -> PainterSample:
        """Return the pictures of a step."""
        photos, drawings = self.pairs.batch(*self._photos(step))
        return PainterSample(photos, drawings, self._shown.at(step * self.training.batch))

    def names(self, step: int) -> list[str]:
        """Return what the photos and the exemplars of a step are called."""
        photos = [self.pairs.photos.names[index] for index in self._photos(step)[0].tolist()]
        return photos + self._shown.names(step * self.training.batch)

    # Orders of their own: in a common one each photo would always meet the same exemplar in sets of equal size.

    def _photos(self, step: int) -> tuple[Tensor, Tensor]:
        t = self.training
        return BatchOrder(len(self.pairs), t.batch, 2 * t.seed, t.mirror).at(step * t.batch)

    @property
    def _shown(self) -> ImageBatches:
        t = self.training
        return ImageBatches(self.exemplars, t.batch, 2 * t.seed + 1, t.mirror)


class PainterState(State):
    """A painter, its moving average, the discriminators and their optimisers."""

    def __init__(
        self,
        painter: Painter,
        panel: PatchPanel,
        training: PainterTraining,
        heads: FeatureDiscriminator | None = None,
    ) -> None:
        """Begin a training with networks that it then owns; ``heads`` where features are discriminated."""
        self.average = copy.deepcopy(painter).eval().requires_grad_(False)
        """Moving average of the weights: the one that is kept."""
        self.painter, self.panel = painter.train(), panel.train()
        self.rates = {"P": training.learning_rate, "D": training.panel_rate}
        adam_p = Adam(painter.parameters(), training.learning_rate, betas=(0.9, 0.99))
        adam_d = Adam(panel.parameters(), training.panel_rate, betas=(0.0, 0.99))
        networks: dict[str, nn.Module] = {"P": painter, "average": self.average, "D": panel}
        optimised = {"P": Optimised("adam.P", painter, adam_p), "D": Optimised("adam.D", panel, adam_d)}
        self.heads = heads
        if heads is not None:
            rate = self.rates["F"] = training.feature_discriminator.rate
            networks["F"] = heads.train()
            optimised["F"] = Optimised("adam.F", heads, Adam(heads.parameters(), rate, betas=(0.0, 0.99)))
        super().__init__(
            networks,
            optimised,
        )

    def slow(self, factor: float) -> None:
        """Multiply the learning rates that training began with."""
        for role, optimised in self.optimisers.items():
            for group in optimised.optimiser.param_groups:
                group["lr"] = self.rates[role] * factor


class Distillation:
    """The training of a painter as an objective of the loop: the painter, then the discriminators."""

    units = 1

    def __init__(
        self,
        training: PainterTraining,
        samples: Samples,
        perceptual: PerceptualDistance,
        identity: Identity | None = None,
    ) -> None:
        """Choose what is minimised.

        Args:
            training: Settings.
            samples: Pictures by step.
            perceptual: The perceptual distance.
            identity: The face embedder, where there is one.
        """
        self.training, self.samples, self.perceptual, self.identity = training, samples, perceptual, identity
        self.step_images = training.batch
        self.terms = training.terms(identity)
        painter = Phase("the painter", "P", 1, ("loss",), self._painter)
        panel = Phase("the discriminators", "D", 1, ("loss_d",), self._panel)
        heads = Phase("the discriminator of features", "F", 1, ("loss_f",), self._heads)
        judges = ((panel, training.adversarial, "crops"), (heads, training.feature_discriminator, "features"))
        self.phases = (painter, *(phase for phase, term, _ in judges if term.weight))
        self.judged = {phase.role: (term.crop, name) for phase, term, name in judges if term.weight}
        """Role of each discriminator -> side and name of the crops that it judges."""
        self.features = with_mean_pooling(perceptual.features)
        self._crops: dict[tuple[str, int], Tensor] = {}

    def prepare(self, state: PainterState, parts: int, group: ProcessGroup) -> None:
        """Do nothing: pictures do not see each other."""

    def begin(self, state: PainterState) -> Sequence[PainterSample]:
        """Return the pictures of the step; set the learning rates, and move the spectral norms once."""
        state.slow(self.training.falling(state.images))
        state.panel.iterate()
        self._crops = {}
        return (self.samples.at(state.step).to(state.device),)

    def finish(self, state: PainterState, report: dict[str, Tensor]) -> None:
        """Move the average towards the painter by one batch."""
        t = self.training
        keep = decay(state.images, t.batch, t.ema_images, t.ema_ramp)
        follow(state.average.parameters(), state.painter.parameters(), keep)

    def step(self, state: PainterState, sample: PainterSample, share: Share) -> PainterStep:
        """Return what terms look at, for a share of a sample."""
        return PainterStep(
            sample.share(share),
            state.painter,
            state.panel,
            self.perceptual,
            self.identity,
            state.heads,
            self.features,
            self.training.seed,
            state.images,
            share,
        )

    def _painter(self, state: PainterState, sample: PainterSample, unit: int, share: Share) -> Losses:
        step = self.step(state, sample, share)
        values = {term.name: term(step) for term in self.terms}
        # sum_t lambda_t L_t, each the mean over the share
        loss = torch.stack([term.weight * values[term.name] for term in self.terms]).sum()
        # The discriminators see the crops that the painter was judged by.
        for role, (side, name) in self.judged.items():
            self._crops[role, share.index] = step.crops(step.painted.image.detach(), side, name)
        report = {name: value.detach() for name, value in values.items()}
        shown = {
            "mask": step.painted.mask.detach().mean(),
            "displacement": step.painted.field.detach().norm(dim=1).mean(),
        }
        return loss, {"loss": loss.detach(), **report, **shown}

    def _panel(self, state: PainterState, sample: PainterSample, unit: int, share: Share) -> Losses:
        step = self.step(state, sample, share)
        loss = self.training.adversarial.of_panel(step, self._crops["D", share.index])
        return loss, {"loss_d": loss.detach(), **step.report}

    def _heads(self, state: PainterState, sample: PainterSample, unit: int, share: Share) -> Losses:
        step = self.step(state, sample, share)
        loss = self.training.feature_discriminator.of_heads(step, self._crops["F", share.index])
        return loss, {"loss_f": loss.detach()}
