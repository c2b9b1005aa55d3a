"""What is said to those whose request fails: a status, and a message and a cure as JSON.

{"error": {"kind": "no-face", "message": "No face was found.", "cure": "Use another photo."}}
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from starlette.responses import JSONResponse

from ..errors import BadImage, BadModel, OutOfMemory, PortraitistError, StorageError, UntrustedFile

log = logging.getLogger("portraitist")


class Refused(PortraitistError):
    """A request that is not carried out, for a reason of HTTP; ``kind`` names it in one word."""

    def __init__(
        self, status: int, kind: str, message: str, cure: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, cure)
        self.status, self.kind, self.headers = status, kind, dict(headers or {})


@dataclass(frozen=True)
class Failure:
    """Why a request failed, without the error itself, which would hold on to the photo."""

    status: int
    kind: str
    message: str
    cure: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, str]:
        """Return what is said of it."""
        return {"kind": self.kind, "message": self.message, "cure": self.cure}

    def response(self) -> JSONResponse:
        """Return the answer."""
        return JSONResponse({"error": self.as_json()}, self.status, dict(self.headers))


def failure_of(error: Exception) -> Failure:
    """Return what is said of an error; one that nobody thought of is logged, and told in general words."""
    if isinstance(error, Refused):
        return Failure(error.status, error.kind, error.message, error.cure, error.headers)
    if isinstance(error, MemoryError | OutOfMemory | torch.OutOfMemoryError):
        return Failure(503, "memory", "There is not enough memory for it.", "Make the photo or the pictures smaller.")
    if isinstance(error, BadModel | UntrustedFile | StorageError):
        log.error("%s", error)
        return Failure(
            500, "model", "A model of this service cannot be used.", "Its owner finds the reason in its log."
        )
    if isinstance(error, PortraitistError):
        kind = error.kind if isinstance(error, BadImage) else "usage"
        return Failure(413 if kind == "too-large" else 422, kind, _plain(error.message), _plain(error.cure))
    # As text: a record with the error itself, which handlers may keep, would hold on to the photo.
    told = "".join(traceback.format_exception(error))
    log.error("a request met an error of the program, please report it\n%s", told)
    return Failure(500, "error", "The program has a fault.", "Its owner finds it in the log of the service.")


def _plain(text: str) -> str:
    """Return a sentence about options of the command line as one about parameters: ``--paste-back``, ``paste_back``."""
    return re.sub(r"--([a-z][a-z-]*)", lambda found: found[1].replace("-", "_"), text)
