"""Trainings that are held to a smaller model: what belongs together, and what is recorded."""

from __future__ import annotations

from ..errors import UsageError
from ..io.described import digest_of
from ..io.model_file import generator_digest
from ..train.spec import Training
from .source import Smaller, Source


def check_held(source: Source, training: Training) -> None:
    """Refuse losses without what they look at, what no loss looks at, and a mapping network that trains.

    Raises:
        UsageError: There is one.
    """
    smaller = source.smaller
    for asked, given, what, option in (
        ("needs_smaller", smaller is not None, "a smaller model", "--smaller"),
        ("needs_codes", smaller is not None and smaller.codes is not None, "codes of the pictures", "--codes"),
    ):
        looking = [term.name for term in training.terms if getattr(term, asked)]
        if looking and not given:
            raise UsageError(
                f"The setting {looking[0]}.weight needs {what} to compare with.",
                f"Give {option}, or set the weight to 0.",
            )
        if given and not looking:
            raise UsageError(f"No loss of this training looks at {what}.", f"Leave {option} out.")
    if smaller is not None and not training.frozen.mapping:
        raise UsageError(
            "What is held to a smaller model shares its mapping network, which then must not train.",
            "Set frozen.mapping=true.",
        )


def record(smaller: Smaller | None) -> dict[str, str]:
    """Return the digests of the smaller model and of its codes, for the settings of a run; empty without them."""
    if smaller is None:
        return {"smaller": "", "codes": ""}
    codes = "" if smaller.codes is None else digest_of({}, dict(smaller.codes))
    return {"smaller": generator_digest(smaller.model), "codes": codes}
