"""The losses of a painter: what each looks at, and its settings.

A term is a frozen dataclass; ``PainterTraining`` has one field for each, so that ``--set perceptual.weight=2`` reaches
it, and a weight of 0 leaves it out. All of them look at one :class:`PainterStep`, which paints the batch once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, get_args

import torch
from torch import Tensor

from ..errors import UsageError
from ..losses.adversarial import GanLoss, discriminator_loss, generator_loss
from ..losses.identity import identity_distance
from ..losses.painting import ViewSettings, inconsistency, roughness, small_views
from ..losses.perceptual import PerceptualDistance, absolute_error
from ..networks.feature_discriminator import FeatureDiscriminator, patch_loss
from ..networks.features import Features
from ..networks.identity import Identity
from ..networks.painter import Painted, Painter
from ..networks.patch_discriminator import PatchPanel
from ..ops.augment import diff_augment
from ..ops.augment.diff import named
from ..ops.colour import colours_of_areas
from .loop import WHOLE, Share
from .spec import refuse_not_finite
from .state import random_of

SMALLEST_CROP = 16


@dataclass(frozen=True)
class PainterSample:
    """What a step shows."""

    photos: Tensor
    """[N, 3, R, R] in [-1, 1]."""
    drawings: Tensor
    """What the teacher drew of them, likewise."""
    exemplars: Tensor
    """Exemplars of the style, of nobody among the photos, likewise."""

    def share(self, share: Share) -> PainterSample:
        """Return the share of a whole batch."""
        return PainterSample(share.take(self.photos), share.take(self.drawings), share.take(self.exemplars))

    def to(self, device: torch.device) -> PainterSample:
        """Return the same on a device."""
        return PainterSample(self.photos.to(device), self.drawings.to(device), self.exemplars.to(device))


@dataclass
class PainterStep:
    """One step: what a term may look at and draw from."""

    sample: PainterSample
    """This share of the batch."""
    painter: Painter
    panel: PatchPanel
    perceptual: PerceptualDistance
    identity: Identity | None
    heads: FeatureDiscriminator | None = None
    features: Features | None = None
    """What the heads look through."""
    seed: int = 0
    images: int = 0
    """Images seen before the step."""
    share: Share = WHOLE
    report: dict[str, Tensor] = field(default_factory=dict)
    """Scalars for the log, without gradients."""

    @cached_property
    def painted(self) -> Painted:
        """What the painter makes of the photos; all terms look at the same."""
        painted: Painted = self.painter(self.sample.photos)
        return painted

    @property
    def batch(self) -> int:
        """Photos of all shares together."""
        return len(self.sample.photos) * self.share.of

    def random(self, name: str) -> torch.Generator:
        """Return the source of random numbers that belongs to this step and to a name, for the whole batch."""
        return random_of(self.seed, self.images, name)

    def crops(self, pictures: Tensor, side: int, name: str) -> Tensor:
        """Cut a square of ``side`` pixels at most out of each picture [N, 3, R, R], at random places of a name."""
        room = pictures.shape[-1] - min(side, pictures.shape[-1])
        corners = self.share.take(torch.randint(room + 1, (self.batch, 2), generator=self.random(name))).tolist()
        return torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(pictures, corners, strict=True)])

    def augmented(self, crops: Tensor, policy: str, name: str) -> Tensor:
        """Return crops [N, 3, h, w] as discriminators see them: through DiffAugment, in full precision."""
        with torch.autocast(crops.device.type, enabled=False):
            return diff_augment(crops.float(), self.random(name), policy, (self.share.index, self.share.of))


@dataclass(frozen=True)
class PainterTerm(ABC):
    """A loss of the painter; a weight of 0 leaves it out."""

    weight: float = 1.0
    name: ClassVar[str]
    """Word under which the loss is logged, and before the names of its settings."""

    def __post_init__(self) -> None:
        refuse_not_finite(self, f"{self.name}.")
        if not self.weight >= 0:
            raise UsageError(f"The setting {self.name}.weight cannot be negative ({self.weight}).")

    @abstractmethod
    def __call__(self, step: PainterStep) -> Tensor:
        """Return the loss, a scalar, mean over the share, before its weight."""


@dataclass(frozen=True)
class PixelTerm(PainterTerm):
    """Mean absolute difference of pixels to the teacher's drawing."""

    name: ClassVar[str] = "pixels"

    def __call__(self, step: PainterStep) -> Tensor:
        """Compare at the full side."""
        return absolute_error(step.painted.image, step.sample.drawings).mean()


@dataclass(frozen=True)
class PerceptualTerm(PainterTerm):
    """Perceptual distance to the teacher's drawing, on a crop of each: a quarter of the work, and all of it in time."""

    crop: int = 128
    """Side of the crops, in pixels."""
    name: ClassVar[str] = "perceptual"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_crop(self.name, self.crop)

    def __call__(self, step: PainterStep) -> Tensor:
        """Compare features; a distance without fitted weights is averaged over its taps."""
        both = (step.crops(x, self.crop, self.name) for x in (step.painted.image, step.sample.drawings))
        return step.perceptual.mean_distance(*both)


@dataclass(frozen=True)
class AdversarialTerm(PainterTerm):
    """What a discriminator of patches, which knows the exemplars, says of crops of the drawing.

    Crops are large enough for strokes and too small for a face, so that the style is judged and not who is drawn. Both
    sides see crops through DiffAugment (Zhao et al. 2020, arXiv:2006.10738): exemplars are few.
    """

    weight: float = 0.1
    crop: int = 128
    """Side of the crops, in pixels."""
    gan_loss: GanLoss = "hinge"
    policy: str = "color,translation,cutout"
    """Of DiffAugment; empty for none."""
    name: ClassVar[str] = "adversarial"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_crop(self.name, self.crop)
        _check_policy(self.name, self.policy)
        if self.gan_loss not in get_args(GanLoss):
            raise UsageError(f"The setting adversarial.gan_loss is one of {get_args(GanLoss)}, not '{self.gan_loss}'.")

    def __call__(self, step: PainterStep) -> Tensor:
        """Return the painter's side of the game, averaged over discriminators."""
        scores = self._scores(step, step.crops(step.painted.image, self.crop, "crops"), "painter")
        return torch.stack([generator_loss(score, self.gan_loss) for score in scores]).mean()

    def of_panel(self, step: PainterStep, fakes: Tensor) -> Tensor:
        """Return the discriminators' side, for crops of the drawing without gradient [N, 3, crop, crop]."""
        reals = step.crops(step.sample.exemplars, self.crop, "exemplars")
        real, fake = self._scores(step, reals, "real"), self._scores(step, fakes, "fake")
        step.report |= {"score_real": real[0].detach().mean(), "score_fake": fake[0].detach().mean()}
        pairs = zip(real, fake, strict=True)
        return torch.stack([discriminator_loss(r, f, self.gan_loss) for r, f in pairs]).mean()

    def _scores(self, step: PainterStep, crops: Tensor, name: str) -> list[Tensor]:
        shown = step.augmented(crops, self.policy, f"augment {name}")
        return [score.float() for score in step.panel(shown).scores]


@dataclass(frozen=True)
class FeatureTerm(PainterTerm):
    """What heads on frozen features, which know the exemplars, say of crops of the drawing.

    Projected GANs (Sauer et al. 2021, arXiv:2111.01007): they see after some hundred images what a discriminator that
    begins with pixels takes many thousands to learn.
    """

    weight: float = 0.2
    detail: float = 0.25
    """Of what a blur takes away, beside the features."""
    crop: int = 128
    """Side of the crops, in pixels."""
    rate: float = 1e-3
    """Of Adam, for the heads."""
    policy: str = "color,translation"
    """Of DiffAugment; empty for none."""
    name: ClassVar[str] = "feature_discriminator"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_crop(self.name, self.crop)
        _check_policy(self.name, self.policy)
        if self.detail < 0 or not self.rate > 0:
            raise UsageError(f"{self.name}.detail must be at least 0, and {self.name}.rate above 0.")

    def __call__(self, step: PainterStep) -> Tensor:
        """Return the painter's side of the game: E softplus(-D_k(x)) over heads k and patches."""
        *deep, detail = self._scores(step, step.crops(step.painted.image, self.crop, "features"), "painter")
        return patch_loss(deep, -1) + self.detail * patch_loss([detail], -1)

    def of_heads(self, step: PainterStep, fakes: Tensor) -> Tensor:
        """Return the heads' side, for crops of the drawing without gradient [N, 3, crop, crop]."""
        reals = step.crops(step.sample.exemplars, self.crop, "feature exemplars")
        return patch_loss(self._scores(step, reals, "real"), -1) + patch_loss(self._scores(step, fakes, "fake"), 1)

    def _scores(self, step: PainterStep, crops: Tensor, name: str) -> list[Tensor]:
        assert step.heads is not None and step.features is not None
        shown = step.augmented(crops, self.policy, f"augment {name} features")
        with torch.autocast(crops.device.type, enabled=False):
            found: list[Tensor] = step.heads(step.heads.seen(step.features, shown, shown))
        return found


@dataclass(frozen=True)
class IdentityTerm(PainterTerm):
    """1 minus the cosine of the embeddings of photo and drawing; only where there is a face embedder."""

    weight: float = 0.3
    name: ClassVar[str] = "identity"

    def __call__(self, step: PainterStep) -> Tensor:
        """Compare all faces."""
        assert step.identity is not None
        with torch.no_grad():  # a photo is given; only the drawing can change
            wanted = step.identity.embed(step.sample.photos)
        return identity_distance(step.identity.embed(step.painted.image), wanted).mean()


@dataclass(frozen=True)
class ColourTerm(PainterTerm):
    """How far the colours of areas leave the photo's: a style has few skins, and people have many.

    What is lighter or darker is free, and so is any colour that an area's mean does not show.
    """

    weight: float = 0.0
    area: int = 16
    """Side of the areas, in pixels."""
    name: ClassVar[str] = "colour"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.area < 1:
            raise UsageError(f"The setting colour.area must be at least 1 pixel, not {self.area}.")

    def __call__(self, step: PainterStep) -> Tensor:
        """Return the mean absolute difference of the areas' colours less their luminance, in [-1, 1] each."""
        drawn, photo = (colours_of_areas(x, self.area) for x in (step.painted.image, step.sample.photos))
        return (drawn - photo).abs().mean()


@dataclass(frozen=True)
class SmoothnessTerm(PainterTerm):
    """Roughness of the displacement field."""

    name: ClassVar[str] = "smoothness"

    def __call__(self, step: PainterStep) -> Tensor:
        """Return the mean squared difference of neighbours, in pixels squared."""
        return roughness(step.painted.field)


@dataclass(frozen=True)
class ConsistencyTerm(PainterTerm):
    """How far the drawing of a photo moved a little, or mirrored, is from the drawing changed as much."""

    part: float = 0.25
    """Share of each batch that is drawn a second time."""
    views: ViewSettings = field(default_factory=ViewSettings)
    name: ClassVar[str] = "consistency"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.part <= 1:
            raise UsageError(f"The setting consistency.part is a share above 0, at most 1, not {self.part}.")
        refuse_not_finite(self.views, "consistency.views.")
        if not 0 <= self.views.mirror <= 1:
            raise UsageError(f"The setting consistency.views.mirror is a share from 0 to 1, not {self.views.mirror}.")

    def __call__(self, step: PainterStep) -> Tensor:
        """Draw the first ``part`` of the batch in small views; the drawing of the photo itself is the target."""
        some = max(round(step.batch * self.part), 1)
        mine = len(range(step.share.index, some, step.share.of))
        if not mine:
            return step.painted.image.sum() * 0.0
        photos, still = step.sample.photos[:mine], step.painted.image[:mine].detach()
        views = small_views(step.batch, photos.shape[-1], step.random("views"), self.views)
        views = replace(
            views, matrices=step.share.take(views.matrices)[:mine], light=step.share.take(views.light)[:mine]
        )
        again: Painted = step.painter(views.seen(photos))
        return inconsistency(again.image, still, views) * (mine * step.share.of / some)


def _check_policy(name: str, policy: str) -> None:
    try:
        named(policy)
    except ValueError as error:
        raise UsageError(f"The setting {name}.policy: {error}.") from error


def _check_crop(name: str, crop: int) -> None:
    if crop < SMALLEST_CROP:
        raise UsageError(f"The setting {name}.crop must be at least {SMALLEST_CROP}, not {crop}.")
