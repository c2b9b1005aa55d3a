"""What licences allow, and whether models, encoders and the like that name none are refused.

The environment says the latter, so that processes that are started obey too; ``--require-licence`` sets it for one
command.

    with requiring(True):
        load("runs/mine")       # NoLicence, where its header names none
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, TypeVar

from ..errors import NoLicence

if TYPE_CHECKING:
    from .headers import About

log = logging.getLogger("portraitist")

T = TypeVar("T", bound="About")

VARIABLE = "PORTRAITIST_REQUIRE_LICENCE"
_PERMISSIVE = re.compile(
    r"CC0(-1\.0)?|CC-BY(-\d\.\d(-[A-Z]{2,3})?)?|CC-PDDC|CC-PDM-1\.0|PDDL-1\.0|ODC-By-1\.0|CDLA-Permissive-[12]\.0|"
    r"public-domain|Unlicense|0BSD|BSD(-[1-4]-Clause)?|MIT(-0)?|ISC|Zlib|BSL-1\.0|Apache-2\.0",
    re.IGNORECASE,
)
"""SPDX identifiers, some without their version, of licences that ask for no more than to be named with the author."""


def is_permissive(licence: str) -> bool:
    """Tell whether a licence lets anybody use what it covers in products, for no more than naming it and the author.

    Args:
        licence: SPDX identifier, or such ones with AND and OR; what is not known, such as parentheses, is no yes.
    """
    either = re.split(r"\s+OR\s+", licence, flags=re.IGNORECASE)
    return any(
        all(
            _PERMISSIVE.fullmatch(re.sub(r"\s+", "-", part.strip()))
            for part in re.split(r"\s+AND\s+", one, flags=re.IGNORECASE)
        )
        for one in either
    )


def required() -> bool:
    """Tell whether files that name no licence are refused."""
    return os.environ.get(VARIABLE, "0") not in ("", "0", "false", "no")


@contextmanager
def requiring(wanted: bool) -> Iterator[None]:
    """Refuse files that name no licence within the block, or take them."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1" if wanted else "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def check_licence(name: str, licence: str) -> None:
    """Refuse a file whose licence is empty, where that is asked for.

    Raises:
        NoLicence: It is.
    """
    if required() and not licence.strip():
        raise NoLicence(
            f"{name} names no licence, and one is required.",
            "Ask its author; `portraitist convert FILE NEW.safetensors --licence SPDX` writes one into a model.",
        )


def warn_of_licence(name: str, licence: str) -> None:
    """Warn of a file whose licence is empty, or refuse it where that is asked for; see :func:`check_licence`."""
    check_licence(name, licence)
    if not licence:
        log.warning("%s names no licence: ask its author before you pass on it or its pictures", name)


def joint_licence(first: str, second: str) -> str:
    """Return the terms of both, each named once; none where one of them is not known."""
    if first == second or not (first and second):
        return first if first == second else ""
    return " AND ".join(dict.fromkeys((*_conjuncts(first), *_conjuncts(second))))


def _conjuncts(licence: str) -> list[str]:
    """Return the parts of an SPDX expression that all count."""
    if " OR " in re.sub(r"\([^()]*\)", "", licence):
        return [f"({licence})"]
    return re.split(r"\s+AND\s+(?![^(]*\))", licence)


def joint_credit(first: str, second: str) -> str:
    """Return both texts, unless one holds the other."""
    if first in second:
        return second
    return first if second in first else f"{first}; {second}"


def joint_terms(headers: Iterable[About]) -> tuple[str, str]:
    """Return licence and credit of what is made of several files, at least one."""
    licences, credits = zip(*((header.licence, header.credit) for header in headers), strict=True)
    return reduce(joint_licence, licences), reduce(joint_credit, credits)


def inherited(about: T, before: About) -> T:
    """Return a header under the terms of what the network went on from, unless it names its own; with its credit."""
    if about.licence:
        return about
    return replace(about, licence=before.licence, credit=joint_credit(before.credit, about.credit))


def under_both(about: T, other: About) -> T:
    """Return a header under the terms of what else its weights come from, too, and with its credit."""
    licence, credit = joint_terms((other, about))
    return replace(about, licence=licence, credit=credit)
