"""The addresses of the service.

    app = create_app(Studio())      # an ASGI application

=======  ==================================  ================================================================
GET      /                                   the page
GET      /health, /openapi.json              whether it runs; what it offers
GET      /styles, /styles/NAME/thumbnail     the table of styles; how one looks
POST     /faces                              where the faces of a photo are
POST     /preview                            the photo as JPEG, for browsers that cannot show its format
POST     /stylize                            draw, and answer with the picture, or with a ZIP of several
POST     /jobs                               queue, and answer with an id
GET      /jobs/ID, /jobs/ID/events           how it stands, once or as it goes (server-sent events)
GET      /jobs/ID/pictures/NAME              a picture, once
DELETE   /jobs/ID                            cancel, and forget
=======  ==================================  ================================================================
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import zipfile
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .._version import __version__
from ..errors import PortraitistError, UsageError
from ..report.template import render
from .document import document
from .guard import Guard
from .jobs import Job, JobQueue, Work
from .limits import Limits
from .refusals import Failure, Refused, failure_of
from .studio import STEM, Studio
from .uploads import Parameters, read_upload
from .wanted import Wanted

TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
STILL_HERE = 15.0
"""Seconds after which a stream of events says that it lives, so that nothing between closes it."""
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def create_app(
    studio: Studio,
    *,
    limits: Limits | None = None,
    token: str = "",
    names: Collection[str] = (),
    loopback: bool = True,
) -> Guard:
    """Return the service as an ASGI application.

    Args:
        studio: What draws; of this application alone.
        limits: What it gives at most.
        token: What those who ask must know; nothing when empty.
        names: Host names that it is called by, beside addresses.
        loopback: Only this machine can reach it.
    """
    service = _Service(studio, limits or Limits())
    handlers: Mapping[Any, Any] = {
        PortraitistError: _failed,
        Exception: _failed,
        HTTPException: _http_failed,
        ClientDisconnect: _gone,
    }
    app = Starlette(routes=service.routes(), lifespan=service.lifespan, exception_handlers=handlers)
    return Guard(app, token=token, names=names, loopback=loopback)


class _Service:
    def __init__(self, studio: Studio, limits: Limits) -> None:
        self.studio, self.limits = studio, limits
        self.queue: JobQueue
        folder = files(__package__) / "page"
        self._page = {"/": (render("drawing.html", offline=False).encode(), "text/html")} | {
            path: (b"\n".join((folder / name).read_bytes() for name in names), kind)
            for path, names, kind in (
                ("/page.js", ["photo.js", "pictures.js", "page.js"], "text/javascript"),
                ("/page.css", ["page.css"], "text/css"),
                ("/icon.svg", ["icon.svg"], "image/svg+xml"),
            )
        }

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with JobQueue(self.limits).running() as self.queue:
            yield

    def routes(self) -> list[Route]:
        return [
            *(Route(path, self.page) for path in self._page),
            Route("/health", self.health),
            Route("/openapi.json", self.openapi),
            Route("/styles", self.styles),
            Route("/styles/{name}/thumbnail", self.thumbnail),
            Route("/faces", self.faces, methods=["POST"]),
            Route("/preview", self.preview, methods=["POST"]),
            Route("/stylize", self.stylize, methods=["POST"]),
            Route("/jobs", self.begin, methods=["POST"]),
            Route("/jobs/{id}", self.job),
            Route("/jobs/{id}", self.cancel, methods=["DELETE"]),
            Route("/jobs/{id}/events", self.events),
            Route("/jobs/{id}/pictures/{name}", self.picture),
        ]

    async def page(self, request: Request) -> Response:
        content, kind = self._page[request.url.path]
        return Response(content, media_type=kind)

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__, "waiting": len(self.queue)})

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(document(self.limits))

    async def styles(self, request: Request) -> Response:
        chosen = self.studio.default_styles()
        styles = [
            {
                "name": name,
                "base": header.base_name,
                "licence": header.licence,
                "credit": header.credit,
                "paths": list(header.paths),
                "default": name in chosen,
                "thumbnail": f"/styles/{quote(name, safe='')}/thumbnail",
            }
            for name, header in self.studio.styles.items()
        ]
        return JSONResponse({"styles": styles, "limits": {"upload_bytes": self.limits.upload_bytes}})

    async def thumbnail(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.studio.styles:
            raise Refused(404, "no-style", "There is no such style.", "GET /styles lists them.")
        return Response(await self.queue.on_thread(self.studio.thumbnail, name), media_type="image/png")

    async def faces(self, request: Request) -> Response:
        job = await self._queued(request, partial(self._reading, self._found))
        return Response(await self._only(request, job), media_type="application/json")

    async def preview(self, request: Request) -> Response:
        job = await self._queued(request, partial(self._reading, self.studio.preview))
        return Response(await self._only(request, job), media_type="image/jpeg")

    async def stylize(self, request: Request) -> Response:
        job = await self._queued(request, self._drawing)
        made = await self._wait(request, job)
        if len(made) == 1:
            ((name, content),) = made.items()
            kind = TYPES[name[name.rindex(".") :]]
        else:
            name, kind, content = f"{STEM}.zip", "application/zip", await asyncio.to_thread(_zip, made)
        return Response(content, media_type=kind, headers=_named(name))

    async def begin(self, request: Request) -> Response:
        job = await self._queued(request, self._drawing)
        return JSONResponse(self._state(job), 202, {"Location": f"/jobs/{job.id}"})

    async def job(self, request: Request) -> Response:
        return JSONResponse(self._state(self.queue.get(request.path_params["id"])))

    async def cancel(self, request: Request) -> Response:
        self.queue.drop(self.queue.get(request.path_params["id"]))
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        job = self.queue.get(request.path_params["id"])
        return StreamingResponse(self._events(job), media_type="text/event-stream")

    async def picture(self, request: Request) -> Response:
        job, name = self.queue.get(request.path_params["id"]), request.path_params["name"]
        if name not in job.files:
            raise Refused(404, "no-picture", "There is no such picture, or it was fetched.", "Draw it again.")

        async def forget() -> None:  # not in a thread, where the queue might count the files meanwhile
            job.files.pop(name, None)

        fetched = BackgroundTask(forget) if request.method == "GET" else None
        kind = TYPES[name[name.rindex(".") :]]
        return Response(job.files[name], media_type=kind, headers=_named(name), background=fetched)

    async def _queued(self, request: Request, work: Callable[[bytes, Parameters], Work]) -> Job:
        """Read a request and put it into the queue; of one that is refused, no photo is read."""
        with self.queue.place():
            return self.queue.put(work(*await read_upload(request, self.limits)))

    def _drawing(self, photo: bytes, parameters: Parameters) -> Work:
        wanted = Wanted.read(parameters)
        return lambda report: self.studio.draw(photo, wanted, report)

    def _reading(self, work: Callable[[bytes], bytes], photo: bytes, parameters: Parameters) -> Work:
        """Return what does a work that takes the photo alone."""
        if parameters:
            raise UsageError(f"There is no parameter '{parameters[0][0][:40]}' here.", "Send the photo alone.")
        return lambda report: {"": work(photo)}

    def _found(self, photo: bytes) -> bytes:
        return json.dumps(self.studio.faces(photo)).encode()

    async def _only(self, request: Request, job: Job) -> bytes:
        (content,) = (await self._wait(request, job)).values()
        return content

    async def _wait(self, request: Request, job: Job) -> dict[str, bytes]:
        """Wait for a job whose request waits too, and forget it; one that nobody waits for any more is cancelled."""
        waits = asyncio.create_task(job.over.wait()), asyncio.create_task(_left(request))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            made, failure = dict(job.files), job.failure
        finally:
            for task in waits:
                task.cancel()
            self.queue.drop(job)
        if failure is not None:
            raise Refused(failure.status, failure.kind, failure.message, failure.cure, failure.headers)
        if not made:
            raise Refused(503, "stopped", "The service was stopped.", "Start it again.")
        return made

    async def _events(self, job: Job) -> AsyncIterator[str]:
        last = None
        while True:
            # Taken together: the job may end while its follower reads, and that end must be told too.
            news, over, state = job.news, job.over.is_set(), self._state(job)
            if state != last:
                yield f"event: {job.state}\ndata: {json.dumps(state)}\n\n"
                last = state
            if over:
                return
            try:
                await asyncio.wait_for(news.wait(), STILL_HERE)
            except TimeoutError:
                yield ": still here\n\n"

    def _state(self, job: Job) -> dict[str, object]:
        done, total = job.steps
        return {
            "id": job.id,
            "state": job.state,
            "place": self.queue.place_of(job),
            "faces": job.faces,
            "step": done,
            "steps": total,
            "pictures": list(job.files),
            "error": None if job.failure is None else job.failure.as_json(),
        }


async def _failed(request: Request, error: Exception) -> Response:
    return failure_of(error).response()


async def _http_failed(request: Request, error: HTTPException) -> Response:
    cure = "GET /openapi.json lists what there is."
    return Failure(error.status_code, "http", f"{error.detail}.", cure, error.headers or {}).response()


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


async def _left(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _named(name: str) -> dict[str, str]:
    plain = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"}


def _zip(pictures: Mapping[str, bytes]) -> bytes:
    """Return pictures, which no packing makes smaller, as a ZIP that is the same for the same pictures."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in pictures.items():
            archive.writestr(zipfile.ZipInfo(name, _EARLIEST), content)
    return buffer.getvalue()
