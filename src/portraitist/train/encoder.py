"""Training of an encoder before a frozen generator: its settings, its state and its one loop.

Song et al. 2021, "AgileGAN", Sec. 3.2, Eq. 8: the picture that the frozen base draws from the code must be like the
photo in pixels, to a perceptual network and as a person, and the posterior must stay near the prior. An encoder that is
not variational (pSp, Richardson et al. 2021, arXiv:2008.00951, Sec. 3.2) is trained by the same sum without the last
term.

    state = EncoderState.start(new_encoder(small(base.anatomy, "hvae"), base), training)
    fit_encoder(state, photos, training, EncoderLoss(base, training, looks, persons), on_step)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import RAdam

from ..errors import NonFinite, UsageError
from ..losses.identity import identity_distance
from ..losses.latent import kl_divergence
from ..losses.perceptual import PerceptualDistance, pixel_error
from ..networks import Generator
from ..networks.encoder import Encoder
from ..networks.identity import Identity
from .loop import Batches
from .state import decay, random_of


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
    """Share of each batch whose persons are compared; fewer are quicker, and give the same gradient on average."""
    kl_weight: float = 5e-4
    """Of the divergence from the prior, summed over rows and entries; without meaning where there is no posterior."""
    samples: float = 0.0
    """Share of each batch that the base draws itself; the rest are photos. Few photos teach an encoder by heart."""
    ema_images: float = 10_000.0
    """Half-life of the averaged encoder, the one that is kept."""
    ema_ramp: float = 0.05
    """The half-life is at most this share of the images seen, so that early averages are young."""
    mirror: bool = True
    """Show each photo mirrored half of the time."""
    held_out: float = 0.05
    """Share of the photos (8 at least) that is not trained on but measured at every tick; 0 for none."""
    tick: int = 2_000
    """Images between lines of statistics."""
    snapshot: int = 10_000
    """Images between snapshots and sheets of drawings."""

    def __post_init__(self) -> None:
        for name in ("images", "batch", "tick", "snapshot"):
            if getattr(self, name) < 1:
                raise UsageError(f"The setting {name} must be at least 1, not {getattr(self, name)}.")
        for name in ("learning_rate", "ema_images"):
            if not getattr(self, name) > 0:
                raise UsageError(f"The setting {name} must be positive, not {getattr(self, name)}.")
        for name in ("pixel_weight", "perceptual_weight", "identity_weight", "kl_weight", "ema_ramp"):
            if getattr(self, name) < 0:
                raise UsageError(f"The setting {name} cannot be negative ({getattr(self, name)}).")
        if not 0 < self.identity_part <= 1:
            raise UsageError(f"The setting identity_part is a share above 0, at most 1, not {self.identity_part}.")
        if not 0 <= self.samples < 1 or not 0 <= self.held_out < 1:
            raise UsageError("The settings samples and held_out are shares from 0 to below 1.")
        if not (self.pixel_weight or self.perceptual_weight or self.identity_weight):
            raise UsageError(
                "An encoder needs pictures to be compared.",
                "Give pixel_weight, perceptual_weight or identity_weight.",
            )

    @property
    def photos(self) -> int:
        """Photos in a batch."""
        return self.batch - round(self.batch * self.samples)


def agilegan() -> EncoderTraining:
    """Return the settings of Song et al. 2021, Sec. 4.1: 20 epochs of 28 thousand photos."""
    return EncoderTraining()


def psp() -> EncoderTraining:
    """Return those of Richardson et al. 2021, Sec. 4, with RAdam for its Ranger."""
    return replace(agilegan(), images=4_000_000, batch=8, learning_rate=1e-4, identity_weight=0.1)


Preset = Literal["agilegan", "psp"]
PRESETS: Mapping[Preset, Callable[[], EncoderTraining]] = {"agilegan": agilegan, "psp": psp}


class EncoderLoss:
    """What is minimised: Eq. 8, with a frozen copy of the base as decoder. Terms of weight 0 are not computed."""

    def __init__(
        self, base: Generator, training: EncoderTraining, looks: PerceptualDistance, persons: Identity | None
    ) -> None:
        """Choose what pictures are compared by.

        Args:
            base: The generator whose codes are wanted.
            training: Weights.
            looks: The perceptual distance.
            persons: Tells persons apart; may be None where its weight is 0.

        Raises:
            UsageError: There is a weight of the person, and nothing that tells persons apart.
        """
        if training.identity_weight and persons is None:
            raise UsageError("Nothing tells persons apart.", "Give an embedder, or set identity_weight=0.")
        self.base = copy.deepcopy(base).eval().requires_grad_(False)
        self.training, self.looks, self.persons = training, looks, persons

    def __call__(self, encoder: Encoder, photos: Tensor, random: torch.Generator | None) -> dict[str, Tensor]:
        """Return the terms, unweighted scalars, and their weighted sum ``loss``.

        Args:
            encoder: What is trained.
            photos: [N, 3, R, R] in [-1, 1], at the resolution of the base.
            random: Source of the draw from the posterior (Eq. 3); its mean is decoded, and all persons are compared,
                when None.
        """
        training, encoded = self.training, encoder(photos)
        latents = encoded.mu if random is None or encoded.logvar is None else encoded.sample(random)[0]
        drawn = self.base.synthesis(encoder.styles_of(latents, self.base))
        terms: dict[str, tuple[float, Tensor]] = {}
        if training.pixel_weight:
            terms["pixels"] = training.pixel_weight, pixel_error(drawn, photos).mean()
        if training.perceptual_weight:
            prepared = self.looks.prepare(photos)
            taps = len(prepared) if self.looks.weights is None else 1
            terms["perceptual"] = training.perceptual_weight, self.looks.distance(drawn, prepared).mean() / taps
        if training.identity_weight and self.persons is not None:
            part = 1.0 if random is None else training.identity_part
            some = max(round(len(photos) * part), 1)
            apart = identity_distance(self.persons.embed(drawn[:some]), self.persons.embed(photos[:some]))
            terms["identity"] = training.identity_weight, apart.mean()
        if training.kl_weight and encoded.logvar is not None:
            terms["kl"] = training.kl_weight, kl_divergence(encoded.mu, encoded.logvar)
        total = torch.stack([weight * value for weight, value in terms.values()]).sum()
        return {"loss": total, **{name: value for name, (_, value) in terms.items()}}

    def samples(self, count: int, random: torch.Generator) -> Tensor:
        """Let the base draw pictures of its own prior: [count, 3, R, R]."""
        z = torch.randn(count, self.base.anatomy.z_dim, generator=random)
        with torch.no_grad():
            drawn: Tensor = self.base(z.to(self.base.w_mean.device))
        return drawn.clamp(-1, 1)


@dataclass
class EncoderState:
    """All that the training of an encoder is at one moment, and all that a snapshot must hold."""

    encoder: Encoder
    average: Encoder
    """Moving average of the weights: the one that is kept."""
    optimiser: RAdam
    images: int = 0
    """Pictures seen."""
    step: int = 0

    @classmethod
    def start(cls, encoder: Encoder, training: EncoderTraining) -> EncoderState:
        """Begin a training with an encoder that it then owns."""
        average = copy.deepcopy(encoder).eval().requires_grad_(False)
        return cls(encoder.train(), average, RAdam(encoder.parameters(), lr=training.learning_rate))

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state under one flat name each."""
        found = {f"{prefix}.{k}": v for prefix, module in self._modules() for k, v in module.state_dict().items()}
        for name, p in self.encoder.named_parameters():
            for key, value in self.optimiser.state.get(p, {}).items():
                found[f"adam.{key}.{name}"] = torch.as_tensor(value)
        return found

    def counters(self) -> dict[str, Any]:
        """Return what is no tensor."""
        return {"images": self.images, "step": self.step}

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Become the state that a snapshot holds; the exact opposite of :meth:`tensors` and :meth:`counters`."""
        rest = dict(tensors)
        for prefix, module in self._modules():
            module.load_state_dict({k: rest.pop(f"{prefix}.{k}") for k in module.state_dict()})
        for name, p in self.encoder.named_parameters():
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"adam.{key}.{name}" in rest]
            if keys:
                loaded = {key: rest.pop(f"adam.{key}.{name}") for key in keys}
                self.optimiser.state[p] = {k: v if k == "step" else v.to(p.device) for k, v in loaded.items()}
        if rest:
            raise KeyError(f"unknown tensors in the snapshot: {sorted(rest)[:5]}")
        self.images, self.step = counters["images"], counters["step"]

    def follow(self, training: EncoderTraining) -> None:
        """Move the average, its statistics too, towards the encoder by one batch."""
        keep = decay(self.images, training.batch, training.ema_images, training.ema_ramp)
        with torch.no_grad():
            theirs, mine = self.encoder.state_dict(), self.average.state_dict()
            torch._foreach_lerp_(list(mine.values()), list(theirs.values()), 1 - keep)

    def _modules(self) -> list[tuple[str, Encoder]]:
        return [("E", self.encoder), ("average", self.average)]


def fit_encoder(
    state: EncoderState,
    photos: Batches,
    training: EncoderTraining,
    loss: EncoderLoss,
    on_step: Callable[[EncoderState, dict[str, Tensor]], bool],
) -> EncoderState:
    """Train until ``training.images`` pictures have been seen or ``on_step`` says stop.

    Args:
        state: Where the training stands; moved in place.
        photos: ``training.photos`` photos by position, at the resolution of the base.
        training: Settings.
        loss: What is minimised.
        on_step: Called after every step with the state and the scalars of the step; True ends the training.

    Raises:
        NonFinite: The loss or its gradient is NaN or infinite; no weight has been touched by it.
    """
    device = next(state.encoder.parameters()).device
    parameters = list(state.encoder.parameters())
    while state.images < training.images:
        random = random_of(training.seed, state.images, "encoder")
        pictures = photos.at(state.step * training.photos).to(device)
        if training.photos < training.batch:
            pictures = torch.cat([pictures, loss.samples(training.batch - training.photos, random)])
        terms = loss(state.encoder, pictures, random)
        gradients = torch.autograd.grad(terms["loss"], parameters, allow_unused=True)
        size = torch.nn.utils.get_total_norm([g for g in gradients if g is not None])
        if not torch.isfinite(terms["loss"] + size):
            raise NonFinite(
                f"The loss of the encoder is {terms['loss'].item()}, its gradient {size.item()}, after {state.images} "
                "images.",
                "Train into a new folder with a lower learning_rate.",
            )
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = gradient
        state.optimiser.step()
        for p in parameters:
            p.grad = None
        state.follow(training)
        state.step += 1
        state.images += training.batch
        if on_step(state, {k: v.detach() for k, v in terms.items()}):
            break
    return state
