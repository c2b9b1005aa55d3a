"""Trainings that are held to a smaller model and its codes of the pictures: what belongs together, what is recorded."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..errors import UsageError
from ..io.described import digest_of
from ..io.model_file import generator_digest
from ..train.spec import Training
from .source import Source

Codes = Mapping[str, Tensor]


def check_held(source: Source, training: Training, codes: Codes | None) -> None:
    """Refuse a smaller model, codes and losses that do not come together, and a mapping network that trains.

    Raises:
        UsageError: They do not.
    """
    if (source.smaller is None) != (codes is None):
        raise UsageError(
            "A smaller model and its codes of the pictures belong together.", "Give --codes, or leave --smaller out."
        )
    asked = [term.name for term in training.terms if term.needs_smaller]
    if asked and source.smaller is None:
        raise UsageError(
            f"The setting {asked[0]}.weight needs codes of the pictures in a smaller model.",
            "Name their folder with --codes, or set the weight to 0.",
        )
    if source.smaller is not None and not asked:
        raise UsageError(
            "No loss of this training looks at the smaller model.",
            "Leave --codes out, or add one: --set downscaling.weight=30.",
        )
    if source.smaller is not None and not training.frozen.mapping:
        raise UsageError(
            "What is held to a smaller model (--codes) shares its mapping network, which then must not train.",
            "Set frozen.mapping=true.",
        )


def record(source: Source, codes: Codes | None) -> dict[str, str]:
    """Return the digests of the smaller model and of the codes, for the settings of a run; none without them."""
    if source.smaller is None or codes is None:
        return {}
    return {"smaller": generator_digest(source.smaller), "codes": digest_of({}, dict(codes))}
