"""Training of an encoder before a frozen generator: its settings, its loss and its state.

Song et al. 2021, "AgileGAN", Sec. 3.2, Eq. 8: the picture that the frozen base draws from the code must be like the
photo in pixels, to a perceptual network and as a person, and the posterior must stay near the prior. An encoder that is
not variational (pSp, Richardson et al. 2021, arXiv:2008.00951, Sec. 3.2) is trained by the same sum without the last
term.

    state = EncoderState(new_encoder(small(base.anatomy, "hvae"), base), training)
    fit(state, Encoding(training, photos, EncoderLoss(base, training, perceptual, identity)), on_step)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.optim import RAdam

from ..errors import UsageError
from ..losses.identity import identity_distance
from ..losses.latent import kl_divergence
from ..losses.perceptual import PerceptualDistance, pixel_error
from ..networks import Generator
from ..networks.encoder import Encoded, Encoder
from ..networks.encoder_anatomy import EncoderKind
from ..networks.identity import Identity
from ..networks.irse import BatchNorm
from .distributed import ProcessGroup
from .loop import WHOLE, Batches, Losses, Phase, Share
from .spec import refuse_below_one, refuse_not_finite
from .state import Optimised, State, decay, follow, random_of


@dataclass(frozen=True)
class EncoderTraining:
    """Every setting of an encoder's training; the defaults are AgileGAN's."""

    images: int = 560_000
    """Pictures to show in all, photos and samples of the base together."""
    batch: int = 16
    seed: int = 0
    learning_rate: float = 1e-3
    """Of RAdam (Liu et al. 2020, arXiv:1908.03265)."""
    pixel_weight: float = 1.0
    """Of the mean squared difference of pixels in [-1, 1]."""
    perceptual_weight: float = 0.8
    """Of the perceptual distance; one without fitted weights is averaged over its taps, which makes it as large as
    LPIPS is."""
    identity_weight: float = 0.8
    """Of 1 minus the cosine of the embeddings of two faces."""
    identity_part: float = 1.0
    """Share of each batch whose identities are compared; fewer are quicker, and give the same gradient on average."""
    kl_weight: float = 5e-4
    """Of the divergence from the prior, summed over rows and entries; no effect without a posterior."""
    samples: float = 0.0
    """Share of each batch that the base draws itself; the others are photos. Few photos alone overfit."""
    ema_images: float = 10_000.0
    """Half-life of the averaged encoder, the one that is kept."""
    ema_ramp: float = 0.05
    """The half-life is at most this share of the images seen, so that early averages are young."""
    mirror: bool = True
    """Show each photo mirrored half of the time."""
    held_out: float = 0.05
    """Share of the photos (8 at least) that is not trained on but measured at every tick; 0 for none."""
    patience: int = 0
    """Ticks without a lower loss on the held-out photos after which training stops and keeps the best; 0: never."""
    accumulate: int = 1
    """Parts in which a batch is worked through, to save memory; each has batch statistics of its own."""
    tick: int = 2_000
    """Images between lines of statistics."""
    snapshot: int = 10_000
    """Images between snapshots and sheets of drawings."""

    def __post_init__(self) -> None:
        refuse_not_finite(self)
        refuse_below_one(self, "images", "batch", "accumulate", "tick", "snapshot")
        for name in ("learning_rate", "ema_images"):
            if not getattr(self, name) > 0:
                raise UsageError(f"The setting {name} must be positive, not {getattr(self, name)}.")
        for name in ("pixel_weight", "perceptual_weight", "identity_weight", "kl_weight", "ema_ramp", "patience"):
            if getattr(self, name) < 0:
                raise UsageError(f"The setting {name} cannot be negative ({getattr(self, name)}).")
        if not 0 < self.identity_part <= 1:
            raise UsageError(f"The setting identity_part is a share above 0, at most 1, not {self.identity_part}.")
        if not 0 <= self.samples < 1 or not 0 <= self.held_out < 1:
            raise UsageError("The settings samples and held_out are shares from 0 to below 1.")
        if self.patience and not self.held_out:
            raise UsageError("Early stopping (patience) needs held-out photos.", "Set held_out, or patience=0.")
        if not (self.pixel_weight or self.perceptual_weight or self.identity_weight):
            raise UsageError(
                "An encoder needs pictures to be compared.",
                "Give pixel_weight, perceptual_weight or identity_weight.",
            )

    def idle(self, *, posterior: bool) -> dict[str, str]:
        """Return settings that have no effect, and why.

        Args:
            posterior: Whether the encoder has one.
        """
        found = {} if posterior else {"kl_weight": "codes of this kind of encoder have no posterior"}
        if not self.identity_weight:
            found["identity_part"] = "identity_weight is 0"
        return found

    def refuse_idle(self, *, identity: bool, features: bool) -> None:
        """Refuse networks that no loss would look through.

        Raises:
            UsageError: A face embedder or a feature network is given, and its loss has no weight.
        """
        for given, what, name in (
            (identity, "A face embedder", "identity_weight"),
            (features, "A feature network", "perceptual_weight"),
        ):
            if given and not getattr(self, name):
                raise UsageError(f"{what} is given, and {name} is 0.", f"Leave it out, or give {name} a value.")

    @property
    def photos(self) -> int:
        """Photos in a batch."""
        return self.batch - round(self.batch * self.samples)


def agilegan() -> EncoderTraining:
    """Return the settings of Song et al. 2021, Sec. 4.1: 20 epochs of 28 thousand photos."""
    return EncoderTraining()


def psp() -> EncoderTraining:
    """Return those of Richardson et al. 2021, Sec. 4, with RAdam for its Ranger; its codes of W+ have no posterior."""
    return replace(agilegan(), images=4_000_000, batch=8, learning_rate=1e-4, identity_weight=0.1, kl_weight=0.0)


Preset = Literal["agilegan", "psp"]
PRESETS: Mapping[Preset, Callable[[], EncoderTraining]] = {"agilegan": agilegan, "psp": psp}
KINDS: Mapping[Preset, EncoderKind] = {"agilegan": "hvae", "psp": "w+"}
"""What kind of encoder each trains, where no other is asked for."""


class EncoderLoss:
    """What is minimised: Eq. 8, with a frozen copy of the base as decoder. Terms of weight 0 are not computed."""

    def __init__(
        self,
        base: Generator,
        training: EncoderTraining,
        perceptual: PerceptualDistance,
        identity: Identity | None,
    ) -> None:
        """Choose what pictures are compared by.

        Args:
            base: The generator whose codes are wanted.
            training: Weights.
            perceptual: The perceptual distance.
            identity: The face embedder; may be None where its weight is 0.

        Raises:
            UsageError: ``identity_weight`` is set and there is no face embedder.
        """
        if training.identity_weight and identity is None:
            raise UsageError("identity_weight > 0 needs a face embedder.", "Give one, or set identity_weight=0.")
        self.base = copy.deepcopy(base).eval().requires_grad_(False)
        self.training, self.perceptual, self.identity = training, perceptual, identity

    def __call__(
        self, encoder: Encoder, photos: Tensor, random: torch.Generator | None, share: Share = WHOLE
    ) -> dict[str, Tensor]:
        """Return the terms, unweighted scalars, and their weighted sum ``loss``.

        Args:
            encoder: What is trained.
            photos: [N, 3, R, R] in [-1, 1], at the resolution of the base.
            random: Source of the draw from the posterior (Eq. 3); its mean is decoded, and all identities are compared,
                when None.
            share: Which part of a whole batch the photos are.
        """
        training, encoded = self.training, _full(encoder(photos))
        latents = encoded.mu if random is None else _sampled(encoded, random, share)  # [N, rows or 1, dim]
        drawn = self.base.synthesis(encoder.styles_of(latents, self.base)).float()  # [N, 3, R, R]
        terms: dict[str, tuple[float, Tensor]] = {}
        if training.pixel_weight:  # Eq. 4: |x - G(E(x))|^2
            terms["pixels"] = training.pixel_weight, pixel_error(drawn, photos).mean()
        if training.perceptual_weight:  # Eq. 5
            terms["perceptual"] = training.perceptual_weight, self.perceptual.mean_distance(drawn, photos)
        if training.identity_weight and self.identity is not None:  # Eq. 6
            part = 1.0 if random is None else training.identity_part
            terms["identity"] = training.identity_weight, self._identity(drawn, photos, part, share)
        if training.kl_weight and encoded.logvar is not None:  # Eq. 7, by Eq. 2
            terms["kl"] = training.kl_weight, kl_divergence(encoded.mu, encoded.logvar)
        total = torch.stack([weight * value for weight, value in terms.values()]).sum()  # Eq. 8
        return {"loss": total, **{name: value for name, (_, value) in terms.items()}}

    def samples(self, count: int, random: torch.Generator, mine: slice = slice(None)) -> Tensor:
        """Let the base draw pictures of its own prior, those of ``mine`` among ``count``: [N, 3, R, R]."""
        z = torch.randn(count, self.base.anatomy.z_dim, generator=random)[mine]
        if not len(z):
            return z.new_zeros(0, 3, self.base.anatomy.resolution, self.base.anatomy.resolution)
        with torch.no_grad():
            drawn: Tensor = self.base(z.to(self.base.w_mean.device))
        return drawn.float().clamp(-1, 1)

    def _identity(self, drawn: Tensor, photos: Tensor, part: float, share: Share) -> Tensor:
        """Return the mean distance of the first ``part`` of a whole batch, of which these pictures are a share."""
        assert self.identity is not None
        some = max(round(len(photos) * share.of * part), 1)
        mine = len(range(share.index, some, share.of))
        if not mine:
            return drawn.sum() * 0.0
        apart = identity_distance(self.identity.embed(drawn[:mine]), self.identity.embed(photos[:mine]))
        return apart.mean() * (mine * share.of / some)


def _full(encoded: Encoded) -> Encoded:
    """Return codes in single precision, which networks in mixed precision do not give."""
    return Encoded(encoded.mu.float(), None if encoded.logvar is None else encoded.logvar.float())


def _sampled(encoded: Encoded, random: torch.Generator, share: Share) -> Tensor:
    """Draw one code of each posterior, z = mu + sigma * e (Eq. 3); the mean where there is no posterior."""
    if encoded.logvar is None:
        return encoded.mu
    count, *sizes = encoded.mu.shape
    e = share.take(torch.randn(count * share.of, *sizes, generator=random)).to(encoded.mu)
    return encoded.mu + e * (0.5 * encoded.logvar).exp()


class EncoderState(State):
    """An encoder, its moving average and its optimiser."""

    def __init__(self, encoder: Encoder, training: EncoderTraining) -> None:
        """Begin a training with an encoder that it then owns."""
        self.average = copy.deepcopy(encoder).eval().requires_grad_(False)
        """Moving average of the weights: the one that is kept."""
        self.encoder = encoder.train()
        optimiser = RAdam(encoder.parameters(), lr=training.learning_rate)
        super().__init__({"E": encoder, "average": self.average}, {"E": Optimised("adam", encoder, optimiser)})


class Encoding:
    """The training of an encoder as an objective of the loop: one phase, and a moving average."""

    units = 1

    def __init__(self, training: EncoderTraining, photos: Batches, loss: EncoderLoss) -> None:
        """Choose what is minimised.

        Args:
            training: Settings.
            photos: ``training.photos`` photos by position, at the resolution of the base.
            loss: Of a batch.
        """
        self.training, self.photos, self.loss = training, photos, loss
        self.step_images = training.batch
        self.phases = (Phase("the encoder", "E", 1, ("loss",), self._loss),)

    def prepare(self, state: EncoderState, parts: int, group: ProcessGroup) -> None:
        """Let batch normalisation take its statistics from the pictures of all processes."""
        for layer in state.encoder.modules():
            if isinstance(layer, BatchNorm):
                layer.mean_of_all, layer.processes = (group.mean, group.size) if group.size > 1 else (None, 1)

    def begin(self, state: EncoderState) -> Sequence[Tensor]:
        """Return the photos of the step."""
        return (self.photos.at(state.step * self.training.photos),)

    def finish(self, state: EncoderState, report: dict[str, Tensor]) -> None:
        """Move the average, its statistics too, towards the encoder by one batch."""
        t = self.training
        keep = decay(state.images, t.batch, t.ema_images, t.ema_ramp)
        follow(state.average.state_dict().values(), state.encoder.state_dict().values(), keep)

    def _loss(self, state: EncoderState, photos: Tensor, unit: int, share: Share) -> Losses:
        t, random = self.training, random_of(self.training.seed, state.images, "encoder")
        pictures = share.take(photos).to(state.device)
        if t.photos < t.batch:  # the base's own samples follow the photos
            mine = slice((share.index - t.photos) % share.of, None, share.of)
            pictures = torch.cat([pictures, self.loss.samples(t.batch - t.photos, random, mine).to(pictures)])
        terms = self.loss(state.encoder, pictures, random, share)
        return terms["loss"], {k: v.detach() for k, v in terms.items()}
