"""How a photo becomes a code: one value says it, one class does it.

inversion = ByEncoder(refine=20)                            # the encoder's code, and 20 steps from there
inversion = ByEncoder(samples=4)                            # the mean of the posterior, and four samples of it
inversion = ByOptimisation(replace(portrait(), steps=400))
codes = PhotoInverter(base, inversion).codes(target)        # target [1, 3, R, R] in [-1, 1]
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from ..errors import NonFinite, UsageError
from ..invert import EncoderInverter, Inverter, Progress, Projection, Projector, portrait, refine
from ..invert.encode import Best
from ..io import registry
from ..io.encoder_files import StoredEncoder, check_encoder_base
from ..io.model_file import Model
from ..losses.perceptual import PerceptualDistance, default_perceptual
from ..networks import Generator
from ..spaces import WPlus

GivenEncoder = StoredEncoder | Path | str | None
"""An encoder, or its name, file or run folder; the known encoder of the base when None."""


@dataclass(frozen=True)
class ByEncoder:
    """Invert by an encoder, in one pass (AgileGAN, Sec. 3.4).

    Raises:
        UsageError: The settings contradict each other.
    """

    encoder: GivenEncoder = None
    refine: int = 0
    """Steps of an optimisation that starts at the encoder's code."""
    best: Best = "mean"
    """Which code is drawn: the ``mean`` of the posterior, or the ``medoid`` of it and of the samples."""
    samples: int = 0
    """Codes sampled from the posterior: pictures beside that of the mean, or candidates for the medoid, which needs at
    least 2."""

    def __post_init__(self) -> None:
        if self.best not in get_args(Best):
            raise UsageError(f"There is no choice of codes '{self.best}'.", f"Use {' or '.join(get_args(Best))}.")
        if min(self.refine, self.samples) < 0:
            raise UsageError("Numbers of steps and samples cannot be negative.")
        if self.best == "medoid" and self.samples < 2:
            raise UsageError("A medoid is chosen among at least 2 samples.", "Raise the samples, or take the mean.")
        if self.best == "mean" and self.samples and self.refine:
            raise UsageError("Posterior samples cannot be refined.", "Ask for samples or for refinement.")

    @property
    def pictures(self) -> int:
        """How many codes are drawn beside the first."""
        return self.samples if self.best == "mean" else 0

    @property
    def settings(self) -> str:
        """What determines the code beside the encoder, as reports of finished photos hold it."""
        return f"Encoding(refine={self.refine}, best={self.best!r}, samples={self.samples})"


@dataclass(frozen=True)
class ByOptimisation:
    """Invert by optimising the code.

    Raises:
        UsageError: An encoder is given to an optimisation that uses none.
    """

    projection: Projection = field(default_factory=portrait)
    encoder: GivenEncoder = None
    """For projections that start at an encoder's code, such as ``in_domain()``."""

    def __post_init__(self) -> None:
        if self.encoder is not None and not self.projection.needs_encoder:
            raise UsageError(
                "This optimisation does not use an encoder.", "Leave out the encoder, or refine its code (ByEncoder)."
            )

    @property
    def settings(self) -> str:
        """What determines the code beside the encoder, as reports of finished photos hold it."""
        return repr(self.projection)


Inversion = ByEncoder | ByOptimisation
"""How a photo is inverted. Where none is given: by the encoder of the base if one is known, else ``portrait()``."""


def is_plain(inversion: object) -> bool:
    """Return whether an inversion is the default, or one pass of an encoder."""
    return inversion is None or (isinstance(inversion, ByEncoder) and not (inversion.refine or inversion.samples))


class PhotoInverter:
    """Turns aligned faces into codes of a base.

    Args:
        base: The model whose codes are wanted.
        inversion: How, or an inverter of your own.
        perceptual: What compares drawings while optimising; the discriminator of the base when None.
        seed: Of posterior samples, and of the default optimisation; a projection has its own.
        source: Generator of the style that the pictures are drawn in, which then inverts them; the base when None.

    Raises:
        UsageError: Pictures in a style are to be inverted by an encoder, or by an inverter of your own.
    """

    def __init__(
        self,
        base: Model,
        inversion: Inversion | Inverter | None = None,
        *,
        perceptual: PerceptualDistance | None = None,
        seed: int = 0,
        source: Generator | None = None,
    ) -> None:
        if source is not None and isinstance(inversion, ByEncoder):
            raise UsageError(
                "Encoders know photos; a picture in a style is inverted by optimisation.",
                "Leave out the encoder's options (--method encoder, --encoder, --refine, --samples, --best).",
            )
        self._own = None if inversion is None or isinstance(inversion, ByEncoder | ByOptimisation) else inversion
        if source is not None and self._own is not None:
            raise UsageError("An inverter of your own cannot be combined with a source style.", "Leave out one.")
        self.base, self.perceptual, self.seed, self.source = base, perceptual, seed, source
        self._by_encoder = inversion if isinstance(inversion, ByEncoder) else None
        default = ByOptimisation(replace(portrait(), seed=seed))
        self._by_optimisation = inversion if isinstance(inversion, ByOptimisation) else None
        self._optimisation = self._by_optimisation or default

    @property
    def samples(self) -> int:
        """How many posterior samples are drawn beside the first code."""
        return 0 if self._by_encoder is None else self._by_encoder.pictures

    @property
    def settings(self) -> dict[str, object]:
        """What determines the codes, beside the photo."""
        encoder = self.encoder
        how = (self._by_encoder or ByEncoder()) if self._encodes else self._optimisation
        return {
            "inverter": how.settings if self._own is None else repr(self._own),
            "seed": self.seed,
            "encoder": "" if encoder is None else encoder.digest,
            "perceptual": "" if self.perceptual is None else [self.perceptual.name, self.perceptual.features.digest],
        }

    @cached_property
    def encoder(self) -> StoredEncoder | None:
        """The encoder that takes part; None where none does.

        Raises:
            UsageError: One is needed and none is known.
            BadModel: It was trained for another base.
        """
        if self._own is not None:
            return None
        chosen = self._by_encoder or self._by_optimisation
        if chosen is None:
            return registry.load_encoder_of(self.base) if self.source is None else None
        if isinstance(chosen, ByOptimisation) and not chosen.projection.needs_encoder:
            return None
        if isinstance(chosen.encoder, StoredEncoder):
            check_encoder_base(chosen.encoder.header, self.base)
            return chosen.encoder
        stored = registry.load_encoder_of(self.base, chosen.encoder)
        if stored is None:
            raise no_encoder(self.base)
        return stored

    @cached_property
    def inverter(self) -> Inverter:
        """What does the work."""
        if self._own is not None:
            return self._own
        if self._encodes:
            assert self.encoder is not None
            return encoder_inverter(self.base, self.encoder, self._measure(), self._by_encoder, seed=self.seed)
        return self.of_style(self.source)

    def of_style(self, generator: Generator | None) -> Inverter:
        """Return what inverts pictures that a style of the base draws, or the base itself: an optimisation.

        It starts at the encoder's code only where the settings say so: encoders know photos, and from their codes of
        drawings an optimisation ends farther from the drawing than from the mean code.
        """
        return projector(self.base, self._optimisation.projection, self._measure(), self.encoder, generator=generator)

    def _measure(self) -> PerceptualDistance:
        """Return the perceptual distance, on the device of the base: on its discriminator unless one is given."""
        perceptual = self.perceptual
        if perceptual is None:
            perceptual = default_perceptual(
                self.base.require_discriminator("to measure likeness with", or_features=True)
            )
        return perceptual.to(self.base.generator.w_mean.device)

    def codes(self, target: Tensor, progress: Progress | None = None) -> list[WPlus]:
        """Invert one face [1, 3, R, R] in [-1, 1]: its code [1, rows, w_dim], then the posterior samples.

        Raises:
            NonFinite: The encoder returned NaN.
        """
        how, inverter = self._by_encoder or ByEncoder(), self.inverter
        if self._own is None and isinstance(inverter, EncoderInverter) and how.best == "mean" and not how.refine:
            return _finite(inverter.variants(target, self.samples))  # the codes alone, with no drawing to compare
        return [inverter.invert(target, progress=progress).code]

    def codes_together(self, targets: Tensor, progress: Progress | None = None) -> list[list[WPlus]]:
        """Invert faces [N, 3, R, R] in [-1, 1]: of each what :meth:`codes` returns.

        An encoder sees all of them at once, so that its sums may round otherwise; an optimisation one after the other.

        Raises:
            NonFinite: The encoder returned NaN.
        """
        how, inverter = self._by_encoder or ByEncoder(), self.inverter
        if self._own is None and isinstance(inverter, EncoderInverter) and how.best == "mean" and not how.refine:
            found = _finite(inverter.variants(targets, self.samples, together=len(targets)))
            return [[WPlus(codes.data[k : k + 1]) for codes in found] for k in range(len(targets))]
        return [self.codes(target[None], progress) for target in targets]

    @property
    def _encodes(self) -> bool:
        return self.encoder is not None and self._by_optimisation is None


def encoder_inverter(
    base: Model, stored: StoredEncoder, perceptual: PerceptualDistance, how: ByEncoder | None = None, *, seed: int = 0
) -> EncoderInverter:
    """Return what inverts by an encoder; each picture alone, and with the same samples of the seed.

    Raises:
        UsageError: Samples are asked for of an encoder that has no posterior.
        BadModel: The encoder does not fit the base.
    """
    how = how or ByEncoder()
    if how.samples and not stored.encoder.anatomy.variational:
        raise UsageError(
            f"The encoder '{stored.header.name}' is deterministic: it has no posterior to sample.",
            "Leave out the samples and the medoid, or use a variational encoder (hvae).",
        )
    return EncoderInverter(
        stored.encoder,
        base.generator,
        perceptual,
        best=how.best,
        samples=how.samples,
        seed=seed,
        refine=refine(how.refine) if how.refine else None,
    )


def projector(
    base: Model,
    settings: Projection,
    perceptual: PerceptualDistance,
    stored: StoredEncoder | None = None,
    *,
    generator: Generator | None = None,
) -> Projector:
    """Return what inverts by optimisation, from an encoder where the settings say so; each picture alone.

    Args:
        base: The model whose codes are wanted.
        settings: Of the optimisation.
        perceptual: What compares drawings.
        stored: The encoder of the base.
        generator: What draws; that of a style of the base inverts drawings in this style, the base's own photos.
    """
    encode = None
    if stored is not None and settings.needs_encoder:
        encode = encoder_inverter(base, stored, perceptual).encode
    return Projector(generator or base.generator, perceptual, settings, encoder=encode)


def no_encoder(base: Model) -> UsageError:
    """Return the error for an encoder that is needed and not known."""
    return UsageError(
        f"No encoder of '{base.header.name}' is known.",
        "Name one with --encoder, train one with `portraitist encoder train`, or choose another --method.",
    )


def _finite(codes: list[WPlus]) -> list[WPlus]:
    if not all(torch.isfinite(code.data).all() for code in codes):
        raise NonFinite("The encoder returned NaN.", "Use another encoder, or --method portrait.")
    return codes
