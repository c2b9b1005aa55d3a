"""The OpenAPI document of the service; parameters come from ``Wanted``, which also checks them."""

from __future__ import annotations

from typing import Any

from .._version import __version__
from .limits import Limits
from .wanted import Wanted

Json = dict[str, Any]
FORMATS = "PNG, JPEG, WebP, GIF, BMP, TIFF, or HEIC where pillow-heif is installed"

_ERROR: Json = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {key: {"type": "string"} for key in ("kind", "message", "cure")},
            "required": ["kind", "message", "cure"],
        }
    },
    "required": ["error"],
}
_NUMBER: Json = {"type": "integer", "minimum": 0}
_JOB: Json = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "state": {"enum": ["waiting", "drawing", "done", "failed", "cancelled"]},
        "place": _NUMBER | {"description": "Drawings before it; 0 once it has begun."},
        "faces": _NUMBER | {"description": "Faces that are drawn; 0 until they are found."},
        "step": _NUMBER | {"description": "Of the refinement of the face in hand."},
        "steps": _NUMBER,
        "pictures": {"type": "array", "items": {"type": "string"}, "description": "Names; each can be fetched once."},
        "error": {"anyOf": [_ERROR["properties"]["error"], {"type": "null"}]},
    },
}
_FACES: Json = {
    "type": "object",
    "properties": {
        "width": _NUMBER,
        "height": _NUMBER,
        "faces": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "number": _NUMBER,
                    "corners": {
                        "type": "array",
                        "description": "Of its square: top left, bottom left, bottom right, top right; [x, y] pixels.",
                        "items": {"type": "array", "items": {"type": "number"}},
                    },
                },
            },
        },
    },
}
_PICTURE: Json = {
    f"image/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in ("png", "jpeg", "webp")
}
_STATUS = {
    400: "The host name is not allowed.",
    401: "The token is missing or wrong.",
    403: "The request comes from a page of another origin.",
    404: "There is no such thing, or none any more.",
    408: "The photo came too slowly.",
    413: "The photo is too large.",
    415: "The body has another type.",
    422: "The photo or a parameter cannot be used.",
    503: "The queue is full (Retry-After says when to try again), or there is not enough memory.",
    504: "The drawing took too long.",
}
_UPLOAD = (408, 413, 415, 422, 503, 504)


def document(limits: Limits) -> Json:
    """Return the document, with the limits in force."""
    schema = Wanted.model_json_schema()
    wanted = schema["properties"]
    query = [
        {"name": name, "in": "query", "required": False, "description": field.pop("description"), "schema": field}
        for name, field in Wanted.model_json_schema()["properties"].items()
    ]
    drawn: Json = {"parameters": query, "requestBody": _body(wanted, limits)}
    several = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
    job, name = ({"name": key, "in": "path", "required": True, "schema": {"type": "string"}} for key in ("id", "name"))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Portraitist",
            "version": __version__,
            "description": "Redraws photos of people in styles. Nothing of a photo is kept.",
        },
        "security": [{}, {"token": []}],
        "paths": {
            "/health": {"get": _does("Whether the service runs.", _json({"type": "object"}), ())},
            "/openapi.json": {"get": _does("This document.", _json({"type": "object"}), ())},
            "/styles": {"get": _does("The styles.", _json({"type": "object"}), (401,))},
            "/styles/{name}/thumbnail": {
                "get": _does("How a style looks.", {"image/png": _PICTURE["image/png"]}, (401, 404), parameters=[name])
            },
            "/faces": {
                "post": _does(
                    "Where the faces of a photo are.", _json(_FACES), (401, *_UPLOAD), requestBody=_body({}, limits)
                )
            },
            "/preview": {
                "post": _does(
                    "The photo as JPEG, upright.",
                    {"image/jpeg": _PICTURE["image/jpeg"]},
                    (401, *_UPLOAD),
                    requestBody=_body({}, limits),
                )
            },
            "/stylize": {
                "post": _does(
                    "Draw: answers with the picture, or with a ZIP where there are several.",
                    _PICTURE | several,
                    (401, *_UPLOAD),
                    **drawn,
                )
            },
            "/jobs": {
                "post": _does("Queue a drawing.", _json(_JOB), (401, 408, 413, 415, 422, 503), status=202, **drawn)
            },
            "/jobs/{id}": {
                "get": _does("How a job stands.", _json(_JOB), (401, 404), parameters=[job]),
                "delete": _does("Cancel a job and forget it.", {}, (401, 404), status=204, parameters=[job]),
            },
            "/jobs/{id}/events": {
                "get": _does(
                    "The same as it goes: an event of the name of its state at every change, until it is over.",
                    {"text/event-stream": {"schema": {"type": "string"}}},
                    (401, 404),
                    parameters=[job],
                )
            },
            "/jobs/{id}/pictures/{name}": {
                "get": _does("A picture; it is forgotten then.", _PICTURE, (401, 404), parameters=[job, name])
            },
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _body(fields: Json, limits: Limits) -> Json:
    photo = {
        "type": "string",
        "format": "binary",
        "description": f"{FORMATS}; {limits.upload_bytes} bytes at most.",
    }
    form = {"type": "object", "required": ["photo"], "properties": {"photo": photo, **fields}}
    return {"required": True, "content": {"multipart/form-data": {"schema": form}, "image/*": {"schema": photo}}}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _does(summary: str, content: Json, failures: tuple[int, ...], status: int = 200, **more: Any) -> Json:
    answers: Json = {str(status): {"description": summary} | ({"content": content} if content else {})}
    for code in (400, 403, *failures):
        answers[str(code)] = {"description": _STATUS[code], "content": _json(_ERROR)}
    return {"summary": summary, "responses": answers, **more}
