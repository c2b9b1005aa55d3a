"""The photo and the parameters of a request: bounded in size and in time, and in memory alone.

A body is either the picture itself, with the parameters in the address, or a form (``multipart/form-data``) with the
picture as ``photo`` and the parameters beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from .limits import Limits
from .refusals import Refused

MOST_FIELDS = 64
LONGEST_FIELD = 4096
_SLACK = 1 << 16
"""Bytes that a form takes beside the photo."""

Parameters = list[tuple[str, str]]


async def read_upload(request: Request, limits: Limits) -> tuple[bytes, Parameters]:
    """Return the photo of a request as it was sent, and its parameters, those of the address first.

    Raises:
        Refused: The body is too large (413), too slow (408), of another type (415), or holds no photo (422).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    parameters = list(request.query_params.multi_items())
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.upload_bytes + _SLACK:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.upload_seconds):
            if kind == "multipart/form-data":
                photo, fields = await _read_form(request, limits)
                parameters += fields
            elif kind in ("", "application/octet-stream") or kind.startswith("image/"):
                photo = b"".join([part async for part in _bounded(request, limits, 0)])
            else:
                raise Refused(
                    415,
                    "type",
                    f"A body of the type '{kind[:60]}' is not read.",
                    "Send the picture itself as image/jpeg, image/png or image/webp, or a multipart form with a photo.",
                )
    except TimeoutError:
        raise Refused(
            408,
            "slow",
            f"The photo did not come within {limits.upload_seconds:g} seconds.",
            "Send a smaller photo, or try again.",
            {"Connection": "close"},
        ) from None
    if not photo:
        raise _no_photo()
    if len(photo) > limits.upload_bytes:
        raise _too_large(limits)
    return photo, parameters


class _InMemory(MultiPartParser):
    """A parser that never writes a photo to a temporary file: 0 is no limit of what is held in memory."""

    spool_max_size = 0


async def _read_form(request: Request, limits: Limits) -> tuple[bytes, Parameters]:
    parts: Any = _bounded(request, limits, _SLACK)
    parser = _InMemory(request.headers, parts, max_files=1, max_fields=MOST_FIELDS, max_part_size=LONGEST_FIELD)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refused(
            422, "form", f"The form cannot be read: {error.message}", "Send one photo and its parameters."
        ) from error
    fields, photo = [], b""
    for key, value in form.multi_items():
        if isinstance(value, str):
            if key == "photo":
                raise _no_photo()
            fields.append((key, value))
        elif key == "photo":
            photo = await value.read()
    await form.close()
    return photo, fields


async def _bounded(request: Request, limits: Limits, slack: int) -> AsyncIterator[bytes]:
    """Pass on the parts of a body; of one that is too large, not all."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limits.upload_bytes + slack:
            raise _too_large(limits)
        yield part


def _too_large(limits: Limits) -> Refused:
    return Refused(
        413, "too-large", f"The photo is larger than {limits.upload_bytes / 2**20:g} MiB.", "Save a smaller copy."
    )


def _no_photo() -> Refused:
    return Refused(
        422, "no-photo", "The request holds no photo.", "Send one as the body, or as the file 'photo' of a form."
    )
