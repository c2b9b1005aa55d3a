"""Whether models, encoders and the like that name no licence are refused: for those who may only pass on what they may.

The environment says so, so that processes that are started obey too; ``--require-licence`` sets it for one command.

    with requiring(True):
        load("runs/mine")       # NoLicence, where its header names none
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import NoLicence

VARIABLE = "PORTRAITIST_REQUIRE_LICENCE"


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
