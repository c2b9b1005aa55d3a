"""Which way a photo is inverted: by the encoder of its base where there is one, else by optimisation.

encode = Encoding(refine=20)                      # the encoder's code, and 20 steps from there
encode = Encoding(samples=4)                      # the mean of the posterior, and four codes like it
inverter = encoder_inverter(base, stored, default_perceptual(base.discriminator), encode)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ..errors import UsageError
from ..invert import EncoderInverter, Projection, Projector, refine
from ..invert.encode import Best
from ..io.encoder_files import StoredEncoder
from ..io.model_file import Model
from ..losses.perceptual import PerceptualDistance
from ..networks import Generator


@dataclass(frozen=True)
class Encoding:
    """How the code of a photo is taken from an encoder.

    Raises:
        UsageError: The settings contradict each other.
    """

    refine: int = 0
    """Steps of an optimisation that starts from the encoder's code."""
    best: Best = "mean"
    """Which code is drawn: the ``mean`` of the posterior, or the ``medoid`` of it and of the samples."""
    samples: int = 0
    """Codes drawn from the posterior (AgileGAN, Sec. 3.4): pictures beside that of the mean, or candidates for the
    medoid, which needs at least 2."""

    def __post_init__(self) -> None:
        if self.best not in get_args(Best):
            raise UsageError(f"'{self.best}' is no way to choose a code.", f"Use {' or '.join(get_args(Best))}.")
        if min(self.refine, self.samples) < 0:
            raise UsageError("Steps and samples cannot be fewer than none.")
        if self.best == "medoid" and self.samples < 2:
            raise UsageError("A medoid is chosen among at least 2 samples.", "Raise the samples, or take the mean.")
        if self.best == "mean" and self.samples and self.refine:
            raise UsageError(
                "Samples of a posterior that are refined are samples no more.", "Ask for the one or for the other."
            )

    @property
    def pictures(self) -> int:
        """How many codes are drawn beside the first."""
        return self.samples if self.best == "mean" else 0


def encoder_inverter(
    base: Model, stored: StoredEncoder, perceptual: PerceptualDistance, how: Encoding | None = None, *, seed: int = 0
) -> EncoderInverter:
    """Return what inverts by an encoder; each picture by itself, and with the same draws of the seed.

    Raises:
        UsageError: Samples are asked for of an encoder that has no posterior.
        BadModel: The encoder does not fit the base.
    """
    how = how or Encoding()
    if how.samples and not stored.encoder.anatomy.variational:
        raise UsageError(
            f"The encoder '{stored.header.name}' is deterministic: it gives one code and no others like it.",
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
    """Return what inverts by optimisation, from an encoder where the settings say so; each picture by itself.

    Args:
        base: The model whose codes are wanted.
        settings: Of the optimisation.
        perceptual: How likeness is measured.
        stored: The encoder of the base.
        generator: What draws; that of a style of the base inverts drawings in this style, the base's own photos.
    """
    encode = None
    if stored is not None and settings.needs_encoder:
        encode = encoder_inverter(base, stored, perceptual).encode
    return Projector(generator or base.generator, perceptual, settings, encoder=encode)


def no_encoder(base: Model) -> UsageError:
    """Return the error that an encoder is asked for and none is known."""
    return UsageError(
        f"No encoder of '{base.header.name}' is known.",
        "Name one with --encoder, train one with `portraitist encoder train`, or choose another --method.",
    )
