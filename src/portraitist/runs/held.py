"""Trainings that are held to a smaller model: what belongs together, what is recorded, and whom to credit."""

from __future__ import annotations

from dataclasses import replace

from ..errors import UsageError
from ..io.described import digest_of
from ..io.headers import Header
from ..io.model_file import generator_digest
from ..surgery.join import joint_credit, joint_licence
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


def licensed(about: Header, smaller: Smaller | None) -> Header:
    """Return a header under the terms of the smaller model too, whose pictures are learned, and with its credit."""
    if smaller is None:
        return about
    its = smaller.model.header
    licence = joint_licence(its.licence, about.licence) if about.licence else its.licence
    return replace(about, licence=licence, credit=joint_credit(its.credit, about.credit))
